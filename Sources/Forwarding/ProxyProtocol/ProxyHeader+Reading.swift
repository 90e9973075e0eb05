import Addressing

extension ProxyHeader {
    /// What the first bytes of a connection are.
    package enum Reading: BitwiseCopyable, Hashable, Sendable {
        /// The beginning of a header. Never said of `lengthMax` bytes or more.
        case incomplete
        /// A header of that many bytes. No addresses: it speaks for itself (LOCAL, UNKNOWN) or of what is no TCP, and the
        /// connection's own addresses count.
        case header(ProxyAddresses?, length: Int)
        case malformed(Fault)
    }

    package enum Fault: UInt8, BitwiseCopyable, Hashable, Sendable, CaseIterable {
        case notAHeader, tooLong
        // Version 1.
        case badLineEnd, unknownProtocol, badAddress, badPort, badFieldCount
        // Version 2.
        case unknownVersion, unknownCommand, unknownFamily, addressesCutShort, extensionOverrun
    }

    /// Reads a header at the beginning of `bytes`; what follows it is not looked at. A fault is told with the first byte that
    /// makes it one, as far as that byte stands outside of a version 1 line.
    package static func read(_ bytes: Span<UInt8>) -> Reading {
        guard bytes.count > 0 else { return .incomplete }
        return bytes[0] == signature[0] ? readBinary(bytes) : readLine(bytes)
    }

    /// How bytes begin that need not be a header.
    package enum Beginning: BitwiseCopyable, Hashable, Sendable {
        case header, other
        /// So far they could be either.
        case undecided
    }

    /// Looks at the first bytes of a connection for what every header begins with, in either version.
    package static func beginning(of bytes: Span<UInt8>) -> Beginning {
        guard bytes.count > 0 else { return .undecided }
        let mark = bytes[0] == signature[0] ? signature : lineStart
        for index in 0..<min(bytes.count, mark.count) where bytes[index] != mark[index] { return .other }
        return bytes.count < mark.count ? .undecided : .header
    }

    // MARK: - Version 2

    private static func readBinary(_ bytes: Span<UInt8>) -> Reading {
        for index in 0..<min(bytes.count, signature.count) where bytes[index] != signature[index] { return .malformed(.notAHeader) }
        guard bytes.count > 12 else { return .incomplete }
        guard bytes[12] >> 4 == 2 else { return .malformed(.unknownVersion) }
        let command = bytes[12] & 0xf
        guard command <= 1 else { return .malformed(.unknownCommand) }
        let isLocal = command == 0
        guard bytes.count > 13 else { return .incomplete }
        let family = bytes[13]
        // Of LOCAL's family and block nothing counts but the length.
        guard isLocal || family >> 4 <= 3 && family & 0xf <= 2 else { return .malformed(.unknownFamily) }
        guard bytes.count >= fixedLength else { return .incomplete }
        let length = fixedLength + Int(number(bytes, 14))
        guard length <= lengthMax else { return .malformed(.tooLong) }
        let addressesLength = isLocal ? 0 : addressesLength(family)
        guard length >= fixedLength + addressesLength else { return .malformed(.addressesCutShort) }
        guard bytes.count >= length else { return .incomplete }
        if isLocal || addressesLength == 0 { return .header(nil, length: length) }
        var position = fixedLength + addressesLength
        while position < length {
            guard length - position >= 3 else { return .malformed(.extensionOverrun) }
            position += 3 + Int(number(bytes, position + 1))
            guard position <= length else { return .malformed(.extensionOverrun) }
        }
        switch family {
        case 0x11:
            let addresses = ProxyAddresses(
                source: IPAddress(ipv4: UInt32(truncatingIfNeeded: big(bytes, 16, 4))), sourcePort: number(bytes, 24),
                destination: IPAddress(ipv4: UInt32(truncatingIfNeeded: big(bytes, 20, 4))), destinationPort: number(bytes, 26))
            return .header(addresses, length: length)
        case 0x21:
            let addresses = ProxyAddresses(
                source: IPAddress(ipv6High: big(bytes, 16, 8), low: big(bytes, 24, 8)), sourcePort: number(bytes, 48),
                destination: IPAddress(ipv6High: big(bytes, 32, 8), low: big(bytes, 40, 8)), destinationPort: number(bytes, 50))
            return .header(addresses, length: length)
        default: return .header(nil, length: length)
        }
    }

