import Addressing
import Engine
import EngineSimulator
import Routing
import Synchronization
import Testing

@testable import Forwarding
@testable import Simulate

/// A worker that serves one UDP port; its endpoints and clients are played by hand, datagram by datagram.
final class DatagramStage {
    static let frontend = SocketAddress(IPAddress(ipv4: 0x0a60_0001), PortNumber(53)!)
    static let second: UInt64 = 1_000_000_000

    let network: SimulatedNetwork
    let worker: WorkerUnderTest
    let health: HealthTable
    private(set) var endpoints: [SocketAddress] = []
    /// Those that are there; nobody hears what comes for others.
    private var servers: [Int: HandDatagramPeer] = [:]
    private var clients: [Int: HandDatagramPeer] = [:]

    struct Request {
        /// The worker's socket.
        let from: SocketAddress
        let bytes: [UInt8]
    }

    init(endpoints count: Int, faults: Faults = Faults(), change: (inout WorkerSettings) -> Void = { _ in }) {
        var settings = SimulatedNetwork.Settings()
        settings.connectionsMax = 16
        settings.peersMax = 16
        settings.socketsMax = 4096
        settings.datagramsMax = 8192
        settings.datagramQueueMax = 4096
        network = SimulatedNetwork(seed: 1, settings: settings, faults: faults)
        var driver = SimulatedDriver.Settings()
        driver.buffers = 64
        var workerSettings = WorkerSettings()
        workerSettings.flowsMax = 16
        change(&workerSettings)
        health = workerSettings.health
        worker = WorkerUnderTest(network: network, driver: driver, settings: workerSettings)
        for _ in 0..<count { addEndpoint() }
    }

    static func settings(
        _ udpClass: UDPClass = .session, _ selection: Selection = .roundRobin, change: (inout EndpointGroup.Settings) -> Void = { _ in }
    ) -> EndpointGroup.Settings {
        var settings = EndpointGroup.Settings()
        settings.selection = selection
        settings.datagrams.udpClass = udpClass
        change(&settings)
        return settings
    }

    // MARK: - The control side

    func addEndpoint() {
        endpoints.append(SocketAddress(IPAddress(ipv4: 0x0af4_0001 + UInt32(endpoints.count)), PortNumber(9000)!))
        start(endpoints.count - 1)
    }

    func start(_ endpoint: Int) { servers[endpoint] = network.openDatagramsByHand(at: endpoints[endpoint]) }

    /// What comes for it is answered by ICMP from now on.
    func end(_ endpoint: Int) { if let server = servers.removeValue(forKey: endpoint) { network.close(server) } }

    /// Serves the port by these endpoints, by all if none are named.
    func open(
        _ settings: EndpointGroup.Settings = settings(), to some: [Int]? = nil, at address: SocketAddress = frontend,
        clients: WorkerUnderTest.Clients = WorkerUnderTest.Clients()
    ) {
        worker.openDatagrams(address, to: (some ?? Array(endpoints.indices)).map { endpoints[$0] }, settings: settings, clients: clients)
        run()
    }

    /// Puts these endpoints in place of those that are there, and turns the worker until it has acknowledged that, and no further.
    func replace(_ settings: EndpointGroup.Settings = settings(), to some: [Int]) {
        let isDone = Mutex(false)
        worker.replaceDatagrams(Self.frontend, to: some.map { endpoints[$0] }, settings: settings) { _ in isDone.withLock { $0 = true } }
        #expect(worker.run(ticksMax: 10, waitMax: 1000) { isDone.withLock { $0 } })
    }

    // MARK: - The far sides

    func run(seconds: Double = 0.001) { worker.run(nanoseconds: UInt64(seconds * Double(Self.second))) }

    func client(_ number: Int, at address: SocketAddress = frontend, host: UInt32? = nil) -> HandDatagramPeer {
        if let client = clients[number] { return client }
        let local = SocketAddress(IPAddress(ipv4: host ?? 0x0a01_0000 + UInt32(number)), PortNumber(40_000 + number % 20_000)!)
        let client = network.openDatagramsByHand(at: local, connectedTo: address)
        clients[number] = client
        return client
    }

    /// A client sends a datagram, and the worker has the time to pass it on.
    func send(_ bytes: [UInt8], from number: Int) {
        network.send(client(number), bytes[...])
        run()
    }

    func server(_ endpoint: Int) -> HandDatagramPeer { servers[endpoint]! }

    /// What has come to an endpoint since it was last asked.
    func heard(_ endpoint: Int) -> [Request] {
        guard let server = servers[endpoint] else { return [] }
        var heard: [Request] = []
        while let datagram = network.receive(server) { heard.append(Request(from: datagram.from, bytes: datagram.bytes)) }
        return heard
    }

    /// The endpoints that have heard something, each as often as it did.
    func whoHeard() -> [Int] { endpoints.indices.flatMap { endpoint in heard(endpoint).map { _ in endpoint } } }

    /// A client sends a datagram; who hears it, and from which socket? nil where nobody does.
    func ask(_ bytes: [UInt8] = [1], from number: Int) -> (endpoint: Int, request: Request)? {
        send(bytes, from: number)
        for endpoint in endpoints.indices { if let request = heard(endpoint).first { return (endpoint, request) } }
        return nil
    }

    func reply(_ bytes: [UInt8], to request: Request, by endpoint: Int) {
        network.send(server(endpoint), bytes[...], to: request.from)
        run()
    }

    /// What has come to a client, from the address that it asked, since it was last asked.
    func replies(to number: Int) -> [[UInt8]] {
        var replies: [[UInt8]] = []
        while let datagram = network.receive(client(number)) { replies.append(datagram.bytes) }
        return replies
    }

    /// The errno of ICMP that a client has heard.
    func error(of number: Int) -> Int32? { network.takeError(client(number)) }

    // MARK: - Counters

    func count(_ column: Int) -> Int { worker.datagramCount(column) }
    func closed(_ reason: CloseReason) -> Int { count(Column.closed + Int(reason.rawValue)) }
    func count(_ column: Int, ofEndpoint endpoint: Int) -> Int {
        Int(worker.counters.read(row: worker.datagramEndpointRows[endpoints[endpoint]]!, column: column))
    }
    func health(_ endpoint: Int) -> EndpointHealth { health[worker.datagramEndpointRows[endpoints[endpoint]]!] }

    /// Ends everything and expects that nothing is left, even without being told to stop.
    func close(_ location: SourceLocation = #_sourceLocation) {
        network.faults = Faults()
        for address in worker.datagramRows.keys { worker.closeDatagrams(address) }
        run(seconds: 200)
        #expect(worker.imbalances() == [], sourceLocation: location)
    }
}
