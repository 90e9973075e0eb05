import Addressing
import Engine
import EngineSimulator
import Forwarding
import Routing
@testable import Simulate
import Testing

private let second: UInt64 = 1_000_000_000
/// What a timeout may be late by: ticks of the flow, and a tick of the worker.
private let slack: UInt64 = 100_000_000

/// Timeouts of a whole worker, on the simulated driver.
struct TimeoutBehaviourTests {
    private static func script(_ change: (inout PeerScript) -> Void) -> PeerScript {
        var script = PeerScript()
        change(&script)
        return script
    }

    private static func stage(idle: Duration = .seconds(5), halfClose: Duration = .seconds(2)) -> Stage {
        Stage { $0.timeouts = Timeouts(idle: idle, halfClose: halfClose, keepalive: .zero, userTimeout: .zero) }
    }

    /// Says a little and then nothing, for as long as it may.
    private static let silent = script {
        $0.bytes = 100
        $0.holdNanoseconds = 1_000_000 * second
    }

    /// Reads and says nothing, not even FIN. It would not see a reset after a FIN, and gives up by itself in the end.
    private static let mute = script {
        $0.ending = .vanishAfter
        $0.endingBytes = .max
        $0.patienceNanoseconds = 40 * second
    }

    /// Reads, and ends when the client does.
    private static let sink = script { $0.ending = .closeAfterFin }

    /// Says a byte now and then for 40 s, then FIN.
    private static let slow = script {
        $0.bytes = 20
        $0.sendMax = 1
        $0.sendIntervalNanoseconds = 2 * second
    }

    @Test func aSilentConnectionIsResetOnBothSides() {
        let stage = Self.stage()
        stage.addEndpoint(.echo)
        stage.open()
        let began = stage.network.now
        let client = stage.addClient(Self.silent)
        #expect(stage.finish([client]))
        let peer = stage.network.peer(client)
        #expect(peer.sawReset && !peer.sawFin && peer.received == 100)
        #expect((5 * second...5 * second + slack).contains(peer.endedAt - began))
        stage.worker.run(nanoseconds: second)
        #expect(stage.servers.count == 1 && stage.servers[0].sawReset && !stage.servers[0].sawFin)
        // The server spoke last.
        #expect(stage.worker.closed(.clientIdle) == 1)
        stage.close()
    }

