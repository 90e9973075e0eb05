internal import Addressing

/// The records of the cluster's names, looked up without a lock or an allocation: immutable, shared by all workers.
///
/// Names are held without the cluster's domain, TTLs not at all: these are the responder's. A change copies the shards that it touches
/// and shares the others.
package struct Zone: Sendable {
    static let shardBits = 10
    static let shardCount = 1 << shardBits

    /// SOA serial: seconds since 1970 of the last change, by whoever makes zones.
    package internal(set) var serial: UInt32 = 0
    /// Whether all objects have been seen; before that a name that isn't there yet is answered by SERVFAIL.
    package internal(set) var isSynced = false

    /// See `Shard`.
    var shards: [[UInt8]]

    private init() { shards = Array(repeating: [], count: Self.shardCount) }

    /// No names, and not synced.
    package static let empty = Zone()

    /// What it holds in memory.
    package var byteCount: Int { shards.reduce(0) { $0 + $1.capacity } + Self.shardCount * MemoryLayout<[UInt8]>.stride }

    static func shard(of hash: UInt64) -> Int { Int(hash >> UInt64(64 - shardBits)) }

    /// Finds a name without domain and root, whatever its case, that stands in two parts: `label`, which may be empty, before `rest`.
    @inline(__always)
    func find(
        _ first: Span<UInt8>, _ label: Range<Int>, before second: Span<UInt8>, _ rest: Range<Int>
    ) -> Shard.Place? {
        var hash = KeyHash()
        hash.addLowercased(first, label)
        hash.addLowercased(second, rest)
        let value = hash.value
        let shard = Self.shard(of: value)
        let table = shards[shard]
        let bytes = table.span
        guard bytes.count > 0 else { return nil }
        let mask = 1 << Int(bytes[0]) - 1
        var slot = Int(truncatingIfNeeded: value) & mask
        while true {
            let entry = Shard.number(bytes, Shard.slotsOffset + slot * 4)
            guard entry > 0 else { return nil }
            if Shard.number(bytes, entry) == Int(UInt32(truncatingIfNeeded: value)),
                Int(bytes[entry + 4]) == label.count + rest.count
            {
                let key = entry + Shard.entryHeaderLength
                if Self.isEqual(bytes, key, first, label), Self.isEqual(bytes, key + label.count, second, rest) {
                    let start = key + label.count + rest.count
                    return Shard.Place(shard: shard, offset: start, end: start + Shard.number(bytes, entry + 5))
                }
            }
            slot = (slot + 1) & mask
        }
    }

    func find(_ name: Span<UInt8>, _ range: Range<Int>) -> Shard.Place? { find(name, 0..<0, before: name, range) }

    @inline(__always)
    private static func isEqual(_ bytes: Span<UInt8>, _ offset: Int, _ name: Span<UInt8>, _ range: Range<Int>) -> Bool {
        var place = offset
        for index in range {
            if bytes[place] != name[index].lowercased { return false }
            place += 1
        }
        return true
    }

    /// Finds what an address has: its reverse name, or with a namespace whether a Pod is there.
    func find(_ address: IPAddress, namespace: Span<UInt8>, _ range: Range<Int>) -> Shard.Place? {
        let isPod = !range.isEmpty
        let tag: UInt8 =
            switch address.family {
            case .ipv4: isPod ? Shard.podIPv4 : Shard.reverseIPv4
            case .ipv6: isPod ? Shard.podIPv6 : Shard.reverseIPv6
            }
        var hash = KeyHash()
        hash.add(tag)
        hash.add(address)
        hash.addLowercased(namespace, range)
        let value = hash.value
        let shard = Self.shard(of: value)
        let table = shards[shard]
        let bytes = table.span
        guard bytes.count > 0 else { return nil }
        let addressLength = address.family == .ipv4 ? 4 : 16
        let mask = 1 << Int(bytes[0]) - 1
        var slot = Int(truncatingIfNeeded: value) & mask
        while true {
            let entry = Shard.number(bytes, Shard.slotsOffset + slot * 4)
            guard entry > 0 else { return nil }
            let key = entry + Shard.entryHeaderLength
            let length = 1 + addressLength + range.count
            if Shard.number(bytes, entry) == Int(UInt32(truncatingIfNeeded: value)), Int(bytes[entry + 4]) == length, bytes[key] == tag,
                Self.address(bytes, key + 1, address.family) == address,
                Self.isEqual(bytes, key + 1 + addressLength, namespace, range)
            {
                return Shard.Place(shard: shard, offset: key + length, end: key + length + Shard.number(bytes, entry + 5))
            }
            slot = (slot + 1) & mask
        }
    }

    private static func address(_ bytes: Span<UInt8>, _ offset: Int, _ family: IPAddress.Family) -> IPAddress {
        func bits(_ start: Int, _ count: Int) -> UInt64 {
            (start..<start + count).reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
        }
        return switch family {
        case .ipv4: IPAddress(ipv4: UInt32(truncatingIfNeeded: bits(offset, 4)))
        case .ipv6: IPAddress(ipv6High: bits(offset, 8), low: bits(offset + 8, 8))
        }
    }
}
