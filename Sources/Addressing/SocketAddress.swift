/// A transport protocol a Service port may name. SCTP is known so that it can be refused visibly.
package enum TransportProtocol: String, Hashable, Sendable, CaseIterable {
    case tcp = "TCP"
    case udp = "UDP"
    case sctp = "SCTP"
}

/// A port number from 1 to 65535. Zero, bind(2)'s "any port", is not one.
package struct PortNumber: BitwiseCopyable, Hashable, Sendable, Comparable, CustomStringConvertible {
    package let rawValue: UInt16

    /// The port of that number, or nil outside 1...65535.
    package init?(_ number: some BinaryInteger) {
        guard let value = UInt16(exactly: number), value > 0 else { return nil }
        rawValue = value
    }

    /// The same without a generic's price, for what comes with every datagram.
    package init?(_ number: UInt16) {
        guard number > 0 else { return nil }
        rawValue = number
    }

    /// The port written in decimal digits, or nil outside 1...65535.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text) else { return nil }
        self.init(number)
    }

    package var description: String { String(rawValue) }
    package static func < (left: PortNumber, right: PortNumber) -> Bool { left.rawValue < right.rawValue }
}

/// An address and a port: where a listener stands or an endpoint answers.
package struct SocketAddress: BitwiseCopyable, Hashable, Sendable, Comparable, CustomStringConvertible {
    package let address: IPAddress
    package let port: PortNumber

    package init(_ address: IPAddress, _ port: PortNumber) {
        self.address = address
        self.port = port
    }

    /// Parses `127.0.0.1:80` or `[::1]:80`; nil for anything else.
    package init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = PortNumber(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.first == "[" {
            guard host.last == "]" else { return nil }
            host = host.dropFirst().dropLast()
            guard let address = IPAddress(host), address.family == .ipv6 else { return nil }
            self.init(address, port)
        } else {
            guard let address = IPAddress(host), address.family == .ipv4 else { return nil }
            self.init(address, port)
        }
    }

    package var description: String {
        switch address.family {
        case .ipv4: "\(address):\(port)"
        case .ipv6: "[\(address)]:\(port)"
        }
    }

    package static func < (left: SocketAddress, right: SocketAddress) -> Bool {
        (left.address, left.port) < (right.address, right.port)
    }
}