    @Test func receivesOfAnIdleConnectionRestAndHearWhatComes() {
        let stage = Stage(restsReceives: true)
        stage.addEndpoint(.echo)
        stage.open()
        let client = stage.addClient(
            Self.script {
                $0.bytes = 20
                $0.sendMax = 10
                $0.sendIntervalNanoseconds = 25 * second
                $0.holdNanoseconds = 50 * second
            })
        // Both sides after ten seconds, and again ten seconds after the second half of its bytes.
        for (time, rested) in [(9, 0), (3, 2), (12, 2), (3, 2), (10, 4)] {
            stage.worker.run(nanoseconds: UInt64(time) * second)
            #expect(stage.worker.driver.receivesRested == rested)
        }
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).received == 20 && stage.network.peer(client).matchesEcho && stage.network.peer(client).sawFin)
        stage.close()
    }

    /// A black hole is left after the time for an attempt, and the client after that for all: the Service's own, not the process's.
    @Test(arguments: [(100, 250, 3), (400, 250, 1)])
    func aServiceHasItsOwnTimesForAConnect(attempt: Int, all: Int, attempts: Int) {
        let stage = Stage()
        for _ in 0..<8 { stage.network.blackHoles.insert(stage.addEndpoint()) }
        var settings = EndpointGroup.Settings()
        settings.timeouts.connectAttempt = .milliseconds(attempt)
        settings.timeouts.connect = .milliseconds(all)
        stage.open(settings)
        let began = stage.network.now
        let client = stage.addClient(Self.silent)
        #expect(stage.finish([client]))
        let peer = stage.network.peer(client)
        #expect(peer.sawReset && (second / 4...second / 4 + slack).contains(peer.endedAt - began))
        #expect(stage.connections.reduce(0, +) == UInt64(attempts))
        stage.worker.run(nanoseconds: second)
        #expect(stage.worker.closed(.connectTimeout) == 1)
        stage.close()
    }

    /// What a change says holds for connections that are accepted after it; for attempts that begin after it, too.
    @Test func aChangedTimeHoldsFromThenOn() {
        let stage = Stage()
        stage.network.blackHoles.insert(stage.addEndpoint())
        stage.open()
        var settings = EndpointGroup.Settings()
        settings.timeouts.connect = .milliseconds(100)
        stage.worker.replace(Stage.frontend, to: stage.endpoints, settings: settings)
        stage.worker.run(nanoseconds: 1_000_000)
        let began = stage.network.now
        let client = stage.addClient(Self.silent)
        #expect(stage.finish([client]))
        #expect((second / 10...second / 10 + slack).contains(stage.network.peer(client).endedAt - began))
        stage.close()
    }

    @Test func whoOwesTheAnswerIsNamed() {
        let stage = Self.stage()
        stage.addEndpoint(Self.mute)
        stage.open()
        let client = stage.addClient(Self.silent)
        #expect(stage.finish([client]))
        #expect(stage.worker.closed(.serverIdle) == 1)
        stage.close()
    }

    @Test func aByteNowAndThenKeepsAConnectionAlive() {
        let stage = Self.stage()
        stage.addEndpoint(Self.sink)
        stage.open()
        let clients = (0..<20).map { _ in stage.addClient(Self.slow) }
        #expect(stage.finish(clients))
        #expect(stage.network.now > 38 * second)
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin && stage.network.peer($0).sent == 20 })
        stage.close()
    }

    @Test func theTimerFiresSeldomHoweverMuchMoves() {
        let stage = Self.stage(idle: .seconds(3600))
        stage.addEndpoint(.echo)
        stage.open()
        let client = stage.addClient(Self.silent)
        stage.worker.run(nanoseconds: second)
        let ticks = stage.worker.ticks
        stage.worker.run(nanoseconds: 3500 * second)
        #expect(stage.worker.ticks - ticks < 5, "an hour's timer wakes the worker \(stage.worker.ticks - ticks) times")
        _ = client
        stage.close()
    }

    @Test(arguments: [false, true])
    func aHalfClosedConnectionWaitsForTheOtherSideAWhile(_ byServer: Bool) {
        let stage = Self.stage()
        stage.addEndpoint(byServer ? Self.script { $0.bytes = 10 } : Self.mute)
        stage.open()
        let began = stage.network.now
        let client = stage.addClient(byServer ? Self.mute : Self.script { $0.bytes = 10 })
        let isOver = stage.worker.run(ticksMax: 10_000, waitMax: second) { stage.worker.closed == 1 }
        #expect(isOver && stage.worker.closed(.halfCloseTimeout) == 1)
        let life = stage.network.now - began
        #expect((2 * second...2 * second + slack).contains(life), "\(life)")
        stage.worker.run(nanoseconds: 50 * second)
        #expect(byServer ? stage.servers[0].sawReset : stage.network.peer(client).sawReset)
        stage.close()
    }

    @Test(arguments: [false, true])
    func aHalfClosedConnectionThatStillSpeaksLivesOn(_ byServer: Bool) {
        let stage = Self.stage(halfClose: .seconds(3))
        let speaker = Self.script {
            $0 = Self.slow
            $0.speaking = .afterFin
            $0.ending = .closeAfterFin
            $0.sendIntervalNanoseconds = 2_500_000_000
        }
        stage.addEndpoint(byServer ? Self.script { $0.bytes = 10 } : speaker)
        stage.open()
        let client = stage.addClient(byServer ? speaker : Self.script { $0.bytes = 10 })
        #expect(stage.finish([client]))
        stage.worker.run(nanoseconds: 60 * second)
        let listener = byServer ? stage.servers[0] : stage.network.peer(client)
        #expect(listener.received == 20 && listener.sawFin && !listener.sawReset)
        #expect(stage.worker.closed(.halfCloseTimeout) == 0)
        stage.close()
    }

    @Test func offIsOff() {
        let stage = Self.stage(idle: .zero, halfClose: .zero)
        stage.addEndpoint(
            Self.script {
                $0 = Self.mute
                $0.patienceNanoseconds = 21_000 * second
            })
        stage.open()
        let clients = [stage.addClient(Self.silent), stage.addClient(Self.script { $0.bytes = 10 })]
        stage.worker.run(nanoseconds: 20_000 * second)
        #expect(stage.worker.connectionsActive == 2)
        #expect(clients.allSatisfy { !stage.network.peer($0).isOver })
        stage.worker.run(nanoseconds: 2000 * second)
        stage.close()
    }

    @Test func aServicesOwnTimeoutsCountAndAChangeLeavesOldConnectionsTheirs() {
        let stage = Self.stage(idle: .seconds(100))
        stage.addEndpoint(.echo)
        var settings = EndpointGroup.Settings()
        settings.timeouts.idle = .seconds(20)
        stage.open(settings)
        let old = stage.addClient(Self.silent)
        stage.worker.run(nanoseconds: second)
        settings.timeouts.idle = .seconds(3)
        stage.worker.replace(Stage.frontend, to: stage.endpoints, settings: settings)
        stage.worker.run(nanoseconds: second)
        let began = stage.network.now
        let new = stage.addClient(Self.silent)
        #expect(stage.finish([old, new]))
        #expect((3 * second...3 * second + slack).contains(stage.network.peer(new).endedAt - began))
        #expect((18 * second...18 * second + slack).contains(stage.network.peer(old).endedAt - began))
        stage.close()
    }

    @Test func onlyConnectionsThatLastPayForTheirServersSocket() {
        func calls(_ timeouts: Timeouts, holding hold: UInt64) -> UInt64 {
            let stage = Stage { $0.timeouts = timeouts }
            stage.addEndpoint(.echo)
            stage.open()
            let before = stage.worker.driver.systemCalls
            let client = stage.addClient(
                Self.script {
                    $0.bytes = 100
                    $0.holdNanoseconds = hold
                })
            #expect(stage.finish([client]))
            stage.worker.run(nanoseconds: second)
            let used = stage.worker.driver.systemCalls - before
            stage.close()
            return used
        }
        let off = Timeouts(idle: .zero, halfClose: .zero, keepalive: .zero, userTimeout: .zero)
        #expect(calls(.standard, holding: 5 * second) == calls(off, holding: 5 * second))
        // Five options, once, and the waits that end for that.
        let long = calls(.standard, holding: 50 * second) - calls(off, holding: 50 * second)
        #expect((6...12).contains(long), "\(long) calls")
    }

    /// The clock runs ahead by hours while connections are in use, as after SIGCONT or when a virtual machine goes on: none of
    /// them may be taken for idle, though only a few hundred completions of the thousands that wait come in the first tick.
    @Test func aJumpOfTheClockEndsNoConnection() {
        let stage = Stage(connectionsMax: 3000, flowsMax: 2000) {
            $0.timeouts = Timeouts(idle: .seconds(5), halfClose: .seconds(5), keepalive: .zero, userTimeout: .zero)
        }
        stage.addEndpoint(Self.sink, backlog: 3000)
        stage.open()
        let clients = (0..<1000).map { _ in stage.addClient(Self.slow) }
        for _ in 0..<4 {
            stage.worker.run(nanoseconds: 5 * second)
            #expect(stage.worker.connectionsActive == 1000)
            stage.worker.driver.clockAhead += 10_000 * second
        }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin && stage.network.peer($0).sent == 20 })
        #expect(stage.worker.closed(.clientIdle) + stage.worker.closed(.serverIdle) + stage.worker.closed(.halfCloseTimeout) == 0)
        stage.close()
    }

    @Test func afterAJumpSilenceIsCountedOn() {
        let stage = Self.stage()
        stage.addEndpoint(.echo)
        stage.open()
        let began = stage.network.now
        let client = stage.addClient(Self.silent)
        stage.worker.run(nanoseconds: 2 * second)
        stage.worker.driver.clockAhead += 10_000 * second
        #expect(stage.finish([client]))
        // Not at once, and not after the jump and five seconds.
        let life = stage.network.peer(client).endedAt - began
        #expect((5 * second...5 * second + slack).contains(life), "\(life)")
        stage.close()
    }
}

