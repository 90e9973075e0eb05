internal import Addressing
internal import Routing

/// The addresses of one service CIDR, network and (IPv4) broadcast address left out.
struct AddressPool {
    /// Why a CIDR can't be one to allocate from.
    enum Unusable: Error {
        /// Two addresses are the least that make sense.
        case tooSmall
        /// More than 64 bits of host part in IPv6, which an API server refuses, too.
        case tooLarge
    }

    let range: IPRange
    private var pool: BandedPool

    init(_ range: IPRange) throws(Unusable) {
        let hostBits = (range.address.family == .ipv4 ? 32 : 128) - Int(range.prefix)
        guard hostBits >= 2 else { throw .tooSmall }
        guard hostBits <= 64 else { throw .tooLarge }
        self.range = range
        // 2^64 itself has no place in 64 bits; nobody will miss the one address.
        let size = hostBits == 64 ? UInt64.max : 1 << UInt64(hostBits)
        let staticCount = size <= 16 ? 0 : min(max(16, size / 16), 256)
        pool = BandedPool(size: size - (range.address.family == .ipv4 ? 2 : 1), staticCount: staticCount)
    }

    var count: Int { pool.count }

    func contains(_ address: IPAddress) -> Bool { number(of: address) != nil }

    func owner(of address: IPAddress) -> ServiceKey? { number(of: address).flatMap(pool.owner) }

    mutating func give(_ address: IPAddress, to key: ServiceKey) {
        if let number = number(of: address) { pool.give(number, to: key) }
    }

    mutating func release(_ address: IPAddress) {
        if let number = number(of: address) { pool.release(number) }
    }

    mutating func takeAny(for key: ServiceKey, using random: inout RandomSource) -> IPAddress? {
        pool.takeAny(for: key, using: &random).map(address)
    }

    /// The address so many places behind the network's own; nil where the range has none there.
    func address(behind distance: UInt64) -> IPAddress? { distance <= pool.size ? address(of: distance - 1) : nil }

    /// Number 0 is the first usable address, the one behind the network's own.
    private func address(of number: UInt64) -> IPAddress {
        let low = range.address.low + number + 1
        switch range.address.family {
        case .ipv4: return IPAddress(ipv4: UInt32(low))
        case .ipv6: return IPAddress(ipv6High: range.address.high, low: low)
        }
    }

    private func number(of address: IPAddress) -> UInt64? {
        guard range.contains(address), address.low > range.address.low else { return nil }
        let number = address.low - range.address.low - 1
        return number < pool.size ? number : nil
    }
}
