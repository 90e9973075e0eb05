import Addressing
import Testing

struct IPSpanTests {
    @Test(arguments: [
        ("192.0.2.0/24", "192.0.2.0", "192.0.2.255", ["192.0.2.0/24"]),
        ("192.0.2.240-192.0.2.250", "192.0.2.240", "192.0.2.250", ["192.0.2.240/29", "192.0.2.248/31", "192.0.2.250/32"]),
        ("192.0.2.1-192.0.2.1", "192.0.2.1", "192.0.2.1", ["192.0.2.1/32"]),
        ("192.0.2.1-192.0.2.6", "192.0.2.1", "192.0.2.6", ["192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6/32"]),
        ("0.0.0.0-255.255.255.255", "0.0.0.0", "255.255.255.255", ["0.0.0.0/0"]),
        ("2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", ["2001:db8::/64"]),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ["::/0"]),
        (
            "fd00:0:0:0:ffff:ffff:ffff:ffff-fd00:0:0:1::", "fd00::ffff:ffff:ffff:ffff", "fd00:0:0:1::",
            ["fd00::ffff:ffff:ffff:ffff/128", "fd00:0:0:1::/128"]
        ),
    ])
    func whatIsWrittenIsTheseRanges(text: String, first: String, last: String, ranges: [String]) throws {
        let span = try #require(IPSpan(text))
        #expect(span.first == IPAddress(first) && span.last == IPAddress(last))
        #expect(span.ranges.map(\.description) == ranges)
        #expect(IPSpan(span.description) == span)
        #expect(span.contains(span.first) && span.contains(span.last))
        #expect(span.last.next.map(span.contains) != true)
    }

    @Test(arguments: [
        "", "-", "192.0.2.9-192.0.2.1", "192.0.2.1-::1", "192.0.2.1/24", "192.0.2.1", "192.0.2.1-", "a-b", "192.0.2.1 - 192.0.2.3",
    ])
    func anythingElseIsNone(text: String) {
        #expect(IPSpan(text) == nil)
    }

    @Test func spansOverlapWhereTheyHaveAnAddressInCommon() throws {
        func span(_ text: String) throws -> IPSpan { try #require(IPSpan(text)) }
        #expect(try span("10.0.0.1-10.0.0.5").overlaps(span("10.0.0.5-10.0.0.9")))
        #expect(try !span("10.0.0.1-10.0.0.4").overlaps(span("10.0.0.5-10.0.0.9")))
        #expect(try span("10.0.0.0/8").overlaps(span("10.1.0.0/16")))
        #expect(try !span("0.0.0.0/0").overlaps(span("::/0")))
    }
}
