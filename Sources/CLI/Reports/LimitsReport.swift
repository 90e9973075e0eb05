internal import Forwarding

/// How many connections may be open at once, and why no more: said at start, so that the limit of open files surprises nobody.
struct LimitsReport {
    var budget: DescriptorBudget
    /// `--connections-max`.
    var connectionsMax: Int?

    var connections: Int { min(budget.connections, connectionsMax ?? .max) }

    /// `9,831 connections (ulimit -n 20,000; set aside: 64 for the program, 16 for 2 workers, 256 for pipes, 2 for listeners)`
    var text: String {
        let parts = [
            (budget.ofProgram, "the program"), (budget.ofEngines, workers), (budget.ofPipes, "pipes"), (budget.ofListeners, "listeners"),
            (budget.ofSessions, "UDP sessions"),
        ]
        let setAside = parts.filter { $0.0 > 0 }.map { "\(Self.grouped($0.0)) for \($0.1)" }.joined(separator: ", ")
        let files = "ulimit -n \(Self.grouped(budget.openFiles))"
        guard let connectionsMax else {
            let reason = budget.connections == budget.tables ? "the tables of \(workers)" : "\(files); set aside: \(setAside)"
            return "\(Self.grouped(connections)) connections (\(reason))"
        }
        return connectionsMax > budget.connections
            ? "\(Self.grouped(connections)) connections, not the \(Self.grouped(connectionsMax)) of --connections-max "
                + "(\(files); set aside: \(setAside))"
            : "\(Self.grouped(connections)) connections (--connections-max; \(files) leaves room for \(Self.grouped(budget.connections)))"
    }

    /// What is wrong with it; nil when the user gets what was asked for.
    var warning: String? {
        guard let connectionsMax, connectionsMax > budget.connections else { return nil }
        let begin = "--connections-max is out of reach: at \(budget.connections) connections accepting pauses and clients wait"
        return connectionsMax > budget.tables
            ? "\(begin); the tables of \(workers) hold \(budget.tables)"
            : "\(begin); raise ulimit -n (LimitNOFILE) to \(filesWanted(for: connectionsMax)), or lower the option"
    }

    private var workers: String { budget.workers == 1 ? "1 worker" : "\(budget.workers) workers" }

    /// The limit of open files that would do: what a connection takes, and what would be set aside then.
    private func filesWanted(for connections: Int) -> Int {
        var files = 2 * connections
        // What is set aside grows with the limit up to a bound, and the tables hold so many: this ends.
        while budget(openFiles: files).connections < connections { files += 64 }
        return files
    }

    private func budget(openFiles: Int) -> DescriptorBudget {
        DescriptorBudget(
            openFiles: openFiles, workers: budget.workers, listeners: budget.ofListeners, servesDatagrams: budget.ofSessions > 0)
    }

    /// `1,234,567`.
    static func grouped(_ number: Int) -> String {
        var text = ""
        for (place, digit) in String(number).reversed().enumerated() {
            if place > 0, place.isMultiple(of: 3) { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }
}
