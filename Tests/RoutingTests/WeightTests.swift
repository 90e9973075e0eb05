import Addressing
import Routing
import Testing

private func group(_ selection: Selection, _ weights: [Int]) -> EndpointGroup {
    var settings = EndpointGroup.Settings()
    settings.selection = selection
    return EndpointGroup(
        service: ServicePortName(namespace: "default", name: "web", port: "", transport: .tcp), settings: settings,
        endpoints: weights.enumerated().map {
            Endpoint(SocketAddress(IPAddress(ipv4: 0x0a00_0001 + UInt32($0.offset)), PortNumber(8080)!), weight: $0.element)
        })
}

/// How far counts are from the shares that weights say.
private func chiSquared(_ counts: [Int], _ weights: [Int]) -> Double {
    let total = Double(counts.reduce(0, +))
    let sum = Double(weights.reduce(0, +))
    return zip(counts, weights).reduce(0) { result, pair in
        guard pair.1 > 0 else { return pair.0 == 0 ? result : .infinity }
        let expected = total * Double(pair.1) / sum
        return result + (Double(pair.0) - expected) * (Double(pair.0) - expected) / expected
    }
}

/// Endpoints with weights, under every algorithm.
@Suite struct WeightTests {
    static let lists = [[1, 2, 3], [5, 1, 1], [256, 1, 128, 64], [3, 0, 3], [0, 7], [1, 0, 0, 9, 4, 4, 2], [2, 4, 6, 8]]
    /// Chi-squared is above these once in a thousand, by the number of weights above 0, less one; seeds are fixed.
    static let critical = [0.001, 10.83, 13.82, 16.27, 18.47]

    private func bound(_ weights: [Int]) -> Double { Self.critical[weights.count { $0 > 0 } - 1] }

    @Test(arguments: lists)
    func chanceFollowsTheWeights(_ weights: [Int]) {
        let group = group(.random, weights)
        var random = RandomSource(seed: 11)
        var counts = [Int](repeating: 0, count: weights.count)
        for _ in 0..<50_000 { counts[group.choose(client: nil, tried: Tried(), random: &random)!] += 1 }
        #expect(chiSquared(counts, weights) < bound(weights), "counts \(counts)")
    }

    @Test(arguments: lists)
    func hashingFollowsTheWeights(_ weights: [Int]) {
        let group = group(.clientIP, weights)
        var random = RandomSource(seed: 0)
        var counts = [Int](repeating: 0, count: weights.count)
        for number in 0..<50_000 { counts[group.choose(client: client(number), tried: Tried(), random: &random)!] += 1 }
        #expect(chiSquared(counts, weights) < bound(weights), "counts \(counts)")
    }

    @Test(arguments: lists)
    func aRoundIsExactAndSpreadOut(_ weights: [Int]) {
        let group = group(.roundRobin, weights)
        let sum = weights.reduce(0, +)
        for worker in 0..<3 {
            var turn = Turn(worker: worker, of: 3)
            var random = RandomSource(seed: 0)
            var counts = [Int](repeating: 0, count: weights.count)
            var farthest = 0.0
            for turns in 1...sum {
                counts[group.choose(client: nil, tried: Tried(), turn: &turn, random: &random, connectionsActive: { _ in 0 })!] += 1
                // At no time is anybody far from its share.
                for (count, weight) in zip(counts, weights) {
                    let share = Double(turns * weight) / Double(sum)
                    farthest = max(farthest, abs(Double(count) - share))
                }
            }
            #expect(counts == weights && farthest < 4, "worker \(worker): \(farthest)")
        }
    }

    @Test(arguments: lists)
    func openConnectionsFollowTheWeights(_ weights: [Int]) {
        let group = group(.leastConnections, weights)
        var turn = Turn()
        var random = RandomSource(seed: 13)
        var active = [Int](repeating: 0, count: weights.count)
        for _ in 0..<20_000 {
            active[group.choose(client: nil, tried: Tried(), turn: &turn, random: &random, connectionsActive: { active[$0] })!] += 1
        }
        let sum = weights.reduce(0, +)
        for (count, weight) in zip(active, weights) {
            let share = Double(20_000 * weight) / Double(sum)
            #expect(abs(Double(count) - share) <= max(share * 0.05, 25), "\(active) of \(weights)")
        }
    }

    @Test(arguments: Selection.allCases)
    func weightZeroGetsNothingAndAllZeroIsAnEmptyGroup(_ selection: Selection) {
        var random = RandomSource(seed: 1)
        var tried = Tried()
        let some = group(selection, [0, 1, 0, 1])
        var seen: Set<Int> = []
        while let choice = some.choose(client: client(1), tried: tried, random: &random) {
            #expect(seen.insert(choice).inserted)
            tried.insert(some.endpoints[choice].identity)
        }
        #expect(seen == [1, 3] && !some.isEmpty)
        let none = group(selection, [0, 0])
        #expect(none.isEmpty && none.choose(client: client(1), tried: Tried(), random: &random) == nil)
    }

