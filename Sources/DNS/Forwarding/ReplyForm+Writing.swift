/// How old what is told is, which TTLs show.
struct AnswerAge: BitwiseCopyable, Sendable {
    /// Since the upstream has told it.
    var seconds: UInt32 = 0
    /// What TTLs may be at most; all of them are this where it is stale.
    var ttlMax: UInt32
    var isStale = false

    func ttl(_ told: UInt32) -> UInt32 {
        if isStale { return ttlMax }
        let ttl = min(told, ttlMax)
        return ttl > seconds ? ttl - seconds : 0
    }
}

extension MutableSpan<UInt8> {
    mutating func write16(_ number: UInt16, at offset: Int) {
        self[offset] = UInt8(truncatingIfNeeded: number >> 8)
        self[offset + 1] = UInt8(truncatingIfNeeded: number)
    }

    mutating func write32(_ number: UInt32, at offset: Int) {
        write16(UInt16(truncatingIfNeeded: number >> 16), at: offset)
        write16(UInt16(truncatingIfNeeded: number), at: offset + 2)
    }

    mutating func copy(_ bytes: Span<UInt8>, at offset: Int) {
        for index in 0..<bytes.count { self[offset + index] = bytes[index] }
    }

    /// Copies a name out of another message without its pointers; nil where it is none, or there is no room below `limit`.
    ///
    /// - Returns: where it ends.
    fileprivate mutating func copyName(of message: Span<UInt8>, at offset: Int, to start: Int, below limit: Int) -> Int? {
        var end = start
        var position = offset
        var hops = 0
        while position < message.count {
            let length = Int(message[position])
            if length >= 0xc0 {
                hops += 1
                guard position + 1 < message.count, hops < DomainName.lengthMax else { return nil }
                position = (length & 0x3f) << 8 | Int(message[position + 1])
                continue
            }
            guard length < 0x40, end - start + length < DomainName.lengthMax, end + length < limit, position + length < message.count
            else { return nil }
            for index in 0...length { self[end + index] = message[position + index] }
            end += length + 1
            position += length + 1
            if length == 0 { return end }
        }
        return nil
    }
}

extension Span<UInt8> {
    /// Whether the name at `offset` is the one that stands in another message without pointers; capitals don't count.
    fileprivate func name(at offset: Int, equals other: Span<UInt8>, at otherOffset: Int) -> Bool {
        var position = offset
        var place = otherOffset
        var hops = 0
        while position < count {
            let length = Int(self[position])
            if length >= 0xc0 {
                hops += 1
                guard position + 1 < count, hops < DomainName.lengthMax else { return false }
                position = (length & 0x3f) << 8 | Int(self[position + 1])
                continue
            }
            guard position + length < count, place + length < other.count else { return false }
            for index in 0...length where self[position + index].lowercased != other[place + index].lowercased { return false }
            if length == 0 { return true }
            position += length + 1
            place += length + 1
        }
        return false
    }
}

extension ReplyForm {
    /// Octets of an OPT record without options (RFC 6891, 6.1.2).
    static let lengthOfOPT = 11

    /// Makes of an answer, as it is kept, what this client gets: its id and flags, its question's case, TTLs by age, what it takes.
    /// Records that find no room are left out from the end; TC says so, but of additional ones (RFC 2181, 9).
    ///
    /// - Parameters:
    ///   - reply: the answer, well-formed and without OPT, its question in lower case; room for an OPT record behind it.
    ///   - length: of the answer.
    /// - Returns: the reply's length.
    func finish(_ reply: inout MutableSpan<UInt8>, length: Int, nameLength: Int, age: AnswerAge) -> Int {
        let limit = min(length, lengthMax - (hasEDNS ? Self.lengthOfOPT : 0))
        let stored = reply.span.number16(at: 2)
        var isTruncated = stored & Flags.truncated != 0
        var end = Query.nameOffset + nameLength + 4
        var isFull = false
        for section in 0..<3 {
            let countOffset = 6 + 2 * section
            var kept: UInt16 = 0
            let told = reply.span.number16(at: countOffset)
            while !isFull, kept < told {
                guard let record = reply.span.record(at: end), record.end <= limit else {
                    isFull = true
                    isTruncated = isTruncated || section < 2
                    break
                }
                reply.write32(age.ttl(record.ttl), at: record.ttlOffset)
                end = record.end
                kept += 1
            }
            reply.write16(kept, at: countOffset)
        }
        reply.write16(id, at: 0)
        var flags = Flags.response | Flags.recursionAvailable | stored & Flags.code
        if isTruncated { flags |= Flags.truncated }
        if recursionDesired { flags |= Flags.recursionDesired }
        if checkingDisabled { flags |= Flags.checkingDisabled }
        if takesAuthentic { flags |= stored & Flags.authentic }
        reply.write16(flags, at: 2)
        nameCase.apply(to: &reply, at: Query.nameOffset, count: nameLength)
        return hasEDNS ? appendOPT(to: &reply, at: end) : end
    }

