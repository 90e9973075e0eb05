package import Addressing
package import Routing

/// Who speaks to whom, as a header of the PROXY protocol says it. A header may name port 0, which no `PortNumber` is.
package struct ProxyAddresses: BitwiseCopyable, Hashable, Sendable {
    package var source: IPAddress
    package var sourcePort: UInt16
    package var destination: IPAddress
    package var destinationPort: UInt16

    package init(source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16) {
        self.source = source
        self.sourcePort = sourcePort
        self.destination = destination
        self.destinationPort = destinationPort
    }

    package init(source: SocketAddress, destination: SocketAddress) {
        self.init(
            source: source.address, sourcePort: source.port.rawValue, destination: destination.address,
            destinationPort: destination.port.rawValue)
    }
}

/// The PROXY protocol's header, versions 1 and 2 (haproxy.org, proxy-protocol.txt, of 2020): a pure codec over bytes that allocates
/// nothing. Reading is in `ProxyHeader+Reading.swift`.
package enum ProxyHeader {
    /// Bytes of a version 1 line with its line end, which the specification sets.
    package static let lineMax = 107
    /// Bytes of a version 2 header that we read, its first 16 included. The length field could say 65,551, and whoever says so would
    /// be waited for. What senders add to the addresses (a name of 255 bytes, an id of 128, names of a certificate and a cipher)
    /// stays below 700 bytes in all.
    package static let lengthMax = 1024
    /// Bytes of the longest header that we write: a line.
    package static let writtenMax = lineMax

    /// Bytes after which it is known whether a connection begins with a header.
    package static let beginningMax = 12

    static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    static let lineStart: [UInt8] = [0x50, 0x52, 0x4f, 0x58, 0x59, 0x20]
    /// Bytes before the addresses of version 2: signature, version and command, family and transport, length.
    static let fixedLength = 16

    /// Writes a header to the beginning of `bytes`, which has room for `writtenMax`; answers its length.
    package static func write(_ version: ProxyProtocolVersion, _ addresses: ProxyAddresses, to bytes: inout [UInt8]) -> Int {
        var writer = Writer()
        // A header has one family. Where the sides differ, the IPv4 one is written as the IPv6 address that stands for it.
        let isIPv4 = addresses.source.family == .ipv4 && addresses.destination.family == .ipv4
        let source = isIPv4 ? addresses.source : addresses.source.mapped
        let destination = isIPv4 ? addresses.destination : addresses.destination.mapped
        switch version {
        case .v1:
            for byte in lineStart { writer.put(byte, to: &bytes) }
            for byte in (isIPv4 ? "TCP4 " : "TCP6 ").utf8 { writer.put(byte, to: &bytes) }
            writer.putText(source, to: &bytes)
            writer.put(.space, to: &bytes)
            writer.putText(destination, to: &bytes)
            writer.put(.space, to: &bytes)
            writer.putDecimal(UInt64(addresses.sourcePort), to: &bytes)
            writer.put(.space, to: &bytes)
            writer.putDecimal(UInt64(addresses.destinationPort), to: &bytes)
            writer.put(.carriageReturn, to: &bytes)
            writer.put(.lineFeed, to: &bytes)
        case .v2:
            for byte in signature { writer.put(byte, to: &bytes) }
            writer.put(0x21, to: &bytes)
            writer.put(isIPv4 ? 0x11 : 0x21, to: &bytes)
            writer.putBig(isIPv4 ? 12 : 36, bytes: 2, to: &bytes)
            writer.putBits(source, to: &bytes)
            writer.putBits(destination, to: &bytes)
            writer.putBig(UInt64(addresses.sourcePort), bytes: 2, to: &bytes)
            writer.putBig(UInt64(addresses.destinationPort), bytes: 2, to: &bytes)
        }
        return writer.count
    }
}

extension IPAddress {
    /// The IPv6 address that stands for an IPv4 one; an IPv6 address itself.
    fileprivate var mapped: IPAddress { family == .ipv4 ? IPAddress(ipv6High: 0, low: 0xffff_0000_0000 | low) : self }
}

extension UInt8 {
    static let space: UInt8 = 0x20
    static let carriageReturn: UInt8 = 0x0d
    static let lineFeed: UInt8 = 0x0a
    static let dot: UInt8 = 0x2e
    static let colon: UInt8 = 0x3a
}

/// Writes at the end of what it has written.
private struct Writer {
    var count = 0

    mutating func put(_ byte: UInt8, to bytes: inout [UInt8]) {
        bytes[count] = byte
        count += 1
    }

    mutating func putBig(_ value: UInt64, bytes width: Int, to bytes: inout [UInt8]) {
        for place in (0..<width).reversed() { put(UInt8(truncatingIfNeeded: value >> UInt64(8 * place)), to: &bytes) }
    }

    mutating func putBits(_ address: IPAddress, to bytes: inout [UInt8]) {
        if address.family == .ipv6 { putBig(address.high, bytes: 8, to: &bytes) }
        putBig(address.low, bytes: address.family == .ipv4 ? 4 : 8, to: &bytes)
    }

    mutating func putDecimal(_ value: UInt64, to bytes: inout [UInt8]) {
        if value >= 10 { putDecimal(value / 10, to: &bytes) }
        put(UInt8(truncatingIfNeeded: 0x30 + value % 10), to: &bytes)
    }

    mutating func putHex(_ value: UInt16, to bytes: inout [UInt8]) {
        if value >= 16 { putHex(value >> 4, to: &bytes) }
        let digit = UInt8(truncatingIfNeeded: value & 0xf)
        put(digit < 10 ? 0x30 + digit : 0x57 + digit, to: &bytes)
    }

    /// The text of `IPAddress.description`, without a String.
    mutating func putText(_ address: IPAddress, to bytes: inout [UInt8]) {
        if address.family == .ipv4 { return putQuad(address.low, to: &bytes) }
        if address.isIPv4Mapped {
            for byte in "::ffff:".utf8 { put(byte, to: &bytes) }
            return putQuad(address.low & 0xffff_ffff, to: &bytes)
        }
        func group(_ index: Int) -> UInt16 {
            UInt16(truncatingIfNeeded: (index < 4 ? address.high : address.low) >> UInt64(48 - 16 * (index % 4)))
        }
        var gap = 0
        var gapLength = 1
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, group(end) == 0 { end += 1 }
            if end - start > gapLength {
                gap = start
                gapLength = end - start
            }
            start = max(end, start + 1)
        }
        var index = 0
        while index < 8 {
            if gapLength > 1, index == gap {
                put(.colon, to: &bytes)
                put(.colon, to: &bytes)
                index += gapLength
                continue
            }
            if index > 0, gapLength == 1 || index != gap + gapLength { put(.colon, to: &bytes) }
            putHex(group(index), to: &bytes)
            index += 1
        }
    }

    private mutating func putQuad(_ bits: UInt64, to bytes: inout [UInt8]) {
        for place in (0..<4).reversed() {
            putDecimal(bits >> UInt64(8 * place) & 0xff, to: &bytes)
            if place > 0 { put(.dot, to: &bytes) }
        }
    }
}
