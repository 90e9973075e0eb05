import Addressing
import Engine
import EngineSimulator
import Forwarding
import Routing

/// One simulated run: frontends, servers of all kinds, clients of all kinds, and faults, all drawn from a seed.
struct Scenario {
    /// What a server does; its port tells.
    enum ServerKind: UInt16, CaseIterable {
        case echo = 9000
        /// Answers a request, and ends first.
        case answer
        /// Says its say at once and sends FIN, then reads to the end.
        case speakFirst
        /// Waits for the client's FIN, then answers and closes.
        case answerAfterFin
        case closeAtOnce, closeEarly, resetMidStream, neverRead, vanish
        /// Nobody listens; SYNs vanish; no route.
        case refuse, blackHole, unreachable

        /// Whether a client that does its part sees a clean end.
        var isClean: Bool { rawValue <= ServerKind.answerAfterFin.rawValue }
    }

    enum Size {
        /// A few dozen connections within a second: quick to play, and to look into.
        case small
        /// Hundreds, over seconds, on tables and under limits that are too small now and then.
        case large

        var clients: ClosedRange<Int> { self == .small ? 3...40 : 220...400 }
        /// Connections that a run has at least.
        var flowsMin: Int { self == .small ? 0 : 200 }
    }

    /// What the control side does while connections come and go.
    private enum Change {
        /// Closes a frontend; opens it again.
        case close(Int), reopen(Int)
        /// Puts a part of a frontend's endpoints in place of what it has.
        case replace(Int, [SocketAddress])
    }

    let seed: UInt64
    let size: Size
    /// Without faults, and with clean peers only, everything must go well.
    let isCalm: Bool
    let worker: WorkerUnderTest
    let network: SimulatedNetwork
    private let log: ConnectionLogReader
    private(set) var frontends: [SocketAddress] = []
    private(set) var clients: [Int] = []
    private(set) var settings: [EndpointGroup.Settings] = []
    /// Whether clients may come to a frontend that is closed; whether slow readers may hold every buffer.
    private(set) var closesFrontends = false
    let isShortOfBuffers: Bool
    /// What each client's endpoint is to hear first, where its Service tells; and the clients whose own header is bad.
    private(set) var headers: [Int: [UInt8]] = [:]
    private(set) var clientsWithBadHeader: Set<Int> = []
    /// Those that say one that nobody is to hear; their servers may speak to them before they do.
    private(set) var clientsWithUnexpectedHeader: Set<Int> = []
    private var endpoints: [[SocketAddress]] = []
    /// By time, the last first.
    private var changes: [(time: UInt64, change: Change)] = []
    private var random: SimulatedRandom
    private let faults: Faults
    private let descriptorLimit: Int
    private let sources = SourceCounts(secret: 1)
    /// nil in runs of TCP alone.
    let traffic: DatagramTraffic?

