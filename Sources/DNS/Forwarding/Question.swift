package import Addressing

/// Who has asked, as the worker knows it: nothing here looks into it but at the transport.
package struct Asker: BitwiseCopyable, Sendable {
    package let transport: QueryTransport
    /// Of a datagram: where it came from, and the address that was asked, behind a wildcard.
    package let client: SocketAddress?
    package let local: IPAddress?
    /// The listener of a datagram, the connection of a stream, and its generation.
    package let slot: UInt32
    package let generation: UInt32

    package init(transport: QueryTransport, client: SocketAddress?, local: IPAddress?, slot: UInt32, generation: UInt32) {
        self.transport = transport
        self.client = client
        self.local = local
        self.slot = slot
        self.generation = generation
    }
}

/// A question that may have one answer for many clients, its name aside.
struct Question: BitwiseCopyable, Hashable, Sendable {
    let type: RecordType
    let recordClass: UInt16
    /// Of the name, with the root's octet.
    let nameLength: Int
    /// What makes answers differ.
    let recursionDesired: Bool
    let checkingDisabled: Bool
    let dnssecOK: Bool
    /// Of all of this and the name's lower case, with a secret.
    let hash: UInt64

    init(_ query: Query, name: Span<UInt8>, secret: UInt64) {
        self.init(
            type: query.type, recordClass: query.recordClass, recursionDesired: query.flags & Flags.recursionDesired != 0,
            checkingDisabled: query.flags & Flags.checkingDisabled != 0, dnssecOK: query.dnssecOK, name: name, secret: secret)
    }

    init(
        type: RecordType, recordClass: UInt16, recursionDesired: Bool, checkingDisabled: Bool, dnssecOK: Bool, name: Span<UInt8>,
        secret: UInt64
    ) {
        self.type = type
        self.recordClass = recordClass
        self.recursionDesired = recursionDesired
        self.checkingDisabled = checkingDisabled
        self.dnssecOK = dnssecOK
        nameLength = name.count
        let bits = (recursionDesired ? 1 : 0) | (checkingDisabled ? 2 : 0) | (dnssecOK ? 4 : 0) as UInt64
        var state = secret ^ UInt64(type.rawValue) << 32 ^ UInt64(recordClass) << 16 ^ bits
        var word: UInt64 = 0
        for index in 0..<name.count {
            word = word << 8 | UInt64(name[index].lowercased)
            if index & 7 == 7 {
                state = mix(state, word)
                word = 0
            }
        }
        hash = mix(mix(state, word), UInt64(name.count))
    }

    /// Of rows that nobody uses.
    static let none = Question(
        type: RecordType(rawValue: 0), recordClass: 0, recursionDesired: false, checkingDisabled: false, dnssecOK: false,
        name: [UInt8]().span, secret: 0)
}

/// A product of 128 bits folded into 64: with a secret state nobody knows which names meet.
private func mix(_ state: UInt64, _ word: UInt64) -> UInt64 {
    let product = (state ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: word ^ 0xd6e8_feb8_6659_fd93 ^ state >> 32)
    return product.high ^ product.low &+ state
}

/// The second 16 bits of a header (RFC 1035, 4.1.1; RFC 4035, 3).
enum Flags {
    static let response: UInt16 = 0x8000
    static let opcode: UInt16 = 0x7800
    static let authoritative: UInt16 = 0x0400
    static let truncated: UInt16 = 0x0200
    static let recursionDesired: UInt16 = 0x0100
    static let recursionAvailable: UInt16 = 0x0080
    static let authentic: UInt16 = 0x0020
    static let checkingDisabled: UInt16 = 0x0010
    static let code: UInt16 = 0x000f
}

/// Which letters of a name are capitals: clients expect their question back as they wrote it.
struct NameCase: BitwiseCopyable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init(_ name: Span<UInt8>) {
        for index in 0..<name.count where name[index] != name[index].lowercased {
            let bit: UInt64 = 1 << UInt64(index & 63)
            switch index >> 6 {
            case 0: words.0 |= bit
            case 1: words.1 |= bit
            case 2: words.2 |= bit
            default: words.3 |= bit
            }
        }
    }

    /// Raises the letters of a name in lower case.
    func apply(to name: inout MutableSpan<UInt8>, at offset: Int, count: Int) {
        guard words.0 | words.1 | words.2 | words.3 != 0 else { return }
        for index in 0..<count {
            let word = index < 64 ? words.0 : index < 128 ? words.1 : index < 192 ? words.2 : words.3
            if word >> UInt64(index & 63) & 1 != 0 { name[offset + index] &= ~0x20 }
        }
    }
}

/// What one client wants to see in its reply.
struct ReplyForm: BitwiseCopyable, Sendable {
    let id: UInt16
    let recursionDesired: Bool
    let checkingDisabled: Bool
    /// AD is shown to those who have said that they know it (RFC 6840, 5.7).
    let takesAuthentic: Bool
    let hasEDNS: Bool
    let dnssecOK: Bool
    /// Bytes.
    let lengthMax: Int
    /// What the OPT record says that we take.
    let payloadMax: Int
    let nameCase: NameCase

    /// - Parameter payloadMax: what is sent by UDP at most.
    init(_ query: Query, name: Span<UInt8>, transport: QueryTransport, payloadMax: Int) {
        id = query.id
        recursionDesired = query.flags & Flags.recursionDesired != 0
        checkingDisabled = query.flags & Flags.checkingDisabled != 0
        takesAuthentic = query.flags & Flags.authentic != 0 || query.dnssecOK
        hasEDNS = query.hasEDNS
        dnssecOK = query.dnssecOK
        lengthMax = transport == .tcp ? 65_535 : min(payloadMax, max(512, query.payloadMax))
        self.payloadMax = payloadMax
        nameCase = NameCase(name)
    }
}
