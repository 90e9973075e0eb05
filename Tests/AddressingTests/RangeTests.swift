import Addressing
import Testing

@Suite struct RangeTests {
    static let ranges: [(String, inside: [String], outside: [String])] = [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0", "::a00:0", "::ffff:10.0.0.1"]),
        ("192.168.1.7/32", ["192.168.1.7"], ["192.168.1.6", "192.168.1.8"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::"]),
        ("128.0.0.0/1", ["128.0.0.0", "255.0.0.1"], ["127.255.255.255"]),
        ("::/0", ["::", "ffff::1"], ["0.0.0.0"]),
        ("fd00::/8", ["fd00::", "fdff:ffff::1"], ["fc00::", "fe00::"]),
        ("2001:db8::/64", ["2001:db8::ffff:ffff:ffff:ffff"], ["2001:db8:0:1::"]),
        ("2001:db8:0:0:8000::/65", ["2001:db8::8000:0:0:1"], ["2001:db8::1"]),
        ("::1/128", ["::1"], ["::", "::2"]),
    ]

    @Test(arguments: ranges)
    func aRangeHoldsWhatSharesItsFirstBits(_ text: String, _ inside: [String], _ outside: [String]) throws {
        let range = try #require(IPRange(text))
        #expect(range.description == text)
        for address in inside { #expect(range.contains(IPAddress(address)!), "\(address)") }
        for address in outside { #expect(!range.contains(IPAddress(address)!), "\(address)") }
    }

    @Test(arguments: [
        "", "/", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/8/8",
        "10.0.0/8", "010.0.0.0/8", "::/129", "::1/127", "2001:db8::/16", "10.0.0.0 /8", "10.0.0.0/999",
    ])
    func whatIsNoRangeIsRefused(_ text: String) {
        #expect(IPRange(text) == nil)
    }
}
