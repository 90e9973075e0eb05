import Histogram

/// Times in nanoseconds, gathered to three significant digits and told in microseconds.
struct Times {
    private var histogram = Histogram<UInt32>(
        lowestDiscernibleValue: 128, highestTrackableValue: nanosecondsMax, numberOfSignificantValueDigits: .three)
    private var sum = 0.0
    private var minimum = UInt64.max
    private var maximum: UInt64 = 0

    /// Ten minutes; what takes longer counts as that.
    static let nanosecondsMax: UInt64 = 600_000_000_000
    /// What a plot over percentiles needs.
    static let percentilesOfPlot: [Double] = [
        0, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 98, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999, 100,
    ]

    var count: Int { Int(histogram.totalCount) }

    mutating func record(nanoseconds: UInt64) {
        let bounded = min(nanoseconds, Self.nanosecondsMax)
        _ = histogram.record(bounded)
        sum += Double(bounded)
        minimum = min(minimum, bounded)
        maximum = max(maximum, bounded)
    }

    /// In microseconds; the ends are exact. Not a number without a time.
    func percentile(_ percentile: Double) -> Double {
        guard count > 0 else { return .nan }
        if percentile <= 0 { return Double(minimum) / 1000 }
        // A cell's upper end can lie above the greatest time that is in it.
        if percentile >= 100 { return Double(maximum) / 1000 }
        return Double(min(max(histogram.valueAtPercentile(percentile), minimum), maximum)) / 1000
    }

    /// Of what took at least so long.
    func count(atLeastNanoseconds least: UInt64) -> Int { Int(histogram.count(within: least...Self.nanosecondsMax)) }

    var summary: JSON {
        .object([
            ("minimum", .number(percentile(0))), ("mean", .number(sum / Double(count) / 1000)), ("p50", .number(percentile(50))),
            ("p90", .number(percentile(90))), ("p99", .number(percentile(99))), ("p99_9", .number(percentile(99.9))),
            ("maximum", .number(percentile(100))),
        ])
    }

    var shortSummary: JSON {
        .object([("p50", .number(percentile(50))), ("p99", .number(percentile(99))), ("maximum", .number(percentile(100)))])
    }

    var plot: JSON { .array(Self.percentilesOfPlot.map { .array([.number($0), .number(percentile($0))]) }) }
}

/// Counts of what happened, per stretch of time since the start.
struct Timeline {
    let stretchNanoseconds: UInt64
    private(set) var counts: [Int] = []

    init(stretchNanoseconds: UInt64) { self.stretchNanoseconds = stretchNanoseconds }

    mutating func count(atNanoseconds time: UInt64) {
        extend(toNanoseconds: time + 1)
        counts[Int(time / stretchNanoseconds)] += 1
    }

    /// Adds the quiet stretches up to a time.
    mutating func extend(toNanoseconds time: UInt64) {
        let needed = Int((time + stretchNanoseconds - 1) / stretchNanoseconds)
        if needed > counts.count { counts += [Int](repeating: 0, count: needed - counts.count) }
    }

    var json: JSON { .array(counts.map { .integer($0) }) }
}
