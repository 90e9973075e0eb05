/// An IPv4 or IPv6 address as a plain value.
///
/// Both families are held in 128 bits, network order read as two big-endian integers; an IPv4 address a.b.c.d is held as
/// `low == 0xaabbccdd`, `high == 0`. IPv6 zones are not held: a Service has no place for one.
package struct IPAddress: BitwiseCopyable, Hashable, Sendable {
    /// The address family, as Kubernetes' `addressType` and `ipFamilies` name it.
    package enum Family: UInt8, BitwiseCopyable, Hashable, Sendable {
        case ipv4 = 4
        case ipv6 = 6
    }

    package let high: UInt64
    package let low: UInt64
    package let family: Family

    /// An IPv4 address from its 32 bits, most significant octet first: `0x7f000001` is 127.0.0.1.
    package init(ipv4 bits: UInt32) {
        high = 0
        low = UInt64(bits)
        family = .ipv4
    }

    /// An IPv6 address from its first and last 64 bits.
    package init(ipv6High high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        family = .ipv6
    }

    package static let loopbackIPv4 = IPAddress(ipv4: 0x7f00_0001)
    package static let loopbackIPv6 = IPAddress(ipv6High: 0, low: 1)
    package static let anyIPv4 = IPAddress(ipv4: 0)
    package static let anyIPv6 = IPAddress(ipv6High: 0, low: 0)

    /// 127.0.0.0/8 or ::1.
    package var isLoopback: Bool {
        switch family {
        case .ipv4: low >> 24 == 127
        case .ipv6: high == 0 && low == 1
        }
    }

    /// 0.0.0.0 or ::, the wildcard of bind(2).
    package var isUnspecified: Bool { high == 0 && low == 0 }

    /// ::ffff:0:0/96, an IPv4 address in IPv6 clothes (RFC 4291, 2.5.5.2).
    package var isIPv4Mapped: Bool { family == .ipv6 && high == 0 && low >> 32 == 0xffff }

    /// The IPv4 address inside an IPv4-mapped IPv6 address, else the address itself: what a client "is" for affinity.
    package var unmapped: IPAddress {
        isIPv4Mapped ? IPAddress(ipv4: UInt32(truncatingIfNeeded: low)) : self
    }
}

extension IPAddress: Comparable {
    package static func < (left: IPAddress, right: IPAddress) -> Bool {
        (left.family.rawValue, left.high, left.low) < (right.family.rawValue, right.high, right.low)
    }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted quad, or the canonical IPv6 text of RFC 5952.
    package var description: String {
        switch family {
        case .ipv4:
            "\(low >> 24 & 0xff).\(low >> 16 & 0xff).\(low >> 8 & 0xff).\(low & 0xff)"
        case .ipv6:
            ipv6Text
        }
    }

    private var ipv6Text: String {
        if isIPv4Mapped { return "::ffff:\(unmapped)" }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> (48 - 16 * UInt64($0 % 4))) }
        // The longest run of at least two zero groups, the first of equals (RFC 5952, 4.2).
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start >= 2, end - start > best.count { best = start..<end }
            start = max(end, start + 1)
        }
        func hex(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        if best.isEmpty { return hex(groups[...]) }
        return hex(groups[..<best.lowerBound]) + "::" + hex(groups[best.upperBound...])
    }
}

extension IPAddress {
    /// Parses the text of an address, or nil.
    ///
    /// IPv4 octets with leading zeros are refused, as Kubernetes does since 1.36 and for the reason Go gives: some programs
    /// read them as octal. IPv6 zones (`%eth0`) and brackets are refused.
    package init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        if bytes.contains(UInt8(ascii: ":")) {
            guard let parsed = IPAddress.parseIPv6(bytes[...]) else { return nil }
            self = parsed
        } else {
            guard let bits = IPAddress.parseIPv4(bytes[...]) else { return nil }
            self.init(ipv4: bits)
        }
    }

    private static func parseIPv4(_ bytes: ArraySlice<UInt8>) -> UInt32? {
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            var octet: UInt32 = 0
            for byte in part {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
            }
            guard octet <= 255 else { return nil }
            bits = bits << 8 | octet
        }
        return bits
    }

    private static func parseIPv6(_ bytes: ArraySlice<UInt8>) -> IPAddress? {
        let colon = UInt8(ascii: ":")
        var head: [UInt16] = []
        var tail: [UInt16] = []
        var compressed = false
        var rest = bytes
        if rest.starts(with: [colon, colon]) {
            compressed = true
            rest = rest.dropFirst(2)
        }
        while !rest.isEmpty {
            let group = rest.prefix { $0 != colon }
            if group.contains(UInt8(ascii: ".")) {
                // An embedded IPv4 address may only stand at the end.
                guard group.endIndex == bytes.endIndex, let bits = parseIPv4(group) else { return nil }
                let pair = [UInt16(truncatingIfNeeded: bits >> 16), UInt16(truncatingIfNeeded: bits)]
                if compressed { tail += pair } else { head += pair }
                rest = []
                break
            }
            guard (1...4).contains(group.count), group.allSatisfy(isHexDigit),
                let text = String(validating: group, as: UTF8.self), let value = UInt16(text, radix: 16)
            else { return nil }
            if compressed { tail.append(value) } else { head.append(value) }
            rest = rest[group.endIndex...]
            guard !rest.isEmpty else { break }
            rest = rest.dropFirst()
            if rest.first == colon {
                guard !compressed else { return nil }
                compressed = true
                rest = rest.dropFirst()
            } else if rest.isEmpty {
                return nil  // a single colon at the end
            }
        }
        let missing = 8 - head.count - tail.count
        guard compressed ? missing >= 1 : missing == 0 else { return nil }
        let groups = head + Array(repeating: 0, count: missing) + tail
        func join(_ part: ArraySlice<UInt16>) -> UInt64 { part.reduce(0) { $0 << 16 | UInt64($1) } }
        return IPAddress(ipv6High: join(groups[..<4]), low: join(groups[4...]))
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
        default: false
        }
    }
}
