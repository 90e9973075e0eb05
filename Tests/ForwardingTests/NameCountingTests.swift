import Testing

@testable import Forwarding

struct NameCountingTests {
    /// An answer with one record to a question for A of `a.`.
    private static let answer: [UInt8] =
        [0x12, 0x34, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0x61, 0, 0, 1, 0, 1] + [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1]
    private static let opt: [UInt8] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]

    private static func truncated(_ message: [UInt8]) -> [UInt8] {
        var message = message
        let count = message.count
        var span = message.mutableSpan
        let length = MessageFacts.truncate(&span, count)
        return Array(message.prefix(length))
    }

    @Test func whatIsCutKeepsTheQuestionAndOPT() {
        let question: [UInt8] = [0x12, 0x34, 0x86, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 0, 0, 1, 0, 1]
        #expect(Self.truncated(Self.answer) == question)
        var withOPT = Self.answer + Self.opt
        withOPT[11] = 1
        var expected = question + Self.opt
        expected[11] = 1
        #expect(Self.truncated(withOPT) == expected)
        #expect(Self.truncated(expected) == expected, "nothing to cut")
        #expect(Self.truncated(Array(Self.answer.prefix(12))).count == 12, "no question")
    }

    @Test(
        arguments: [
            (0, 0), (1, 0), (250_000, 0), (250_001, 1), (500_000, 1), (500_001, 2), (1_000_000, 2), (1_000_001, 3), (8_192_000_000, 15),
            (8_192_000_001, 16), (UInt64.max, 16),
        ] as [(UInt64, Int)])
    func timesOfRepliesAreCountedUpToTheirBound(nanoseconds: UInt64, index: Int) {
        #expect(ReplyTime.index(of: nanoseconds) == index)
        let bounds = ReplyTime.bounds
        #expect(bounds.count == ReplyTime.count - 1 && bounds.first == 0.00025)
        if index < bounds.count { #expect(Double(nanoseconds) / 1e9 <= bounds[index]) }
        if index > 0 { #expect(Double(nanoseconds) / 1e9 > bounds[index - 1]) }
    }
}
