extension Query {
    /// Reads a message. Whatever its bytes are, nothing behind its end is looked at, and each is looked at a bounded number of times.
    package static func read(_ message: Span<UInt8>) -> Reading {
        guard message.count >= nameOffset else { return .noQuery }
        var query = Query()
        query.id = number(message, 0)
        query.flags = number(message, 2)
        guard query.flags & 0x8000 == 0 else { return .noQuery }
        guard query.flags & 0x7800 == 0 else { return .unknownOpcode }
        guard number(message, 4) == 1, number(message, 6) == 0 else { return .malformed }

        var position = nameOffset
        while true {
            guard position < message.count else { return .malformed }
            let length = Int(message[position])
            position += 1
            if length == 0 { break }
            // A pointer has nowhere to lead to: no name comes before.
            guard length < 64, position + length - nameOffset < DomainName.lengthMax else { return .malformed }
            position += length
        }
        query.nameLength = position - nameOffset
        guard position + 4 <= message.count else { return .malformed }
        query.type = RecordType(rawValue: number(message, position))
        query.recordClass = number(message, position + 2)
        position += 4

        // An IXFR has an SOA; it will be refused whatever that says.
        let authorities = number(message, 8)
        if query.type == .ixfr, authorities == 1 { return .query(query) }
        guard authorities == 0 else { return .malformed }
        for _ in 0..<number(message, 10) {
            guard query.readAdditional(message, &position) else { return .malformed }
        }
        return position == message.count ? .query(query) : .malformed
    }

    /// Only OPT means anything; other records must be well-formed.
    private mutating func readAdditional(_ message: Span<UInt8>, _ position: inout Int) -> Bool {
        let owner = position
        var length = 0
        while true {
            guard position < message.count else { return false }
            let byte = Int(message[position])
            if byte >= 0xc0 {
                // A pointer ends the name; where it leads to does not matter.
                position += 2
                break
            }
            guard byte < 64 else { return false }
            position += 1 + byte
            length += 1 + byte
            guard length <= DomainName.lengthMax else { return false }
            if byte == 0 { break }
        }
        guard position + 10 <= message.count else { return false }
        let type = RecordType(rawValue: Self.number(message, position))
        let dataEnd = position + 10 + Int(Self.number(message, position + 8))
        guard dataEnd <= message.count else { return false }
        defer { position = dataEnd }
        guard type == .opt else { return true }
        guard !hasEDNS, message[owner] == 0 else { return false }
        hasEDNS = true
        payloadMax = max(512, Int(Self.number(message, position + 2)))
        version = message[position + 5]
        dnssecOK = message[position + 6] & 0x80 != 0
        var option = position + 10
        while option < dataEnd {
            guard option + 4 <= dataEnd else { return false }
            option += 4 + Int(Self.number(message, option + 2))
        }
        return option == dataEnd
    }

    @inline(__always)
    private static func number(_ bytes: Span<UInt8>, _ position: Int) -> UInt16 {
        UInt16(bytes[position]) << 8 | UInt16(bytes[position + 1])
    }
}
