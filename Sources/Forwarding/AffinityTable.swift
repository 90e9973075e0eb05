package import Addressing
internal import Engine
package import Routing

/// Which endpoint each client of a Service port with `sessionAffinity: ClientIP` was given last, and when; one table for the process.
///
/// An entry is two words: what is remembered, and the key with that folded in. So whoever finds the words of two writers finds a
/// key that nobody has, and no word has to wait for another (Hyatt and Mann, "A lock-less transposition-table implementation for
/// parallel search", ICGA Journal 25, 2002). An entry that is lost that way is chosen anew, by the hash that chose it first.
///
/// A key never leaves its set of four entries, one line of the cache. In a full set the one that was used longest ago makes room.
package final class AffinityTable: Sendable {
    private static let entriesInSet = 4
    /// Seconds are kept as 24 bits, 194 days; the rest of the word tells the endpoint, by as many bits of its identity.
    private static let secondsBits: UInt64 = 24
    private static let secondsMask: UInt64 = (1 << secondsBits) - 1

    private let setBits: Int
    private let words: AtomicTable
    /// Unknown to clients, or one who has many addresses could choose those that push out a certain other client.
    private let secret: UInt64

    /// - Parameter setBits: two to the power of it are the sets.
    package init(setBits: Int = 17, secret: UInt64 = 0) {
        self.setBits = setBits
        self.secret = secret
        words = AtomicTable(count: (2 * Self.entriesInSet) << setBits)
    }

    /// Clients there is room for.
    package var capacity: Int { Self.entriesInSet << setBits }

    /// The key of a client on a Service port, named by `EndpointGroup.identity`: the same at all addresses of the port.
    package func key(client: IPAddress, service: UInt64) -> UInt64 {
        Mixer.mix(Mixer.mix(Mixer.hash(of: client.unmapped) ^ secret) ^ service)
    }

    /// The endpoint that was remembered within the last `timeout` seconds: its place in the group; nil where there is none, or it has
    /// left the group.
    package func endpoint(of key: UInt64, in group: EndpointGroup, timeout: UInt32, now: UInt64) -> Int? {
        guard let (_, value) = find(key), Self.age(value, now) < UInt64(timeout) else { return nil }
        return group.endpoints.firstIndex { $0.identity >> Self.secondsBits == value >> Self.secondsBits }
    }

    /// Remembers an endpoint from now on.
    ///
    /// - Returns: false where that pushed out a client who was there less than `timeout` seconds ago.
    package func remember(_ endpoint: Endpoint, for key: UInt64, timeout: UInt32, now: UInt64) -> Bool {
        let value = endpoint.identity & ~Self.secondsMask | now & Self.secondsMask
        if let (entry, known) = find(key) {
            // Without a write where nothing is new: other workers have the line, too.
            if known != value { write(value, key, at: entry) }
            return true
        }
        var (oldest, greatest) = (0, UInt64(0))
        for entry in entries(of: key) {
            let value = words.load(entry &+ 1)
            let age = value == 0 ? .max : Self.age(value, now)
            if age >= greatest { (oldest, greatest) = (entry, age) }
        }
        write(value, key, at: oldest)
        return greatest >= UInt64(timeout)
    }

    private func write(_ value: UInt64, _ key: UInt64, at entry: Int) {
        words.store(key ^ value, at: entry)
        words.store(value, at: entry &+ 1)
    }

    private func find(_ key: UInt64) -> (entry: Int, value: UInt64)? {
        for entry in entries(of: key) {
            let value = words.load(entry &+ 1)
            if value != 0, words.load(entry) ^ value == key { return (entry, value) }
        }
        return nil
    }

    private func entries(of key: UInt64) -> StrideTo<Int> {
        let first = Int(key >> UInt64(64 - setBits)) &* 2 &* Self.entriesInSet
        return stride(from: first, to: first &+ 2 &* Self.entriesInSet, by: 2)
    }

    private static func age(_ value: UInt64, _ now: UInt64) -> UInt64 { (now &- value) & secondsMask }
}
