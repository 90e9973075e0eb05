import Addressing
import Engine
import EngineSimulator
import Forwarding
import Routing
import Synchronization

private let second: UInt64 = 1_000_000_000

/// The UDP part of a run: ports, endpoints and clients of all kinds, and changes, drawn from the run's seed; and what was heard of each
/// datagram, by whom.
final class DatagramTraffic {
    /// What an endpoint does.
    private enum ServerKind: CaseIterable {
        case echo, slow, long, twice, silent
        /// Nobody is there; it goes and comes back.
        case refuse, mortal
    }

    /// What the control side, and endpoints, do while datagrams come and go.
    private enum Change {
        case close(Int), open(Int)
        case replace(Int, [SocketAddress])
        case die(SocketAddress), live(SocketAddress)
    }

    private struct Port {
        let address: SocketAddress
        let settings: EndpointGroup.Settings
        /// Whose datagrams go anywhere.
        let clients: WorkerUnderTest.Clients
        var endpoints: [SocketAddress] = []
        /// Where datagrams may go now: to the endpoints that the worker was told of last, and until it acknowledges those before.
        var allowed: Set<SocketAddress> = []
        var changes = 0
        var isOpen = false
    }

    private struct Mark: Hashable {
        let client: UInt32
        let number: UInt32
    }

    let isCalm: Bool
    private let network: SimulatedNetwork
    private let worker: WorkerUnderTest
    private var random: SimulatedRandom
    private var ports: [Port] = []
    private var kinds: [SocketAddress: DatagramScript] = [:]
    /// Peers that are there, by address; and the port behind which each peer ever was.
    private var servers: [SocketAddress: Int] = [:]
    private var portOfPeer: [Int: Int] = [:]
    private(set) var clients: [Int] = []
    /// By time, the last first.
    private var changes: [(time: UInt64, change: Change)] = []
    private var heardByServers: [Mark: Int] = [:]
    private var heardByClients: [Mark: Int] = [:]
    private let acknowledged = Acknowledged()
    private var findings: [String] = []

    /// Changes that the worker has acknowledged and nobody has looked at.
    private final class Acknowledged: Sendable {
        let changes = Mutex<[(port: Int, number: Int, endpoints: [SocketAddress])]>([])
    }

    init(seed: UInt64, isCalm: Bool, size: Scenario.Size, network: SimulatedNetwork, worker: WorkerUnderTest) {
        self.isCalm = isCalm
        self.network = network
        self.worker = worker
        random = SimulatedRandom(seed: seed)
        for number in 0..<random.within(1...2) { addPort(number) }
        for number in 0..<(size == .small ? random.within(2...12) : random.within(5...40)) { addClient(number) }
        if !isCalm { drawChanges() }
        changes.sort { $0.time > $1.time }
        worker.driver.onDatagramToEndpoint = { [unowned self] endpoint in
            takeAcknowledged()
            if !ports.contains(where: { $0.allowed.contains(endpoint) }) { find("a datagram was sent to \(endpoint), which nobody serves") }
        }
        network.onDatagramHeard = { [unowned self] peer, client, number in hear(peer, Mark(client: client, number: number)) }
    }

    private func find(_ finding: String) { if findings.count < 8 { findings.append(finding) } }

    // MARK: - What is drawn

    private func drawSettings() -> EndpointGroup.Settings {
        var settings = EndpointGroup.Settings()
        settings.selection = Selection.allCases[random.below(Selection.allCases.count)]
        settings.datagrams.udpClass = random.chance(0.5) ? .session : UDPClass.allCases[random.below(UDPClass.allCases.count)]
        settings.datagrams.unansweredTimeout = .milliseconds(random.within(500...30_000))
        settings.datagrams.answeredTimeout = .milliseconds(random.within(500...60_000))
        guard !isCalm else { return settings }
        settings.ejectAfter = UInt8([0, 1, 2, 5][random.below(4)])
        if random.chance(0.2) { settings.connectionsMax = random.within(1...10) }
        if random.chance(0.2) { settings.connectionsPerSourceMax = random.within(1...3) }
        if random.chance(0.2) { settings.datagrams.replyRatioMax = random.within(1...4) }
        if random.chance(0.2) { settings.datagrams.datagramsPerSourceMax = random.within(1...100) }
        return settings
    }

