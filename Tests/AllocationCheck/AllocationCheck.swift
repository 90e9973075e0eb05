import Addressing
import CAllocationCounter
import Engine
import EngineSimulator
import Forwarding
import Glibc
package import Routing

/// Counts what a warm worker and a responder allocate: `swift run -c release AllocationCheck` ends with 0 if that is nothing, with 1
/// if not, and traps if the connections, and the datagrams, are not served as they should be.
///
/// A program of its own because only optimised code can be judged: unoptimised accessors keep their frames on the heap.
///
/// `AllocationCheck [CONNECTIONS [ROUNDS [BYTES]]]` and `AllocationCheck dns ROUNDS`: other sizes are for `Scripts/gates`, which runs
/// small ones under callgrind and takes differences between them.
@main
struct AllocationCheck {
    static func main() {
        if !WarmWorker.isOptimised { print("unoptimised code allocates whatever we do: build with -c release") }
        if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "dns", let rounds = Int(CommandLine.arguments[2]) {
            if countAnswers(rounds: rounds) > 0 { exit(1) }
            return
        }
        let sizes = CommandLine.arguments.dropFirst().map { Int($0) ?? 0 }
        guard sizes.count <= 3, sizes.allSatisfy({ $0 > 0 }) else { fatalError("give numbers: [CONNECTIONS [ROUNDS [BYTES]]]") }
        var allocations: UInt64 = 0
        // A size that was asked for is about the worker, and one way to choose stands for all.
        for settings in sizes.isEmpty ? WarmWorker.allSettings : [EndpointGroup.Settings()] {
            let worker = WarmWorker(
                connections: sizes.first ?? 10_000, bytes: sizes.count > 2 ? sizes[2] : WarmWorker.bytesUsual, settings)
            let finding = worker.measure(rounds: sizes.count > 1 ? sizes[1] : 2)
            let limits = settings.connectionsMax == nil ? "" : ", weights and limits"
            let summary =
                "\(settings.selection.rawValue)\(limits): \(finding.connectionsMax) connections at once, \(finding.ticks) ticks, "
                + "\(finding.allocations) allocations"
            guard finding.failures.isEmpty else { fatalError("\(summary) \(finding.failures)") }
            print(summary)
            allocations += finding.allocations
        }
        if sizes.isEmpty {
            allocations += count("PROXY headers and a log", WarmWorker(connections: 1000, usesProxyProtocol: true).measure())
            for settings in WarmWorker.allSettings {
                allocations += count(
                    "\(settings.selection.rawValue), an endpoint refuses", WarmWorker(connections: 1000, settings, refuses: true).measure())
            }
            for udpClass in UDPClass.allCases {
                allocations += count("UDP, \(udpClass.rawValue)", WarmDatagrams(clients: 1000, udpClass).measure(), of: "sessions")
            }
            allocations += count("DNS", WarmNames().measure())
        }
        if sizes.isEmpty { allocations += countQueries() }
        if allocations > 0 { exit(1) }
    }

    private static func countAnswers(rounds: Int) -> UInt64 {
        let finding = WarmNames().answerOwn(rounds: rounds)
        let summary = "DNS: \(rounds * WarmNames.batch) queries, \(finding.allocations) allocations"
        guard finding.failures.isEmpty else { fatalError("\(summary) \(finding.failures)") }
        print(summary)
        return finding.allocations
    }

    private static func countQueries() -> UInt64 {
        let finding = WarmResponder.measure()
        let summary = "DNS: \(finding.queries) queries, \(finding.allocations) allocations"
        guard finding.failures.isEmpty else { fatalError("\(summary) \(finding.failures)") }
        print(summary)
        return finding.allocations
    }

    private static func count(_ name: String, _ finding: WarmWorker.Finding, of what: String = "connections") -> UInt64 {
        let summary = "\(name): \(finding.connectionsMax) \(what) at once, \(finding.ticks) ticks, \(finding.allocations) allocations"
        guard finding.failures.isEmpty else { fatalError("\(summary) \(finding.failures)") }
        print(summary)
        return finding.allocations
    }
}

