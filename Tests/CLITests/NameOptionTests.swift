import Addressing
import ArgumentParser
import DNS
import Forwarding
import Testing

@testable import CLI

struct NameOptionTests {
    private func parse(_ arguments: String...) throws -> NameSettings? {
        try NameOptions.parse(arguments).settings(owned: [IPRange("10.96.0.0/12")!])
    }

    @Test func nobodyAnswersUnlessSomebodyAsksForIt() throws {
        #expect(try parse()?.places == nil)
        #expect(try parse("--dns-ttl", "30", "--cluster-domain", "k8s.test")?.places == nil)
    }

    @Test func addressesHavePort53WhereNoneIsGiven() throws {
        let settings = try #require(try parse("--dns-listen", "127.0.0.1,10.96.0.10:5353, [::1],::,[fd00::1]:54"))
        #expect(settings.places == ["127.0.0.1:53", "10.96.0.10:5353", "[::1]:53", "[::]:53", "[fd00::1]:54"])
        #expect(settings.responder.serverAddresses.map(\.description) == ["127.0.0.1", "10.96.0.10", "::1", "fd00::1"])
        #expect(settings.responder.domain == DomainName("cluster.local") && settings.responder.ttl == 5)
        #expect(settings.responder.podNames == .disabled && settings.responsesPerSourceMax == 200)
        #expect(settings.responder.ownedRanges.map(\.description) == ["10.96.0.0/12"])
    }

    @Test func whatIsSetIsTaken() throws {
        let settings = try #require(
            try parse(
                "--dns-listen", "127.0.0.1", "--dns-ttl", "0", "--dns-pods", "verified", "--cluster-domain", "K8s.Test.",
                "--dns-rate-limit",
                "none"))
        #expect(settings.responder.ttl == 0 && settings.responder.podNames == .verified)
        #expect(settings.responder.domain == DomainName("k8s.test") && settings.responsesPerSourceMax == nil)
    }

    @Test(arguments: [
        ["--dns-listen", ""], ["--dns-listen", "localhost"], ["--dns-listen", "127.0.0.1:0"], ["--dns-listen", "127.0.0.1,127.0.0.1:53"],
        ["--dns-listen", (1...33).map { "127.0.0.\($0)" }.joined(separator: ",")], ["--dns-ttl", "3601"], ["--dns-ttl", "-1"],
        ["--dns-pods", "all"], ["--cluster-domain", ""], ["--cluster-domain", "."], ["--cluster-domain", "a..b"],
        ["--cluster-domain", "-a.b"], ["--cluster-domain", "a_b"], ["--dns-rate-limit", "0"], ["--dns-rate-limit", "-5"],
    ])
    func whatCanNotBeIsRefused(arguments: [String]) {
        #expect(throws: (any Error).self) { try NameOptions.parse(arguments) }
    }
}
