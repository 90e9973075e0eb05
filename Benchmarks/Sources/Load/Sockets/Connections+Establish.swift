extension Connections {
    /// How many connections are being made at once: what a server with a short accept queue still takes.
    static let establishingMax = 256

    /// Opens all slots before a run, without a request, within a time. Answers what failed; those slots stay vacant.
    func establishAll(timeoutNanoseconds: UInt64) -> FailureCounts {
        var failures = FailureCounts()
        var establishing = 0
        var next = 0
        let deadline = Clock.nanoseconds() + timeoutNanoseconds
        while next < count || establishing > 0 {
            while next < count, establishing < Self.establishingMax {
                if let kind = open(next, sending: false) { failures[kind] += 1 } else { establishing += 1 }
                next += 1
            }
            guard Clock.nanoseconds() < deadline else { break }
            wait(untilNanoseconds: deadline) { _, event in
                switch event {
                case .connected: establishing -= 1
                case .failed(let kind):
                    establishing -= 1
                    failures[kind] += 1
                case .completed, .closedWhileIdle, .inputReady: break
                }
            }
        }
        for slot in 0..<count where !isIdle(slot) && !isVacant(slot) {
            close(slot)
            failures[.timeout] += 1
        }
        return failures
    }

    /// The error where not one connection could be made.
    func unreachable(_ failures: FailureCounts) -> LoadError {
        let kinds = FailureKind.allCases.filter { failures[$0] > 0 }.map { "\(failures[$0]) \($0.rawValue)" }
        return LoadError(description: "no connection to \(target.text): \(kinds.joined(separator: ", "))")
    }
}