/// One worker on the simulated driver, with clients that are echoed a few hundred bytes each, all of them at once.
package struct WarmWorker {
    package struct Finding {
        /// By the worker's thread after the first round: worker, driver and network together.
        package var allocations: UInt64 = 0
        package var ticks = 0
        package var connectionsMax = 0
        /// What did not go as it should; empty is right.
        package var failures: [String] = []

        mutating func add(_ other: Finding) {
            allocations += other.allocations
            ticks += other.ticks
            connectionsMax = max(connectionsMax, other.connectionsMax)
            failures += other.failures
        }
    }

    /// More than a pipe and a buffer hold.
    package static let bytesUsual = 600

    /// Whether this is optimised code; only there does the count mean anything.
    package static var isOptimised: Bool {
        var isOptimised = true
        func deny() -> Bool {
            isOptimised = false
            return true
        }
        assert(deny())
        return isOptimised
    }

    /// Every algorithm: the default as it is, and each with weights and limits, the hash with a memory.
    package static var allSettings: [EndpointGroup.Settings] {
        [EndpointGroup.Settings()]
            + Selection.allCases.map {
                var settings = EndpointGroup.Settings()
                settings.selection = $0
                settings.affinityTimeout = $0 == .clientIP ? 10_800 : 0
                settings.connectionsMax = 1_000_000
                settings.connectionsPerSourceMax = 10
                return settings
            }
    }

    private let connections: Int
    private let groupSettings: EndpointGroup.Settings
    private let network: SimulatedNetwork
    private let driver: SimulatedDriver
    private let mailbox: Mailbox
    private let settings: WorkerSettings
    /// What each client sends and gets back.
    private let bytes: Int
    private let usesProxyProtocol: Bool
    /// One endpoint is not there: it is ejected and passed over.
    private let refuses: Bool

    package init(
        connections: Int, bytes: Int = WarmWorker.bytesUsual, _ groupSettings: EndpointGroup.Settings = EndpointGroup.Settings(),
        usesProxyProtocol: Bool = false, refuses: Bool = false
    ) {
        self.refuses = refuses
        self.connections = connections
        self.usesProxyProtocol = usesProxyProtocol
        self.bytes = bytes
        self.groupSettings = groupSettings
        var networkSettings = SimulatedNetwork.Settings()
        networkSettings.connectionsMax = connections * 2
        networkSettings.peersMax = connections * 2
        networkSettings.socketsMax = connections * 2 + 10
        networkSettings.pipeBytes = 256
        network = SimulatedNetwork(seed: 1, settings: networkSettings)
        var driverSettings = SimulatedDriver.Settings()
        driverSettings.bufferSize = 256
        driverSettings.buffers = 32_768
        driverSettings.auditInterval = 0
        driver = SimulatedDriver(network: network, driverSettings)
        mailbox = Mailbox(wakeUp: driver.wakeUp)
        var settings = WorkerSettings()
        settings.flowsMax = connections * 2
        settings.others = [makeCounterTable()]
        settings.otherSources = [SourceCounts()]
        // Whoever uses headers here has everything else about single connections, too. Nobody reads the log: most find it full.
        if usesProxyProtocol {
            settings.connectionLogging = .all
            settings.connectionRing = ConnectionRing(capacity: 256)
        }
        self.settings = settings
    }

    /// Serves rounds of connections and measures all but the first, which warms up.
    package func measure(rounds: Int = 2) -> Finding {
        let counters = makeCounterTable()
        var worker = Worker(driver: driver, mailbox: mailbox, counters: counters, settings: settings)
        let frontend = SocketAddress(IPAddress(ipv4: 0x0a60_0001), PortNumber(80)!)
        let endpoints = (0..<3).map { SocketAddress(IPAddress(ipv4: 0x0af4_0000 + $0), PortNumber(9000)!) }
        var script = PeerScript.echo
        script.expectsHeader = usesProxyProtocol
        for endpoint in endpoints.dropFirst(refuses ? 1 : 0) { network.addServer(script, at: endpoint, backlog: connections) }
        let service = ServicePortName(namespace: "default", name: "echo", port: "", transport: .tcp)
        let hasWeights = groupSettings.connectionsMax != nil
        var groupSettings = groupSettings
        if usesProxyProtocol {
            groupSettings.refusesUnexpectedHeaders = true
            groupSettings.proxyProtocol = .v1
            groupSettings.acceptsHeadersFrom = [IPRange("10.0.0.0/8")!]
        }
        let group = EndpointGroup(
            service: service, settings: groupSettings,
            endpoints: endpoints.enumerated().map { Endpoint($0.element, weight: hasWeights ? $0.offset + 1 : 1) })
        let key = FrontendKey(frontend, .tcp)
        let served = ServedFrontend(
            frontend: Frontend(key: key, origin: .clusterIP, group: group), serviceRow: 2, endpointRows: [3, 4, 5])
        precondition(mailbox.post(.apply(open: [served], replace: [], close: []) { _ in }), "the mailbox is empty")
        run(&worker, nanoseconds: 1_000_000)

        _ = round(&worker, frontend)
        var finding = Finding()
        for _ in 1..<max(2, rounds) { finding.add(round(&worker, frontend)) }
        finding.failures += driver.breaches
        if driver.buffers.freeCount != driver.buffers.capacity { finding.failures.append("buffers are not back") }
        return finding
    }

    private func round(_ worker: inout Worker, _ frontend: SocketAddress) -> Finding {
        network.removeAllPeers()
        var script = PeerScript()
        script.bytes = bytes
        script.holdNanoseconds = 100_000_000
        let began = network.now
        for number in 0..<connections {
            let local = SocketAddress(IPAddress(ipv4: 0x0a01_0000 + UInt32(number)), PortNumber(40_000)!)
            let header = usesProxyProtocol ? Array("PROXY TCP6 2001:db8::\(number % 9) fd00::1 \(number) 443\r\n".utf8) : []
            network.addClient(script, from: local, to: frontend, at: began + UInt64(number) * 1000, saying: header)
        }
        var finding = Finding()
        let before = ringway_allocation_count()
        while network.now < began + script.holdNanoseconds || worker.connectionsActive > 0, finding.ticks < 500_000 {
            worker.tick(waitMax: 1_000_000)
            finding.connectionsMax = max(finding.connectionsMax, worker.connectionsActive)
            finding.ticks += 1
        }
        run(&worker, nanoseconds: 1_000_000)
        finding.allocations = ringway_allocation_count() - before
        if finding.connectionsMax != connections { finding.failures.append("only \(finding.connectionsMax) connections at once") }
        for client in 0..<connections {
            let peer = network.peer(client)
            guard peer.received == bytes, peer.matchesEcho, peer.sawFin else {
                finding.failures.append("client \(client) was not served: \(peer)")
                break
            }
        }
        return finding
    }

    private func run(_ worker: inout Worker, nanoseconds: UInt64) {
        let deadline = network.now + nanoseconds
        while network.now < deadline { worker.tick(waitMax: deadline - network.now) }
    }
}
