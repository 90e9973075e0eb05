/// Why a request has no good answer.
enum FailureKind: String, CaseIterable {
    /// Nobody listens at the target (ECONNREFUSED).
    case connectRefused = "connect_refused"
    /// Any other failure before the connection stood: no route, no port or descriptor left, reset.
    case connectFailed = "connect_failed"
    /// The peer reset the connection (ECONNRESET, EPIPE).
    case reset
    /// The peer ended the connection before the end of its response.
    case closed
    /// No complete response within the time since the request was due, connecting and queueing included.
    case timeout
    /// A complete response that is not 2xx.
    case status
    /// A malformed response, or an errno that is none of the above.
    case other
}

/// Failures by their kind.
struct FailureCounts {
    private var counts = [Int](repeating: 0, count: FailureKind.allCases.count)

    subscript(kind: FailureKind) -> Int {
        get { counts[Self.index(kind)] }
        set { counts[Self.index(kind)] = newValue }
    }

    var total: Int { counts.reduce(0, +) }
    /// Every kind, those that never happened too, so that readers need no case for an absent one.
    var json: JSON { .object(FailureKind.allCases.map { ($0.rawValue, .integer(self[$0])) }) }

    private static func index(_ kind: FailureKind) -> Int {
        switch kind {
        case .connectRefused: 0
        case .connectFailed: 1
        case .reset: 2
        case .closed: 3
        case .timeout: 4
        case .status: 5
        case .other: 6
        }
    }
}
