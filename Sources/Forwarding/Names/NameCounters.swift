/// The columns of a worker's table of what was asked and answered. It has two rows for each address: what came over UDP, over TCP.
package enum NameColumn {
    /// Queries that were answered, by zone and type.
    package static let requests = 0
    /// Answers, by zone and code.
    package static let responses = requests + 2 * QueryKind.count
    /// One column for each of `SizeBucket`, and their sum.
    package static let requestSizes = responses + 2 * ResponseKind.count
    package static let requestBytes = requestSizes + SizeBucket.count
    package static let responseSizes = requestBytes + 1
    package static let responseBytes = responseSizes + SizeBucket.count
    /// What was not answered, by `QueryDrop`.
    package static let dropped = responseBytes + 1
    /// Of TCP.
    package static let connections = dropped + QueryDrop.allCases.count
    package static let connectionsActive = connections + 1
    /// Closed ones, by `NameConnection.Ending`.
    package static let closed = connections + 2
    /// What became of questions for others, by `ForwardingCount`; in the first row, for all addresses.
    package static let forwarding = closed + NameConnection.Ending.allCases.count
    package static let count = forwarding + ForwardingCount.allCases.count
}

/// What is counted of names that others are asked for (`Forwarder.Counts`), and how much there is of it now.
package enum ForwardingCount: Int, BitwiseCopyable, Sendable, CaseIterable {
    case successHits, denialHits, staleHits, misses, joined, rejects, attempts, timeouts, foreign, evictions
    case successEntries, denialEntries, questionsActive
}

/// The columns of a worker's table of upstreams, with a row for each: replies by `ReplyTime`, and the sum of the nanoseconds they took.
package enum ReplyColumn {
    package static let nanoseconds = ReplyTime.count
    package static let count = ReplyTime.count + 1
}

/// Times until a reply, in CoreDNS's buckets: a quarter of a millisecond, and twice that each time.
package enum ReplyTime {
    private static let first: UInt64 = 250_000
    private static let doublings = 15
    /// Seconds.
    package static var bounds: [Double] { (0...doublings).map { Double(first << UInt64($0)) / 1e9 } }
    /// With the one above all bounds.
    package static let count = doublings + 2

    static func index(of nanoseconds: UInt64) -> Int {
        let quarters = nanoseconds / first + (nanoseconds % first > 0 ? 1 : 0)
        return quarters <= 1 ? 0 : min(UInt64.bitWidth - (quarters - 1).leadingZeroBitCount, count - 1)
    }
}

/// Whose names were asked for.
package enum ZoneKind: Int, BitwiseCopyable, Sendable, CaseIterable {
    /// The cluster's, the reverse names of its addresses included.
    case cluster
    /// Anybody else's, or none that could be read.
    case other
}

/// Types of questions that are counted by themselves, as CoreDNS does it: clients may not make up metrics.
package enum QueryKind: Int, BitwiseCopyable, Sendable, CaseIterable {
    case a, aaaa, srv, ptr, cname, txt, soa, ns, mx, ds, dnskey, https, any, ixfr, axfr, other

    static let count = allCases.count

    init(type: UInt16) {
        switch type {
        case 1: self = .a
        case 2: self = .ns
        case 5: self = .cname
        case 6: self = .soa
        case 12: self = .ptr
        case 15: self = .mx
        case 16: self = .txt
        case 28: self = .aaaa
        case 33: self = .srv
        case 43: self = .ds
        case 48: self = .dnskey
        case 65: self = .https
        case 251: self = .ixfr
        case 252: self = .axfr
        case 255: self = .any
        default: self = .other
        }
    }

    /// As CoreDNS labels it.
    package var name: String { self == .other ? "other" : "\(self)".uppercased() }
}

/// Codes of answers.
package enum ResponseKind: Int, BitwiseCopyable, Sendable, CaseIterable {
    case noError, formatError, serverFailure, nameError, notImplemented, refused, badVersion, other

    static let count = allCases.count

    init(code: UInt16) {
        switch code {
        case 0...5: self = ResponseKind(rawValue: Int(code)) ?? .other
        case 16: self = .badVersion
        default: self = .other
        }
    }

    /// As CoreDNS labels it.
    package var name: String {
        switch self {
        case .noError: "NOERROR"
        case .formatError: "FORMERR"
        case .serverFailure: "SERVFAIL"
        case .nameError: "NXDOMAIN"
        case .notImplemented: "NOTIMP"
        case .refused: "REFUSED"
        case .badVersion: "BADVERS"
        case .other: "other"
        }
    }
}

/// Why a query got no answer, or another one than it should have.
package enum QueryDrop: Int, BitwiseCopyable, Sendable, CaseIterable {
    /// It was none: too short, or itself an answer.
    case noQuery
    /// Its network has had as many answers as it gets; and those of them that were told to ask by TCP.
    case rateLimit
    case rateLimitTruncated
    /// The kernel did not take the answer.
    case notSent

    package var name: String {
        switch self {
        case .noQuery: "no-query"
        case .rateLimit: "rate-limit"
        case .rateLimitTruncated: "rate-limit-truncated"
        case .notSent: "not-sent"
        }
    }
}

/// Lengths of messages, in CoreDNS's buckets.
package enum SizeBucket {
    package static let bounds: [Int] = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000]
    /// With the one above all bounds.
    package static let count = bounds.count + 1

    /// Most messages are found with the first comparisons.
    static func index(of length: Int) -> Int {
        var index = 0
        while index < bounds.count, length > bounds[index] { index &+= 1 }
        return index
    }
}
