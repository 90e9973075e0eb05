internal import Addressing
internal import Routing

/// A reply while it is written: its question first, then records, each whole or not at all, at last its header.
struct Answer: BitwiseCopyable {
    enum Section: BitwiseCopyable { case answer, authority, additional }

    static let headerLength = 12
    static let optLength = 11

    let query: Query
    let ttl: UInt32
    var code = ResponseCode.noError
    var isAuthoritative = true
    var offersRecursion = false
    /// Where the next record goes.
    private(set) var end: Int
    private(set) var answers: UInt16 = 0
    private(set) var authorities: UInt16 = 0
    private(set) var additionals: UInt16 = 0
    /// A record of the answer or the authority section found no room.
    private(set) var isTruncated = false
    /// Some records stand in an order by chance.
    private(set) var isShuffled = false
    /// Records end before that.
    private let limit: Int

    /// - Parameter limit: of the whole message, in bytes; at least 512 and what the buffer has.
    init(
        _ query: Query, _ message: Span<UInt8>, limit: Int, ttl: UInt32, into reply: inout MutableSpan<UInt8>
    ) {
        self.query = query
        self.ttl = ttl
        self.limit = limit - (query.hasEDNS ? Self.optLength : 0)
        reply.put(message, Query.nameOffset..<query.questionEnd, at: Query.nameOffset)
        end = query.questionEnd
    }

    // MARK: - Records

    /// Begins a record if it has room: all but its data, of which the length is known.
    ///
    /// - Parameter owner: offset of its name, as a pointer.
    /// - Returns: where the data goes; nil where there is no room.
    @inline(__always)
    mutating func begin(
        _ type: RecordType, owner: Int, length: Int, ttl: UInt32? = nil, in section: Section, _ reply: inout MutableSpan<UInt8>
    ) -> Int? {
        guard end + 12 + length <= limit else {
            if section != .additional { isTruncated = true }
            return nil
        }
        let start = end
        Self.put16(UInt16(truncatingIfNeeded: owner | 0xc000), start, &reply)
        Self.put16(type.rawValue, start + 2, &reply)
        Self.put16(Query.internet, start + 4, &reply)
        Self.put32(ttl ?? self.ttl, start + 6, &reply)
        Self.put16(UInt16(truncatingIfNeeded: length), start + 10, &reply)
        end = start + 12 + length
        switch section {
        case .answer: answers += 1
        case .authority: authorities += 1
        case .additional: additionals += 1
        }
        return start + 12
    }

    /// Adds addresses that stand one after the other, in random order; if not all have room, some of them by chance.
    mutating func add(
        _ type: RecordType, owner: Int, _ bytes: Span<UInt8>, at offset: Int, count: Int, in section: Section,
        random: inout RandomSource, _ reply: inout MutableSpan<UInt8>
    ) {
        guard count > 0 else { return }
        if count > 1 { isShuffled = true }
        let size = type == .a ? 4 : 16
        let first = end + 12
        var written = 0
        var next = count > 1 ? random.below(count) : 0
        while written < count, let place = begin(type, owner: owner, length: size, in: section, &reply) {
            let source = offset + next * size
            reply.put(bytes, source..<source + size, at: place)
            written += 1
            next = next + 1 == count ? 0 : next + 1
        }
        // In order a client that takes the first of them would find the neighbour of one that is gone twice as often.
        for last in stride(from: written - 1, to: 0, by: -1) {
            let other = random.below(last + 1)
            guard other != last else { continue }
            let (left, right) = (first + last * (12 + size), first + other * (12 + size))
            for index in 0..<size {
                let byte = reply[left + index]
                reply[left + index] = reply[right + index]
                reply[right + index] = byte
            }
        }
    }

    mutating func add(_ address: IPAddress, owner: Int, in section: Section, _ reply: inout MutableSpan<UInt8>) {
        switch address.family {
        case .ipv4:
            guard let place = begin(.a, owner: owner, length: 4, in: section, &reply) else { return }
            Self.put32(UInt32(truncatingIfNeeded: address.low), place, &reply)
        case .ipv6:
            guard let place = begin(.aaaa, owner: owner, length: 16, in: section, &reply) else { return }
            Self.put32(UInt32(truncatingIfNeeded: address.high >> 32), place, &reply)
            Self.put32(UInt32(truncatingIfNeeded: address.high), place + 4, &reply)
            Self.put32(UInt32(truncatingIfNeeded: address.low >> 32), place + 8, &reply)
            Self.put32(UInt32(truncatingIfNeeded: address.low), place + 12, &reply)
        }
    }

