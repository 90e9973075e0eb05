package import Addressing
internal import Engine
internal import Routing

/// How many connections each client has open on one worker, by Service port; only for those with a limit for it.
///
/// A hash of client and Service port names a bucket of eight cells, which is one line of the cache, and a cell holds the rest of
/// the hash and the count. The worker alone writes; the others look for the same hash in the same bucket, one line for each
/// worker. A pair never leaves its bucket: where eight others are there already it is not counted, and so not held to the limit.
/// To refuse it would let whoever fills the table lock out everybody else.
package final class SourceCounts: Sendable {
    private static let bucketBits = 16
    private static let cellsInBucket = 8
    private static let countBits = 20
    /// 44 bits, which with the bucket make 60: two pairs among a hundred thousand are taken for one once in 10^8.
    private static let tagMask: UInt64 = (1 << (64 - UInt64(countBits))) - 1
    private static let countMask: UInt64 = (1 << UInt64(countBits)) - 1

    private let cells = CounterTable(rows: 1 << bucketBits, columns: cellsInBucket)
    /// Unknown to clients, or one who has a whole IPv6 prefix could choose an address that is counted as a stranger's.
    private let secret: UInt64

    /// All workers of a process must have the same secret.
    package init(secret: UInt64 = 0) { self.secret = secret }

    /// The hash of a client on a Service port, which is named by its row of counters.
    package func key(client: IPAddress, serviceRow: Int) -> UInt64 {
        let client = client.unmapped
        let hash = Mixer.mix(Mixer.mix(Mixer.mix(client.high ^ secret) ^ client.low) ^ UInt64(client.family.rawValue))
        return Mixer.mix(hash ^ UInt64(serviceRow) &* 0x9e37_79b9_7f4a_7c15)
    }

    /// Counts one more connection. The owning worker's thread only.
    ///
    /// - Returns: where it was counted, for `subtract`, never 0; nil when the bucket is full.
    package func add(_ key: UInt64) -> UInt32? {
        let bucket = Self.bucket(key)
        var free: Int?
        for place in 0..<Self.cellsInBucket {
            let cell = cells.read(row: bucket, column: place)
            if cell == 0 {
                if free == nil { free = place }
            } else if cell >> UInt64(Self.countBits) == key & Self.tagMask {
                cells.add(1, row: bucket, column: place)
                return Self.name(bucket, place)
            }
        }
        guard let free else { return nil }
        cells.set((key & Self.tagMask) << UInt64(Self.countBits) | 1, row: bucket, column: free)
        return Self.name(bucket, free)
    }

    /// A connection that `add` counted there has ended. The owning worker's thread only.
    package func subtract(_ name: UInt32) {
        let bucket = Int(name - 1) / Self.cellsInBucket
        let place = Int(name - 1) % Self.cellsInBucket
        let cell = cells.read(row: bucket, column: place)
        cells.set(cell & Self.countMask <= 1 ? 0 : cell - 1, row: bucket, column: place)
    }

    /// Connections counted for a key, from any thread.
    package func read(_ key: UInt64) -> Int {
        let bucket = Self.bucket(key)
        for place in 0..<Self.cellsInBucket {
            let cell = cells.read(row: bucket, column: place)
            if cell != 0, cell >> UInt64(Self.countBits) == key & Self.tagMask { return Int(cell & Self.countMask) }
        }
        return 0
    }

    private static func bucket(_ key: UInt64) -> Int { Int(key >> UInt64(64 - bucketBits)) }

    private static func name(_ bucket: Int, _ place: Int) -> UInt32 { UInt32(bucket * cellsInBucket + place + 1) }
}