    init(seed: UInt64, size: Size = .small) {
        self.seed = seed
        self.size = size
        random = SimulatedRandom(seed: seed &* 0x9e37_79b9_7f4a_7c15 &+ 1)
        isCalm = random.chance(0.25)
        let isShort = random.chance(0.2)
        isShortOfBuffers = size == .large && !isCalm && isShort
        var workerSettings = WorkerSettings()
        workerSettings.seed = random.next()
        workerSettings.sources = sources
        // Draws of its own, so that what TCP does is the same with it and without.
        var datagramRandom = SimulatedRandom(seed: ~seed &* 0x9e37_79b9_7f4a_7c15)
        let hasDatagrams = datagramRandom.chance(0.6)
        workerSettings.sessionsMax = hasDatagrams ? 1 << [2, 4, 6, 10][isCalm ? 3 : datagramRandom.below(4)] : 16
        workerSettings.flowsMax = 128
        if size == .large {
            // A table that is too small for all that come at once; or one that is large enough to take them without end.
            workerSettings.flowsMax = [16 + random.below(48), 128, 5000][random.below(3)]
            if !isCalm, random.chance(0.2) { workerSettings.connectionsLimit = random.within(5...100) }
            if !isCalm, random.chance(0.2) {
                let most = random.within(5...100)
                workerSettings.connectionsMax = { most }
            }
        }
        workerSettings.bulk.enterUnits = Int16(random.within(1...12))
        workerSettings.bulk.shortCost = Int16(random.within(0...4))
        workerSettings.bulk.leaveBytes = random.within(0...1000)
        workerSettings.bulk.leaveCount = Int16(random.within(1...4))
        workerSettings.bulk.refusedUnits = Int16(random.within(0...10))
        log = ConnectionLogReader(random.chance(0.5) ? .all : .off, ring: 1 << random.within(1...6))
        workerSettings.connectionLogging = log.logging
        workerSettings.connectionRing = log.ring

        var settings = SimulatedNetwork.Settings()
        settings.connectionsMax = size == .small ? 160 : 2000
        settings.peersMax = size == .small ? 512 : 4000
        settings.socketsMax = size == .small ? 256 : 1200
        if hasDatagrams { settings.socketsMax += 3 * workerSettings.sessionsMax }
        if !isCalm, datagramRandom.chance(0.3) { settings.datagramQueueMax = datagramRandom.within(1...100) }
        settings.datagramsMax = 8192
        settings.pipeBytes = 256 << random.below(size == .small ? 5 : 4)
        settings.variesPipes = random.chance(0.5)
        settings.latencyNanosecondsMax = random.chance(0.3) ? 0 : UInt64(random.within(1...2_000_000))
        faults = isCalm ? Faults() : Faults.mixed(&random)
        network = SimulatedNetwork(seed: random.next(), settings: settings, faults: faults)

        var driver = SimulatedDriver.Settings()
        driver.bufferSize = 16 << random.below(7)
        // A peer that never reads holds buffers for as long as it lives. Where there is none, few buffers must do.
        switch (size, isCalm) {
        case (.small, true): driver.buffers = random.within(100...600)
        case (.small, false): driver.buffers = random.within(1400...2000)
        case (.large, true): driver.buffers = random.within(1000...2000)
        case (.large, false): driver.buffers = isShortOfBuffers ? random.within(100...600) : random.within(6000...8000)
        }
        driver.auditInterval = size == .small ? 8 : 64
        driver.restsReceives = random.chance(0.5)
        driver.pipes = random.within(1...20)
        driver.pipeBytes = random.within(16...4096)
        driver.transferTurnBytes = random.within(1...4096)
        worker = WorkerUnderTest(network: network, driver: driver, settings: workerSettings)
        if !isCalm, random.chance(0.2) { worker.driver.descriptorLimit = random.within(12...(size == .small ? 60 : 200)) }
        descriptorLimit = worker.driver.descriptorLimit
        if hasDatagrams {
            // Sockets of sessions stay open for a while, and TCP is to have its own.
            if descriptorLimit < network.settings.socketsMax { worker.driver.descriptorLimit += workerSettings.sessionsMax + 2 }
            traffic = DatagramTraffic(seed: datagramRandom.next(), isCalm: isCalm, size: size, network: network, worker: worker)
        } else {
            traffic = nil
        }
        addFrontends()
        addClients()
    }

