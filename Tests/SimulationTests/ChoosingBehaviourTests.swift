import Addressing
import Engine
import EngineSimulator
import Forwarding
import Routing
@testable import Simulate
import Testing

/// How a whole worker spreads its connections.
struct ChoosingBehaviourTests {
    private static func settings(_ selection: Selection) -> EndpointGroup.Settings {
        var settings = EndpointGroup.Settings()
        settings.selection = selection
        return settings
    }

    /// A client that stays for a second.
    static var script: PeerScript {
        var script = PeerScript()
        script.bytes = 100
        script.holdNanoseconds = 1_000_000_000
        return script
    }

    @Test func roundRobinGivesEveryEndpointItsTurn() {
        let stage = Stage()
        for _ in 0..<3 { stage.addEndpoint(.echo) }
        stage.open(Self.settings(.roundRobin))
        let clients = (0..<30).map { _ in stage.addClient(Self.script) }
        #expect(stage.finish(clients))
        #expect(stage.connections == [10, 10, 10])
        stage.close()
    }

    @Test func roundRobinPassesOverWhatIsDown() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.addEndpoint()
        stage.addEndpoint(.echo)
        var settings = Self.settings(.roundRobin)
        settings.ejectAfter = 0
        stage.open(settings)
        let clients = (0..<30).map { _ in stage.addClient(Self.script) }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin })
        // The turns of the one that is down are shared by both others.
        #expect(stage.connections[1] == 10 && stage.connections[0] > 11 && stage.connections[2] > 11, "\(stage.connections)")
        stage.close()
    }

    @Test func leastConnectionsKeepsEndpointsLevel() {
        let stage = Stage()
        for _ in 0..<2 { stage.addEndpoint(.echo) }
        stage.open(Self.settings(.leastConnections))
        let clients = (0..<41).map { _ in stage.addClient(Self.script) }
        stage.worker.run(nanoseconds: 500_000_000)
        #expect(stage.active.sorted() == [20, 21])
        #expect(stage.finish(clients))
        stage.close()
    }

    @Test func leastConnectionsCountsThoseOfOtherWorkers() {
        let other = makeCounterTable()
        let stage = Stage { $0.others = [other] }
        for _ in 0..<2 { stage.addEndpoint(.echo) }
        stage.open(Self.settings(.leastConnections))
        other.add(15, row: stage.worker.endpointRows[0], column: WorkerUnderTest.activeColumn)
        let clients = (0..<25).map { _ in stage.addClient(Self.script) }
        stage.worker.run(nanoseconds: 500_000_000)
        // Level over both workers: 15 + 5 and 20.
        #expect(stage.active == [5, 20])
        #expect(stage.finish(clients))
        stage.close()
    }
}
