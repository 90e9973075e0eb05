import Addressing
import Engine
import EngineSimulator
import Forwarding
import Routing

private let second: UInt64 = 1_000_000_000

/// Tens of thousands of connections at once: no tick does work without bound, and others go on meanwhile.
final class Crowd {
    enum Scene: String, CaseIterable {
        /// A Service is deleted, which cuts none of its connections; later all of them end at one moment.
        case deletion
        /// A Service is deleted that has its connections reset.
        case deletionWithReset
        /// All connections are reset by us.
        case reset
        /// The worker is told to stop, as by SIGTERM.
        case stop
        /// Nobody says anything.
        case idleness
        /// The clock goes on by an hour at once, again and again, while everybody speaks now and then.
        case clockJumps
        /// One client wants more than all the others together.
        case greed

        /// As many as the fault tests ask for.
        var connections: Int {
            switch self {
            case .deletion, .deletionWithReset, .reset: 50_000
            case .stop, .idleness, .clockJumps: 10_000
            case .greed: 65_000
            }
        }
    }

    private(set) var findings: [String] = []
    private let scene: Scene
    private let count: Int
    private let network: SimulatedNetwork
    private let worker: WorkerUnderTest

    private static let frontend = SocketAddress(IPAddress(ipv4: 0x0a60_0001), PortNumber(80)!)
    private static let others = SocketAddress(IPAddress(ipv4: 0x0a60_0002), PortNumber(80)!)
    private static let speakers = 20
    private static let sourceMax = 100
    /// How far apart clients come: a backlog holds no more than 4096 of them.
    private static let interval: UInt64 = 10_000
    /// What a tick may ask for: half of the queue by a sweep, and twelve submissions for each completion.
    private static let submissionsMost = Engine.Limits.submissionsMax - Forwarding.Limits.sweepRoom + 12 * Engine.Limits.completionsMax

    /// Plays a scene, with other numbers of connections where full ones take too long; answers what went wrong.
    static func play(_ scene: Scene, connections: Int? = nil) -> [String] {
        let crowd = Crowd(scene, connections ?? scene.connections)
        crowd.play()
        return crowd.findings
    }

    private init(_ scene: Scene, _ count: Int) {
        self.scene = scene
        self.count = count
        var settings = SimulatedNetwork.Settings()
        settings.connectionsMax = 2 * count + 2000
        settings.peersMax = 2 * count + 2000
        settings.socketsMax = 2 * count + 2000
        settings.pipeBytes = 64
        network = SimulatedNetwork(seed: 1, settings: settings)
        var driver = SimulatedDriver.Settings()
        driver.buffers = 8192
        driver.auditInterval = 0
        var workerSettings = WorkerSettings()
        workerSettings.flowsMax = count + 1000
        if scene == .clockJumps { workerSettings.timeouts = Timeouts(idle: .seconds(5), halfClose: .seconds(5)) }
        worker = WorkerUnderTest(network: network, driver: driver, settings: workerSettings)
        var group = EndpointGroup.Settings()
        if scene == .greed { group.connectionsPerSourceMax = Self.sourceMax }
        for (number, address) in [Self.frontend, Self.others].enumerated() {
            let endpoint = SocketAddress(IPAddress(ipv4: 0x0af4_0000 + UInt32(number)), PortNumber(9000)!)
            network.addServer(.echo, at: endpoint, backlog: count + 1000)
            worker.open(address, to: [endpoint], settings: group)
        }
        worker.run(nanoseconds: 1_000_000)
    }

    private func check(_ holds: Bool, _ finding: @autoclosure () -> String) {
        if !holds { findings.append("\(scene): \(finding())") }
    }

    private func script(_ change: (inout PeerScript) -> Void) -> PeerScript {
        var script = PeerScript()
        script.bytes = 10
        change(&script)
        return script
    }

    private func add(_ script: PeerScript, _ source: UInt32, port: Int = 4000, at time: UInt64? = nil, to address: SocketAddress) -> Int {
        network.addClient(script, from: SocketAddress(IPAddress(ipv4: source), PortNumber(port)!), to: address, at: time)
    }