    private func addPort(_ number: Int) {
        // The same as a TCP port.
        let address = SocketAddress(IPAddress(ipv4: 0x0a60_0001 + UInt32(number)), PortNumber(80)!)
        // Clients are at 10.2.0.0 and the eleven addresses behind it.
        let permitted = !isCalm && random.chance(0.2) ? [IPRange("10.2.0.0/30")!, IPRange("10.2.0.8/29")!] : nil
        var port = Port(address: address, settings: drawSettings(), clients: WorkerUnderTest.Clients(permitted: permitted))
        for place in 0..<random.within(1...4) {
            let endpoint = SocketAddress(IPAddress(ipv4: 0x0af5_0000 + UInt32(number * 16 + place)), PortNumber(9000)!)
            port.endpoints.append(endpoint)
            addEndpoint(isCalm ? .echo : ServerKind.allCases[random.below(ServerKind.allCases.count)], endpoint, number)
        }
        ports.append(port)
        open(number)
    }

    private func addEndpoint(_ kind: ServerKind, _ address: SocketAddress, _ port: Int) {
        var script = DatagramScript()
        switch kind {
        case .echo: break
        case .slow: script.delayNanosecondsMax = UInt64(random.within(1...5000)) * 1_000_000
        case .long: script.replyBytes = random.within(8...3000)
        case .twice: script.replies = 2
        case .silent: script.replies = 0
        case .refuse: return
        case .mortal:
            let death = network.now + UInt64(random.within(1...20_000)) * 1_000_000
            changes.append((death, .die(address)))
            changes.append((death + UInt64(random.within(1...30_000)) * 1_000_000, .live(address)))
        }
        kinds[address] = script
        live(address, port)
    }

    private func live(_ address: SocketAddress, _ port: Int) {
        guard let script = kinds[address] else { return }
        let peer = network.addDatagramServer(script, at: address)
        servers[address] = peer
        portOfPeer[peer] = port
    }

    private func addClient(_ number: Int) {
        var script = DatagramScript()
        script.burst = random.within(1...(random.chance(0.2) ? 150 : 12))
        script.requests = script.burst * random.within(1...5)
        script.bytesMin = random.within(8...100)
        script.bytesMax = random.chance(0.5) ? script.bytesMin : script.bytesMin + random.below(1400)
        // At once; soon; after the session or its socket may have gone.
        script.pauseNanosecondsMax = [1_000_000, second, 20 * second, 40 * second][random.below(isCalm ? 2 : 4)]
        let port = random.below(ports.count)
        let local = SocketAddress(IPAddress(ipv4: 0x0a02_0000 + UInt32(number % 12)), PortNumber(30_000 + number)!)
        let time = network.now + UInt64(random.below(Int(random.chance(0.5) ? second : 20 * second)))
        let client = network.addDatagramClient(script, from: local, to: ports[port].address, at: time)
        portOfPeer[client] = port
        clients.append(client)
    }

    private func drawChanges() {
        for _ in 0..<random.below(6) {
            let port = random.below(ports.count)
            let time = network.now + UInt64(random.within(1...(random.chance(0.5) ? 2000 : 60_000))) * 1_000_000
            if random.chance(0.3) {
                changes.append((time, .close(port)))
                changes.append((time + UInt64(random.below(5_000_000_000)), .open(port)))
            } else {
                let part = ports[port].endpoints.filter { _ in random.chance(0.5) }
                changes.append((time, .replace(port, part.isEmpty ? ports[port].endpoints : part)))
            }
        }
    }

    // MARK: - The run

    var isOver: Bool { changes.isEmpty && clients.allSatisfy { network.datagramPeer($0).isOver } }

    /// Does what is due.
    func change() {
        while let (time, change) = changes.last, network.now >= time {
            changes.removeLast()
            switch change {
            case .close(let port): close(port)
            case .open(let port): open(port)
            case .replace(let port, let part) where ports[port].isOpen:
                let acknowledge = allow(part, port)
                worker.replaceDatagrams(ports[port].address, to: part, settings: ports[port].settings, clients: ports[port].clients) {
                    _ in acknowledge()
                }
            case .replace: break
            case .die(let address): if let peer = servers.removeValue(forKey: address) { network.removeDatagramPeer(peer) }
            case .live(let address):
                if let port = ports.firstIndex(where: { $0.endpoints.contains(address) }) { live(address, port) }
            }
        }
    }

    private func open(_ port: Int) {
        guard !ports[port].isOpen else { return }
        ports[port].isOpen = true
        let acknowledge = allow(ports[port].endpoints, port)
        let (endpoints, settings) = (ports[port].endpoints, ports[port].settings)
        worker.openDatagrams(ports[port].address, to: endpoints, settings: settings, clients: ports[port].clients) { _ in acknowledge() }
    }

    private func close(_ port: Int) {
        guard ports[port].isOpen else { return }
        ports[port].isOpen = false
        let acknowledge = allow([], port)
        worker.closeDatagrams(ports[port].address) { _ in acknowledge() }
    }

    func closeAll() { for port in ports.indices { close(port) } }

