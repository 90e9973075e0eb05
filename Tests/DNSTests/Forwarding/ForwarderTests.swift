import Addressing
import Testing

@testable import DNS

struct ForwarderTests {
    private static let name = "www.example.com"

    @Test func aReplyIsToldAsTheClientWantsIt() throws {
        let run = ForwarderRun()
        var asked = TestMessage(id: 0xbeef, flags: Flags.recursionDesired | Flags.checkingDisabled, name: "WwW.eXample.com")
        asked.additionals = [.opt()]
        let attempt = try #require(run.ask(asked).attempt)
        let question = ReadMessage(try #require(run.sent[attempt.question]))
        #expect(question.name == Self.name && question.id != 0xbeef && question.isWhole)
        #expect(question.flags == Flags.recursionDesired | Flags.checkingDisabled | Flags.authentic)
        #expect(question.opt?.data == [] && attempt.server == SocketAddress("192.0.2.1:53") && attempt.transport == .udp)

        let reply = TestMessage.reply(to: question.bytes, flags: Flags.authentic | Flags.authoritative, answers: [.a(Self.name, 7)])
        let result = run.reply(attempt.question, reply)
        let told = try #require(result.replies.first?.message)
        #expect(result.replies.count == 1 && result.isOver && run.active == 0)
        #expect(told.id == 0xbeef && told.name == "WwW.eXample.com" && told.isWhole)
        let flags = Flags.response | Flags.recursionDesired | Flags.recursionAvailable | Flags.checkingDisabled
        #expect(told.flags == flags)
        #expect(told.answers.map(\.data) == [[192, 0, 2, 7]] && told.answers[0].name == "WwW.eXample.com")
        #expect(told.opt != nil && told.additionals.count == 1)
    }

    @Test func whatIsKnownIsToldAtOnceAndGrowsOlder() throws {
        let run = ForwarderRun()
        let attempt = try #require(run.ask().attempt)
        let records: [TestMessage.Record] = [.a(Self.name, 1, ttl: 10), .a(Self.name, 2, ttl: 5000)]
        _ = run.reply(attempt.question, TestMessage.reply(to: run.sent[attempt.question]!, answers: records))
        run.pass(4)
        let told = try #require(run.ask(TestMessage(id: 9, name: "www.EXAMPLE.com")).answer)
        #expect(told.answers.map(\.ttl) == [6, 3596] && told.id == 9 && told.name == "www.EXAMPLE.com" && told.opt == nil)
        run.pass(6)
        #expect(run.ask().attempt != nil)
        #expect(run.counts.successHits == 1 && run.counts.misses == 2 && run.cached == 1)
    }

    @Test func denialsAreKeptForAsLongAsTheirSOASays() throws {
        let run = ForwarderRun()
        let attempt = try #require(run.ask().attempt)
        let soa = TestMessage.Record.soa("example.com", ttl: 9000, minimum: 5000)
        let result = run.reply(
            attempt.question, TestMessage.reply(to: run.sent[attempt.question]!, code: 3, authorities: [soa]))
        #expect(result.replies.first?.message.code == 3)
        run.pass(1799)
        let told = try #require(run.ask().answer)
        #expect(told.code == 3 && told.authorities.map(\.ttl) == [1] && run.counts.denialHits == 1)
        run.pass(1)
        #expect(run.ask().attempt != nil)
    }

    @Test func aQuestionUnderWayIsAskedOnce() throws {
        let run = ForwarderRun()
        let attempt = try #require(run.ask(TestMessage(id: 1)).attempt)
        #expect(run.ask(TestMessage(id: 2, name: "WWW.example.com")).isWaiting)
        // Other questions: DO, another type, without recursion.
        var secured = TestMessage(id: 3)
        secured.additionals = [TestMessage.Record(name: ".", type: .opt, ttl: 0x8000, data: [])]
        #expect(run.ask(secured).attempt != nil)
        #expect(run.ask(Self.name, .aaaa).attempt != nil)
        #expect(run.ask(TestMessage(flags: 0)).attempt != nil)
        let result = run.reply(attempt.question, TestMessage.reply(to: run.sent[attempt.question]!, answers: [.a(Self.name, 1)]))
        #expect(result.replies.map(\.message.id) == [1, 2])
        #expect(result.replies.map(\.message.name) == ["www.example.com", "WWW.example.com"])
        #expect(run.counts.joined == 1 && run.active == 3 && run.waiting == 3)
    }

    @Test func strangersAreNotHeard() throws {
        let run = ForwarderRun()
        let attempt = try #require(run.ask().attempt)
        var forged = TestMessage.reply(to: run.sent[attempt.question]!, answers: [.a(Self.name, 66)])
        forged[1] ^= 1
        for bytes in [forged, [], [0], TestMessage.reply(to: TestMessage(name: "other.example").wire)] {
            let result = run.reply(attempt.question, bytes)
            #expect(result.replies.isEmpty && result.next == nil && !result.isOver)
        }
        #expect(run.counts.foreign == 4 && run.waiting == 1)
    }

    @Test func theNextServerIsAskedAndAfterAllOfThemItFails() throws {
        let run = ForwarderRun(2)
        let first = try #require(run.ask().attempt)
        #expect(first.deadline == run.now + 1_500_000_000)
        run.pass(1.5)
        let firstID = ReadMessage(run.sent[first.question]!).id
        let second = try #require(run.timeOut(first.question).next)
        #expect(second.server != first.server && ReadMessage(run.sent[first.question]!).id != firstID)
        // A reply to the first attempt comes too late.
        let late = TestMessage(id: firstID, flags: 0x8180, answers: [.a(Self.name, 1)]).wire
        #expect(!run.reply(first.question, late).isOver)
        run.pass(1.5)
        let third = try #require(run.timeOut(second.question).next)
        run.pass(1.5)
        let result = run.timeOut(third.question)
        #expect(result.isOver && result.replies.map(\.message.code) == [2] && run.active == 0 && run.counts.timeouts == 3)
    }

    @Test func whoCanNotBeReachedIsPassedOverAtOnce() throws {
        let run = ForwarderRun(2)
        let first = try #require(run.ask().attempt)
        let second = try #require(run.unreachable(first.question).next)
        #expect(second.server != first.server)
        let result = run.unreachable(second.question)
        #expect(result.isOver && result.replies.map(\.message.code) == [2])
    }

    @Test func aRefusalIsToldWhenAllRefuse() throws {
        let run = ForwarderRun(2)
        let first = try #require(run.ask().attempt)
        let second = try #require(run.reply(first.question, TestMessage.reply(to: run.sent[first.question]!, code: 5)).next)
        let result = run.reply(second.question, TestMessage.reply(to: run.sent[second.question]!, code: 5))
        #expect(result.replies.map(\.message.code) == [5] && run.cached == 0)
    }

    @Test func aFailureIsKeptForASecond() throws {
        let run = ForwarderRun()
        let first = try #require(run.ask().attempt)
        let failed = TestMessage.reply(to: run.sent[first.question]!, code: 2)
        #expect(run.reply(first.question, failed).replies.map(\.message.code) == [2])
        #expect(run.ask().answer?.code == 2)
        run.pass(1)
        #expect(run.ask().attempt != nil)
    }

    @Test func whoDoesNotKnowEDNSIsAskedWithout() throws {
        let run = ForwarderRun()
        let first = try #require(run.ask().attempt)
        let bare = Array(run.sent[first.question]!.prefix(2)) + [0x81, 0x81] + [UInt8](repeating: 0, count: 8)
        let second = try #require(run.reply(first.question, bare).next)
        let question = ReadMessage(run.sent[second.question]!)
        #expect(question.opt == nil && question.isWhole && second.server == first.server)
        let reply = TestMessage.reply(to: question.bytes, answers: [.a(Self.name, 1)], additionals: [])
        #expect(run.reply(second.question, reply).replies.map(\.message.code) == [0])
    }

    @Test func whatIsCutShortIsAskedOverTCPForThoseWhoCanTakeIt() throws {
        let run = ForwarderRun()
        let first = try #require(run.ask(Self.name, .txt, .tcp).attempt)
        #expect(run.ask(Self.name, .txt, .udp).isWaiting && run.ask(Self.name, .txt, .tcp).isWaiting)
        let cut = TestMessage.reply(to: run.sent[first.question]!, flags: Flags.truncated)
        let partly = run.reply(first.question, cut)
        #expect(partly.replies.map(\.message.isTruncated) == [true] && partly.next?.transport == .tcp && !partly.isOver)
        #expect(partly.replies.map(\.client) == [2] && run.cached == 0)
        let whole = TestMessage.reply(to: run.sent[first.question]!, answers: [.text(Self.name, 4096)])
        let result = run.reply(first.question, whole)
        #expect(result.isOver && result.replies.map(\.client) == [1, 3])
        #expect(result.replies.allSatisfy { !$0.message.isTruncated && $0.message.answers.first?.data.count == 4096 })
        // It is kept, and told by UDP as far as it goes.
        #expect(run.ask(Self.name, .txt, .tcp).answer?.answers.first?.data.count == 4096)
        let short = try #require(run.ask(Self.name, .txt, .udp).answer)
        #expect(short.isTruncated && short.answers.isEmpty && short.isWhole)
    }

    @Test func aClientByUDPGetsWhatIsCutShort() throws {
        let run = ForwarderRun()
        let first = try #require(run.ask().attempt)
        let cut = TestMessage.reply(to: run.sent[first.question]!, flags: Flags.truncated, answers: [.a(Self.name, 1)])
        let result = run.reply(first.question, cut)
        #expect(result.isOver && result.replies.map(\.message.isTruncated) == [true] && result.replies[0].message.answers.count == 1)
        #expect(run.ask().attempt != nil)
    }

    @Test func recordsAreLeftOutWhereTheyDoNotFit() throws {
        let run = ForwarderRun()
        let first = try #require(run.ask(TestMessage(type: .a), .tcp).attempt)
        let records = (0..<100).map { TestMessage.Record.a(Self.name, $0) }
        let extra = (0..<100).map { TestMessage.Record.a("ns.example.com", $0) }
        _ = run.reply(first.question, TestMessage.reply(to: run.sent[first.question]!, answers: records, additionals: extra))
        let plain = try #require(run.ask(TestMessage()).answer)
        #expect(plain.isTruncated && plain.isWhole && plain.bytes.count <= 512 && plain.answers.count == (512 - 33) / 16)
        // With EDNS they fit, up to as many further ones, for which nobody need ask by TCP.
        var asked = TestMessage()
        asked.additionals = [.opt()]
        let large = try #require(run.ask(asked).answer)
        #expect(large.isTruncated && large.isWhole && large.bytes.count <= 1232 && large.answers.count == (1232 - 33 - 11) / 16)
        #expect(large.opt != nil)
        let whole = try #require(run.ask(TestMessage(), .tcp).answer)
        #expect(!whole.isTruncated && whole.answers.count == 100 && whole.additionals.count == 100)
    }

    @Test func additionalRecordsAreLeftOutWithoutAWord() throws {
        let run = ForwarderRun()
        let first = try #require(run.ask().attempt)
        let extra = (0..<100).map { TestMessage.Record.a("ns.example.com", $0) }
        let reply = TestMessage.reply(to: run.sent[first.question]!, answers: [.a(Self.name, 1)], additionals: extra + [.opt()])
        let told = try #require(run.reply(first.question, reply).replies.first?.message)
        #expect(!told.isTruncated && told.isWhole && told.bytes.count <= 512 && told.answers.count == 1 && told.additionals.count > 10)
    }

    @Test func beyondTheLimitItIsRefused() throws {
        let run = ForwarderRun { $0.questionsMax = 4 }
        for number in 0..<3 { #expect(run.ask("n\(number).example").attempt != nil) }
        #expect(run.ask("n0.example").isWaiting)
        #expect(run.ask("n9.example").answer?.code == 5)
        #expect(run.counts.rejects == 1)
        let result = run.reply(0, TestMessage.reply(to: run.sent[0]!, answers: [.a("n0.example", 1)]))
        #expect(result.replies.count == 2)
        #expect(run.ask("n9.example").attempt != nil)
    }

    @Test func withoutUpstreamsAllIsRefused() throws {
        let run = ForwarderRun(0)
        let told = try #require(run.ask(TestMessage(id: 5, name: "A.example")).answer)
        #expect(told.code == 5 && told.id == 5 && told.name == "A.example" && told.isWhole && run.active == 0)
    }

    @Test func questionsWithoutRecursionHaveAnswersOfTheirOwn() throws {
        let run = ForwarderRun()
        let attempt = try #require(run.ask().attempt)
        _ = run.reply(attempt.question, TestMessage.reply(to: run.sent[attempt.question]!, answers: [.a(Self.name, 1)]))
        let without = try #require(run.ask(TestMessage(flags: 0)).attempt)
        #expect(ReadMessage(run.sent[without.question]!).flags == Flags.authentic)
    }
}
