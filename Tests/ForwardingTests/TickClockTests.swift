import Testing

@testable import Forwarding

private let second: UInt64 = 1_000_000_000

@Suite struct TickClockTests {
    /// Readings of the kernel's clock with the wait before each, and the worker's time that must come of it, in seconds.
    static let readings: [(name: String, steps: [(reading: UInt64, waited: UInt64, now: UInt64)])] = [
        ("a wait that is not used up", [(101, 5, 101), (102, 5, 102)]),
        ("a long wait for a timer", [(3700, 3600, 3700), (3701, 1, 3701)]),
        ("a little late", [(106, 5, 106)]),
        ("a jump of two hours is left out", [(101, 1, 101), (7301, 1, 102), (7302, 5, 103)]),
        ("and the next one, too", [(7300, 0, 100), (14_500, 0, 100), (14_501, 1, 101)]),
        ("a wait without end leaves nothing out", [(7300, .max, 7300)]),
        ("a clock that goes back stands", [(90, 5, 100), (99, 5, 100), (101, 5, 101)]),
    ]

    @Test(arguments: readings.indices)
    func timeInWhichTheWorkerDidNotRunIsLeftOut(_ index: Int) {
        let (name, steps) = Self.readings[index]
        var clock = TickClock(reading: 100 * second)
        for step in steps {
            clock.advance(to: step.reading * second, waited: step.waited == .max ? .max : step.waited * second)
            let now = clock.now
            #expect(now == step.now * second, "\(name)")
        }
    }
}
