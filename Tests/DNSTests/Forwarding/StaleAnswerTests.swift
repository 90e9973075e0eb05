import Addressing
import Testing

@testable import DNS

struct StaleAnswerTests {
    private static let name = "www.example.com"

    /// A run that knows one name, whose time is over.
    private static func run(_ servers: Int = 1, change: (inout Forwarder.Settings) -> Void = { _ in }) throws -> ForwarderRun {
        let run = ForwarderRun(servers, change: change)
        let attempt = try #require(run.ask().attempt)
        _ = run.reply(attempt.question, TestMessage.reply(to: run.sent[attempt.question]!, answers: [.a(name, 7, ttl: 5)]))
        run.pass(6)
        return run
    }

    @Test func whenAnUpstreamIsSlowClientsGetWhatWasKnown() throws {
        let run = try Self.run()
        let first = try #require(run.ask().attempt)
        run.pass(1.5)
        let result = run.timeOut(first.question)
        #expect(result.replies.map(\.message.answers.first?.ttl) == [30] && !result.isOver)
        // It is asked on, for the next client.
        let next = try #require(result.next)
        #expect(run.waiting == 0 && run.active == 1)
        _ = run.reply(next.question, TestMessage.reply(to: run.sent[next.question]!, answers: [.a(Self.name, 8, ttl: 5)]))
        #expect(run.active == 0 && run.ask().answer?.answers.first?.data.last == 8)
    }

    @Test func whileAllAreDownWhatWasKnownIsToldAtOnceForAnHour() throws {
        let run = try Self.run()
        for _ in 0..<2 {
            let other = try #require(run.ask("other.example").attempt)
            #expect(run.unreachable(other.question).isOver)
        }
        let told = try #require(run.ask().answer)
        #expect(told.code == 0 && told.answers.map(\.ttl) == [30] && run.counts.staleHits == 1)
        // It is asked on the side whether it is up again.
        #expect(run.takeProbe() == nil)
        run.pass(0.5)
        #expect(run.ask().answer != nil)
        let probe = try #require(run.takeProbe())
        #expect(ReadMessage(run.sent[probe.question]!).name == "." && ReadMessage(run.sent[probe.question]!).type == .ns)
        #expect(run.unreachable(probe.question).isOver && run.active == 0)
        #expect(run.ask().answer != nil && run.takeProbe() == nil)
        run.pass(1)
        #expect(run.ask().answer != nil)
        let again = try #require(run.takeProbe())
        #expect(run.reply(again.question, TestMessage.reply(to: run.sent[again.question]!, code: 5)).isOver)
        #expect(run.ask().attempt != nil)
    }

    @Test func afterAnHourItIsToldNoMore() throws {
        let run = try Self.run()
        for _ in 0..<2 { _ = run.unreachable(try #require(run.ask("other.example").attempt).question) }
        run.pass(3590)
        #expect(run.ask().answer?.answers.count == 1)
        run.pass(10)
        let attempt = try #require(run.ask().attempt)
        #expect(run.unreachable(attempt.question).replies.map(\.message.code) == [2])
    }

    @Test(arguments: [2, 5] as [UInt16])
    func whereUpstreamsRefuseItIsToldToo(_ code: UInt16) throws {
        let run = try Self.run()
        let attempt = try #require(run.ask().attempt)
        let result = run.reply(attempt.question, TestMessage.reply(to: run.sent[attempt.question]!, code: code))
        #expect(result.replies.map(\.message.code) == [0] && result.replies.first?.message.answers.map(\.ttl) == [30])
    }

    @Test func withoutItTheFailureIsTold() throws {
        let run = try Self.run { $0.staleMax = 0 }
        let attempt = try #require(run.ask().attempt)
        #expect(run.unreachable(attempt.question).replies.map(\.message.code) == [2])
    }
}