    /// Bytes that the addresses of a family and transport take: IPv4, IPv6, Unix; 0 where either is unspecified.
    private static func addressesLength(_ family: UInt8) -> Int {
        switch family {
        case 0x11, 0x12: 12
        case 0x21, 0x22: 36
        case 0x31, 0x32: 216
        default: 0
        }
    }

    private static func number(_ bytes: Span<UInt8>, _ position: Int) -> UInt16 {
        UInt16(bytes[position]) << 8 | UInt16(bytes[position + 1])
    }

    private static func big(_ bytes: Span<UInt8>, _ position: Int, _ width: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in position..<position + width { value = value << 8 | UInt64(bytes[index]) }
        return value
    }

    // MARK: - Version 1

    private static func readLine(_ bytes: Span<UInt8>) -> Reading {
        for index in 0..<min(bytes.count, lineStart.count) where bytes[index] != lineStart[index] { return .malformed(.notAHeader) }
        var end = lineStart.count
        while end < min(bytes.count, lineMax), bytes[end] != .carriageReturn {
            if bytes[end] == .lineFeed { return .malformed(.badLineEnd) }
            end += 1
        }
        guard end + 2 <= lineMax else { return .malformed(.tooLong) }
        guard end + 1 < bytes.count else { return .incomplete }
        guard bytes[end + 1] == .lineFeed else { return .malformed(.badLineEnd) }
        var position = lineStart.count
        let name = field(bytes, &position, end)
        // What follows UNKNOWN up to the line's end does not count.
        if isWord(bytes, name, "UNKNOWN") { return .header(nil, length: end + 2) }
        let isIPv4 = isWord(bytes, name, "TCP4")
        guard isIPv4 || isWord(bytes, name, "TCP6") else { return .malformed(.unknownProtocol) }
        let sourceField = field(bytes, &position, end)
        let destinationField = field(bytes, &position, end)
        let sourcePortField = field(bytes, &position, end)
        let destinationPortField = field(bytes, &position, end)
        // The last field ends at the line's end, one place before where a space would have been stepped over.
        guard position == end + 1, !destinationPortField.isEmpty else { return .malformed(.badFieldCount) }
        guard let source = isIPv4 ? ipv4(bytes, sourceField) : ipv6(bytes, sourceField),
            let destination = isIPv4 ? ipv4(bytes, destinationField) : ipv6(bytes, destinationField)
        else { return .malformed(.badAddress) }
        guard let sourcePort = port(bytes, sourcePortField), let destinationPort = port(bytes, destinationPortField) else {
            return .malformed(.badPort)
        }
        let addresses = ProxyAddresses(
            source: source, sourcePort: sourcePort, destination: destination, destinationPort: destinationPort)
        return .header(addresses, length: end + 2)
    }

    /// The bytes up to the next space, or up to `end`; `position` moves behind that. Empty beyond the end.
    private static func field(_ bytes: Span<UInt8>, _ position: inout Int, _ end: Int) -> Range<Int> {
        let start = min(position, end)
        var stop = start
        while stop < end, bytes[stop] != .space { stop += 1 }
        position = stop + 1
        return start..<stop
    }

    private static func isWord(_ bytes: Span<UInt8>, _ field: Range<Int>, _ word: String) -> Bool {
        guard field.count == word.utf8.count else { return false }
        var position = field.lowerBound
        for byte in word.utf8 {
            if bytes[position] != byte { return false }
            position += 1
        }
        return true
    }

