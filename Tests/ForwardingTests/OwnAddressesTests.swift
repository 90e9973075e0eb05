import Addressing
import Routing
import Testing

@testable import Forwarding

/// Whether a bind that shares nothing would meet listeners of our own.
struct OwnAddressesTests {
    private static func key(_ address: String, _ transport: TransportProtocol = .tcp) -> FrontendKey {
        FrontendKey(SocketAddress(address)!, transport)
    }

    /// What is listened on, what is to be, and whether they meet.
    @Test(arguments: [
        ("10.0.0.1:80", "10.0.0.1:80", true), ("10.0.0.1:80", "10.0.0.2:80", false), ("10.0.0.1:80", "10.0.0.1:81", false),
        ("0.0.0.0:80", "10.0.0.1:80", true), ("10.0.0.1:80", "0.0.0.0:80", true), ("[::]:80", "0.0.0.0:80", false),
        ("[::]:80", "[::1]:80", true), ("10.0.0.1:80", "[::]:80", false),
    ])
    func onlyTheSameAddressOfAPortOrAWildcardOfItsFamilyIsMet(own: String, other: String, meets: Bool) {
        var addresses = OwnAddresses()
        addresses.insert(Self.key("10.9.9.9:443"))
        addresses.insert(Self.key(own))
        #expect(addresses.meet(Self.key(other)) == meets)
        #expect(!addresses.meet(Self.key(other, .udp)))
        #expect(!OwnAddresses().meet(Self.key(other)))
    }
}
