/// Weights as tables for the choice by lot and by turns, made once with the group and never changed.
struct WeightTable: Sendable {
    /// A column of the alias table: below `threshold` of `total` it stands for itself, above for `other`.
    private struct Column: BitwiseCopyable {
        var threshold: Int
        var other: Int
    }

    /// The sum of all weights, freed of their common divisor. A round by turns has as many places.
    let total: Int
    private let columns: [Column]
    /// The sum of the weights up to and including each.
    private let cumulative: [Int]
    /// How far apart in `cumulative` two turns in a row are.
    private let stride: Int

    /// nil where all weights are alike and above 0, and no table is needed.
    init?(_ weights: [UInt16]) {
        guard let first = weights.first, first == 0 || weights.contains(where: { $0 != first }) else { return nil }
        let divisor = max(1, weights.reduce(0) { Self.commonDivisor($0, Int($1)) })
        let weights = weights.map { Int($0) / divisor }
        var sum = 0
        cumulative = weights.map { weight in
            sum += weight
            return sum
        }
        total = sum
        columns = Self.columns(weights, total: sum)
        stride = Self.stride(sum)
    }

    /// A place by lot, in constant time (Walker 1974, Vose 1991); `total` is above 0.
    func draw(_ random: inout RandomSource) -> Int {
        let index = random.below(columns.count)
        let column = columns[index]
        return random.below(total) < column.threshold ? index : column.other
    }

    /// Who has the turn at that place of a round of `total`: over the round each as often as its weight says, and spread out.
    func turn(_ place: Int) -> Int {
        let position = place * stride % total
        var low = 0
        var high = cumulative.count - 1
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] > position { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Fills each column with one weight and the rest of a larger one. Whole numbers, so the shares are exact.
    private static func columns(_ weights: [Int], total: Int) -> [Column] {
        var columns = weights.indices.map { Column(threshold: total, other: $0) }
        var left = weights.map { $0 * weights.count }
        var small = weights.indices.filter { left[$0] < total }
        var large = weights.indices.filter { left[$0] >= total }
        while let filled = small.popLast(), let giver = large.last {
            columns[filled] = Column(threshold: left[filled], other: giver)
            left[giver] -= total - left[filled]
            if left[giver] < total {
                large.removeLast()
                small.append(giver)
            }
        }
        return columns
    }

    /// A step through `total` places that meets each of them once (they have no common divisor) and whose multiples stay apart:
    /// as near as can be to the golden section.
    private static func stride(_ total: Int) -> Int {
        let golden = total * 618_034 / 1_000_000
        for distance in 0...max(1, total) {
            for step in [golden - distance, golden + distance] where step > 0 && commonDivisor(step, total) == 1 { return step }
        }
        return 1
    }

    private static func commonDivisor(_ a: Int, _ b: Int) -> Int {
        var (a, b) = (a, b)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
