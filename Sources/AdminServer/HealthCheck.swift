/// One of the things that `/readyz` or `/livez` looks at.
package struct HealthCheck: Sendable, Equatable {
    package enum Outcome: Sendable, Equatable {
        case passed
        /// Something is amiss, but to send clients elsewhere would be worse.
        case degraded(String)
        case failed(String)
    }

    /// A word that `?exclude=` can name.
    package let name: String
    package let outcome: Outcome

    package init(_ name: String, _ outcome: Outcome = .passed) {
        self.name = name
        self.outcome = outcome
    }

    package var isFailure: Bool { if case .failed = outcome { true } else { false } }

    private var line: String {
        switch outcome {
        case .passed: "[+]\(name) ok"
        case .degraded(let why): "[!]\(name) degraded: \(why)"
        case .failed(let why): "[-]\(name) failed: \(why)"
        }
    }

    /// The answer in the form of Kubernetes' components: `ok`, or a line for each check where somebody asked for it or something is amiss.
    static func answer(_ endpoint: String, _ checks: [HealthCheck], excluded: Set<String>, isVerbose: Bool) -> (passed: Bool, text: String)
    {
        let passed = !checks.contains { $0.isFailure && !excluded.contains($0.name) }
        if !isVerbose, checks.allSatisfy({ $0.outcome == .passed || excluded.contains($0.name) }) { return (passed, "ok\n") }
        let lines = checks.map { excluded.contains($0.name) ? "[+]\($0.name) excluded: ok" : $0.line }
        return (passed, (lines + ["\(endpoint) check \(passed ? "passed" : "failed")"]).joined(separator: "\n") + "\n")
    }
}
