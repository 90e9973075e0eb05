import Testing

@testable import Load

struct ScheduleTests {
    private func schedule(_ arrivals: Schedule.Arrivals, seed: UInt64 = 1, rate: Double = 10_000, seconds: UInt64 = 10) -> [UInt64] {
        Array(Schedule(rate: rate, arrivals: arrivals, seed: seed, endNanoseconds: seconds * 1_000_000_000))
    }

    @Test(arguments: Schedule.Arrivals.allCases) func theSameSeedGivesTheSameSchedule(arrivals: Schedule.Arrivals) {
        let first = schedule(arrivals)
        #expect(first == schedule(arrivals))
        #expect(first == first.sorted())
        #expect(first.allSatisfy { $0 < 10_000_000_000 })
    }

    @Test func aLongerScheduleBeginsAsAShorterOne() {
        let short = schedule(.poisson, seconds: 1)
        #expect(Array(schedule(.poisson, seconds: 2).prefix(short.count)) == short)
    }

    @Test func anotherSeedGivesAnotherSchedule() {
        #expect(schedule(.poisson, seed: 1) != schedule(.poisson, seed: 2))
    }

    @Test(arguments: Schedule.Arrivals.allCases) func theMeanRateIsTheAskedOne(arrivals: Schedule.Arrivals) {
        // 100,000 arrivals: the standard deviation of a Poisson process is 316.
        #expect(abs(schedule(arrivals).count - 100_000) < 1500)
    }

    @Test func poissonGapsAreExponential() {
        let times = schedule(.poisson)
        let gaps = zip(times.dropFirst(), times).map { Double($0 - $1) }
        let mean = gaps.reduce(0, +) / Double(gaps.count)
        // The share of gaps above the mean is 1/e, and above twice the mean 1/e².
        #expect(abs(Double(gaps.count { $0 > mean }) / Double(gaps.count) - 0.3679) < 0.01)
        #expect(abs(Double(gaps.count { $0 > 2 * mean }) / Double(gaps.count) - 0.1353) < 0.01)
    }

    /// Never before its own moment, and late by one multiple at most: a request is not asked for before somebody wanted it.
    @Test func gatheredRequestsAreDueAtTheNextMultiple() {
        let alone = schedule(.poisson, seconds: 1)
        let end: UInt64 = 1_000_000_000
        let gathered = Array(Schedule(rate: 10_000, arrivals: .poisson, seed: 1, endNanoseconds: end, gatherNanoseconds: 200_000))
        #expect(gathered.count > 9000 && gathered.allSatisfy { $0 % 200_000 == 0 && $0 < end })
        #expect(zip(alone, gathered).allSatisfy { $0 < $1 && $1 - $0 <= 200_000 })
        // Those of the last multiple would be due at the end.
        #expect(alone.dropFirst(gathered.count).allSatisfy { $0 >= end - 200_000 })
    }

    @Test func uniformGapsAreEqual() {
        let times = schedule(.uniform)
        #expect(zip(times.dropFirst(), times).allSatisfy { (99_999...100_001).contains($0 - $1) })
    }
}
