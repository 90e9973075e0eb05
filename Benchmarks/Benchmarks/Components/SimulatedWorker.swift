import Addressing
import Benchmark
import Engine
import EngineSimulator
import Forwarding
import Routing

extension Components {
    static func registerWorker() {
        // A thousand connections: the figures are of one.
        Benchmark("a connection through a simulated worker", configuration: configuration(.kilo)) { benchmark in
            let simulated = SimulatedWorker(connections: 1000)
            simulated.serveRound()
            benchmark.startMeasurement()
            simulated.serveRound()
            benchmark.stopMeasurement()
        }
        Benchmark("an idle tick of a simulated worker", configuration: configuration(.kilo)) { benchmark in
            let simulated = SimulatedWorker(connections: 1)
            simulated.serveRound()
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations { simulated.tick() }
            benchmark.stopMeasurement()
        }
    }
}

/// A worker on the simulated driver, with clients that are all there at once and are echoed 600 bytes each, as in AllocationCheck.
/// Driver, network and peers are in its figures too: they are for comparing one state of the worker with another.
private final class SimulatedWorker {
    private let connections: Int
    private let network: SimulatedNetwork
    private var worker: Worker
    private let frontend = SocketAddress(IPAddress(ipv4: 0x0a60_0001), PortNumber(80)!)
    private let bytes = 600
    private let waitMaxNanoseconds: UInt64 = 1_000_000

    init(connections: Int) {
        self.connections = connections
        var networkSettings = SimulatedNetwork.Settings()
        networkSettings.connectionsMax = connections * 2
        networkSettings.peersMax = connections * 2
        networkSettings.socketsMax = connections * 2 + 10
        network = SimulatedNetwork(seed: 1, settings: networkSettings)
        var driverSettings = SimulatedDriver.Settings()
        driverSettings.buffers = 4096
        driverSettings.auditInterval = 0
        let driver = SimulatedDriver(network: network, driverSettings)
        let mailbox = Mailbox(wakeUp: driver.wakeUp)
        var settings = WorkerSettings()
        settings.flowsMax = connections * 2
        worker = Worker(driver: driver, mailbox: mailbox, counters: makeCounterTable(), settings: settings)

        let endpoints = (0..<3).map { SocketAddress(IPAddress(ipv4: 0x0af4_0000 + $0), PortNumber(9000)!) }
        for endpoint in endpoints { network.addServer(.echo, at: endpoint, backlog: connections) }
        let service = ServicePortName(namespace: "default", name: "echo", port: "", transport: .tcp)
        let group = EndpointGroup(service: service, selection: .random, endpoints: endpoints)
        let served = ServedFrontend(
            frontend: Frontend(key: FrontendKey(frontend, .tcp), origin: .clusterIP, group: group), serviceRow: 2,
            endpointRows: [3, 4, 5])
        precondition(mailbox.post(.apply(open: [served], replace: [], close: []) { _ in }), "the mailbox is empty")
        tick()
    }

    func tick() { worker.tick(waitMax: waitMaxNanoseconds) }

    /// Serves every client from its connect to its FIN.
    func serveRound() {
        network.removeAllPeers()
        var script = PeerScript()
        script.bytes = bytes
        script.holdNanoseconds = 10_000_000
        let began = network.now
        for number in 0..<connections {
            let local = SocketAddress(IPAddress(ipv4: 0x0a01_0000 + UInt32(number)), PortNumber(40_000)!)
            network.addClient(script, from: local, to: frontend, at: began + UInt64(number) * 1000)
        }
        while network.now < began + script.holdNanoseconds || worker.connectionsActive > 0 { tick() }
        // Clients read what is left.
        let end = network.now + 1_000_000
        while network.now < end { tick() }
        for client in 0..<connections { precondition(network.peer(client).received == bytes, "client \(client) was served") }
    }
}
