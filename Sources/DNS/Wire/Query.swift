/// A query, read and found well-formed: where its parts stand in the message.
package struct Query: BitwiseCopyable, Sendable {
    /// As the client chose it.
    package internal(set) var id: UInt16 = 0
    /// The second 16 bits of the header.
    package internal(set) var flags: UInt16 = 0
    /// Octets of the question's name with the root's, 1...255. It stands behind the header, uncompressed.
    package internal(set) var nameLength = 0
    package internal(set) var type = RecordType(rawValue: 0)
    package internal(set) var recordClass: UInt16 = 0
    /// Whether there is an OPT record, which has to be answered by one.
    package internal(set) var hasEDNS = false
    package internal(set) var version: UInt8 = 0
    /// DNSSEC OK: to be copied, nothing more.
    package internal(set) var dnssecOK = false
    /// What the client takes by UDP: 512 without EDNS, and at least that with it.
    package internal(set) var payloadMax = 512

    init() {}

    /// Where the question's name begins.
    package static let nameOffset = 12
    package var nameEnd: Int { Self.nameOffset + nameLength }
    /// Where the question ends: behind its type and class.
    package var questionEnd: Int { nameEnd + 4 }
    /// What an IN question has.
    static let internet: UInt16 = 1

    package var recursionDesired: Bool { flags & 0x0100 != 0 }

    /// What a message is.
    package enum Reading: BitwiseCopyable, Sendable {
        case query(Query)
        /// Too short for a header, or itself a response: to be met with silence.
        case noQuery
        /// To be answered by its header alone (RFC 1035, 4.1.1).
        case malformed
        /// An OPCODE other than QUERY; likewise, with NOTIMP.
        case unknownOpcode
    }
}
