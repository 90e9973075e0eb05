import Addressing
import Routing
import Testing

@testable import DNS

struct UpstreamsTests {
    private static func servers(_ last: ClosedRange<Int>) -> [SocketAddress] {
        last.compactMap { SocketAddress("192.0.2.\($0):53") }
    }

    private static func stub(_ domain: String, _ last: ClosedRange<Int>) throws -> StubDomain {
        StubDomain(domain: try #require(DomainName(domain)), servers: servers(last))
    }

    @Test(arguments: [
        ("www.example.com", 1), ("example.com", 11), ("WWW.Corp.Example.ORG", 21), ("corp.example.org", 21), ("example.org", 31),
        ("xcorp.example.org", 31), ("notexample.org", 1), (".", 1), ("org", 1),
    ])
    func theLongestStubDomainDecides(_ name: String, _ first: Int) throws {
        let corp = try Self.stub("corp.example.org", 21...22)
        let upstreams = Upstreams(servers: Self.servers(1...2), stubDomains: [try Self.stub("example.org", 31...31), corp])
        let other = Upstreams(servers: Self.servers(1...2), stubDomains: [try Self.stub("EXAMPLE.com", 11...11)])
        let bytes = wireName(name)
        // example.com is a stub domain of the second only.
        let asked = first == 11 ? other : upstreams
        let found = asked.group(for: bytes.span)
        let group = try #require(found)
        #expect(asked.servers[asked.groups[group].servers.lowerBound].address == SocketAddress("192.0.2.\(first):53"))
    }

    @Test func withoutServersNobodyIsAskedButOfStubDomains() throws {
        let upstreams = Upstreams(servers: [], stubDomains: [try Self.stub("example.org", 1...1)])
        let (outside, inside) = (wireName("example.com"), wireName("a.example.org"))
        let groups = (upstreams.group(for: outside.span), upstreams.group(for: inside.span))
        #expect(groups.0 == nil && groups.1 == 0)
    }

    @Test func eachServerHasItsShare() {
        let upstreams = Upstreams(servers: Self.servers(1...4))
        var random = RandomSource(seed: 1)
        var counts = [Int](repeating: 0, count: 4)
        for _ in 0..<4000 { counts[upstreams.choose(group: 0, tried: 0, random: &random)] += 1 }
        #expect(counts.allSatisfy { (850...1150).contains($0) })
    }

    @Test func whoIsDownIsNotChosenWhileOthersAreLeft() {
        var upstreams = Upstreams(servers: Self.servers(1...3))
        var random = RandomSource(seed: 2)
        upstreams.failed(1, now: 0)
        #expect(!upstreams.hasDown)
        upstreams.failed(1, now: 0)
        #expect(upstreams.hasDown && !upstreams.isDown(group: 0))
        let chosen = Set((0..<200).map { _ in upstreams.choose(group: 0, tried: 0b001, random: &random) })
        #expect(chosen == [2])
        #expect(upstreams.choose(group: 0, tried: 0b101, random: &random) == 1)
        // All were tried: any will do.
        #expect(Set((0..<200).map { _ in upstreams.choose(group: 0, tried: 0b111, random: &random) }) == [0, 1, 2])
        upstreams.answered(1)
        #expect(!upstreams.hasDown)
    }

    @Test func allThatAreDownAreChosenStill() {
        var upstreams = Upstreams(servers: Self.servers(1...2))
        var random = RandomSource(seed: 3)
        for server in [0, 1, 0, 1] { upstreams.failed(server, now: 0) }
        #expect(upstreams.isDown(group: 0))
        #expect(Set((0..<100).map { _ in upstreams.choose(group: 0, tried: 0, random: &random) }) == [0, 1])
    }

    @Test func whoIsDownIsAskedOnTheSideAfterItsPause() {
        var upstreams = Upstreams(servers: Self.servers(1...2))
        upstreams.failed(0, now: 0)
        upstreams.failed(0, now: 0)
        var asked: [UInt64] = []
        for tenth: UInt64 in 0..<300 where upstreams.takeProbe(group: 0, now: tenth * 100_000_000) != nil { asked.append(tenth) }
        // After 0.5 s, and 1, 2, 4 and 8 s after the one before.
        #expect(asked == [5, 15, 35, 75, 155, 235])
        upstreams.answered(0)
        #expect(upstreams.takeProbe(group: 0, now: .max) == nil)
        upstreams.failed(0, now: 40_000_000_000)
        upstreams.failed(0, now: 40_000_000_000)
        #expect(upstreams.takeProbe(group: 0, now: 40_500_000_000) == 0)
    }
}
