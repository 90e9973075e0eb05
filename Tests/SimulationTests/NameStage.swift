import Addressing
import DNS
import Engine
import EngineSimulator
import Routing
import Synchronization
import Testing

@testable import Forwarding
@testable import Simulate

/// A worker that answers queries at one address; its clients are played by hand.
final class NameStage {
    static let address = SocketAddress(IPAddress(ipv4: 0x0a60_000a), PortNumber(53)!)
    static let second: UInt64 = 1_000_000_000

    let network: SimulatedNetwork
    let worker: WorkerUnderTest
    let counters: CounterTable
    private let replyCounters: CounterTable
    private var maker = ZoneMaker()
    private var generation: UInt64 = 0
    private var clients: UInt32 = 0

    init(
        faults: Faults = Faults(), seed: UInt64 = 1, buffers: Int = 256, bufferSize: Int = 512, pipeBytes: Int = 1024,
        connectionsMax: Int = 8, rate: Int? = nil, upstreams: Upstreams = Upstreams(servers: []), questionsMax: Int = 16
    ) {
        var network = SimulatedNetwork.Settings()
        network.connectionsMax = 64
        network.peersMax = 16
        network.socketsMax = 256
        network.datagramsMax = 1024
        network.datagramQueueMax = 512
        network.pipeBytes = pipeBytes
        self.network = SimulatedNetwork(seed: seed, settings: network, faults: faults)
        var driver = SimulatedDriver.Settings()
        driver.buffers = buffers
        driver.bufferSize = bufferSize
        driver.auditInterval = 4
        var settings = WorkerSettings()
        settings.flowsMax = 16
        settings.seed = seed
        var names = NameSettings(
            addresses: [Self.address], responder: Responder.Settings(domain: DomainName("cluster.local")!), responsesPerSourceMax: rate)
        names.forwarding = ForwardingSettings(upstreams: upstreams)
        names.forwarding.questionsMax = questionsMax
        let ofWorker = WorkerNames(names, connectionsMax: connectionsMax)
        counters = ofWorker.counters
        replyCounters = ofWorker.replyCounters
        worker = WorkerUnderTest(network: self.network, driver: driver, settings: settings, names: ofWorker)
    }

    /// Replies of all upstreams, by `ReplyTime`, and the nanoseconds that they took together.
    var replyTimes: (counts: [UInt64], nanoseconds: UInt64) {
        let sums = (0..<ReplyColumn.count).map { column in
            (0..<replyCounters.rows).reduce(0) { $0 + replyCounters.read(row: $1, column: column) }
        }
        return (Array(sums.dropLast()), sums[ReplyColumn.nanoseconds])
    }

    // MARK: - The control side

    /// A headless Service of so many endpoints, `db.prod`; its names begin with the address that is given.
    static func headless(_ count: Int, from first: UInt32 = 0x0a01_0000) -> ServiceNames {
        let endpoints = (0..<UInt32(count)).map { ServiceNames.Endpoint(address: IPAddress(ipv4: first + $0)) }
        return ServiceNames(
            service: ServiceName(namespace: "prod", name: "db"), kind: .headless,
            endpointSets: [ServiceNames.EndpointSet(ports: [], endpoints: endpoints)])
    }

    static func cluster(_ address: UInt32) -> ServiceNames {
        ServiceNames(
            service: ServiceName(namespace: "default", name: "web"), kind: .cluster(addresses: [IPAddress(ipv4: address)], ports: []))
    }

    /// Makes the worker answer by these, and turns it until it has acknowledged that, and no further.
    @discardableResult
    func publish(_ services: [ServiceNames]) -> ZoneHandover {
        generation += 1
        let table = NameTable(
            services: PersistentDictionary(Dictionary(uniqueKeysWithValues: services.map { ($0.service, $0) })),
            namespaces: ["prod": NamespaceNames(name: "prod"), "default": NamespaceNames(name: "default")])
        let handover = ZoneHandover(maker.update(to: RoutingSnapshot(generation: generation, frontends: [:], names: table), serial: 1))
        let failures = Mutex<[Int32]?>(nil)
        worker.post(.serveNames(handover) { some in failures.withLock { $0 = some.map(\.errno) } })
        #expect(worker.run(ticksMax: 10, waitMax: 1000) { failures.withLock { $0 } != nil })
        #expect(failures.withLock { $0 } == [])
        return handover
    }

    func run(seconds: Double = 0.001) { worker.run(nanoseconds: UInt64(seconds * Double(Self.second))) }

    // MARK: - Clients

    private func nextClient(_ host: UInt32?) -> SocketAddress {
        clients += 1
        return SocketAddress(IPAddress(ipv4: host ?? 0x0a02_0000 + clients), PortNumber(40_000 + clients % 20_000)!)
    }

    func datagrams(from host: UInt32? = nil) -> HandDatagramPeer {
        network.openDatagramsByHand(at: nextClient(host), connectedTo: Self.address)
    }

