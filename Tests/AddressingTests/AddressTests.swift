import Addressing
import Testing

@Suite struct AddressTests {
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("127.0.0.1", "127.0.0.1"), ("255.255.255.255", "255.255.255.255"), ("10.96.0.10", "10.96.0.10"),
        ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8::00ff", "2001:db8::ff"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"),
        ("0:0:0:0:0:ffff:192.0.2.1", "::ffff:192.0.2.1"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("fe80::1", "fe80::1"),
    ])
    func parsesAndPrintsCanonically(_ text: String, _ canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
    }

    @Test(arguments: [
        "", ".", ":", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.", " 1.2.3.4", "1.2.3.4 ", "1.2.3.-4", "a.b.c.d", "0x7f.0.0.1",
        ":::", "1:::2", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::", "g::", "::1%eth0", "[::1]", ":1::",
        "1:", "1::2:", "::1.2.3", "1.2.3.4::", "::1.2.3.4:5", "::1.2.3.04",
    ])
    func refusesWhatIsNoAddress(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func namesKindsOfAddresses() {
        #expect(IPAddress("127.3.2.1")!.isLoopback)
        #expect(IPAddress("::1")!.isLoopback)
        #expect(!IPAddress("::2")!.isLoopback)
        #expect(!IPAddress("128.0.0.1")!.isLoopback)
        #expect(IPAddress("0.0.0.0")!.isUnspecified && IPAddress("::")!.isUnspecified)
        #expect(IPAddress("0.0.0.0") != IPAddress("::"))
        #expect(IPAddress("::ffff:10.0.0.1")!.unmapped == IPAddress("10.0.0.1")!)
        #expect(IPAddress("::10.0.0.1")!.unmapped == IPAddress("::10.0.0.1")!)
    }

    @Test func ordersByFamilyThenNumber() {
        let texts = ["9.0.0.1", "10.0.0.1", "192.168.0.1", "::1", "2001:db8::1", "fe80::1"]
        let addresses = texts.map { IPAddress($0)! }
        #expect(addresses.reversed().sorted() == addresses)
    }

    @Test(arguments: [("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:443", "[::1]:443"), ("[2001:DB8::1]:65535", "[2001:db8::1]:65535")])
    func parsesSocketAddresses(_ text: String, _ canonical: String) throws {
        #expect(try #require(SocketAddress(text)).description == canonical)
    }

    @Test(arguments: [
        "", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+80", "127.0.0.1:8 0", "::1:80", "[::1]",
        "[::1]80",
        "[127.0.0.1]:80", "localhost:80", "127.0.0.1:-1", "[::1:80",
    ])
    func refusesWhatIsNoSocketAddress(_ text: String) {
        #expect(SocketAddress(text) == nil)
    }

    @Test func portsAreOneTo65535() {
        #expect(PortNumber(0) == nil && PortNumber(65_536) == nil && PortNumber(-1) == nil)
        #expect(PortNumber(1)?.rawValue == 1 && PortNumber(65_535)?.rawValue == 65_535)
        #expect(PortNumber("080")?.rawValue == 80)
        #expect(PortNumber("99999999999999999999") == nil)
    }
}