    private func appendOPT(to reply: inout MutableSpan<UInt8>, at end: Int) -> Int {
        reply[end] = 0
        reply.write16(RecordType.opt.rawValue, at: end + 1)
        reply.write16(UInt16(payloadMax), at: end + 3)
        reply.write32(dnssecOK ? 0x8000 : 0, at: end + 5)
        reply.write16(0, at: end + 9)
        reply.write16(reply.span.number16(at: 10) + 1, at: 10)
        return end + Self.lengthOfOPT
    }

    /// Appends the addresses that an answer has for the target of an alias, and the aliases on the way to them.
    ///
    /// - Parameters:
    ///   - reply: with the alias, made for this client, and room for what the client takes.
    ///   - length: of that.
    ///   - target: where the alias' target stands, without pointers.
    ///   - answer: as it is kept.
    /// - Returns: the reply's length.
    func append(
        _ answer: Span<UInt8>, nameLength: Int, age: AnswerAge, to reply: inout MutableSpan<UInt8>, length: Int, target: Int
    ) -> Int {
        let limit = min(reply.count, lengthMax) - (hasEDNS ? Self.lengthOfOPT : 0)
        var end = dropAdditionals(of: &reply, length: length)
        var flags = reply.span.number16(at: 2) & ~Flags.code | answer.number16(at: 2) & (Flags.truncated | Flags.code)
        var added: UInt16 = 0
        var owner = target
        var position = Query.nameOffset + nameLength + 4
        for _ in 0..<answer.number16(at: 6) {
            guard let record = answer.record(at: position) else { break }
            position = record.end
            guard record.type == .a || record.type == .aaaa || record.type == .cname else { continue }
            guard let written = write(record, of: answer, to: &reply, at: end, below: limit, owner: &owner, age: age) else {
                flags |= Flags.truncated
                break
            }
            end = written
            added += 1
        }
        reply.write16(flags, at: 2)
        reply.write16(reply.span.number16(at: 6) + added, at: 6)
        return hasEDNS ? appendOPT(to: &reply, at: end) : end
    }

    private func write(
        _ record: RecordPlace, of answer: Span<UInt8>, to reply: inout MutableSpan<UInt8>, at start: Int, below limit: Int,
        owner: inout Int, age: AnswerAge
    ) -> Int? {
        var end = start
        if owner < 0x4000, answer.name(at: record.start, equals: reply.span, at: owner) {
            guard end + 2 <= limit else { return nil }
            reply.write16(0xc000 | UInt16(owner), at: end)
            end += 2
        } else {
            guard let written = reply.copyName(of: answer, at: record.start, to: end, below: limit) else { return nil }
            owner = end
            end = written
        }
        guard end + 10 <= limit else { return nil }
        reply.write16(record.type.rawValue, at: end)
        reply.write16(record.recordClass, at: end + 2)
        reply.write32(age.ttl(record.ttl), at: end + 4)
        let dataStart = end + 10
        if record.type == .cname {
            guard let written = reply.copyName(of: answer, at: record.dataStart, to: dataStart, below: limit) else { return nil }
            owner = dataStart
            end = written
        } else {
            end = dataStart + record.end - record.dataStart
            guard end <= limit else { return nil }
            for index in record.dataStart..<record.end { reply[dataStart + index - record.dataStart] = answer[index] }
        }
        reply.write16(UInt16(end - dataStart), at: dataStart - 2)
        return end
    }

    /// Where the answers end, with nothing behind them any more.
    private func dropAdditionals(of reply: inout MutableSpan<UInt8>, length: Int) -> Int {
        var end = reply.span.endOfName(at: Query.nameOffset).map { $0 + 4 } ?? length
        for _ in 0..<reply.span.number16(at: 6) {
            guard let record = reply.span.record(at: end) else { break }
            end = record.end
        }
        reply.write32(0, at: 8)
        return end
    }
}
