import Addressing
import CAllocationCounter
import DNS
import Engine
import EngineSimulator
import Forwarding
import Routing

/// One worker on the simulated driver that is asked for names, over UDP and TCP, and asks another for those that are not its own.
package struct WarmNames {
    private static let address = SocketAddress(IPAddress(ipv4: 0x0a60_000a), PortNumber(53)!)
    private static let upstream = SocketAddress(IPAddress(ipv4: 0x0a63_0001), PortNumber(53)!)
    private static let queriesOfRound = 2000
    /// Queries that a worker finds at once.
    package static let batch = 16

    private let network: SimulatedNetwork
    private let driver: SimulatedDriver
    private let mailbox: Mailbox
    private let settings: WorkerSettings
    private let names: WorkerNames

    package init() {
        var networkSettings = SimulatedNetwork.Settings()
        networkSettings.connectionsMax = 64
        networkSettings.peersMax = 1
        networkSettings.socketsMax = 256
        networkSettings.datagramsMax = 1024
        network = SimulatedNetwork(seed: 1, settings: networkSettings)
        var driverSettings = SimulatedDriver.Settings()
        driverSettings.buffers = 256
        driverSettings.bufferSize = 512
        driverSettings.auditInterval = 0
        driver = SimulatedDriver(network: network, driverSettings)
        mailbox = Mailbox(wakeUp: driver.wakeUp)
        var settings = WorkerSettings()
        settings.flowsMax = 1
        var names = NameSettings(
            addresses: [Self.address], responder: Responder.Settings(domain: DomainName("cluster.local")!), responsesPerSourceMax: 1000)
        names.forwarding = ForwardingSettings(upstreams: Upstreams(servers: [Self.upstream]))
        self.settings = settings
        self.names = WorkerNames(names, connectionsMax: 4)
    }

    /// Answers rounds of queries and measures all but the first, which warms up.
    package func measure() -> WarmWorker.Finding {
        let endpoints = (0..<20).map { ServiceNames.Endpoint(address: IPAddress(ipv4: 0x0a01_0000 + $0)) }
        let service = ServiceNames(
            service: ServiceName(namespace: "prod", name: "db"), kind: .headless,
            endpointSets: [ServiceNames.EndpointSet(ports: [], endpoints: endpoints)])
        var worker = makeWorker(NameTable(services: [service.service: service], namespaces: ["prod": NamespaceNames(name: "prod")]))
        _ = round(&worker)
        var finding = round(&worker)
        finding.failures += driver.breaches
        if driver.buffers.freeCount != driver.buffers.capacity { finding.failures.append("buffers are not back") }
        return finding
    }

    private func makeWorker(_ table: NameTable) -> Worker {
        var worker = Worker(driver: driver, mailbox: mailbox, counters: makeCounterTable(), settings: settings, names: names)
        var maker = ZoneMaker()
        let zone = maker.update(to: RoutingSnapshot(generation: 1, frontends: [:], names: table), serial: 1)
        precondition(mailbox.post(.serveNames(ZoneHandover(zone)) { _ in }), "the mailbox is empty")
        run(&worker, nanoseconds: 1_000_000)
        return worker
    }

    /// Some of the names are there, some are not, and others are asked for two, of which one may be kept; one query in two comes from a
    /// network beyond its rate.
    private func round(_ worker: inout Worker) -> WarmWorker.Finding {
        var finding = WarmWorker.Finding()
        let queries = ["db.prod.svc.cluster.local", "web.prod.svc.cluster.local", "example.com", "a.example"].map { Self.query($0) }
        let upstream = network.openDatagramsByHand(at: Self.upstream)
        var questions = 0
        let clients = [0x0a02_0001, 0xcb00_7101].map { host in
            network.openDatagramsByHand(
                at: SocketAddress(IPAddress(ipv4: host), PortNumber(40_000)!), connectedTo: Self.address)
        }
        let connections = (0..<4).map { number in
            network.connectByHand(
                from: SocketAddress(IPAddress(ipv4: 0x0a03_0000 + number), PortNumber(40_000)!), to: Self.address)
        }
        run(&worker, nanoseconds: 1_000_000)
        var answers = 0
        for number in 0..<Self.queriesOfRound {
            let query = queries[number % queries.count]
            network.send(clients[number % 2], query[2...])
            _ = network.send(connections[number % 4], query[...])
            // What the far side allocates is its own.
            let before = ringway_allocation_count()
            run(&worker, nanoseconds: 100_000)
            finding.allocations += ringway_allocation_count() - before
            finding.ticks += 1
            while let asked = network.receive(upstream) {
                questions += 1
                network.send(upstream, Self.reply(to: asked.bytes)[...], to: asked.from)
            }
            for client in clients { while network.receive(client) != nil { answers += 1 } }
            for connection in connections { _ = network.receive(connection, most: 4096) }
        }
        finding.connectionsMax = connections.count
        if answers < Self.queriesOfRound / 2 { finding.failures.append("only \(answers) queries were answered") }
        if questions < Self.queriesOfRound / 8 { finding.failures.append("only \(questions) questions were asked") }
        network.close(upstream)
        for connection in connections { network.close(connection) }
        for client in clients { network.close(client) }
        run(&worker, nanoseconds: 1_000_000_000)
        return finding
    }

    /// Answers rounds of `batch` queries over UDP from what the cluster has: addresses, names without any of the type, names that are not.
    package func answerOwn(rounds: Int) -> WarmWorker.Finding {
        let services = (0..<1000).map { number in
            ServiceNames(
                service: ServiceName(namespace: "prod", name: "web-\(number)"),
                kind: .cluster(addresses: [IPAddress(ipv4: 0x0a60_0100 + UInt32(number))], ports: []), endpointSets: [])
        }
        let table = NameTable(
            services: PersistentDictionary(Dictionary(uniqueKeysWithValues: services.map { ($0.service, $0) })),
            namespaces: ["prod": NamespaceNames(name: "prod")])
        var worker = makeWorker(table)
        let clients = (0..<Self.batch).map { host in
            network.openDatagramsByHand(
                at: SocketAddress(IPAddress(ipv4: 0x0a02_0001 + UInt32(host)), PortNumber(40_000)!), connectedTo: Self.address)
        }
        var finding = WarmWorker.Finding()
        var answers = 0
        for round in 0..<rounds {
            for (number, client) in clients.enumerated() {
                let service = (round * Self.batch + number) * 7 % services.count
                let name = number % 8 == 7 ? "missing-\(service)" : "web-\(service)"
                network.send(client, Self.query("\(name).prod.svc.cluster.local", type: number % 3 == 2 ? 28 : 1)[2...])
            }
            let before = ringway_allocation_count()
            run(&worker, nanoseconds: 100_000)
            finding.allocations += ringway_allocation_count() - before
            for client in clients { while network.receive(client) != nil { answers += 1 } }
        }
        if answers != rounds * Self.batch { finding.failures.append("\(answers) of \(rounds * Self.batch) queries were answered") }
        return finding
    }

    /// An address, for a minute where the name is short, and for this time only where it isn't.
    private static func reply(to question: [UInt8]) -> [UInt8] {
        let nameBytes = question[12...].firstIndex(of: 0)! - 11
        let ttl: UInt8 = nameBytes > 11 ? 0 : 60
        var reply = Array(question[..<(12 + nameBytes + 4)])
        reply.replaceSubrange(2..<12, with: [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])
        return reply + [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 192, 0, 2, 1]
    }

    /// As it goes over TCP.
    private static func query(_ name: String, type: UInt8 = 1) -> [UInt8] {
        let labels = name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        let message = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + labels + [0, 0, type, 0, 1]
        return [0, UInt8(message.count)] + message
    }

    private func run(_ worker: inout Worker, nanoseconds: UInt64) {
        let deadline = network.now + nanoseconds
        while network.now < deadline { worker.tick(waitMax: deadline - network.now) }
    }
}