    /// Decimal digits without a leading zero, at most `most`.
    private static func decimal(_ bytes: Span<UInt8>, _ field: Range<Int>, most: Int) -> Int? {
        guard (1...5).contains(field.count), field.count == 1 || bytes[field.lowerBound] != 0x30 else { return nil }
        var value = 0
        for index in field {
            guard (0x30...0x39).contains(bytes[index]) else { return nil }
            value = value * 10 + Int(bytes[index] - 0x30)
        }
        return value <= most ? value : nil
    }

    private static func port(_ bytes: Span<UInt8>, _ field: Range<Int>) -> UInt16? {
        decimal(bytes, field, most: 65_535).map { UInt16($0) }
    }

    private static func ipv4(_ bytes: Span<UInt8>, _ field: Range<Int>) -> IPAddress? {
        var bits: UInt32 = 0
        var position = field.lowerBound
        for octet in 0..<4 {
            var end = position
            while end < field.upperBound, bytes[end] != .dot { end += 1 }
            guard let value = decimal(bytes, position..<end, most: 255), (end == field.upperBound) == (octet == 3) else { return nil }
            bits = bits << 8 | UInt32(value)
            position = end + 1
        }
        return IPAddress(ipv4: bits)
    }

    /// The forms of RFC 4291, 2.2; no zone.
    private static func ipv6(_ bytes: Span<UInt8>, _ field: Range<Int>) -> IPAddress? {
        // Groups before the gap from the top of 128 bits, those after it from the bottom.
        var head = Groups()
        var tail = Groups()
        var hasGap = false
        var position = field.lowerBound
        let end = field.upperBound
        if field.count >= 2, bytes[position] == .colon {
            guard bytes[position + 1] == .colon else { return nil }
            hasGap = true
            position += 2
        }
        while position < end {
            var stop = position
            var isQuad = false
            while stop < end, bytes[stop] != .colon {
                if bytes[stop] == .dot { isQuad = true }
                stop += 1
            }
            if isQuad {
                guard stop == end, let quad = ipv4(bytes, position..<end) else { return nil }
                let upper = UInt16(truncatingIfNeeded: quad.low >> 16)
                let lower = UInt16(truncatingIfNeeded: quad.low)
                if hasGap { tail.append(upper, lower) } else { head.append(upper, lower) }
                break
            }
            guard (1...4).contains(stop - position) else { return nil }
            var group: UInt16 = 0
            for index in position..<stop {
                guard let digit = hexDigit(bytes[index]) else { return nil }
                group = group << 4 | digit
            }
            if hasGap { tail.append(group) } else { head.append(group) }
            guard head.count + tail.count <= 8 else { return nil }
            position = stop + 1
            guard stop < end else { break }
            guard position < end else { return nil }
            if bytes[position] == .colon {
                guard !hasGap else { return nil }
                hasGap = true
                position += 1
            }
        }
        let count = head.count + tail.count
        guard hasGap ? count < 8 : count == 8 else { return nil }
        let top = head.shifted(left: 8 - head.count)
        return IPAddress(ipv6High: top.high | tail.high, low: top.low | tail.low)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt16? {
        switch byte {
        case 0x30...0x39: UInt16(byte - 0x30)
        case 0x41...0x46: UInt16(byte - 0x37)
        case 0x61...0x66: UInt16(byte - 0x57)
        default: nil
        }
    }

    /// Groups of 16 bits, the last one in the lowest place.
    private struct Groups {
        var high: UInt64 = 0
        var low: UInt64 = 0
        var count = 0

        mutating func append(_ group: UInt16) {
            high = high << 16 | low >> 48
            low = low << 16 | UInt64(group)
            count += 1
        }

        mutating func append(_ first: UInt16, _ second: UInt16) {
            append(first)
            append(second)
        }

        func shifted(left places: Int) -> Groups {
            var result = self
            for _ in 0..<places { result.append(0) }
            return result
        }
    }
}
