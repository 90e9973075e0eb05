import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Endpoints that fail, are passed over, tried again and brought back, by a whole worker on the simulated driver.
struct HealthBehaviourTests {
    private static func settings(
        _ selection: Selection = .roundRobin, ejectAfter: UInt8 = 5
    ) -> EndpointGroup.Settings {
        var settings = EndpointGroup.Settings()
        settings.selection = selection
        settings.ejectAfter = ejectAfter
        return settings
    }

    private static func script(_ change: (inout PeerScript) -> Void) -> PeerScript {
        var script = PeerScript()
        change(&script)
        return script
    }

    /// A client that says a little and waits for its answer.
    private static let short = script { $0.bytes = 100 }
    /// Accepts and closes, as a server that has lost its database.
    private static let closing = script { $0.ending = .closeWhenSent }
    private static let resetting = script { $0.ending = .resetAfter }
    /// Waits for the client's end, and says nothing.
    private static let sink = script { $0.ending = .closeAfterFin }

    private static func second(_ seconds: Double) -> UInt64 { UInt64(seconds * 1_000_000_000) }

    /// Runs clients one after the other; answers how many were answered in full.
    @discardableResult
    private static func run(_ count: Int, _ stage: Stage, _ script: PeerScript = short) -> Int {
        (0..<count).count { _ in
            let client = stage.addClient(script)
            // No longer than it takes: the times of the tests are of ejections.
            #expect(stage.worker.run(ticksMax: 10_000, waitMax: 1_000_000) { stage.network.peer(client).isOver })
            let peer = stage.network.peer(client)
            return peer.sawFin && peer.received == script.bytes && peer.matchesEcho
        }
    }

    private static func health(_ stage: Stage, _ index: Int) -> EndpointHealth {
        stage.health[stage.worker.endpointRows[index]]
    }

    @Test(arguments: Selection.allCases)
    func fiveRefusalsEjectAndNobodyNotices(_ selection: Selection) {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.addEndpoint()
        stage.addEndpoint(.echo)
        stage.open(Self.settings(selection))
        #expect(Self.run(100, stage) == 100)
        #expect(stage.connections[1] == 5, "\(stage.connections)")
        #expect(stage.ejections == [0, 1, 0])
        #expect(Self.health(stage, 1).state == .ejected && Self.health(stage, 1).reason == .connectRefused)
        stage.close()
    }