    /// Adds the crowd, each with an address of its own, and waits until it is there; then a few who never stop speaking to the other
    /// Service.
    private func gather(endingAt end: UInt64 = .max) {
        for number in 0..<count {
            let time = network.now + UInt64(number) * Self.interval
            var script = idle
            if end < .max { script.patienceNanoseconds = end - time }
            _ = add(script, 0x0a01_0000 + UInt32(number), at: time, to: Self.frontend)
        }
        worker.run(nanoseconds: UInt64(count) * Self.interval + 10_000_000)
        let speaker = self.script {
            $0.bytes = .max
            $0.sendMax = 50
            $0.sendIntervalNanoseconds = 100_000
            $0.ending = .vanishAfter
            $0.endingBytes = .max
        }
        for number in 0..<Self.speakers { _ = add(speaker, 0x0a02_0000 + UInt32(number), to: Self.others) }
        worker.run(nanoseconds: 1_000_000)
        checkActive(count + Self.speakers)
    }

    private func checkActive(_ expected: Int) {
        let active = worker.connectionsActive
        check(active == expected, "\(active) connections in place of \(expected)")
    }

    /// Turns the worker until `condition` holds. The others' bytes move in every stretch of so many ticks.
    private func run(stretch: Int = .max, until condition: () -> Bool) -> Int {
        var ticks = 0
        var moved = worker.bytesFromClients
        while !condition(), ticks < 1_000_000, findings.isEmpty {
            worker.tick(waitMax: 1_000_000)
            ticks += 1
            guard ticks % stretch == 0 else { continue }
            check(worker.bytesFromClients > moved, "nothing moved in \(stretch) ticks")
            moved = worker.bytesFromClients
        }
        check(condition(), "it does not end")
        return ticks
    }

    private func play() {
        switch scene {
        case .deletion: playDeletion()
        case .deletionWithReset: playDeletionWithReset()
        case .reset: playReset()
        case .stop: playStop()
        case .idleness: playIdleness()
        case .clockJumps: playClockJumps()
        case .greed: playGreed()
        }
        check(worker.driver.completionsMost <= Engine.Limits.completionsMax, "\(worker.driver.completionsMost) completions in a tick")
        check(worker.driver.submissionsMost <= Self.submissionsMost, "\(worker.driver.submissionsMost) submissions in a tick")
        worker.post(.stopAccepting)
        worker.post(.resetAll)
        worker.run(nanoseconds: second)
        network.rebootVanishedPeers()
        worker.run(nanoseconds: second)
        findings += worker.imbalances()
    }

    private var idle: PeerScript { script { $0.holdNanoseconds = 100_000 * second } }

    private func playDeletion() {
        let end = network.now + UInt64(count) * Self.interval + second / 4
        gather(endingAt: end)
        worker.close(Self.frontend)
        _ = run(stretch: 10) { network.now > end - second / 10 }
        checkActive(count + Self.speakers)
        let late = add(idle, 0x0a03_0000, to: Self.frontend)
        _ = run { network.peer(late).isOver }
        check(network.peer(late).connectErrno != 0, "a deleted Service has taken a connection")
        // What the crowd completes with stands in one row with what the others do.
        let ticks = run(stretch: 50 + 8 * count / Engine.Limits.completionsMax) { worker.connectionsActive == Self.speakers }
        check(ticks > count / Engine.Limits.completionsMax, "all of them ended in \(ticks) ticks")
        check(worker.closed(.clientReset) == count, "\(worker.closed(.clientReset)) connections ended as they should")
    }

    private func playDeletionWithReset() {
        gather()
        worker.close(Self.frontend)
        worker.post(.resetDeleted([(serviceRow: worker.serviceRows[0], after: UInt64(0))]))
        var most = 0
        var active = worker.connectionsActive
        let ticks = run(stretch: 50 + 8 * count / Engine.Limits.completionsMax) {
            most = max(most, active - worker.connectionsActive)
            active = worker.connectionsActive
            return active == Self.speakers
        }
        check(most <= Engine.Limits.completionsMax, "\(most) connections ended in one tick")
        check(ticks >= count / Int(Forwarding.Limits.deletionSweepPerTick), "all of them ended in \(ticks) ticks")
        check(worker.closed(.drain) == count, "\(worker.closed(.drain)) connections were reset")
    }

