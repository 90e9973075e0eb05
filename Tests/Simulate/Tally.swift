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

    init() {}

    init(_ scenario: Scenario) {
        runs = 1
        flows = scenario.worker.flowsAccepted
        bytes = scenario.bytesChecked
        faults = Fault.allCases.map { scenario.network.count($0) }
        closed = CloseReason.allCases.map { Int(scenario.worker.closed($0)) }
    }

    /// nil for a line that is none.
    init?(line: some StringProtocol) {
        let numbers = line.split(separator: " ").compactMap { Int($0) }
        guard numbers.count == 3 + faults.count + closed.count else { return nil }
        (runs, flows, bytes) = (numbers[0], numbers[1], numbers[2])
        faults = Array(numbers[3..<3 + faults.count])
        closed = Array(numbers[(3 + faults.count)...])
    }

    var line: String { ([runs, flows, bytes] + faults + closed).map { "\($0)" }.joined(separator: " ") }

    mutating func add(_ other: Tally) {
        runs += other.runs
        flows += other.flows
        bytes += other.bytes
        failed += other.failed
        for index in faults.indices { faults[index] += other.faults[index] }
        for index in closed.indices { closed[index] += other.closed[index] }
    }

    /// Faults that happened in no run.
    var missing: [Fault] { Fault.allCases.filter { faults[$0.rawValue] == 0 } }

    var table: String {
        var rows = [("seeds", runs), ("flows", flows), ("bytes checked", bytes)]
        rows += Fault.allCases.map { ("fault \($0)", faults[$0.rawValue]) }
        rows += zip(CloseReason.allCases, closed).filter { $0.1 > 0 }.map { ("closed \($0.0.name)", $0.1) }
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + "\($0.1)" }.joined(separator: "\n")
    }
}
