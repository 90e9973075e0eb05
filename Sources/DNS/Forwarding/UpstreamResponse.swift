/// A record of a message: where its parts stand.
struct RecordPlace: BitwiseCopyable, Sendable {
    let start: Int
    /// Where its name ends and its type begins.
    let nameEnd: Int
    let type: RecordType
    let recordClass: UInt16
    /// Seconds; what would be negative is none (RFC 2181, 8).
    let ttl: UInt32
    let end: Int

    var ttlOffset: Int { nameEnd + 4 }
    var dataStart: Int { nameEnd + 10 }
}

extension Span<UInt8> {
    /// Two octets, the upper one first. Traps beyond the end.
    func number16(at offset: Int) -> UInt16 { UInt16(self[offset]) << 8 | UInt16(self[offset + 1]) }
    func number32(at offset: Int) -> UInt32 { UInt32(number16(at: offset)) << 16 | UInt32(number16(at: offset + 2)) }

    /// Where the name that stands at `offset` ends; nil where it is none: longer than names are, or with a pointer that leads elsewhere
    /// than to what stands before it, behind the header.
    func endOfName(at offset: Int) -> Int? {
        var end: Int?
        var start = offset
        var position = offset
        var length = 0
        while position < count {
            let octet = Int(self[position])
            if octet == 0 { return end ?? position + 1 }
            if octet >= 0xc0 {
                guard position + 1 < count else { return nil }
                if end == nil { end = position + 2 }
                position = (octet & 0x3f) << 8 | Int(self[position + 1])
                guard position < start, position >= Query.nameOffset else { return nil }
                start = position
                continue
            }
            length += octet + 1
            guard octet < 0x40, length < DomainName.lengthMax else { return nil }
            position += octet + 1
        }
        return nil
    }

    /// The record at `offset`; nil where it is not whole.
    func record(at offset: Int) -> RecordPlace? {
        guard let nameEnd = endOfName(at: offset), nameEnd + 10 <= count else { return nil }
        let ttl = number32(at: nameEnd + 4)
        let end = nameEnd + 10 + Int(number16(at: nameEnd + 8))
        guard end <= count else { return nil }
        return RecordPlace(
            start: offset, nameEnd: nameEnd, type: RecordType(rawValue: number16(at: nameEnd)), recordClass: number16(at: nameEnd + 2),
            ttl: ttl > Int32.max ? 0 : ttl, end: end)
    }
}

/// What an upstream has said, read and found well-formed.
struct UpstreamResponse: BitwiseCopyable, Sendable {
    /// RCODE, with its upper bits from an OPT record.
    var code: UInt16
    var isTruncated: Bool
    /// Bytes to keep: without OPT and whatever stands behind it. In a truncated message, as far as records are whole.
    var end: Int
    var answers = 0
    var authorities = 0
    /// Without OPT and those behind it.
    var additionals = 0
    /// Seconds for which it may be kept, by what it says; nil where it may not be.
    var lifetime: UInt32?
    /// Whether it says that there is nothing, and not that something is.
    var isNegative = false

    enum Reading: BitwiseCopyable {
        case response(UpstreamResponse)
        /// Not for this question: to be passed over, the right one may follow.
        case foreign
        /// Without a question, as some refuse what they can't read: of this code.
        case bare(UInt16)
        /// For this question, and no message.
        case malformed
    }

    /// - Parameters:
    ///   - id: ours.
    ///   - name: the question's, as it was sent.
    static func read(_ message: Span<UInt8>, id: UInt16, question: Question, name: Span<UInt8>) -> Reading {
        guard message.count >= Query.nameOffset, message.number16(at: 0) == id else { return .foreign }
        let flags = message.number16(at: 2)
        guard flags & Flags.response != 0, flags & Flags.opcode == 0 else { return .foreign }
        let code = flags & Flags.code
        if message.number16(at: 4) == 0, code != 0, message.count == Query.nameOffset { return .bare(code) }
        let questionEnd = Query.nameOffset + name.count + 4
        guard message.number16(at: 4) == 1, message.count >= questionEnd else { return .foreign }
        for index in 0..<name.count where message[Query.nameOffset + index] != name[index] { return .foreign }
        guard message.number16(at: questionEnd - 4) == question.type.rawValue,
            message.number16(at: questionEnd - 2) == question.recordClass
        else { return .foreign }
        var response = UpstreamResponse(code: code, isTruncated: flags & Flags.truncated != 0, end: questionEnd)
        guard response.readRecords(message, question) || response.isTruncated else { return .malformed }
        if response.isTruncated || response.code != 0 && response.code != ResponseCode.nameError.rawValue { response.lifetime = nil }
        return .response(response)
    }

    /// False where a record is not whole, or there are bytes behind the last.
    private mutating func readRecords(_ message: Span<UInt8>, _ question: Question) -> Bool {
        var shortest = UInt32.max
        var negative: UInt32?
        var hasAnswer = false
        let counts = (Int(message.number16(at: 6)), Int(message.number16(at: 8)), Int(message.number16(at: 10)))
        for _ in 0..<counts.0 {
            guard let record = message.record(at: end) else { return false }
            hasAnswer = hasAnswer || record.type == question.type || question.type == .any
            shortest = min(shortest, record.ttl)
            answers += 1
            end = record.end
        }
        for _ in 0..<counts.1 {
            guard let record = message.record(at: end) else { return false }
            if record.type == .soa, record.recordClass == question.recordClass {
                guard let minimum = Self.minimum(of: record, in: message) else { return false }
                negative = min(negative ?? .max, record.ttl, minimum)
            }
            shortest = min(shortest, record.ttl)
            authorities += 1
            end = record.end
        }
        var position = end
        var isBehindOPT = false
        for _ in 0..<counts.2 {
            guard let record = message.record(at: position) else { return false }
            position = record.end
            if record.type == .opt {
                guard !isBehindOPT, record.nameEnd == record.start + 1 else { return false }
                isBehindOPT = true
                code |= UInt16(message[record.ttlOffset]) << 4
            } else if !isBehindOPT {
                shortest = min(shortest, record.ttl)
                additionals += 1
                end = position
            }
        }
        guard position == message.count else { return false }
        isNegative = code == ResponseCode.nameError.rawValue || !hasAnswer
        lifetime = isNegative ? negative.map { min($0, shortest) } : shortest
        return true
    }

    /// The last field of a SOA: how long it may be known that something is not there (RFC 2308, 4).
    private static func minimum(of record: RecordPlace, in message: Span<UInt8>) -> UInt32? {
        guard let primaryEnd = message.endOfName(at: record.dataStart), let mailboxEnd = message.endOfName(at: primaryEnd),
            mailboxEnd + 20 == record.end
        else { return nil }
        return message.number32(at: record.end - 4)
    }
}
