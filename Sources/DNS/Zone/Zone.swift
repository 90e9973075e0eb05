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
        let hash = NameHash.of(name, range.lowerBound..<second, before: name, second..<range.upperBound)
        return find(hash, length: range.count) { bytes, key in bytes.matches(at: key, name, range) }
    }

    /// Finds a name of which the first label stands apart from the rest.
    func find(_ first: Span<UInt8>, _ label: Range<Int>, before second: Span<UInt8>, _ rest: Range<Int>) -> Shard.Place? {
        find(NameHash.of(first, label, before: second, rest), length: label.count + rest.count) { bytes, key in
            bytes.matches(at: key, first, label) && bytes.matches(at: key + label.count, second, rest)
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
        let name = address.family == .ipv4 ? 5 : 17
        return find(NameHash.of(tag, address, namespace, range), length: name + range.count) { bytes, key in
            bytes[key] == tag && Shard.address(bytes, key + 1, address.family) == address && bytes.matches(at: key + name, namespace, range)
        }
    }

    /// - Parameters:
    ///   - length: of the key.
    ///   - isKey: whether the key is the one that stands at an offset, as long as it should be.
    @inline(__always)
    private func find(_ hash: UInt64, length: Int, _ isKey: (Span<UInt8>, Int) -> Bool) -> Shard.Place? {
        let shard = Self.shard(of: hash)
        let table = shards[shard]
        let bytes = table.span
        guard bytes.count > 0 else { return nil }
        let mask = 1 << Int(bytes[0]) - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = Shard.number(bytes, Shard.slotsOffset + slot * 4)
            guard entry > 0 else { return nil }
            if Shard.number(bytes, entry) == Int(UInt32(truncatingIfNeeded: hash)), Int(bytes[entry + 4]) == length {
                let key = entry + Shard.entryHeaderLength
                if isKey(bytes, key) {
                    return Shard.Place(shard: shard, offset: key + length, end: key + length + Shard.number(bytes, entry + 5))
                }
            }
            slot = (slot + 1) & mask
        }
    }
}
