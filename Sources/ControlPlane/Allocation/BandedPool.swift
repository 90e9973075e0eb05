internal import Routing

/// Numbers from 0 up to `size`, each held by one Service or free.
///
/// The first `staticCount` are left to those who ask for one by number: whoever takes any gets them last. Only what is held costs
/// memory.
struct BandedPool {
    let size: UInt64
    let staticCount: UInt64
    private var owners: [UInt64: ServiceKey] = [:]

    init(size: UInt64, staticCount: UInt64) {
        self.size = size
        self.staticCount = staticCount
    }

    var count: Int { owners.count }

    func owner(of number: UInt64) -> ServiceKey? { owners[number] }

    mutating func give(_ number: UInt64, to key: ServiceKey) { owners[number] = key }

    mutating func release(_ number: UInt64) { owners[number] = nil }

    /// Gives the first free number behind a random place of the dynamic band, going round, else one of the static band; nil if all are
    /// held.
    mutating func takeAny(for key: ServiceKey, using random: inout RandomSource) -> UInt64? {
        guard UInt64(owners.count) < size else { return nil }
        let start = size > staticCount ? UInt64.random(in: staticCount..<size, using: &random) : size
        guard let number = free(in: start..<size) ?? free(in: staticCount..<start) ?? free(in: 0..<staticCount) else { return nil }
        owners[number] = key
        return number
    }

    private func free(in range: Range<UInt64>) -> UInt64? {
        var number = range.lowerBound
        while number < range.upperBound {
            if owners[number] == nil { return number }
            number += 1
        }
        return nil
    }
}
