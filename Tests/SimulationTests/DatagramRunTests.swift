import EngineSimulator
@testable import Simulate
import Testing

/// A worker that serves UDP on the simulated driver: runs drawn from seeds.
struct DatagramRunTests {
    @Test(arguments: 0..<60)
    func datagramsArriveWholeAtWhomTheyWereMeantForUnderFaults(_ seed: UInt64) {
        var run = DatagramScenario(seed: seed)
        let findings = run.play()
        #expect(findings == [], "seed \(seed), \(run.faults)")
    }

    @Test(arguments: 0..<10)
    func withoutFaultsEachRequestIsAnsweredWhileEndpointsChange(_ seed: UInt64) {
        var run = DatagramScenario(seed: seed, isCalm: true)
        #expect(run.play() == [])
        let replies = run.clients.reduce(0) { $0 + run.network.datagramPeer($1).received }
        #expect(replies > 0)
    }
}