    private mutating func addFrontends() {
        for number in 0..<random.within(1...3) {
            let frontend = SocketAddress(IPAddress(ipv4: 0x0a60_0001 + UInt32(number)), PortNumber(80)!)
            var settings = EndpointGroup.Settings()
            settings.selection = Selection.allCases[random.below(Selection.allCases.count)]
            if random.chance(0.4) { settings.proxyProtocol = random.chance(0.5) ? .v1 : .v2 }
            if random.chance(0.4) { settings.acceptsHeadersFrom = [IPRange("10.1.0.0/28")!] }
            settings.refusesUnexpectedHeaders = random.chance(0.4)
            if size == .large, !isCalm {
                if random.chance(0.2) { settings.connectionsMax = random.within(1...60) }
                if random.chance(0.3) { settings.connectionsPerSourceMax = random.within(1...4) }
            }
            self.settings.append(settings)
            var endpoints: [SocketAddress] = []
            for place in 0..<random.within(1...4) {
                let kind = isCalm || random.chance(0.6) ? cleanKind() : ServerKind.allCases[random.below(ServerKind.allCases.count)]
                let address = SocketAddress(IPAddress(ipv4: 0x0af4_0000 + UInt32(number * 16 + place)), PortNumber(kind.rawValue)!)
                endpoints.append(address)
                addServer(kind, at: address, expectsHeader: settings.proxyProtocol != nil)
            }
            worker.open(frontend, to: endpoints, settings: settings)
            frontends.append(frontend)
            self.endpoints.append(endpoints)
        }
        closesFrontends = random.chance(0.3)
        if closesFrontends {
            let frontend = random.below(frontends.count)
            let time = network.now + UInt64(random.within(1...800_000_000))
            changes.append((time, .close(frontend)))
            if size == .large, random.chance(0.5) { changes.append((time + UInt64(random.below(1_000_000_000)), .reopen(frontend))) }
        }
        for _ in 0..<(size == .small ? 0 : random.below(6)) {
            let frontend = random.below(frontends.count)
            let part = endpoints[frontend].filter { _ in random.chance(0.7) }
            let time = network.now + UInt64(random.within(1...2_000_000_000))
            changes.append((time, .replace(frontend, part.isEmpty ? endpoints[frontend] : part)))
        }
        changes.sort { $0.time > $1.time }
    }

    private mutating func cleanKind() -> ServerKind {
        random.chance(0.5) ? .echo : ServerKind(rawValue: ServerKind.echo.rawValue + UInt16(random.below(4)))!
    }

    private mutating func addServer(_ kind: ServerKind, at address: SocketAddress, expectsHeader: Bool) {
        var script = manners()
        script.expectsHeader = expectsHeader
        script.bytes = random.within(1...4000)
        switch kind {
        case .echo:
            script.speaking = .echo
            script.ending = .closeAfterFin
        case .answer:
            script.speaking = .afterRequest
            script.ending = .finWhenSent
        case .speakFirst: script.ending = .finWhenSent
        case .answerAfterFin:
            script.speaking = .afterFin
            script.ending = .closeAfterFin
        case .closeAtOnce:
            script.bytes = 0
            script.ending = .closeWhenSent
            script.reads = false
        case .closeEarly: script.ending = .closeWhenSent
        case .resetMidStream:
            script.ending = .resetAfter
            script.endingBytes = random.within(0...6000)
        case .neverRead:
            script.reads = false
            script.ending = .closeAfterFin
        case .vanish:
            script.ending = .vanishAfter
            script.endingBytes = random.within(0...3000)
        case .refuse: return
        case .blackHole:
            network.blackHoles.insert(address)
            return
        case .unreachable:
            network.unreachable.insert(address)
            return
        }
        if !isCalm { script.patienceNanoseconds = 40_000_000_000 }
        network.addServer(script, at: address, backlog: isCalm ? 1024 : random.within(1...64))
    }

    /// How fast and in which pieces somebody speaks and listens.
    private mutating func manners() -> PeerScript {
        var script = PeerScript()
        script.varies = random.chance(0.7)
        script.sendMax = random.within(1...2048)
        script.readMax = random.within(50...4096)
        script.pauseNanosecondsMax = random.chance(0.5) ? 0 : UInt64(random.within(1...500_000))
        return script
    }

