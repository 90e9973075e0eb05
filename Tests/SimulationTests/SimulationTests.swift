import EngineSimulator
import Foundation
@testable import Simulate
import Testing

@testable import Forwarding

/// A whole worker under faults, from seeds. `RINGWAY_SEED=17` plays one again; `RINGWAY_SEEDS=5000` plays that many.
struct SimulationTests {
    static let groups = 8

    static let seeds: ClosedRange<UInt64> = {
        if let one = number("RINGWAY_SEED") { return one...one }
        return 1...(number("RINGWAY_SEEDS") ?? 200)
    }()
    static let largeSeeds = seeds.count == 1 ? seeds : 1...max(8, seeds.upperBound / 25)

    @Test(arguments: 0..<groups)
    func everyByteArrivesInOrderAndNothingIsLeft(_ group: Int) {
        for seed in Self.seeds where Int(seed % UInt64(Self.groups)) == group { Self.play(seed, .small) }
    }

    /// `Scripts/simulate` plays ten thousand of these.
    @Test(arguments: 0..<groups)
    func norIsAnythingOfHundredsOfConnections(_ group: Int) {
        for seed in Self.largeSeeds where Int(seed % UInt64(Self.groups)) == group { Self.play(seed, .large) }
    }

    /// `Scripts/simulate --crowds` has the full numbers, which take optimised code.
    @Test(arguments: Crowd.Scene.allCases)
    func aCrowdIsServedInBoundedSteps(_ scene: Crowd.Scene) {
        #expect(Crowd.play(scene, connections: [.reset, .deletionWithReset].contains(scene) ? 9000 : 1500) == [])
    }

    private static func play(_ seed: UInt64, _ size: Scenario.Size) {
        var scenario = Scenario(seed: seed, size: size)
        let findings = scenario.play()
        if !findings.isEmpty, let number = number("RINGWAY_CLIENT") { scenario.describe(Int(number)) }
        #expect(findings.isEmpty, "RINGWAY_SEED=\(seed), \(size): \(findings.prefix(6))")
    }

    /// The runs above prove something about bulk flows only if there are any, and ends of all kinds meet them.
    @Test func theRunsHaveBulkFlowsOfAllKinds() {
        var bytes: UInt64 = 0
        var cancelledWithBytes = 0
        var directions: UInt64 = 0
        var refused: UInt64 = 0
        for seed in UInt64(1)...60 {
            var scenario = Scenario(seed: seed)
            _ = scenario.play()
            bytes += scenario.worker.driver.bytesTransferred
            cancelledWithBytes += scenario.worker.driver.transfersCancelledWithBytes
            directions += scenario.worker.counter(Column.bulkDirections)
            refused += scenario.worker.counter(Column.transfersRefused)
            #expect(scenario.worker.counter(Column.pipesOpen) == 0)
        }
        #expect(bytes > 100_000)
        #expect(cancelledWithBytes > 0)
        #expect(directions > 60 && refused > 0)
    }

    @Test func theSameSeedIsTheSameRun() {
        func play() -> [UInt64] {
            var scenario = Scenario(seed: 7)
            _ = scenario.play()
            return [scenario.network.now, scenario.worker.driver.systemCalls, scenario.worker.closed]
        }
        #expect(play() == play())
    }

    private static func number(_ variable: String) -> UInt64? {
        ProcessInfo.processInfo.environment[variable].flatMap { UInt64($0) }
    }
}
