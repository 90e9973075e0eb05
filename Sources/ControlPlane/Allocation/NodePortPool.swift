internal import Addressing
internal import Routing

/// The ports that Services get on every node: one pool for node ports and health-check ports, and one number whatever the protocol.
struct NodePortPool {
    let range: ClosedRange<PortNumber>
    private var pool: BandedPool

    init(_ range: ClosedRange<PortNumber>) {
        self.range = range
        let size = UInt64(range.upperBound.rawValue - range.lowerBound.rawValue) + 1
        pool = BandedPool(size: size, staticCount: size <= 16 ? 0 : min(max(16, size / 32), 128))
    }

    var count: Int { pool.count }

    func contains(_ port: PortNumber) -> Bool { range.contains(port) }

    func owner(of port: PortNumber) -> ServiceKey? { range.contains(port) ? pool.owner(of: number(of: port)) : nil }

    mutating func give(_ port: PortNumber, to key: ServiceKey) {
        if range.contains(port) { pool.give(number(of: port), to: key) }
    }

    mutating func release(_ port: PortNumber) {
        if range.contains(port) { pool.release(number(of: port)) }
    }

    mutating func takeAny(for key: ServiceKey, using random: inout RandomSource) -> PortNumber? {
        pool.takeAny(for: key, using: &random).flatMap { PortNumber($0 + UInt64(range.lowerBound.rawValue)) }
    }

    private func number(of port: PortNumber) -> UInt64 { UInt64(port.rawValue - range.lowerBound.rawValue) }
}