/// Short timeouts under load, from seeds: whoever is silent is ended in time, and nobody else is.
struct TimeoutSimulationTests {
    /// What a client does; every other thing is drawn.
    private enum Kind: CaseIterable {
        /// Pauses for less than the timeouts, then FIN.
        case busy
        /// Says something, then nothing.
        case silent
        /// Says FIN to a server that never answers.
        case halfClosed
    }

    @Test(arguments: 0..<8)
    func theSilentEndInTimeAndNobodyElseDoes(_ group: Int) {
        for seed in SimulationTests.seeds where Int(seed % 8) == group { Self.play(seed) }
    }

    private static func play(_ seed: UInt64) {
        var random = SimulatedRandom(seed: seed &* 0x9e37_79b9_7f4a_7c15 &+ 3)
        let idle = UInt64(random.within(500...5000)) * 1_000_000
        let halfClose = UInt64(random.within(300...5000)) * 1_000_000
        let isCalm = random.chance(0.5)
        var network = SimulatedNetwork.Settings()
        network.connectionsMax = 256
        network.peersMax = 256
        network.socketsMax = 256
        network.pipeBytes = 512
        network.latencyNanosecondsMax = UInt64(random.below(1_000_000))
        let faults = isCalm ? Faults() : Faults.mixed(&random)
        var driver = SimulatedDriver.Settings()
        driver.auditInterval = 16
        var settings = WorkerSettings()
        settings.flowsMax = 128
        settings.seed = random.next()
        settings.timeouts = Timeouts(
            idle: .nanoseconds(idle), halfClose: .nanoseconds(halfClose), keepalive: .seconds(random.below(3)),
            userTimeout: .zero)
        let worker = WorkerUnderTest(
            network: SimulatedNetwork(seed: random.next(), settings: network, faults: faults), driver: driver, settings: settings)
        let echoes = SocketAddress(IPAddress(ipv4: 0x0a60_0001), PortNumber(80)!)
        let mutes = SocketAddress(IPAddress(ipv4: 0x0a60_0002), PortNumber(80)!)
        let sinks = SocketAddress(IPAddress(ipv4: 0x0a60_0003), PortNumber(80)!)
        for (frontend, server) in [(echoes, PeerScript.echo), (mutes, mute), (sinks, sink)] {
            let endpoint = SocketAddress(IPAddress(ipv4: 0x0af4_0000 + UInt32(frontend.address.low & 0xff)), PortNumber(9000)!)
            worker.network.addServer(server, at: endpoint)
            worker.open(frontend, to: [endpoint])
        }
        worker.run(nanoseconds: 1_000_000)
        let began = worker.network.now
        var kinds: [(index: Int, kind: Kind)] = []
        for number in 0..<random.within(3...40) {
            let kind = Kind.allCases[random.below(3)]
            var script = PeerScript()
            script.bytes = random.within(4...30)
            switch kind {
            case .busy:
                script.sendMax = 2
                script.sendIntervalNanoseconds = min(idle, halfClose) * UInt64(random.within(1...9)) / 10
            case .silent: script.holdNanoseconds = 1_000_000 * second
            case .halfClosed: break
            }
            let local = SocketAddress(IPAddress(ipv4: 0x0a01_0000 + UInt32(number)), PortNumber(40_000)!)
            let frontend = kind == .busy ? sinks : kind == .silent ? echoes : mutes
            let index = worker.network.addClient(script, from: local, to: frontend)
            kinds.append((index, kind))
        }
        // The busy speak for 75 s at most; a connect may take three seconds. Then all has to be over.
        let deadline = began + 100 * second
        let areOver = worker.run(ticksMax: 200_000, waitMax: second) {
            worker.network.now > deadline || kinds.allSatisfy { worker.network.peer($0.index).isOver }
        }
        #expect(areOver && worker.network.now <= deadline, "RINGWAY_SEED=\(seed): stuck, \(worker.connectionsActive) flows")
        worker.run(nanoseconds: 6 * second)
        #expect(worker.connectionsActive == 0, "RINGWAY_SEED=\(seed): flows are left")
        guard isCalm else { return }
        for (index, kind) in kinds {
            let peer = worker.network.peer(index)
            let life = peer.endedAt - began
            switch kind {
            case .busy: #expect(peer.sawFin && peer.sent == peer.script.bytes, "RINGWAY_SEED=\(seed): client \(index) was cut")
            case .silent: #expect(peer.sawReset && (idle...idle + slack).contains(life), "RINGWAY_SEED=\(seed): client \(index), \(life)")
            case .halfClosed:
                let limit = min(idle, halfClose)
                #expect(peer.sawReset && (limit...limit + slack).contains(life), "RINGWAY_SEED=\(seed): client \(index), \(life)")
            }
        }
    }

    private static var mute: PeerScript {
        var script = PeerScript()
        script.ending = .vanishAfter
        script.endingBytes = .max
        return script
    }

    private static var sink: PeerScript {
        var script = PeerScript()
        script.ending = .closeAfterFin
        return script
    }
}
