import Addressing
import Routing
import Testing

/// Endpoints that are passed over, under every algorithm.
@Suite struct PassingOverTests {
    private static func group(_ selection: Selection, weights: [Int]) -> EndpointGroup {
        var settings = EndpointGroup.Settings()
        settings.selection = selection
        return EndpointGroup(
            service: ServicePortName(namespace: "default", name: "web", port: "", transport: .tcp), settings: settings,
            endpoints: weights.enumerated().map {
                Endpoint(SocketAddress(IPAddress(ipv4: 0x0a00_0001 + UInt32($0.offset)), PortNumber(8080)!), weight: $0.element)
            })
    }

    /// How often each endpoint is chosen by as many clients, one attempt each, with those in `unwell` passed over.
    private static func counts(
        _ group: EndpointGroup, unwell: Set<Int>, choices: Int = 6000, tried: Tried = Tried(), load: (Int) -> Int = { _ in 0 }
    ) -> [Int] {
        var random = RandomSource(seed: 5)
        var turn = Turn()
        var counts = [Int](repeating: 0, count: group.endpoints.count)
        for number in 0..<choices {
            let choice = group.choose(
                client: client(number), tried: tried, turn: &turn, random: &random, connectionsActive: load, passesOver: true,
                isUsable: { !unwell.contains($0) })
            if let choice { counts[choice] += 1 }
        }
        return counts
    }

    @Test(arguments: Selection.allCases, [[1, 1, 1, 1], [1, 2, 3, 2]])
    func theOthersShareByTheirWeights(_ selection: Selection, _ weights: [Int]) {
        let counts = Self.counts(Self.group(selection, weights: weights), unwell: [2])
        let left = weights[0] + weights[1] + weights[3]
        #expect(counts[2] == 0 && counts.reduce(0, +) == 6000)
        for index in [0, 1, 3] {
            let expected = Double(6000 * weights[index]) / Double(left)
            // With least connections and even loads, the weights alone don't decide: one of weight 2 wins against one of weight 1.
            guard selection != .leastConnections || weights[0] == weights[1] else { continue }
            #expect(abs(Double(counts[index]) - expected) < expected * 0.1, "\(selection): \(counts)")
        }
    }

    @Test(arguments: Selection.allCases)
    func withNoneLeftAllAreUsed(_ selection: Selection) {
        let counts = Self.counts(Self.group(selection, weights: [1, 1, 1]), unwell: [0, 1, 2])
        #expect(counts.allSatisfy { (1800...2200).contains($0) }, "\(selection): \(counts)")
        #expect(Self.counts(Self.group(selection, weights: [1, 1]), unwell: [0, 1]).allSatisfy { (2700...3300).contains($0) })
    }

    /// What has weight 0 is never used, so it is no one that is left.
    @Test(arguments: Selection.allCases)
    func weightZeroIsNotLeft(_ selection: Selection) {
        let counts = Self.counts(Self.group(selection, weights: [1, 0, 1]), unwell: [0, 2])
        #expect(counts[1] == 0 && counts.reduce(0, +) == 6000 && counts[0] > 2500 && counts[2] > 2500, "\(selection): \(counts)")
        #expect(Self.counts(Self.group(selection, weights: [0, 0]), unwell: [0]) == [0, 0])
    }

    /// Better one that was passed over than none: but only after those that are well.
    @Test(arguments: Selection.allCases)
    func whatIsPassedOverIsTheLastResort(_ selection: Selection) {
        let group = Self.group(selection, weights: [1, 1, 1])
        var tried = Tried()
        tried.insert(group.endpoints[0].identity)
        #expect(Self.counts(group, unwell: [1], tried: tried) == [0, 0, 6000])
        tried.insert(group.endpoints[2].identity)
        #expect(Self.counts(group, unwell: [1], tried: tried) == [0, 6000, 0])
        tried.insert(group.endpoints[1].identity)
        #expect(Self.counts(group, unwell: [1], tried: tried) == [0, 0, 0])
    }

    @Test(arguments: Selection.allCases)
    func withAllWellNothingIsDifferent(_ selection: Selection) {
        for weights in [[1, 1, 1], [3, 1, 2]] {
            let group = Self.group(selection, weights: weights)
            var (random, other) = (RandomSource(seed: 9), RandomSource(seed: 9))
            var (turn, otherTurn) = (Turn(), Turn())
            for number in 0..<300 {
                let looked = group.choose(
                    client: client(number), tried: Tried(), turn: &turn, random: &random, connectionsActive: { $0 }, passesOver: true,
                    isUsable: { _ in true })
                let plain = group.choose(
                    client: client(number), tried: Tried(), turn: &otherTurn, random: &other, connectionsActive: { $0 })
                #expect(looked == plain)
            }
        }
    }

    @Test func roundRobinKeepsTheTurnsOfTheOthersEven() {
        let counts = Self.counts(Self.group(.roundRobin, weights: [1, 1, 1]), unwell: [1], choices: 3000)
        // Each has its thousand turns, and about half of those of the one that is passed over.
        #expect(counts[0] > 1400 && counts[2] > 1400 && counts[0] + counts[2] == 3000, "\(counts)")
    }

    @Test func hashingMovesOnlyTheClientsOfWhatIsPassedOverAndTheyComeBack() {
        for weights in [[1, 1, 1, 1, 1], [1, 2, 3, 4, 5]] {
            let group = Self.group(.clientIP, weights: weights)
            var random = RandomSource(seed: 0)
            var moved = 0
            for number in 0..<2000 {
                func choice(_ unwell: Int?) -> Int? {
                    var turn = Turn()
                    return group.choose(
                        client: client(number), tried: Tried(), turn: &turn, random: &random, connectionsActive: { _ in 0 },
                        passesOver: true, isUsable: { $0 != unwell })
                }
                let home = choice(nil)
                let away = choice(3)
                if home == 3 { moved += 1 } else { #expect(away == home) }
                #expect(away != 3 && choice(nil) == home)
                // The next best by the hash, as if the endpoint were not there.
                if home == 3 { #expect(away == choice(3)) }
            }
            #expect(moved > 300)
        }
    }

    @Test func leastConnectionsComparesThoseThatAreLeft() {
        let group = Self.group(.leastConnections, weights: [1, 1, 1])
        #expect(Self.counts(group, unwell: [0], load: { [0, 9, 3][$0] }) == [0, 0, 6000])
    }
}
