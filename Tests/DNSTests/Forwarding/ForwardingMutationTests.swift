import Testing

@testable import DNS

/// Replies of upstreams that nobody would send, from seeds: nothing traps, and what is told is a message.
struct ForwardingMutationTests {
    private static func replies(to question: [UInt8]) -> [[UInt8]] {
        let name = ReadMessage(question).name
        return [
            TestMessage.reply(to: question, answers: [.a(name, 1), .a(name, 2)]),
            TestMessage.reply(
                to: question, answers: [.cname(name, "edge.example.net", ttl: 9), .a("edge.example.net", 3)],
                authorities: [.soa("example.net", ttl: 60, minimum: 9)], additionals: [.a("ns.example.net", 4), .opt(), .a("x", 1)]),
            TestMessage.reply(to: question, code: 3, authorities: [.soa("example.com", ttl: 60, minimum: 9)]),
            TestMessage.reply(to: question, flags: Flags.truncated, answers: (0..<40).map { .a(name, $0) }),
            TestMessage.reply(to: question, code: 2),
        ]
    }

    private static func mutate(_ bytes: [UInt8], _ random: inout TestRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0...random.below(4) {
            // The id stays mostly, or nothing would be looked at.
            let position = min(bytes.count - 1, random.below(10) == 0 ? random.below(12) : 2 + random.below(max(1, bytes.count - 2)))
            guard position >= 0 else { break }
            switch random.below(6) {
            case 0: bytes[position] ^= 1 << UInt8(random.below(8))
            case 1: bytes[position] = UInt8(random.below(256))
            case 2: bytes.removeSubrange(position...)
            case 3: bytes.insert(contentsOf: [0xc0, UInt8(random.below(256))], at: position)
            case 4: bytes.append(contentsOf: bytes[position...].prefix(30))
            default: bytes[position] = [0, 0xff, 0xc0, 0x3f, 0x40][random.below(5)]
            }
        }
        return bytes
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func noReplyIsTooStrange(_ seed: UInt64) throws {
        var random = TestRandom(seed)
        let run = ForwarderRun(3) { $0.questionsMax = 32 }
        var told = 0
        for turn in 0..<400 {
            let type: RecordType = [.a, .txt, .any, .soa][random.below(4)]
            let asked = TestMessage(
                name: "N\(random.below(40)).example.com", type: type, additionals: random.below(2) == 0 ? [.opt()] : [])
            let transport: QueryTransport = random.below(3) == 0 ? .tcp : .udp
            var outcome: ForwarderRun.Outcome
            if random.below(3) == 0 {
                var made = asked
                made.flags = 0x8580
                made.answers = [.cname(asked.name, "t\(random.below(20)).example.net", ttl: 5)]
                let target = 12 + wireName(asked.name).count + 4 + 12
                outcome = run.askForAlias(asked, answered: made.wire, target: target, transport)
            } else {
                outcome = run.ask(asked, transport)
            }
            if let answer = outcome.answer { #expect(answer.isWhole) }
            var row = outcome.attempt?.question
            var steps = 0
            while let asking = row {
                steps += 1
                try #require(steps < 40)
                let good = Self.replies(to: run.sent[asking]!)[random.below(5)]
                let result =
                    switch random.below(6) {
                    case 0: run.timeOut(asking)
                    case 1: run.unreachable(asking)
                    case 2: run.reply(asking, good)
                    default: run.reply(asking, Self.mutate(good, &random))
                    }
                for (_, message) in result.replies {
                    told += 1
                    #expect(message.isWhole && message.flags & Flags.response != 0)
                }
                if result.isOver { row = nil }
            }
            if turn % 7 == 0 { run.pass(Double(random.below(20))) }
            while let probe = run.takeProbe() { _ = run.unreachable(probe.question) }
        }
        #expect(run.active == 0 && run.waiting == 0)
        #expect(told > 100 && run.counts.foreign > 20)
    }
}
