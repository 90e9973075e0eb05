import Addressing
import Testing

@testable import HostNetwork

/// The host's addresses: as the kernel tells of them, and where node ports are served by them.
@Suite struct HostAddressesTests {
    private static func address(_ text: String, _ interface: UInt32, _ flags: HostAddress.Flags = []) -> HostAddress {
        HostAddress(address: IPAddress(text)!, interface: interface, flags: flags)
    }

    private static func addresses(_ texts: [String]) -> [IPAddress] { texts.map { IPAddress($0)! } }

    private static let host = HostAddresses(
        [
            address("127.0.0.1", 1), address("::1", 1), address("192.0.2.7", 3), address("10.0.0.5", 2), address("10.0.0.6", 2, .secondary),
            address("fe80::1", 2), address("2001:db8::6", 2, .secondary), address("2001:db8::5", 2), address("2001:db8::7", 2, .tentative),
            address("2001:db8::8", 2, .duplicate),
        ],
        routes: [DefaultRoute(family: .ipv4, interface: 2, metric: 200), DefaultRoute(family: .ipv4, interface: 3, metric: 100)])

    /// The option, and where node ports are served with it.
    private static let cases: [(String, [String])] = [
        ("10.0.0.0/24", ["10.0.0.5", "10.0.0.6", "::"]),
        ("127.0.0.0/8,10.0.0.5/32", ["10.0.0.5", "127.0.0.1", "::"]),
        ("2001:db8::/64", ["0.0.0.0", "2001:db8::5", "2001:db8::6"]),
        ("192.0.2.0/24,::1/128", ["192.0.2.7", "::1"]),
        ("0.0.0.0/0", ["0.0.0.0", "::"]),
        ("198.51.100.0/24,2001:db8::/64", ["2001:db8::5", "2001:db8::6"]),
        ("198.51.100.0/24,fe80::/10", []),
        ("primary", ["192.0.2.7", "2001:db8::5"]),
    ]

    @Test(arguments: cases)
    func nodePortsAreServedOnAddressesOfTheRangesAndOfAFamilyWithoutOnAny(_ option: String, _ expected: [String]) throws {
        #expect(try #require(NodePortAddresses(option)).listened(on: Self.host) == Self.addresses(expected))
    }

    @Test func whatTheNodesOwnObjectNamesIsPrimaryIfTheHostHasIt() {
        let named = Self.addresses(["198.51.100.9", "10.0.0.6", "10.0.0.5"])
        #expect(NodePortAddresses.primary.listened(on: Self.host, named: named) == Self.addresses(["10.0.0.6", "2001:db8::5"]))
    }

    @Test func theSourceOfTheDefaultRouteIsPrimaryAndWithoutARouteTheFirstInterfacesAddress() {
        let all = [Self.address("10.0.0.5", 2), Self.address("10.0.0.6", 2, .secondary), Self.address("192.0.2.7", 3)]
        let route = DefaultRoute(family: .ipv4, interface: 2, metric: 0, source: IPAddress("10.0.0.6"))
        #expect(HostAddresses(all, routes: [route]).primary(.ipv4) == IPAddress("10.0.0.6"))
        #expect(HostAddresses(all.reversed()).primary(.ipv4) == IPAddress("10.0.0.5"))
        #expect(HostAddresses(all).primary(.ipv6) == nil)
        #expect(HostAddresses([Self.address("127.0.0.1", 1)]).primary(.ipv4) == nil)
    }

    @Test(arguments: ["", "x", "10.0.0.1/8", "10.0.0.0/8,", "primary,10.0.0.0/8", "10.0.0.1"])
    func whatIsNoRangeIsRefused(_ text: String) { #expect(NodePortAddresses(text) == nil) }

    /// As a host's kernel wrote them: of `eth0`, of a point-to-point link whose other end is 10.8.0.1, and an IPv6 one that is tentative.
    @Test func messagesOfTheKernelAreRead() throws {
        func message(_ family: UInt8, _ flags: UInt8, _ attributes: [(UInt16, [UInt8])]) -> NetlinkMessage {
            var body: [UInt8] = [family, 24, flags, 0, 2, 0, 0, 0]
            if UInt16(1).littleEndian != 1 { body[4...7].reverse() }
            for (type, value) in attributes { body.append(attribute: type, value) }
            return NetlinkMessage(kind: NetlinkMessage.Kind.newAddress, flags: [], body: body)
        }
        let plain = message(2, 0x80, [(1, [10, 0, 2, 15]), (2, [10, 0, 2, 15])])
        #expect(HostAddress(plain)?.address == IPAddress("10.0.2.15") && HostAddress(plain)?.interface == 2)
        #expect(HostAddress(message(2, 0x80, [(1, [10, 8, 0, 1]), (2, [10, 8, 0, 2])]))?.address == IPAddress("10.8.0.2"))
        var flags: [UInt8] = []
        flags.append(native: UInt32(0xc0))
        let tentative = HostAddress(message(10, 0x80, [(1, IPAddress("2001:db8::1")!.bytes), (8, flags)]))
        #expect(tentative?.address == IPAddress("2001:db8::1") && tentative?.isUsable == false)
        #expect(HostAddress(message(7, 0, [(1, [1, 2, 3, 4])])) == nil && HostAddress(message(2, 0, [])) == nil)
        var cut = plain
        cut.body.removeLast(21)
        #expect(HostAddress(cut) == nil)
    }

    @Test func onlyAddressesAndDefaultRoutesMatter() {
        func matters(_ kind: UInt16, _ bits: UInt8) -> Bool {
            NetlinkMessage(kind: kind, flags: [], body: [2, bits] + [UInt8](repeating: 0, count: 10)).tellsOfTheHostsAddresses
        }
        #expect(matters(NetlinkMessage.Kind.newAddress, 24) && matters(NetlinkMessage.Kind.deleteAddress, 24))
        #expect(matters(NetlinkMessage.Kind.newRoute, 0) && matters(NetlinkMessage.Kind.deleteRoute, 0))
        #expect(!matters(NetlinkMessage.Kind.newRoute, 24) && !matters(NetlinkMessage.Kind.newLink, 0))
    }
}