    /// The worker is about to be told of these endpoints: when it has acknowledged them, it may send to no others.
    private func allow(_ endpoints: [SocketAddress], _ port: Int) -> @Sendable () -> Void {
        ports[port].allowed.formUnion(endpoints)
        ports[port].changes += 1
        let number = ports[port].changes
        return { [acknowledged] in acknowledged.changes.withLock { $0.append((port, number, endpoints)) } }
    }

    /// What the worker has acknowledged holds from now on; unless it was told something else since then, which it has not.
    private func takeAcknowledged() {
        for (port, number, endpoints) in acknowledged.changes.withLock({ exchange(&$0) }) where ports[port].changes == number {
            ports[port].allowed = Set(endpoints)
        }
    }

    private func exchange<Element>(_ list: inout [Element]) -> [Element] {
        defer { list.removeAll() }
        return list
    }

    // MARK: - What was heard

    private func hear(_ peer: Int, _ mark: Mark) {
        let client = Int(mark.client)
        guard clients.contains(client), mark.number < UInt32(network.datagramPeer(client).sent) else {
            return find("peer \(peer) heard a datagram that nobody sent: \(mark)")
        }
        if portOfPeer[peer] != portOfPeer[client] { find("peer \(peer) heard \(mark), which was for another port") }
        if let permitted = ports[portOfPeer[client]!].clients.permitted,
            !permitted.contains(where: { $0.contains(network.datagramPeer(client).local.address) })
        {
            find("peer \(peer) heard \(mark), whose client is not permitted")
        }
        if network.datagramPeer(peer).isServer { heardByServers[mark, default: 0] += 1 } else { heardByClients[mark, default: 0] += 1 }
    }

    /// Replies that came to another client than the one they were for. Where a session ends with its last reply its socket is free at once,
    /// so a reply that comes twice is the next session's, which takes it for its own.
    var misled: Int { clients.reduce(0) { $0 + network.datagramPeer($1).misled } }

    private func mayBeMisled(_ port: Int) -> Bool {
        let isTwice = ports[port].endpoints.contains { (kinds[$0]?.replies ?? 0) > 1 }
        return ports[port].settings.datagrams.udpClass == .oneReply && (isTwice || network.count(.datagramDuplicated) > 0)
    }

    /// What went wrong; empty is right.
    func verdict() -> [String] {
        takeAcknowledged()
        for peer in portOfPeer.keys {
            let known = network.datagramPeer(peer)
            if known.damaged > 0 || known.unmarked > 0 { find("peer \(peer) heard \(known.damaged) damaged datagrams") }
        }
        for client in clients {
            let (known, port) = (network.datagramPeer(client), portOfPeer[client]!)
            if known.misled > 0, !mayBeMisled(port) { find("client \(client) heard \(known.misled) replies for others") }
            if known.fromElsewhere > 0 { find("client \(client) heard \(known.fromElsewhere) datagrams from elsewhere") }
            let udpClass = ports[port].settings.datagrams.udpClass
            if udpClass == .oneWay || udpClass == .perDatagram, known.received > 0 {
                find("client \(client) heard what nobody should pass on")
            }
            if isCalm { judgeCalm(client, known, udpClass) }
        }
        let doubled = heardByServers.values.reduce(0) { $0 + $1 - 1 }
        let repeated = heardByClients.reduce(0) { $0 + max(0, $1.value - 2 * (heardByServers[$1.key] ?? 0)) }
        let most = network.count(.datagramDuplicated)
        if doubled > most || repeated > most { find("\(doubled) requests and \(repeated) replies came twice, and \(most) were doubled") }
        return findings + worker.datagramsMiscounted()
    }

    /// Clients that are still counted though all sessions are over.
    func sourcesLeft(_ sources: SourceCounts) -> [String] {
        let addresses = Set(clients.map { network.datagramPeer($0).local.address })
        return worker.datagramRows.values.flatMap { row in
            addresses.filter { sources.read(sources.key(client: $0, serviceRow: row)) > 0 }.map { "\($0) is still counted on row \(row)" }
        }
    }

    /// Where nothing goes wrong each request comes to one endpoint, and its reply to the client.
    private func judgeCalm(_ client: Int, _ known: SimulatedDatagramPeer, _ udpClass: UDPClass) {
        let waits = udpClass == .session || udpClass == .oneReply
        for number in 0..<UInt32(known.sent) {
            let mark = Mark(client: UInt32(client), number: number)
            if heardByServers[mark] != 1 { find("datagram \(mark) came \(heardByServers[mark] ?? 0) times to endpoints") }
            if heardByClients[mark] != (waits ? 1 : nil) { find("the reply to \(mark) came \(heardByClients[mark] ?? 0) times") }
        }
    }
}
