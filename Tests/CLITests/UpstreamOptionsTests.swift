import Addressing
import ArgumentParser
import DNS
import Forwarding
import Testing

@testable import CLI

struct UpstreamOptionsTests {
    private static func choice(
        _ arguments: [String], listening: [String] = ["127.0.0.1:53"], file: String? = "nameserver 192.0.2.1\n", host: [String] = []
    ) throws -> UpstreamChoice {
        let domain = try #require(DomainName("cluster.local"))
        let names = NameSettings(addresses: listening.compactMap { SocketAddress($0) }, responder: Responder.Settings(domain: domain))
        return try UpstreamOptions.parse(arguments).choice(
            for: names, resolverText: file, hostAddresses: host.compactMap { IPAddress($0) })
    }

    @Test func resolvConfSaysWhomToAsk() throws {
        let choice = try Self.choice([])
        #expect(choice.upstreams.defaults.map(\.description) == ["192.0.2.1:53"] && choice.notices == [])
    }

    @Test func optionsSaySoInItsPlace() throws {
        let choice = try Self.choice(
            ["--dns-upstream", "192.0.2.7,[2001:db8::1]:5353", "--dns-stub-domain", "corp.example.=10.0.0.1,2001:db8::2"])
        #expect(choice.upstreams.defaults.map(\.description) == ["192.0.2.7:53", "[2001:db8::1]:5353"])
        #expect(choice.upstreams.stubDomains.map(\.domain.description) == ["corp.example."])
        #expect(choice.upstreams.stubDomains[0].servers.map(\.description) == ["10.0.0.1:53", "[2001:db8::2]:53"])
        #expect(choice.notices == [])
        let none = try Self.choice(["--dns-upstream", "none"])
        #expect(none.upstreams.isEmpty && none.notices == [])
    }

    @Test func whatIsWrongInTheFileIsTold() throws {
        let choice = try Self.choice([], file: "nameserver here\nnameserver 192.0.2.1\n")
        #expect(choice.notices == ["/etc/resolv.conf: line 1: nameserver here: that is no IPv4 or IPv6 address"])
        #expect(try Self.choice([], file: nil).notices.count == 2)
        #expect(try Self.choice([], file: "").notices.count == 1)
    }

    /// A loop: our own question would come back to us.
    @Test(arguments: [
        (["127.0.0.1:53"], "127.0.0.1", true), (["127.0.0.1:53"], "127.0.0.53", false), (["127.0.0.1:5353"], "127.0.0.1", false),
        (["0.0.0.0:53"], "127.0.0.53", true), (["0.0.0.0:53"], "10.0.0.5", true), (["0.0.0.0:53"], "10.0.0.6", false),
        (["10.96.0.10:53", "[::1]:53"], "::1", true),
    ])
    func ourselvesAreLeftOut(_ listening: [String], _ server: String, _ isUs: Bool) throws {
        let choice = try Self.choice(["--dns-upstream", server], listening: listening, host: ["10.0.0.5"])
        #expect(choice.upstreams.isEmpty == isUs && choice.notices.isEmpty != isUs)
    }

    @Test(arguments: [
        ["--dns-upstream", "nobody"], ["--dns-upstream", "192.0.2.1,"], ["--dns-upstream", ""], ["--dns-stub-domain", "192.0.2.1"],
        ["--dns-stub-domain", "=192.0.2.1"], ["--dns-stub-domain", "a..b=192.0.2.1"], ["--dns-stub-domain", ".=192.0.2.1"],
        ["--dns-stub-domain", "a.b=none"], ["--dns-stub-domain", "a.b=192.0.2.1", "--dns-stub-domain", "A.b.=192.0.2.2"],
        ["--dns-upstream", (1...16).map { "192.0.2.\($0)" }.joined(separator: ",")],
    ])
    func whatIsNoneIsRefused(_ arguments: [String]) { #expect(throws: (any Error).self) { try UpstreamOptions.parse(arguments) } }
}
