import Engine

/// How fast each client sends, for Services that limit it; one table a worker.
///
/// The generic cell rate algorithm (ITU-T I.371): of each client the time is kept at which it will have used up what it has sent so far
/// at the rate it may have; a datagram is refused that would bring it more than a burst ahead of now. A cell holds one client: another
/// one that falls on it while the first is ahead of its rate passes unlimited, as nobody may be locked out by a stranger.
struct SourceRates: ~Copyable {
    struct Cell: BitwiseCopyable {
        var key: UInt64
        var usedUpAt: UInt64
    }

    private static let cells = 1 << 16
    private var table = FixedTable<Cell>(zeroedCapacity: cells)
    /// A client may be ahead by what it may send in this time, and by one datagram at least.
    private let burstNanoseconds: UInt64

    init(burstNanoseconds: UInt64 = 100_000_000) { self.burstNanoseconds = burstNanoseconds }

    /// Whether `count` datagrams are within the rate; counts them if they are.
    ///
    /// - Parameter rate: datagrams per second, at least 1.
    mutating func allows(_ key: UInt64, _ count: Int, rate: Int, _ now: UInt64) -> Bool {
        let place = Int(key % UInt64(Self.cells))
        let cell = table[place]
        if cell.key != key, cell.usedUpAt > now { return true }
        let interval = max(1, 1_000_000_000 / UInt64(rate))
        let begin = cell.key == key ? max(cell.usedUpAt, now) : now
        guard begin &- now <= burstNanoseconds else { return false }
        table[place] = Cell(key: key, usedUpAt: begin &+ interval &* UInt64(count))
        return true
    }
}