    @Test(arguments: Selection.allCases)
    func equalWeightsAreNoWeights(_ selection: Selection) {
        let plain = group(selection, [1, 1, 1, 1])
        let heavy = group(selection, [7, 7, 7, 7])
        var first = RandomSource(seed: 5)
        var second = RandomSource(seed: 5)
        for number in 0..<500 {
            #expect(
                plain.choose(client: client(number), tried: Tried(), random: &first)
                    == heavy.choose(client: client(number), tried: Tried(), random: &second))
        }
    }

    @Test func whatIsTriedAgainFollowsTheWeightsOfTheRest() {
        let group = group(.random, [100, 1, 3])
        var random = RandomSource(seed: 2)
        var tried = Tried()
        tried.insert(group.endpoints[0].identity)
        var counts = [0, 0, 0]
        for _ in 0..<40_000 { counts[group.choose(client: nil, tried: tried, random: &random)!] += 1 }
        #expect(chiSquared(counts, [0, 1, 3]) < Self.critical[1], "\(counts)")
    }

    // MARK: Hashing with weights

    @Test func weightedRendezvousIsPinnedAcrossReleasesAndMachines() {
        // Nodes must agree: these values may change only with a note to users.
        let group = group(.clientIP, [1, 5, 2, 0, 9, 3, 3, 1, 4])
        var random = RandomSource(seed: 0)
        let chosen = (0..<24).map { group.choose(client: client($0 * 7), tried: Tried(), random: &random)! }
        #expect(chosen == pinnedChoices)
        #expect(
            [0, 1 << 12, 0x8000_0000_0000_0000, 0xb504_f333_f9de_6484, .max].map { Mixer.negativeLogarithm($0).bitPattern }
                == pinnedLogarithms)
    }

    @Test func theLogarithmIsOne() {
        var random = RandomSource(seed: 8)
        for _ in 0..<1000 {
            let hash = random.next()
            // e to the power of the result is the number again: (1 + x/n)^n, with n = 2^40.
            var power = 1 - Mixer.negativeLogarithm(hash) * 0x1p-40
            for _ in 0..<40 { power *= power }
            #expect(abs(power / ((Double(hash >> 12) + 0.5) * 0x1p-52) - 1) < 1e-3)
        }
    }

    /// Clients whose endpoint differs between two lists of weights, by where they came from and went to.
    private func moves(_ before: [Int], _ after: [Int], clients: Int) -> [(from: Int, to: Int)] {
        let old = group(.clientIP, before)
        let new = group(.clientIP, after)
        var random = RandomSource(seed: 0)
        return (0..<clients).compactMap { number in
            let from = old.choose(client: client(number), tried: Tried(), random: &random)!
            let to = new.choose(client: client(number), tried: Tried(), random: &random)!
            return from == to ? nil : (from, to)
        }
    }

    @Test func aChangedWeightMovesOnlyItsShare() {
        // From 1 of 5 to 3 of 7: 3/7 - 1/5 = 22.9 % come, nobody else moves.
        let more = moves([1, 2, 1, 1], [3, 2, 1, 1], clients: 20_000)
        #expect(more.allSatisfy { $0.to == 0 })
        #expect((4_350...4_790).contains(more.count), "\(more.count)")
        let fewer = moves([3, 2, 1, 1], [1, 2, 1, 1], clients: 20_000)
        #expect(fewer.allSatisfy { $0.from == 0 } && fewer.count == more.count)
        // Nor where one list has weights and the other none.
        let first = moves([1, 1, 1, 1], [1, 1, 2, 1], clients: 20_000)
        #expect(first.allSatisfy { $0.to == 2 })
        #expect((2_800...3_200).contains(first.count), "\(first.count)")
        let none = moves([1, 1, 1, 1], [1, 0, 1, 1], clients: 20_000)
        #expect(none.allSatisfy { $0.from == 1 })
        #expect((4_800...5_200).contains(none.count), "\(none.count)")
    }
}

private let pinnedChoices = [6, 8, 8, 8, 4, 8, 8, 4, 6, 1, 7, 1, 8, 7, 1, 1, 4, 8, 6, 8, 1, 4, 6, 2]
private let pinnedLogarithms: [UInt64] = [
    4_630_367_062_351_886_330, 4_630_212_446_417_702_881, 4_604_418_534_313_441_773, 4_599_914_934_686_071_277, 4_368_491_638_549_381_120,
]
