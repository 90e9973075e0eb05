import Addressing
import Testing

@testable import DNS

struct ResolverConfigurationTests {
    @Test func serversAreReadInOrder() {
        let text = """
            # made by somebody
            ; too
            domain example.com
            search example.com
            nameserver 192.0.2.1
            \tnameserver\t2001:db8::1  trailing
            nameserver 192.0.2.1
            options ndots:5 timeout:1 attempts:3 edns0
            """
        let configuration = ResolverConfiguration(text)
        #expect(configuration.servers.map(\.description) == ["192.0.2.1:53", "[2001:db8::1]:53"])
        #expect(configuration.problems == [])
    }

    @Test(arguments: ["", "\n\n", "nameserve 192.0.2.1", "options nameserver 192.0.2.1", "#nameserver 192.0.2.1"])
    func whatNamesNobodyIsEmpty(_ text: String) {
        let configuration = ResolverConfiguration(text)
        #expect(configuration.servers == [] && configuration.problems == [])
    }

    @Test(arguments: [
        ("nameserver", "line 1: nameserver has no address"),
        ("\r\nnameserver 1.2.3", "line 2: nameserver 1.2.3: that is no IPv4 or IPv6 address"),
        ("search a\n\nnameserver fe80::1%eth0", "line 3: nameserver fe80::1%eth0: an address with a zone can't be asked"),
    ])
    func whatIsNoAddressIsToldByItsLine(_ text: String, _ problem: String) {
        #expect(ResolverConfiguration(text).problems == [problem])
    }

    @Test func moreThanFifteenAreTooMany() {
        let configuration = ResolverConfiguration((1...17).map { "nameserver 192.0.2.\($0)" }.joined(separator: "\n"))
        #expect(configuration.servers.count == 15)
        #expect(configuration.problems.count == 2 && configuration.problems[0].hasPrefix("line 16: nameserver 192.0.2.16: at most 15"))
    }
}