    private mutating func addClients() {
        let span = size == .small ? 1_000_000_000 : random.within(200_000_000...4_000_000_000)
        let comesInBursts = size == .large && random.chance(0.3)
        for number in 0..<random.within(size.clients) {
            var script = manners()
            script.bytes = random.within(4...5000)
            if !isCalm {
                script.patienceNanoseconds = UInt64(random.within(5_000...15_000)) * 1_000_000
                script.endingBytes = random.within(0...6000)
                switch random.below(20) {
                case 0: script.ending = .closeWhenSent
                case 1: script.ending = .resetAfter
                case 2: script.ending = .vanishAfter
                case 3: script.ending = .closeWhenReceived
                case 4: script.reads = false
                case 5: script.ending = .closeAfterFin
                default: break
                }
            }
            // Of a few dozen hosts, some of which stand behind a balancer that names its clients.
            let local = SocketAddress(IPAddress(ipv4: 0x0a01_0000 + UInt32(number % 48)), PortNumber(40_000 + number)!)
            var time = network.now + UInt64(random.below(span))
            if comesInBursts { time += 100_000_000 - time % 100_000_000 }
            let frontend = random.below(frontends.count)
            let header = addHeader(number, from: local, to: frontend)
            clients.append(network.addClient(script, from: local, to: frontends[frontend], at: time, saying: header))
        }
    }

    /// What a client says first, and what its endpoint is to hear.
    private mutating func addHeader(_ client: Int, from local: SocketAddress, to frontend: Int) -> [UInt8] {
        let own = ProxyAddresses(source: local, destination: frontends[frontend])
        var told = own
        let source = SocketAddress(IPAddress(ipv4: 0xcb00_7100 + UInt32(random.below(4))), PortNumber(1 + random.below(65_000))!)
        let other = ProxyAddresses(source: source, destination: SocketAddress(IPAddress(ipv4: 0xc633_6401), PortNumber(443)!))
        var header: [UInt8] = []
        if settings[frontend].acceptsHeadersFrom.contains(where: { $0.contains(local.address) }) {
            switch random.below(isCalm ? 4 : 6) {
            case 0: header = Array("PROXY UNKNOWN\r\n".utf8)
            case 1: header = Headers.local
            case 2, 3:
                told = other
                header = Headers.bytes(random.chance(0.5) ? .v1 : .v2, told)
            // No header at all; and one with a port that there isn't.
            case 4: clientsWithBadHeader.insert(client)
            default:
                clientsWithBadHeader.insert(client)
                header = Array("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n".utf8)
            }
        } else if settings[frontend].refusesUnexpectedHeaders, !isCalm, random.chance(0.2) {
            clientsWithUnexpectedHeader.insert(client)
            header = Headers.bytes(random.chance(0.5) ? .v1 : .v2, other)
        }
        if let version = settings[frontend].proxyProtocol { headers[client] = Headers.bytes(version, told) }
        return header
    }

    // MARK: - The run

    /// Virtual time in which every client must be over; a SYN may be sent again for a minute.
    private static let nanosecondsMax: UInt64 = 100_000_000_000

