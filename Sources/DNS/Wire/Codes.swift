/// RCODE (RFC 1035, 4.1.1; RFC 6891, 9).
package enum ResponseCode: UInt16, BitwiseCopyable, Sendable {
    case noError = 0
    case formatError = 1
    case serverFailure = 2
    case nameError = 3
    case notImplemented = 4
    case refused = 5
    /// Needs EDNS, as its upper bits stand in the OPT record.
    case badVersion = 16
}

/// TYPE and QTYPE, by the names of IANA's list; others are numbers only.
package struct RecordType: RawRepresentable, BitwiseCopyable, Hashable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let a = RecordType(rawValue: 1)
    package static let ns = RecordType(rawValue: 2)
    package static let cname = RecordType(rawValue: 5)
    package static let soa = RecordType(rawValue: 6)
    package static let ptr = RecordType(rawValue: 12)
    package static let hinfo = RecordType(rawValue: 13)
    package static let txt = RecordType(rawValue: 16)
    package static let aaaa = RecordType(rawValue: 28)
    package static let srv = RecordType(rawValue: 33)
    package static let opt = RecordType(rawValue: 41)
    package static let ixfr = RecordType(rawValue: 251)
    package static let axfr = RecordType(rawValue: 252)
    package static let any = RecordType(rawValue: 255)

    /// Questions that are no type of a record (RFC 6895, 3.1), ANY aside: transfers and what belongs to them.
    package var isMeta: Bool { (128...254).contains(rawValue) }
}
