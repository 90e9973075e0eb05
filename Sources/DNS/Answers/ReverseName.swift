internal import Addressing

/// A name under in-addr.arpa or ip6.arpa: the address, or the beginning of one, that it stands for.
struct ReverseName: BitwiseCopyable {
    /// With zeros for what the name doesn't say.
    let address: IPAddress
    /// How many octets, or groups of four bits, the name says.
    private let parts: Int
    /// Whether more labels stand before those, or one that is no number: nothing has such a name.
    let hasMore: Bool
    /// Where each of its labels begins, and how many there are, without those of the suffix.
    private let starts: InlineArray<128, UInt8>
    private let count: Int

    private static let ipv4Suffix = DomainName("in-addr.arpa")?.wire ?? []
    private static let ipv6Suffix = DomainName("ip6.arpa")?.wire ?? []

    /// nil where it has neither suffix.
    init?(_ message: Span<UInt8>, _ query: Query) {
        let family: IPAddress.Family
        let suffix: Int
        if let start = query.labelsEnd(message, before: Self.ipv4Suffix) {
            (family, suffix) = (.ipv4, start)
        } else if let start = query.labelsEnd(message, before: Self.ipv6Suffix) {
            (family, suffix) = (.ipv6, start)
        } else {
            return nil
        }
        var starts = InlineArray<128, UInt8>(repeating: 0)
        var count = 0
        var position = Query.nameOffset
        while position < suffix {
            starts[count] = UInt8(position - Query.nameOffset)
            count += 1
            position += 1 + Int(message[position])
        }
        let (partsMax, bits) = family == .ipv4 ? (4, 8) : (32, 4)
        var value: UInt128 = 0
        var parts = 0
        while parts < min(count, partsMax) {
            let start = Query.nameOffset + Int(starts[count - 1 - parts])
            let label = start + 1..<start + 1 + Int(message[start])
            let number = family == .ipv4 ? UInt8(decimal: message, label) : label.count == 1 ? message[label.lowerBound].hexDigit : nil
            guard let number else { break }
            value = value << UInt128(bits) | UInt128(number)
            parts += 1
        }
        value = parts == 0 ? 0 : value << UInt128((partsMax - parts) * bits)
        address =
            family == .ipv4
            ? IPAddress(ipv4: UInt32(truncatingIfNeeded: value))
            : IPAddress(ipv6High: UInt64(truncatingIfNeeded: value >> 64), low: UInt64(truncatingIfNeeded: value))
        (self.parts, self.starts, self.count, hasMore) = (parts, starts, count, parts < count)
    }

    /// Whether it is the name of one address.
    var isWhole: Bool { !hasMore && parts == (address.family == .ipv4 ? 4 : 32) }

    /// Where in the message the name of the zone begins that a range's reverse names are in, if this is one of them: a zone for each
    /// value of the octet, or of the four bits, in which the range's prefix ends.
    func zone(of range: IPRange) -> Int? {
        let bits = address.family == .ipv4 ? 8 : 4
        let labels = (Int(range.prefix) + bits - 1) / bits
        guard range.address.family == address.family, parts >= labels, range.contains(address) else { return nil }
        // Of 0.0.0.0/0 the suffix itself would be the zone, for which this server does not speak.
        guard labels > 0 else { return nil }
        return Query.nameOffset + Int(starts[count - labels])
    }
}

extension Query {
    /// Where the question's labels end before a suffix in wire form, lower case; nil where the name doesn't end so.
    @inline(__always)
    func labelsEnd(_ message: Span<UInt8>, before suffix: [UInt8]) -> Int? {
        let start = nameEnd - suffix.count
        guard start >= Self.nameOffset else { return nil }
        guard suffix.span.matches(at: 0, message, start..<nameEnd) else { return nil }
        // The bytes are the same, but a label must begin there.
        var position = Self.nameOffset
        while position < start { position += 1 + Int(message[position]) }
        return position == start ? start : nil
    }
}
