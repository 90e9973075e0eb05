import Glibc

/// When requests are due, in nanoseconds from the start: a sequence fixed by its seed, so that every target meets the same one.
struct Schedule: Sequence, IteratorProtocol {
    /// Requests a second, on average.
    let rate: Double
    let arrivals: Arrivals
    /// The first moment that is past the schedule.
    let endNanoseconds: UInt64
    /// Requests are due at multiples of this: those of one such time together, at its end. 0: each at its own moment.
    let gatherNanoseconds: UInt64
    private var random: SplitMix64
    private var now: Double = 0

    init(rate: Double, arrivals: Arrivals, seed: UInt64, endNanoseconds: UInt64, gatherNanoseconds: UInt64 = 0) {
        precondition(rate > 0, "a schedule has a rate")
        self.rate = rate
        self.arrivals = arrivals
        self.endNanoseconds = endNanoseconds
        self.gatherNanoseconds = gatherNanoseconds
        random = SplitMix64(seed: seed)
    }

    mutating func next() -> UInt64? {
        let mean = 1e9 / rate
        switch arrivals {
        case .uniform: now += mean
        // The gaps of a Poisson process are exponential; 1 - u is never 0.
        case .poisson: now -= mean * log(1 - random.nextUnit())
        }
        guard now < Double(endNanoseconds) else { return nil }
        guard gatherNanoseconds > 0 else { return UInt64(now) }
        let due = (UInt64(now) / gatherNanoseconds + 1) * gatherNanoseconds
        return due < endNanoseconds ? due : nil
    }

    enum Arrivals: String, CaseIterable {
        /// As independent clients send: a Poisson process.
        case poisson
        /// At equal distances.
        case uniform
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and a mix, the same numbers everywhere.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// At least 0 and less than 1.
    mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
