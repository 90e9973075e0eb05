import Addressing
import Testing

@testable import DNS

struct AliasTests {
    private static let alias = "web.default.svc.cluster.local"
    private static let target = "www.example.com"

    /// What a responder has made: the alias with its target uncompressed, and OPT where there was one.
    private static func made(_ asked: TestMessage) -> (bytes: [UInt8], target: Int) {
        var message = asked
        message.flags = 0x8580
        message.answers = [.cname(asked.name, target, ttl: 5)]
        let bytes = message.wire
        return (bytes, 12 + wireName(asked.name).count + 4 + 12)
    }

    private static func asked(withEDNS: Bool = true) -> TestMessage {
        TestMessage(id: 77, name: "Web.default.svc.cluster.local", additionals: withEDNS ? [.opt()] : [])
    }

    private static func ask(_ run: ForwarderRun, _ asked: TestMessage, _ transport: QueryTransport = .udp) -> ForwarderRun.Outcome {
        let (bytes, target) = made(asked)
        return run.askForAlias(asked, answered: bytes, target: target, transport)
    }

    @Test(arguments: [true, false])
    func theTargetsAddressesAreAppended(_ withEDNS: Bool) throws {
        let run = ForwarderRun()
        let asked = Self.asked(withEDNS: withEDNS)
        let attempt = try #require(Self.ask(run, asked).attempt)
        #expect(ReadMessage(run.sent[attempt.question]!).name == Self.target)
        let answers: [TestMessage.Record] = [
            .cname(Self.target, "edge.example.net", ttl: 60), .a("edge.example.net", 1, ttl: 50), .a("edge.example.net", 2, ttl: 40),
        ]
        let reply = TestMessage.reply(to: run.sent[attempt.question]!, flags: Flags.authoritative, answers: answers)
        var told = try #require(run.reply(attempt.question, reply).replies.first?.message)
        for age: UInt32 in [0, 10] {
            #expect(told.isWhole && told.id == 77 && told.name == asked.name && told.code == 0)
            #expect(told.answers.map(\.name) == [asked.name, Self.target, "edge.example.net", "edge.example.net"])
            #expect(told.answers.map(\.ttl) == [5, 60 - age, 50 - age, 40 - age])
            #expect(told.answers.map(\.type) == [5, 5, 1, 1] && told.answers[3].data == [192, 0, 2, 2])
            #expect(told.additionals.map(\.type) == (withEDNS ? [41] : []))
            run.pass(10)
            if age == 0 { told = try #require(Self.ask(run, asked).answer) }
        }
        #expect(run.waiting == 0 && run.counts.successHits == 1)
    }

    @Test func whereTheTargetDoesNotExistTheReplySaysSo() throws {
        let run = ForwarderRun()
        let attempt = try #require(Self.ask(run, Self.asked()).attempt)
        let reply = TestMessage.reply(
            to: run.sent[attempt.question]!, code: 3, authorities: [.soa("example.com", ttl: 60, minimum: 60)])
        let told = try #require(run.reply(attempt.question, reply).replies.first?.message)
        #expect(told.code == 3 && told.answers.count == 1 && told.isWhole)
    }

    @Test func whatIsCutShortIsSoHere() throws {
        let run = ForwarderRun()
        let attempt = try #require(Self.ask(run, Self.asked()).attempt)
        let reply = TestMessage.reply(to: run.sent[attempt.question]!, flags: Flags.truncated, answers: [.a(Self.target, 1)])
        let told = try #require(run.reply(attempt.question, reply).replies.first?.message)
        #expect(told.isTruncated && told.answers.count == 2)
    }

    @Test func whatDoesNotFitIsCutShort() throws {
        let run = ForwarderRun()
        let asked = Self.asked(withEDNS: false)
        let attempt = try #require(Self.ask(run, asked).attempt)
        let records = (0..<60).map { TestMessage.Record.a(Self.target, $0) }
        let told = try #require(
            run.reply(attempt.question, TestMessage.reply(to: run.sent[attempt.question]!, answers: records)).replies.first?.message)
        #expect(told.isTruncated && told.isWhole && told.bytes.count <= 512 && told.bytes.count > 480)
        let whole = try #require(Self.ask(run, asked, .tcp).answer)
        #expect(!whole.isTruncated && whole.answers.count == 61)
    }

    @Test func withoutUpstreamsTheAliasIsToldAsItIs() throws {
        let run = ForwarderRun(0)
        let told = try #require(Self.ask(run, Self.asked()).answer)
        #expect(told.bytes == Self.made(Self.asked()).bytes)
    }

    @Test func noMoreThan64WaitAtATime() throws {
        let run = ForwarderRun()
        for round in 0..<2 {
            let attempt = try #require(Self.ask(run, Self.asked()).attempt)
            for _ in 1..<64 { #expect(Self.ask(run, Self.asked()).isWaiting) }
            #expect(Self.ask(run, Self.asked()).answer?.answers.count == 1)
            // Not kept, so that the next round asks again.
            let reply = TestMessage.reply(to: run.sent[attempt.question]!, answers: [.a(Self.target, UInt8(round), ttl: 0)])
            let result = run.reply(attempt.question, reply)
            #expect(result.replies.count == 64 && result.replies.allSatisfy { $0.message.answers.count == 2 })
        }
    }
}
