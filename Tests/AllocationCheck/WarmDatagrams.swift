import Addressing
import CAllocationCounter
import Engine
import EngineSimulator
import Forwarding
package import Routing

/// One worker on the simulated driver, with clients that send datagrams and get them back, each ten of them: sessions begin, time out, and
/// begin anew by sockets of those before.
package struct WarmDatagrams {
    package static let requests = 10

    private let clients: Int
    private let udpClass: UDPClass
    private let network: SimulatedNetwork
    private let driver: SimulatedDriver
    private let mailbox: Mailbox
    private let settings: WorkerSettings
    private let frontend = SocketAddress(IPAddress(ipv4: 0x0a60_0001), PortNumber(53)!)
    private let endpoints = (0..<3).map { SocketAddress(IPAddress(ipv4: 0x0af4_0000 + $0), PortNumber(9000)!) }

    package init(clients: Int, _ udpClass: UDPClass) {
        self.clients = clients
        self.udpClass = udpClass
        var networkSettings = SimulatedNetwork.Settings()
        networkSettings.connectionsMax = 1
        networkSettings.peersMax = 1
        networkSettings.socketsMax = clients * 16
        networkSettings.datagramsMax = clients * 4
        network = SimulatedNetwork(seed: 1, settings: networkSettings)
        var driverSettings = SimulatedDriver.Settings()
        driverSettings.buffers = 16
        driverSettings.auditInterval = 0
        driver = SimulatedDriver(network: network, driverSettings)
        mailbox = Mailbox(wakeUp: driver.wakeUp)
        var settings = WorkerSettings()
        settings.flowsMax = 1
        settings.others = [makeCounterTable()]
        settings.otherSources = [SourceCounts()]
        self.settings = settings
    }

    /// Serves rounds of datagrams and measures all but the first two, which warm up.
    package func measure() -> WarmWorker.Finding {
        var worker = Worker(driver: driver, mailbox: mailbox, counters: makeCounterTable(), settings: settings)
        var groupSettings = EndpointGroup.Settings()
        groupSettings.datagrams.udpClass = udpClass
        groupSettings.datagrams.replyRatioMax = 10
        groupSettings.datagrams.datagramsPerSourceMax = 1_000_000
        groupSettings.connectionsMax = 1_000_000
        groupSettings.connectionsPerSourceMax = 10
        let service = ServicePortName(namespace: "default", name: "echo", port: "", transport: .udp)
        let group = EndpointGroup(service: service, settings: groupSettings, endpoints: endpoints.map { Endpoint($0) })
        let served = ServedFrontend(
            frontend: Frontend(key: FrontendKey(frontend, .udp), origin: .clusterIP, group: group), serviceRow: 2, endpointRows: [3, 4, 5])
        precondition(mailbox.post(.apply(open: [served], replace: [], close: []) { _ in }), "the mailbox is empty")
        for _ in 0..<2 { _ = round(&worker) }
        var finding = round(&worker)
        finding.failures += driver.breaches
        return finding
    }

    private func round(_ worker: inout Worker) -> WarmWorker.Finding {
        network.removeAllDatagramPeers()
        for endpoint in endpoints { network.addDatagramServer(at: endpoint) }
        var script = DatagramScript()
        script.requests = Self.requests
        script.bytesMax = 600
        script.pauseNanosecondsMax = 20_000_000
        for number in 0..<clients {
            let local = SocketAddress(IPAddress(ipv4: 0x0a01_0000 + UInt32(number)), PortNumber(40_000)!)
            network.addDatagramClient(script, from: local, to: frontend, at: network.now + UInt64(number) * 1000)
        }
        var finding = WarmWorker.Finding()
        let before = ringway_allocation_count()
        // Long enough for sessions to end, and for sockets to be free again; not so long that they are closed.
        let deadline = network.now + 165_000_000_000
        while network.now < deadline, finding.ticks < 1_000_000 {
            worker.tick(waitMax: 1_000_000_000)
            finding.connectionsMax = max(finding.connectionsMax, worker.sessions.active)
            finding.ticks += 1
        }
        finding.allocations = ringway_allocation_count() - before
        let isAnswered = udpClass == .session || udpClass == .oneReply
        for index in 0..<network.datagramPeerCount where !network.datagramPeer(index).isServer {
            let client = network.datagramPeer(index)
            guard client.sent == Self.requests, client.received == (isAnswered ? Self.requests : 0), client.damaged + client.misled == 0
            else {
                finding.failures.append("client \(index) was not served: \(client)")
                break
            }
        }
        if worker.sessions.active > 0 { finding.failures.append("\(worker.sessions.active) sessions are left") }
        return finding
    }
}
