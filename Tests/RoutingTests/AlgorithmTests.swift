import Addressing
import Routing
import Testing

/// Round robin and least connections.
@Suite struct AlgorithmTests {
    // MARK: Round robin

    private func round(_ group: EndpointGroup, _ turn: inout Turn, _ count: Int) -> [Int] {
        var random = RandomSource(seed: 1)
        return (0..<count).map { _ in
            group.choose(client: nil, tried: Tried(), turn: &turn, random: &random, connectionsActive: { _ in 0 })!
        }
    }

    @Test(arguments: [1, 2, 3, 7])
    func everyWorkerGoesRoundExactly(_ workers: Int) {
        let group = group(5, .roundRobin)
        var starts: Set<Int> = []
        for worker in 0..<workers {
            var turn = Turn(worker: worker, of: workers)
            let choices = round(group, &turn, 15)
            starts.insert(choices[0])
            for cycle in 0..<3 { #expect(choices[cycle * 5..<cycle * 5 + 5].sorted() == [0, 1, 2, 3, 4]) }
        }
        #expect(starts.count == min(workers, 5))
    }

    @Test func aRoundGoesOnWithAnotherGroup() {
        var turn = Turn(worker: 1, of: 2)
        _ = round(group(9, .roundRobin), &turn, 8)
        #expect(round(group(3, .roundRobin), &turn, 6).sorted() == [0, 0, 1, 1, 2, 2])
        #expect(round(group(1, .roundRobin), &turn, 2) == [0, 0])
        #expect(round(group(4, .roundRobin), &turn, 4).sorted() == [0, 1, 2, 3])
    }

    @Test func aFurtherAttemptTakesNobodysTurn() {
        let group = group(4, .roundRobin)
        var turn = Turn()
        var random = RandomSource(seed: 7)
        var tried = Tried()
        let first = round(group, &turn, 1)[0]
        tried.insert(group.endpoints[first].identity)
        var others: Set<Int> = []
        for _ in 0..<50 {
            others.insert(group.choose(client: nil, tried: tried, turn: &turn, random: &random, connectionsActive: { _ in 0 })!)
        }
        #expect(others == Set(0..<4).subtracting([first]))
        #expect(round(group, &turn, 3) == [1, 2, 3])
    }

    // MARK: Least connections

    @Test func ofTwoTheOneWithFewerConnectionsIsChosen() {
        let group = group(2, .leastConnections)
        var turn = Turn()
        var random = RandomSource(seed: 3)
        for _ in 0..<100 {
            #expect(group.choose(client: nil, tried: Tried(), turn: &turn, random: &random, connectionsActive: { [4, 3][$0] }) == 1)
        }
    }

    @Test func theBusiestIsNeverChosenAndEvenOnesAlike() {
        let group = group(4, .leastConnections)
        var turn = Turn()
        var random = RandomSource(seed: 5)
        var counts = [Int](repeating: 0, count: 4)
        for _ in 0..<30_000 {
            counts[group.choose(client: nil, tried: Tried(), turn: &turn, random: &random, connectionsActive: { $0 == 2 ? 1 : 0 })!] += 1
        }
        #expect(counts[2] == 0)
        #expect(counts.enumerated().allSatisfy { $0.offset == 2 || (9_500...10_500).contains($0.element) }, "\(counts)")
    }

    /// Connections that last very differently, one endpoint three times as long as the others: how far the fullest endpoint is
    /// above the mean, over time.
    private func excess(_ selection: Selection, seed: UInt64) -> Double {
        let count = 10
        let group = group(count, selection)
        var random = RandomSource(seed: seed)
        var turn = Turn()
        var active = [Int](repeating: 0, count: count)
        var ends: [Int: [Int]] = [:]
        var sum = 0.0
        for now in 0..<40_000 {
            for endpoint in ends.removeValue(forKey: now) ?? [] { active[endpoint] -= 1 }
            let chosen = group.choose(client: nil, tried: Tried(), turn: &turn, random: &random, connectionsActive: { active[$0] })!
            active[chosen] += 1
            // Most are short, one in twenty lasts forty times as long.
            let duration = (random.below(20) == 0 ? 2_000 : 50) * (chosen == 0 ? 3 : 1)
            ends[now + duration, default: []].append(chosen)
            if now >= 10_000 { sum += Double(active.max()! * count) / Double(active.reduce(0, +)) }
        }
        return sum / 30_000
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func twoChoicesLevelWhatRandomLetsPileUp(_ seed: UInt64) {
        let random = excess(.random, seed: seed)
        let turns = excess(.roundRobin, seed: seed)
        let least = excess(.leastConnections, seed: seed)
        #expect(least < 1.2, "random \(random), round robin \(turns), least connections \(least)")
        #expect(random > 2 && turns > 2, "random \(random), round robin \(turns)")
    }
}