    /// Plays the run to its end. Answers what went wrong; empty is right.
    mutating func play() -> [String] {
        let network = network
        let worker = worker
        let log = log
        let deadline = network.now + Self.nanosecondsMax
        _ = worker.run(ticksMax: 4_000_000, waitMax: 5_000_000_000) {
            log.read()
            change()
            traffic?.change()
            return network.now > deadline || network.clientsOpen == 0
        }
        var found = worker.miscounted()
        if network.clientsOpen > 0 {
            worker.describeFlows()
            let unfinished = clients.filter { !network.peer($0).isOver }
            found.append("after \(network.now / 1_000_000) ms these clients are not over: \(unfinished)")
        } else if isCalm {
            // Nobody is left to be reset: the flows end by themselves.
            let areClosed = worker.run(ticksMax: 100_000, waitMax: 1_000_000_000) { worker.connectionsActive == 0 }
            if !areClosed { found.append("\(worker.connectionsActive) flows do not end") }
        }
        // What was said last is still on its way to the other side.
        worker.run(nanoseconds: 3_000_000_000)
        found += Verdict(scenario: self).findings
        if let traffic { found += finish(traffic) }
        network.faults = Faults()
        worker.driver.descriptorLimit = network.settings.socketsMax
        worker.post(.stopAccepting)
        worker.run(nanoseconds: 3_000_000_000)
        worker.post(.resetAll)
        _ = worker.run(ticksMax: 10_000, waitMax: 100_000_000) { worker.connectionsActive == 0 }
        network.rebootVanishedPeers()
        worker.run(nanoseconds: 100_000_000_000)
        network.rebootVanishedPeers()
        let opened = clients.count { network.peer($0).connectErrno == 0 }
        if worker.flowsAccepted != opened { found.append("\(opened) clients were connected, and \(worker.flowsAccepted) accepted") }
        if worker.flowsAccepted < size.flowsMin { found.append("only \(worker.flowsAccepted) connections") }
        return found + worker.imbalances() + sourcesLeft + log.differences(from: worker)
    }

    /// Lets the UDP part come to its end, and judges it.
    private func finish(_ traffic: DatagramTraffic) -> [String] {
        let isOver = worker.run(ticksMax: 1_000_000, waitMax: 1_000_000_000) {
            traffic.change()
            return traffic.isOver
        }
        // Whoever waits for a slow reply; and no session has ended yet that might have one.
        worker.run(nanoseconds: 10_000_000_000)
        var found = (isOver ? [] : ["the UDP clients are not over"]) + traffic.verdict()
        // Nobody will come for what stands in a queue now.
        if network.datagramsUnderWay > 0 { found.append("\(network.datagramsUnderWay) datagrams were never taken") }
        traffic.closeAll()
        return found
    }

    /// Does what is due. A large run closes nothing before it has had most of its connections.
    private mutating func change() {
        guard let (time, change) = changes.last, network.now >= time, worker.flowsAccepted >= size.flowsMin else { return }
        changes.removeLast()
        switch change {
        case .close(let frontend): worker.close(frontends[frontend])
        case .reopen(let frontend): worker.open(frontends[frontend], to: endpoints[frontend], settings: settings[frontend])
        case .replace(let frontend, let part): worker.replace(frontends[frontend], to: part, settings: settings[frontend])
        }
    }

    /// Clients that are still counted though all connections are over.
    private var sourcesLeft: [String] {
        var left: [String] = []
        for row in worker.serviceRows where settings.contains(where: { $0.connectionsPerSourceMax != nil }) {
            for address in sourceAddresses {
                let count = sources.read(sources.key(client: address, serviceRow: row))
                if count > 0 { left.append("\(address) is counted \(count) times on row \(row)") }
            }
        }
        return left + (traffic?.sourcesLeft(sources) ?? [])
    }

    /// All that clients come from, and all that their headers name.
    private var sourceAddresses: [IPAddress] {
        (0..<48).map { IPAddress(ipv4: 0x0a01_0000 + $0) } + (0..<4).map { IPAddress(ipv4: 0xcb00_7100 + $0) }
    }

    /// Bytes that a peer has compared with what it should get.
    var bytesChecked: Int { (0..<network.peerCount).reduce(0) { $0 + network.peer($1).received } }
}

extension Scenario {
    /// Prints all that is known of a client and its server, for a person at work on a seed (`RINGWAY_CLIENT=3`).
    func describe(_ client: Int) {
        print(isCalm ? "calm" : "\(faults)", "ended at", network.now, "limit", descriptorLimit)
        for reason in CloseReason.allCases where worker.closed(reason) > 0 { print(reason, worker.closed(reason)) }
        for index in 0..<network.peerCount where network.peer(index).number == UInt32(client) { print(index, network.peer(index)) }
    }
}
