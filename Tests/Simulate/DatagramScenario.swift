import Addressing
import Engine
import EngineSimulator
import Forwarding
import Routing

/// One simulated run of UDP: clients of all sizes, endpoints that come and go, and faults, all drawn from a seed. Every datagram that
/// arrives must be one that was sent, whole, and at whom it was meant for.
struct DatagramScenario {
    private static let frontend = SocketAddress("10.96.0.1:53")!

    let network: SimulatedNetwork
    let worker: WorkerUnderTest
    private var random: SimulatedRandom
    let faults: Faults
    private let isCalm: Bool
    private let settings: EndpointGroup.Settings
    private(set) var servers: [Int] = []
    private(set) var clients: [Int] = []

    /// - Parameter isCalm: without faults.
    init(seed: UInt64, isCalm: Bool = false) {
        random = SimulatedRandom(seed: seed)
        self.isCalm = isCalm
        faults = isCalm ? Faults() : Faults.mixed(&random)
        var networkSettings = SimulatedNetwork.Settings()
        networkSettings.connectionsMax = 16
        networkSettings.socketsMax = 256
        networkSettings.latencyNanosecondsMax = UInt64(random.within(0...2_000_000))
        if !isCalm { networkSettings.datagramQueueMax = [4, 32, 512][random.below(3)] }
        network = SimulatedNetwork(seed: random.next(), settings: networkSettings, faults: faults)
        var driver = SimulatedDriver.Settings()
        driver.buffers = 64
        var workerSettings = WorkerSettings()
        workerSettings.seed = random.next()
        workerSettings.flowsMax = 16
        workerSettings.sessionsMax = 16 << random.below(3)
        worker = WorkerUnderTest(network: network, driver: driver, settings: workerSettings)
        var settings = EndpointGroup.Settings()
        settings.selection = Selection.allCases[random.below(Selection.allCases.count)]
        settings.datagrams.unansweredTimeout = .milliseconds(random.within(100...2000))
        settings.datagrams.answeredTimeout = .milliseconds(random.within(200...4000))
        self.settings = settings
        for number in 1...4 {
            var script = DatagramScript()
            script.replies = random.chance(0.1) ? 2 : 1
            script.delayNanosecondsMax = random.chance(0.3) ? UInt64(random.within(1...3_000_000_000)) : 0
            servers.append(network.addDatagramServer(script, at: SocketAddress("10.244.0.\(number):5353")!))
        }
        for number in 1...random.within(2...30) {
            var script = DatagramScript()
            script.requests = random.within(1...60)
            script.bytesMin = random.chance(0.5) ? 8 : 0
            script.bytesMax = [8, 64, 1400][random.below(3)]
            if random.chance(0.3) { script.bytesMin = script.bytesMax }
            script.burst = random.within(1...10)
            script.pauseNanosecondsMax = UInt64(random.within(1_000_000...1_000_000_000))
            let local = SocketAddress("10.1.0.\(number):4000")!
            let begin = network.now + UInt64(random.within(1_000_000...3_000_000_000))
            clients.append(network.addDatagramClient(script, from: local, to: Self.frontend, at: begin))
        }
    }

    private var addresses: [SocketAddress] { servers.map { network.datagramPeer($0).local } }

    mutating func play() -> [String] {
        var found: [String] = []
        worker.open(Self.frontend, to: addresses, settings: settings, .udp)
        for _ in 0..<random.within(1...12) {
            worker.run(nanoseconds: UInt64(random.within(1_000_000...4_000_000_000)))
            let part = addresses.filter { _ in random.chance(0.5) }
            if part.isEmpty {
                worker.close(Self.frontend, .udp)
                worker.run(nanoseconds: UInt64(random.within(1_000_000...1_000_000_000)))
                worker.open(Self.frontend, to: addresses, settings: settings, .udp)
            } else {
                worker.replace(Self.frontend, to: part, settings: settings, .udp)
                // What was sent before is still on its way. Afterwards nothing comes to those that were removed.
                worker.run(nanoseconds: 2 * network.settings.latencyNanosecondsMax + 1_000_000)
                let removed = servers.map { network.datagramPeer($0) }.filter { !part.contains($0.local) }
                worker.run(nanoseconds: UInt64(random.within(1_000_000...2_000_000_000)))
                for then in removed where isCalm {
                    let now = servers.map { network.datagramPeer($0) }.first { $0.local == then.local }
                    if now?.received != then.received { found.append("\(then.local) was removed, and heard more") }
                }
            }
        }
        worker.run(nanoseconds: 60_000_000_000)
        network.faults = Faults()
        for (name, peers) in [("endpoint", servers), ("client", clients)] {
            for peer in peers.map({ network.datagramPeer($0) }) {
                let isWell = peer.damaged == 0 && peer.misled == 0 && peer.fromElsewhere == 0
                if !isWell { found.append("\(name) \(peer)") }
            }
        }
        found += worker.miscounted()
        worker.post(.stop)
        if !worker.run(ticksMax: 100_000, waitMax: 1_000_000_000, until: { worker.isStopped }) { found.append("it does not stop") }
        if worker.counter(Column.sessionsActive) != 0 { found.append("\(worker.counter(Column.sessionsActive)) sessions are left") }
        for row in worker.serviceRows + worker.endpointRows
        where worker.counters.read(row: row, column: Column.connectionsActive) != 0 {
            found.append("row \(row) counts sessions as active")
        }
        let stale = network.count(.staleCompletion)
        if worker.counter(Column.staleCompletions) != UInt64(stale) {
            found.append("\(worker.counter(Column.staleCompletions)) stale completions were dropped of \(stale)")
        }
        return found + worker.driver.breaches + worker.driver.leaks() + worker.miscounted()
    }
}