    private func playReset() {
        gather()
        worker.post(.resetAll)
        var most = 0
        var active = worker.connectionsActive
        _ = run {
            most = max(most, active - worker.connectionsActive)
            active = worker.connectionsActive
            return active == 0
        }
        check(most <= Engine.Limits.completionsMax, "\(most) connections ended in one tick")
        check(worker.closed(.drain) == count + Self.speakers, "\(worker.closed(.drain)) connections were reset")
    }

    private func playStop() {
        gather()
        worker.post(.stopAccepting)
        let deadline = network.now + second / 10
        _ = run(stretch: 10) { network.now > deadline }
        checkActive(count + Self.speakers)
        worker.post(.resetAll)
        worker.post(.stop)
        let began = network.now
        _ = run { worker.isStopped }
        check(network.now - began < Forwarding.Limits.stopNanoseconds, "it takes \(network.now - began) ns to stop")
        checkActive(0)
    }

    private func playIdleness() {
        for number in 0..<count {
            _ = add(idle, 0x0a01_0000 + UInt32(number), at: network.now + UInt64(number) * Self.interval, to: Self.frontend)
        }
        // The time in which servers' sockets are given their keep-alive is over as well.
        worker.run(nanoseconds: 100 * second)
        checkActive(count)
        let held = worker.driver.buffers.capacity - worker.driver.buffers.freeCount
        check(held == 0, "idle connections hold \(held) buffers")
        var ticks = worker.ticks
        worker.run(nanoseconds: 1000 * second)
        check(worker.ticks - ticks < 10, "idle connections wake the worker \(worker.ticks - ticks) times")
        let quick = add(script { $0.bytes = 5000 }, 0x0a03_0000, to: Self.frontend)
        ticks = worker.ticks
        _ = run { network.peer(quick).isOver }
        check(network.peer(quick).received == 5000, "another one got \(network.peer(quick).received) bytes")
        check(worker.ticks - ticks < 1000, "another one took \(worker.ticks - ticks) ticks")
    }

    private func playClockJumps() {
        let clients = (0..<count).map { number in
            let slow = script {
                $0.sendMax = 1
                $0.sendIntervalNanoseconds = 2 * second
            }
            return add(slow, 0x0a01_0000 + UInt32(number), at: network.now + UInt64(number) * Self.interval, to: Self.frontend)
        }
        for _ in 0..<4 {
            worker.run(nanoseconds: 4 * second)
            checkActive(count)
            worker.driver.clockAhead += 3600 * second
        }
        _ = run { network.clientsOpen == 0 }
        let whole = clients.count { network.peer($0).sawFin && network.peer($0).sent == 10 }
        check(whole == count, "\(whole) connections lived through it")
    }

    private func playGreed() {
        let hold = script { $0.holdNanoseconds = 5 * second }
        let began = network.now
        let greedy = (0..<count).map {
            add(hold, 0x0a02_0000, port: 1 + $0 % 65_000, at: began + UInt64($0) * Self.interval, to: Self.frontend)
        }
        let others = (0..<200).map {
            add(hold, 0x0a03_0000 + UInt32($0), at: began + UInt64($0 * count / 200) * Self.interval, to: Self.frontend)
        }
        _ = run { network.clientsOpen == 0 }
        let served = others.count { network.peer($0).sawFin && network.peer($0).received == 10 }
        check(served == others.count, "\(served) of the others were served")
        let taken = greedy.count { network.peer($0).sawFin }
        check(taken == Self.sourceMax, "the greedy client was served \(taken) times")
        check(worker.closed(.limitSource) == count - Self.sourceMax, "\(worker.closed(.limitSource)) were turned away")
    }
}
