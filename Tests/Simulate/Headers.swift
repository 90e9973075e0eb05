import Forwarding
import Routing

/// PROXY headers as bytes.
enum Headers {
    /// LOCAL, of no addresses.
    static let local: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x20, 0, 0, 0]

    static func bytes(_ version: ProxyProtocolVersion, _ addresses: ProxyAddresses) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: ProxyHeader.writtenMax)
        let length = ProxyHeader.write(version, addresses, to: &bytes)
        return Array(bytes[..<length])
    }
}