    /// The answers to a query over UDP.
    func ask(_ query: [UInt8], from peer: HandDatagramPeer) -> [[UInt8]] {
        network.send(peer, query[...])
        run()
        var answers: [[UInt8]] = []
        while let answer = network.receive(peer) { answers.append(answer.bytes) }
        return answers
    }

    func connect(from host: UInt32? = nil) -> HandPeer {
        let peer = network.connectByHand(from: nextClient(host), to: Self.address)
        run()
        return peer
    }

    /// Sends all of it, as fast as it is taken; false where the connection has ended.
    func send(_ bytes: [UInt8], over peer: HandPeer, seconds: Double = 0.001) -> Bool {
        var rest = bytes[...]
        for _ in 0..<10_000 where !rest.isEmpty {
            let sent = network.send(peer, rest)
            if sent > 0 { rest = rest.dropFirst(sent) } else if sent != -11 { return false }
            run(seconds: seconds)
        }
        return rest.isEmpty
    }

    enum End: Equatable { case open, ended, failed(Int32) }

    /// What there is to read, until nothing comes any more.
    func receive(from peer: HandPeer, most: Int = .max) -> (bytes: [UInt8], end: End) {
        var bytes: [UInt8] = []
        for _ in 0..<100_000 where bytes.count < most {
            let part = network.receive(peer, most: most - bytes.count)
            guard let some = part.bytes else {
                guard part.errno == 11 else { return (bytes, .failed(part.errno)) }
                let before = network.now
                run()
                let next = network.receive(peer, most: min(most - bytes.count, 65_536))
                if let some = next.bytes {
                    if some.isEmpty { return (bytes, .ended) }
                    bytes += some
                    continue
                }
                if next.errno != 11 { return (bytes, .failed(next.errno)) }
                if network.now > before { return (bytes, .open) }
                continue
            }
            if some.isEmpty { return (bytes, .ended) }
            bytes += some
            run()
        }
        return (bytes, .open)
    }

    // MARK: - Counters

    var freeBuffers: Int { worker.driver.buffers.freeCount }

    func udp(_ column: Int) -> Int { Int(counters.read(row: 0, column: column)) }
    func tcp(_ column: Int) -> Int { Int(counters.read(row: 1, column: column)) }
    func closed(_ ending: NameConnection.Ending) -> Int { tcp(NameColumn.closed + Int(ending.rawValue)) }
    func dropped(_ reason: QueryDrop) -> Int { udp(NameColumn.dropped + reason.rawValue) }
    var connectionsActive: Int { tcp(NameColumn.connectionsActive) }

    /// Stops the worker, and expects that nothing is left.
    func close(_ location: SourceLocation = #_sourceLocation) {
        network.faults = Faults()
        worker.post(.stop)
        _ = worker.run(ticksMax: 1000, waitMax: 1_000_000) { [worker] in worker.isStopped }
        run(seconds: 0.001)
        #expect(worker.isStopped && connectionsActive == 0, sourceLocation: location)
        let endings = NameConnection.Ending.allCases.reduce(0) { $0 + closed($1) }
        #expect(endings == tcp(NameColumn.connections), sourceLocation: location)
        #expect(worker.driver.breaches + worker.driver.leaks() == [], sourceLocation: location)
    }
}

/// Messages, as far as these tests have to understand them.
enum NameMessage {
    static func query(_ name: String, type: UInt8 = 1, id: Int = 1) -> [UInt8] {
        let labels = name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        return [UInt8(id >> 8 & 0xff), UInt8(id & 0xff), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + labels + [0, 0, type, 0, 1]
    }

    /// As it goes over TCP.
    static func framed(_ message: [UInt8]) -> [UInt8] { [UInt8(message.count >> 8), UInt8(message.count & 0xff)] + message }

    /// What came over TCP, message by message; nil where something is left over.
    static func messages(_ bytes: [UInt8]) -> [[UInt8]]? {
        var rest = bytes[...]
        var messages: [[UInt8]] = []
        while rest.count >= 2 {
            let length = Int(rest[rest.startIndex]) << 8 | Int(rest[rest.startIndex + 1])
            guard rest.count >= 2 + length else { return nil }
            messages.append(Array(rest.dropFirst(2).prefix(length)))
            rest = rest.dropFirst(2 + length)
        }
        return rest.isEmpty ? messages : nil
    }

    static func id(_ message: [UInt8]) -> Int { Int(message[0]) << 8 | Int(message[1]) }
    static func code(_ message: [UInt8]) -> UInt8 { message[3] & 15 }
    static func isTruncated(_ message: [UInt8]) -> Bool { message[2] & 2 != 0 }
    static func answers(_ message: [UInt8]) -> Int { Int(message[6]) << 8 | Int(message[7]) }
    /// The last record's, where it is an A.
    static func address(_ message: [UInt8]) -> UInt32 { message.suffix(4).reduce(0) { $0 << 8 | UInt32($1) } }
}
