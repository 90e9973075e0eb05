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

    /// Finds a name without domain and root, whatever its case.
    func find(_ name: Span<UInt8>, _ range: Range<Int>) -> Shard.Place? {
        guard !range.isEmpty else { return nil }
        let second = range.lowerBound + 1 + Int(name[range.lowerBound])
        return find(name, range.lowerBound..<second, before: name, second..<range.upperBound)
    }

    /// Finds a name of which the first label stands apart from the rest.
    @inline(__always)
    func find(
        _ first: Span<UInt8>, _ label: Range<Int>, before second: Span<UInt8>, _ rest: Range<Int>
    ) -> Shard.Place? {
        let hash = NameHash.of(first, label, before: second, rest)
        let shard = Self.shard(of: hash)
        let table = shards[shard]
        let bytes = table.span
        guard bytes.count > 0 else { return nil }
        let length = label.count + rest.count
        let mask = 1 << Int(bytes[0]) - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = Shard.number(bytes, Shard.slotsOffset + slot * 4)
            guard entry > 0 else { return nil }
            if Shard.number(bytes, entry) == Int(UInt32(truncatingIfNeeded: hash)), Int(bytes[entry + 4]) == length {
                let key = entry + Shard.entryHeaderLength
                if bytes.matches(at: key, first, label), bytes.matches(at: key + label.count, second, rest) {
                    return Shard.Place(shard: shard, offset: key + length, end: key + length + Shard.number(bytes, entry + 5))
                }
            }
            slot = (slot + 1) & mask
        }
    }

    /// Finds what an address has: its reverse name, or with a namespace whether a Pod is there.
    func find(_ address: IPAddress, namespace: Span<UInt8>, _ range: Range<Int>) -> Shard.Place? {
        let isPod = !range.isEmpty
        let tag: UInt8 =
            switch address.family {
            case .ipv4: isPod ? Shard.podIPv4 : Shard.reverseIPv4
            case .ipv6: isPod ? Shard.podIPv6 : Shard.reverseIPv6
            }
        let hash = NameHash.of(tag, address, namespace, range)
        let shard = Self.shard(of: hash)
        let table = shards[shard]
        let bytes = table.span
        guard bytes.count > 0 else { return nil }
        let name = address.family == .ipv4 ? 5 : 17
        let length = name + range.count
        let mask = 1 << Int(bytes[0]) - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = Shard.number(bytes, Shard.slotsOffset + slot * 4)
            guard entry > 0 else { return nil }
            let key = entry + Shard.entryHeaderLength
            if Shard.number(bytes, entry) == Int(UInt32(truncatingIfNeeded: hash)), Int(bytes[entry + 4]) == length, bytes[key] == tag,
                Shard.address(bytes, key + 1, address.family) == address, bytes.matches(at: key + name, namespace, range)
            {
                return Shard.Place(shard: shard, offset: key + length, end: key + length + Shard.number(bytes, entry + 5))
            }
            slot = (slot + 1) & mask
        }
    }
}