    /// The start of authority of a zone whose name stands at that offset.
    mutating func addStartOfAuthority(zone: Int, serial: UInt32, in section: Section, _ reply: inout MutableSpan<UInt8>) {
        let length = Self.nameServer.count + Self.mailbox.count + 4 + 20
        guard var place = begin(.soa, owner: zone, length: length, in: section, &reply) else { return }
        place = Self.put(Self.nameServer, before: zone, place, &reply)
        place = Self.put(Self.mailbox, before: zone, place, &reply)
        Self.put32(serial, place, &reply)
        Self.put32(7200, place + 4, &reply)
        Self.put32(1800, place + 8, &reply)
        Self.put32(86_400, place + 12, &reply)
        Self.put32(ttl, place + 16, &reply)
    }

    /// `ns.dns` and `hostmaster`, in wire form.
    static let nameServer: [UInt8] = [2] + Array("ns".utf8) + [3] + Array("dns".utf8)
    private static let mailbox: [UInt8] = [10] + Array("hostmaster".utf8)

    /// Writes labels and a pointer to what follows them.
    ///
    /// - Returns: where it ends.
    static func put(_ labels: [UInt8], before pointer: Int, _ offset: Int, _ reply: inout MutableSpan<UInt8>) -> Int {
        reply.put(labels.span, 0..<labels.count, at: offset)
        put16(UInt16(truncatingIfNeeded: pointer | 0xc000), offset + labels.count, &reply)
        return offset + labels.count + 2
    }

    // MARK: - Header

    /// Writes OPT, if the query has one, and the header.
    ///
    /// - Parameter payloadMax: what the client may send by UDP.
    /// - Returns: the message's length.
    mutating func finish(payloadMax: Int, _ reply: inout MutableSpan<UInt8>) -> Int {
        if query.hasEDNS {
            reply[end] = 0
            Self.put16(RecordType.opt.rawValue, end + 1, &reply)
            Self.put16(UInt16(payloadMax), end + 3, &reply)
            Self.put16((code.rawValue >> 4) << 8, end + 5, &reply)
            Self.put16(query.dnssecOK ? 0x8000 : 0, end + 7, &reply)
            Self.put16(0, end + 9, &reply)
            end += Self.optLength
            additionals += 1
        }
        // The client's RD and CD, and what is ours.
        var flags = query.flags & 0x0110 | 0x8000 | code.rawValue & 0xf
        if isAuthoritative { flags |= 0x0400 }
        if isTruncated { flags |= 0x0200 }
        if offersRecursion { flags |= 0x0080 }
        Self.putHeader(query.id, flags, questions: 1, &reply)
        Self.put16(answers, 6, &reply)
        Self.put16(authorities, 8, &reply)
        Self.put16(additionals, 10, &reply)
        return end
    }

    /// A header without anything behind it, for what can't be read.
    static func bareHeader(of message: Span<UInt8>, _ code: ResponseCode, _ reply: inout MutableSpan<UInt8>) -> Int {
        let id = UInt16(message[0]) << 8 | UInt16(message[1])
        let flags = (UInt16(message[2]) << 8 | UInt16(message[3])) & 0x7900
        putHeader(id, flags | 0x8000 | code.rawValue, questions: 0, &reply)
        put16(0, 6, &reply)
        put32(0, 8, &reply)
        return headerLength
    }

    private static func putHeader(_ id: UInt16, _ flags: UInt16, questions: UInt16, _ reply: inout MutableSpan<UInt8>) {
        put16(id, 0, &reply)
        put16(flags, 2, &reply)
        put16(questions, 4, &reply)
    }

    // MARK: - Bytes

    @inline(__always)
    static func put16(_ value: UInt16, _ offset: Int, _ reply: inout MutableSpan<UInt8>) { reply.put(value, at: offset) }

    @inline(__always)
    static func put32(_ value: UInt32, _ offset: Int, _ reply: inout MutableSpan<UInt8>) { reply.put(value, at: offset) }
}
