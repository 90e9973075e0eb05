import EngineSimulator
import Forwarding

/// What runs came to, as one line of numbers for another process to read, and as a table.
struct Tally {
    var runs = 0
    var flows = 0
    var bytes = 0
    /// Processes that have found something, or were ended by a trap.
    var failed = 0
    var faults = [Int](repeating: 0, count: Fault.allCases.count)
    var closed = [Int](repeating: 0, count: CloseReason.allCases.count)
    /// What came of UDP, by `datagramNames`.
    var datagrams = [Int](repeating: 0, count: Tally.datagramNames.count)

    /// Drops last. Replies that nobody waits for are counted for the worker, and not as a drop.
    private static let drops = DatagramDrop.allCases
    private static let datagramNames =
        ["sessions", "requests", "replies", "rebound", "pushed out", "replies late", "replies misled"] + drops.map { "dropped \($0.name)" }

    init() {}

    init(_ scenario: Scenario, _ datagrams: DatagramScenario) {
        runs = 1
        flows = scenario.worker.flowsAccepted
        bytes = scenario.bytesChecked
        faults = Fault.allCases.map { scenario.network.count($0) + datagrams.network.count($0) }
        let worker = scenario.worker
        closed = CloseReason.allCases.map { Int(worker.closed($0)) }
        let columns = [Column.connections, Column.datagramsFromClients, Column.datagramsToClients, Column.rebinds]
        self.datagrams = columns.map { worker.datagramCount($0) } + [Int(worker.counter(Column.sessionsEvicted))]
        self.datagrams += [Int(worker.counter(Column.repliesLate)), scenario.traffic?.misled ?? 0] + Self.drops.map { worker.dropped($0) }
    }

    /// nil for a line that is none.
    init?(line: some StringProtocol) {
        let numbers = line.split(separator: " ").compactMap { Int($0) }
        guard numbers.count == 3 + faults.count + closed.count + datagrams.count else { return nil }
        (runs, flows, bytes) = (numbers[0], numbers[1], numbers[2])
        faults = Array(numbers[3..<3 + faults.count])
        closed = Array(numbers[(3 + faults.count)...].prefix(closed.count))
        datagrams = numbers.suffix(datagrams.count)
    }

    var line: String { ([runs, flows, bytes] + faults + closed + datagrams).map { "\($0)" }.joined(separator: " ") }

    mutating func add(_ other: Tally) {
        runs += other.runs
        flows += other.flows
        bytes += other.bytes
        failed += other.failed
        for index in faults.indices { faults[index] += other.faults[index] }
        for index in closed.indices { closed[index] += other.closed[index] }
        for index in datagrams.indices { datagrams[index] += other.datagrams[index] }
    }

    /// Faults, and drops of datagrams, that happened in no run.
    var missing: [String] {
        let drops = zip(Self.datagramNames, datagrams).suffix(Self.drops.count).filter { $0.1 == 0 }
        return Fault.allCases.filter { faults[$0.rawValue] == 0 }.map { "\($0)" } + drops.map(\.0)
    }

    var table: String {
        var rows = [("seeds", runs), ("flows", flows), ("bytes checked", bytes)]
        rows += Fault.allCases.map { ("fault \($0)", faults[$0.rawValue]) }
        rows += zip(CloseReason.allCases, closed).filter { $0.1 > 0 }.map { ("closed \($0.0.name)", $0.1) }
        rows += zip(Self.datagramNames, datagrams).map { ("UDP \($0.0)", $0.1) }
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + "\($0.1)" }.joined(separator: "\n")
    }
}
