import EngineSimulator
import Foundation
import Testing

/// A whole worker under faults, from seeds. `RINGWAY_SEED=17` plays one again; `RINGWAY_SEEDS=5000` plays that many.
struct SimulationTests {
    static let groups = 8

    static let seeds: ClosedRange<UInt64> = {
        if let one = number("RINGWAY_SEED") { return one...one }
        return 1...(number("RINGWAY_SEEDS") ?? 200)
    }()

    @Test(arguments: 0..<groups)
    func everyByteArrivesInOrderAndNothingIsLeft(_ group: Int) {
        for seed in Self.seeds where Int(seed % UInt64(Self.groups)) == group {
            var scenario = Scenario(seed: seed)
            let findings = scenario.play()
            if !findings.isEmpty, let number = Self.number("RINGWAY_CLIENT") { scenario.describe(Int(number)) }
            #expect(findings.isEmpty, "RINGWAY_SEED=\(seed): \(findings.prefix(6))")
        }
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
