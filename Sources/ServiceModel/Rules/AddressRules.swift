import Addressing

/// Kubernetes 1.36's rules for addresses, ranges and port numbers in text, with its words for a breach.
enum AddressRules {
    static let portRangeMessage = "must be between 1 and 65535, inclusive"

    /// The address, or what is wrong with its text.
    static func address(_ text: String) -> (address: IPAddress?, problem: String?) {
        if let address = IPAddress(text) {
            return address.isIPv4Mapped ? (nil, "must not be an IPv4-mapped IPv6 address") : (address, nil)
        }
        if IPAddress(withoutLeadingZeros(text)) != nil { return (nil, "must not have leading 0s") }
        return (nil, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
    }

    /// What a Service's external address or an endpoint may not be. Loopback, which an API server refuses, is accepted unless told
    /// otherwise: on a machine of its own a balancer in front of local servers is the ordinary case.
    static func specialAddress(_ address: IPAddress, isLoopbackRefused: Bool = false) -> String? {
        if address.isUnspecified { return "may not be unspecified (0.0.0.0 or ::)" }
        if isLoopbackRefused, address.isLoopback { return "may not be in the loopback range (127.0.0.0/8, ::1/128)" }
        switch address.family {
        case .ipv4:
            if address.low >> 16 == 0xa9fe { return linkLocalMessage }
            if address.low >> 8 == 0xe000_00 { return linkLocalMulticastMessage }
        case .ipv6:
            if address.high >> 54 == 0x3fa { return linkLocalMessage }
            // ff02::/16 in its interface, link and realm forms: only the scope nibble counts.
            if address.high >> 56 == 0xff, address.high >> 48 & 0xf == 2 { return linkLocalMulticastMessage }
        }
        return nil
    }

    /// What is wrong with the text of a range such as `10.0.0.0/8`; spaces around it are tolerated, as kube-proxy tolerates them.
    static func range(_ text: String) -> String? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return rangeMessage }
        let zeroFree = withoutLeadingZeros(String(parts[0]))
        guard let address = IPAddress(zeroFree), let bits = UInt8(parts[1]),
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), bits <= (address.family == .ipv4 ? 32 : 128)
        else { return rangeMessage }
        if zeroFree != parts[0] || (parts[1].count > 1 && parts[1].first == "0") {
            return "must not have leading 0s in IP or prefix length"
        }
        if address.isIPv4Mapped { return "must not have an IPv4-mapped IPv6 address" }
        return hasHostBits(address, prefix: Int(bits)) ? "must not have bits set beyond the prefix length" : nil
    }

    private static func hasHostBits(_ address: IPAddress, prefix: Int) -> Bool {
        switch address.family {
        case .ipv4: address.low & ((1 << UInt64(32 - prefix)) - 1) != 0
        case .ipv6:
            if prefix >= 64 {
                prefix < 128 && address.low << UInt64(prefix - 64) != 0
            } else {
                address.low != 0 || address.high << UInt64(prefix) != 0
            }
        }
    }

    /// The text with each dotted number freed of leading zeros: what a sloppy parser would have read.
    private static func withoutLeadingZeros(_ text: String) -> String {
        guard text.contains("."), !text.contains(":") else { return text }
        return text.split(separator: ".", omittingEmptySubsequences: false).map { part in
            let digits = part.drop { $0 == "0" }
            return digits.isEmpty && !part.isEmpty ? "0" : String(digits)
        }.joined(separator: ".")
    }

    private static let rangeMessage = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    private static let linkLocalMessage = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    private static let linkLocalMulticastMessage = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
}