    @Test func afterTheTimeOneConnectionTriesAndTheClientStillNoticesNothing() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        let dead = stage.addEndpoint()
        stage.open(Self.settings())
        #expect(Self.run(20, stage) == 20)
        for (wait, ejections) in [(4.0, 1), (1.5, 2), (8.0, 2), (2.5, 3)] {
            stage.worker.run(nanoseconds: Self.second(wait))
            #expect(Self.run(10, stage) == 10)
            #expect(stage.ejections == [0, UInt64(ejections)], "after \(wait) s more")
        }
        #expect(stage.connections[1] == 5 + 2)
        // It comes back to life, and to its share with the first connection that tries it.
        stage.network.addServer(.echo, at: dead)
        stage.worker.run(nanoseconds: Self.second(21))
        let before = stage.connections[1]
        #expect(Self.run(40, stage) == 40)
        #expect(stage.connections[1] - before >= 19, "\(stage.connections[1] - before)")
        #expect(stage.health.isQuiet)
        stage.close()
    }

    /// Many at once, when the time is over: one goes, the others don't wait for it.
    @Test func ofManyAtOnceOneTriesABlackHole() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.network.blackHoles.insert(stage.addEndpoint())
        stage.open(Self.settings())
        #expect(Self.run(20, stage) == 20)
        #expect(stage.connections[1] == 5 && Self.health(stage, 1).reason == .connectTimeout)
        stage.worker.run(nanoseconds: Self.second(6))
        let began = stage.network.now
        let clients = (0..<50).map { _ in stage.addClient(Self.short) }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin })
        let late = clients.count { stage.network.peer($0).endedAt - began > Self.second(0.9) }
        #expect(late == 1 && stage.connections[1] == 6, "\(late) waited")
        #expect(stage.ejections == [0, 2])
        stage.close()
    }

    @Test func withAllEjectedAllAreUsed() {
        let stage = Stage()
        let dead = (0..<3).map { _ in stage.addEndpoint() }
        stage.open(Self.settings())
        #expect(Self.run(10, stage) == 0)
        #expect(stage.ejections == [1, 1, 1])
        let before = stage.connections
        #expect(Self.run(10, stage) == 0)
        // Each of them has three attempts, as if none were ejected; and the times don't grow by it.
        #expect(stage.connections.reduce(0, +) - before.reduce(0, +) == 30 && stage.ejections == [1, 1, 1])
        #expect(stage.worker.closed(.connectRefused) == 20)
        // The first that answers is well again, and takes all of them.
        stage.network.addServer(.echo, at: dead[1])
        #expect(Self.run(20, stage) == 20)
        #expect(Self.health(stage, 1).state == .active && Self.health(stage, 0).state == .ejected)
        stage.close()
    }

    /// A FIN is the client's to see. A reset is not: the client's bytes are still there, and go to another server.
    @Test(arguments: [(closing, 1), (resetting, 0)])
    func aServerThatClosesAtOnceIsEjected(_ script: PeerScript, clientsLost: Int) {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.addEndpoint(script)
        stage.open(Self.settings())
        // A client that has not ended: it waits for its answer first.
        let client = Self.script {
            $0.bytes = 100
            $0.holdNanoseconds = Self.second(0.05)
        }
        #expect(Self.run(60, stage, client) == 60 - 5 * clientsLost)
        #expect(stage.connections[1] == 5 && stage.ejections == [0, 1])
        #expect(Self.health(stage, 1).reason?.isEarlyClose == true)
        // The one that tries it is closed like those before, and it is ejected for longer.
        stage.worker.run(nanoseconds: Self.second(6))
        #expect(Self.run(20, stage, client) == 20 - clientsLost)
        #expect(stage.ejections == [0, 2])
        stage.close()
    }

    @Test func aServerThatAnswersIsNeverEjectedForClosing() {
        let stage = Stage()
        stage.addEndpoint(Self.script { $0.bytes = 10 })
        stage.addEndpoint(Self.script { $0.bytes = 10 })
        stage.open(Self.settings())
        Self.run(60, stage, Self.script { $0.bytes = 4 })
        #expect(stage.ejections == [0, 0] && stage.health.isQuiet)
        stage.close()
    }

    /// A FIN for a FIN is manners, whatever was said before.
    @Test func aCloseThatFollowsTheClientsIsNoFailure() {
        let stage = Stage()
        stage.addEndpoint(Self.sink)
        stage.addEndpoint(Self.sink)
        stage.open(Self.settings())
        Self.run(60, stage, Self.script { $0.bytes = 4 })
        #expect(stage.ejections == [0, 0] && stage.health.isQuiet)
        #expect((0..<2).allSatisfy { Self.health(stage, $0) == EndpointHealth() })
        stage.close()
    }

    @Test func aSilentConnectionThatLastsIsNoFailureAndBringsBack() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        let address = stage.addEndpoint(Self.closing)
        stage.open(Self.settings())
        let client = Self.script {
            $0.bytes = 100
            $0.holdNanoseconds = Self.second(0.05)
        }
        Self.run(20, stage, client)
        #expect(Self.health(stage, 1).state == .ejected)
        // Now it takes what comes and is silent.
        stage.network.removeServers(at: address)
        stage.network.addServer(Self.sink, at: address)
        stage.worker.run(nanoseconds: Self.second(6))
        let sender = Self.script {
            $0.bytes = 100
            $0.ending = .closeAfterFin
            $0.patienceNanoseconds = Self.second(30)
        }
        let held = (0..<4).map { _ in stage.addClient(sender) }
        stage.worker.run(nanoseconds: Self.second(1))
        #expect(Self.health(stage, 1).state == .proving)
        let active = stage.active[1]
        #expect(active == 1)
        let later = (0..<4).map { _ in stage.addClient(sender) }
        stage.worker.run(nanoseconds: Self.second(1))
        #expect(Self.health(stage, 1).state == .active && stage.active[1] > active)
        #expect(stage.finish(held + later))
        stage.close()
    }

    @Test func aClientThatLeavesWhileItsConnectionTriesAnEndpointLeavesThatToTheNext() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        let hole = stage.addEndpoint()
        stage.network.blackHoles.insert(hole)
        stage.open(Self.settings())
        #expect(Self.run(20, stage) == 20)
        stage.worker.run(nanoseconds: Self.second(6))
        let hasty = Self.script {
            $0.bytes = 10
            $0.patienceNanoseconds = Self.second(0.1)
            $0.holdNanoseconds = Self.second(5)
        }
        // By turns: one of the two tries the endpoint, and is gone before it has failed.
        let clients = (0..<2).map { _ in stage.addClient(hasty) }
        #expect(stage.finish(clients))
        stage.worker.run(nanoseconds: Self.second(0.1))
        #expect(Self.health(stage, 1).state == .ejected && stage.ejections == [0, 1])
        // It is still due, and the next that tries it brings it back.
        stage.network.blackHoles.remove(hole)
        stage.network.addServer(.echo, at: hole)
        #expect(Self.run(2, stage) == 2)
        #expect(stage.health.isQuiet)
        stage.close()
    }

    @Test func switchedOffNothingIsEjected() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.addEndpoint()
        stage.open(Self.settings(ejectAfter: 0))
        #expect(Self.run(40, stage) == 40)
        #expect(stage.connections[1] == 20 && stage.ejections == [0, 0])
        stage.close()
    }

    /// The other worker's failures are in the same table.
    @Test func failuresOfOtherWorkersCount() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.addEndpoint()
        stage.open(Self.settings())
        let now = EndpointHealth.ticks(stage.network.now)
        for _ in 0..<3 { _ = stage.health.failed(stage.worker.endpointRows[1], .connectTimeout, limit: 5, isProbe: false, now) }
        #expect(Self.run(20, stage) == 20)
        #expect(stage.connections[1] == 2 && stage.ejections == [0, 1])
        stage.close()
    }

    @Test func whatIsDownGetsNothingWhileAnotherIsUp() {
        let stage = Stage()
        for _ in 0..<2 { stage.addEndpoint(.echo) }
        stage.open(Self.settings(ejectAfter: 0))
        stage.health.update(stage.worker.endpointRows[0]) { $0.isDown = true }
        #expect(Self.run(20, stage) == 20)
        #expect(stage.connections == [0, 20])
        stage.health.update(stage.worker.endpointRows[1]) { $0.isDown = true }
        #expect(Self.run(20, stage) == 20)
        #expect(stage.connections == [10, 30])
        stage.health.update(stage.worker.endpointRows[0]) { $0.isDown = false }
        #expect(Self.run(20, stage) == 20)
        #expect(stage.connections == [30, 30])
        stage.close()
    }
}
