/// A block of addresses of one family, `10.0.0.0/8`: those that share the first `prefix` bits with `address`.
package struct IPRange: BitwiseCopyable, Hashable, Sendable {
    package let address: IPAddress
    package let prefix: UInt8

    /// Parses `ADDRESS/BITS`; nil for anything else, leading zeros and bits beyond the prefix included.
    package init?(_ text: some StringProtocol) {
        guard let slash = text.firstIndex(of: "/"), let address = IPAddress(text[..<slash]) else { return nil }
        let digits = text[text.index(after: slash)...]
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), digits.count == 1 || digits.first != "0", let prefix = UInt8(digits),
            prefix <= (address.family == .ipv4 ? 32 : 128)
        else { return nil }
        self.address = address
        self.prefix = prefix
        guard address.maskedOff(prefix: prefix) == address else { return nil }
    }

    /// nil where an address has bits beyond the prefix, or the prefix is too long.
    package init?(_ address: IPAddress, prefix: UInt8) {
        guard prefix <= (address.family == .ipv4 ? 32 : 128), address.maskedOff(prefix: prefix) == address else { return nil }
        self.address = address
        self.prefix = prefix
    }

    /// Where a host talks to itself.
    package static let loopback = [IPRange("127.0.0.0/8"), IPRange("::1/128")].compactMap { $0 }

    /// One address alone.
    package init(_ address: IPAddress) {
        self.address = address
        prefix = address.family == .ipv4 ? 32 : 128
    }

    package func contains(_ other: IPAddress) -> Bool {
        other.family == address.family && other.maskedOff(prefix: prefix) == address
    }
}

extension IPAddress {
    /// The address with everything behind the first `prefix` bits zero.
    fileprivate func maskedOff(prefix: UInt8) -> IPAddress {
        // Shifts by the whole width and more give 0.
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : UInt64.max << UInt64(64 - min(bits, 64)) }
        switch family {
        case .ipv4: return IPAddress(ipv4: UInt32(truncatingIfNeeded: low & mask(Int(prefix) + 32)))
        case .ipv6: return IPAddress(ipv6High: high & mask(Int(prefix)), low: low & mask(Int(prefix) - 64))
        }
    }
}

extension IPRange: CustomStringConvertible {
    package var description: String { "\(address)/\(prefix)" }
}
