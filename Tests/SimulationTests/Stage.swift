import Addressing
import Engine
import EngineSimulator
@testable import Forwarding
import Routing
@testable import Simulate
import Testing

/// A worker that serves one address; simulated servers stand behind it.
final class Stage {
    static let frontend = SocketAddress(IPAddress(ipv4: 0x0a60_0001), PortNumber(80)!)
    let network: SimulatedNetwork
    let worker: WorkerUnderTest
    let health: HealthTable
    private(set) var endpoints: [SocketAddress] = []

    init(
        connectionsMax: Int = 256, flowsMax: Int = 256, buffers: Int = 4096, bufferSize: Int = 512, pipeBytes: Int = 1024,
        restsReceives: Bool = false,
        change: (inout WorkerSettings) -> Void = { _ in }
    ) {
        var settings = SimulatedNetwork.Settings()
        settings.connectionsMax = connectionsMax
        settings.peersMax = connectionsMax
        settings.socketsMax = connectionsMax * 2
        settings.pipeBytes = pipeBytes
        network = SimulatedNetwork(seed: 1, settings: settings)
        var driver = SimulatedDriver.Settings()
        driver.buffers = buffers
        driver.bufferSize = bufferSize
        driver.auditInterval = 16
        driver.restsReceives = restsReceives
        var workerSettings = WorkerSettings()
        workerSettings.flowsMax = flowsMax
        change(&workerSettings)
        health = workerSettings.health
        worker = WorkerUnderTest(network: network, driver: driver, settings: workerSettings)
    }

    /// Adds an endpoint; nobody listens there without a script.
    @discardableResult
    func addEndpoint(_ script: PeerScript? = nil, backlog: Int = 1024) -> SocketAddress {
        let address = SocketAddress(IPAddress(ipv4: 0x0af4_0001 + UInt32(endpoints.count)), PortNumber(9000)!)
        endpoints.append(address)
        if let script { network.addServer(script, at: address, backlog: backlog) }
        return address
    }

    func open(_ settings: EndpointGroup.Settings = EndpointGroup.Settings()) {
        worker.open(Self.frontend, to: endpoints, settings: settings)
        worker.run(nanoseconds: 1_000_000)
    }

    @discardableResult
    func addClient(
        _ script: PeerScript, from source: SocketAddress? = nil, at time: UInt64? = nil, saying header: [UInt8] = []
    ) -> Int {
        let local = source ?? SocketAddress(IPAddress(ipv4: 0x0a01_0000 + UInt32(network.peerCount)), PortNumber(40_000)!)
        return network.addClient(script, from: local, to: Self.frontend, at: time, saying: header)
    }

    /// Turns the worker until these clients are over.
    func finish(_ clients: [Int]) -> Bool {
        let deadline = network.now + 60_000_000_000
        return worker.run(ticksMax: 100_000, waitMax: 1_000_000_000) { [network] in
            network.now > deadline || clients.allSatisfy { network.peer($0).isOver }
        } && clients.allSatisfy { network.peer($0).isOver }
    }

    /// The servers that got connections.
    var servers: [SimulatedPeer] { (0..<network.peerCount).map { network.peer($0) }.filter { $0.isServer } }

    /// Connects begun to each endpoint, and those open now.
    var connections: [UInt64] { worker.endpointRows.map { worker.counters.read(row: $0, column: Column.connections) } }
    var ejections: [UInt64] { worker.endpointRows.map { worker.counters.read(row: $0, column: Column.ejections) } }
    var active: [UInt64] { worker.endpointRows.map { worker.counters.read(row: $0, column: Column.connectionsActive) } }

    /// Attempts at each endpoint that came to nothing.
    var connectFailures: [UInt64] { worker.endpointRows.map { worker.counters.read(row: $0, column: Column.connectFailures) } }

    /// Ends everything and expects that nothing is left.
    func close(_ location: SourceLocation = #_sourceLocation) {
        worker.run(nanoseconds: 1_000_000_000)
        worker.post(.stopAccepting)
        worker.post(.resetAll)
        worker.run(nanoseconds: 1_000_000_000)
        network.rebootVanishedPeers()
        worker.run(nanoseconds: 1_000_000_000)
        #expect(worker.imbalances() == [], sourceLocation: location)
    }
}
