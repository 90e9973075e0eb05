import Addressing
import Engine
import EngineSimulator
import Forwarding
import Routing
import Synchronization

/// A whole worker on the simulated driver, turned tick by tick.
final class WorkerUnderTest {
    static let activeColumn = Column.connectionsActive

    let network: SimulatedNetwork
    let driver: SimulatedDriver
    let counters = makeCounterTable()
    let mailbox: Mailbox
    private var worker: Worker
    private var nextRow = Column.firstFreeRow
    private(set) var serviceRows: [Int] = []
    private(set) var endpointRows: [Int] = []
    /// Rows of UDP ports and of their endpoints, which are kept from one group to the next.
    private(set) var datagramRows: [SocketAddress: Int] = [:]
    private(set) var datagramEndpointRows: [SocketAddress: Int] = [:]

    init(
        network: SimulatedNetwork, driver driverSettings: SimulatedDriver.Settings, settings: WorkerSettings, names: WorkerNames? = nil
    ) {
        self.network = network
        driver = SimulatedDriver(network: network, driverSettings)
        mailbox = Mailbox(wakeUp: driver.wakeUp)
        worker = Worker(driver: driver, mailbox: mailbox, counters: counters, settings: settings, names: names)
    }

    /// Connections that the worker has taken from the kernel, turned away or not.
    var flowsAccepted: Int { Int(counter(Column.accepted)) }

    var connectionsActive: Int { worker.connectionsActive }
    var sessionsActive: Int { worker.sessions.active }
    var upstreamsActive: Int { worker.upstreams.active }

    var isStopped: Bool { worker.isStopped }

    func tick(waitMax: UInt64 = .max) { worker.tick(waitMax: waitMax) }

    /// Turns the worker until `condition` holds; false when it does not within the ticks.
    func run(ticksMax: Int, waitMax: UInt64 = .max, until condition: () -> Bool) -> Bool {
        var ticks = 0
        while !condition() {
            guard ticks < ticksMax, driver.breaches.isEmpty else { return false }
            worker.tick(waitMax: waitMax)
            ticks += 1
        }
        return true
    }

    /// Turns the worker for a stretch of virtual time.
    func run(nanoseconds: UInt64) {
        let deadline = network.now + nanoseconds
        while network.now < deadline, driver.breaches.isEmpty { worker.tick(waitMax: deadline - network.now) }
    }

    /// How clients of a frontend are told apart.
    struct Clients {
        var isSilent = false
        /// nil: all of them.
        var permitted: [IPRange]?
        /// Those near by, and where they are led.
        var nearby = NearbyClients()
        var nearbyEndpoints: [SocketAddress]?
    }

    /// Serves an address, by a listener of its own or, where one is named, by that which it shares with others.
    func open(
        _ address: SocketAddress, to endpoints: [SocketAddress], settings: EndpointGroup.Settings = EndpointGroup.Settings(),
        _ transport: TransportProtocol = .tcp, clients: Clients = Clients(), sharedAt home: SocketAddress? = nil
    ) {
        if let home { network.steered[address] = home }
        let served = serve(address, to: endpoints, settings, transport, clients, sharedAt: home)
        post(.apply(open: [served], replace: [], close: []) { _ in })
    }

    /// Puts another group behind an address.
    func replace(
        _ address: SocketAddress, to endpoints: [SocketAddress], settings: EndpointGroup.Settings, _ transport: TransportProtocol = .tcp,
        clients: Clients = Clients()
    ) {
        post(.apply(open: [], replace: [serve(address, to: endpoints, settings, transport, clients)], close: []) { _ in })
    }

    private func serve(
        _ address: SocketAddress, to endpoints: [SocketAddress], _ settings: EndpointGroup.Settings, _ transport: TransportProtocol,
        _ clients: Clients, sharedAt home: SocketAddress? = nil
    ) -> ServedFrontend {
        let service = ServicePortName(namespace: "default", name: "s\(serviceRows.count)", port: "", transport: transport)
        let frontend = Self.frontend(FrontendKey(address, transport), service, to: endpoints, settings, clients)
        let rows = nextRow + 1..<nextRow + 1 + frontend.group.endpoints.count
        let otherRows = rows.upperBound..<rows.upperBound + (frontend.rules?.shortCircuit?.group.endpoints.count ?? 0)
        let served = ServedFrontend(
            frontend: frontend, serviceRow: nextRow, endpointRows: Array(rows), shortCircuitRows: Array(otherRows),
            sharedAt: home)
        serviceRows.append(nextRow)
        endpointRows += Array(rows) + Array(otherRows)
        nextRow = otherRows.upperBound
        return served
    }

    private static func frontend(
        _ key: FrontendKey, _ service: ServicePortName, to endpoints: [SocketAddress], _ settings: EndpointGroup.Settings,
        _ clients: Clients
    ) -> Frontend {
        func group(_ endpoints: [SocketAddress]) -> EndpointGroup {
            EndpointGroup(service: service, settings: settings, endpoints: endpoints.map { Endpoint($0) })
        }
        let shortCircuit = clients.nearbyEndpoints.map { ShortCircuit(clients: clients.nearby, group: group($0)) }
        let rules = ClientRules(permitted: clients.permitted, shortCircuit: shortCircuit)
        return Frontend(
            key: key, origin: .clusterIP, group: group(endpoints), isSilent: clients.isSilent,
            rules: rules == ClientRules() ? nil : rules)
    }

    /// A UDP port as workers serve it. No endpoint stands behind two of them.
    func serveDatagrams(
        _ address: SocketAddress, to endpoints: [SocketAddress], settings: EndpointGroup.Settings, clients: Clients
    ) -> ServedFrontend {
        func row(_ rows: inout [SocketAddress: Int], _ address: SocketAddress) -> Int {
            if let row = rows[address] { return row }
            defer { nextRow += 1 }
            rows[address] = nextRow
            return nextRow
        }
        let service = ServicePortName(namespace: "default", name: "u\(address)", port: "", transport: .udp)
        let frontend = Self.frontend(FrontendKey(address, .udp), service, to: endpoints, settings, clients)
        let others = frontend.rules?.shortCircuit?.group.endpoints ?? []
        return ServedFrontend(
            frontend: frontend, serviceRow: row(&datagramRows, address),
            endpointRows: frontend.group.endpoints.map { row(&datagramEndpointRows, $0.address) },
            shortCircuitRows: others.map { row(&datagramEndpointRows, $0.address) })
    }

    /// Serves an address no more.
    func close(_ address: SocketAddress, _ transport: TransportProtocol = .tcp) {
        post(.apply(open: [], replace: [], close: [FrontendKey(address, transport)]) { _ in })
    }

    func post(_ command: WorkerCommand) { precondition(mailbox.post(command), "the mailbox is full") }

    var ticks: UInt64 { counter(Column.ticks) }

    func counter(_ column: Int) -> UInt64 { counters.read(row: Column.workerRow, column: column) }

    /// Flows closed, for whatever reason, on all Services.
    var closed: UInt64 {
        var sum: UInt64 = 0
        for row in serviceRows {
            for reason in CloseReason.allCases { sum += counters.read(row: row, column: Column.closed + Int(reason.rawValue)) }
        }
        return sum
    }

    func closed(_ reason: CloseReason) -> UInt64 {
        serviceRows.reduce(0) { $0 + counters.read(row: $1, column: Column.closed + Int(reason.rawValue)) }
    }

    /// Service ports that lost count: of the connections they had, those that are not open were closed for one reason each.
    func miscounted() -> [String] {
        var found: [String] = []
        for row in serviceRows {
            func count(_ column: Int) -> UInt64 { counters.read(row: row, column: column) }
            let closed = CloseReason.allCases.reduce(0) { $0 + count(Column.closed + Int($1.rawValue)) }
            let (all, active) = (count(Column.connections), count(Column.connectionsActive))
            if closed != all &- active { found.append("row \(row) had \(all), has \(active) open, and counts \(closed) as closed") }
        }
        return found
    }

    /// Bytes that sockets of all Services have taken.
    var bytesToClients: Int { total(Column.bytesToClients) }
    var bytesFromClients: Int { total(Column.bytesFromClients) }

    private func total(_ column: Int) -> Int { serviceRows.reduce(0) { $0 + Int(counters.read(row: $1, column: column)) } }

    /// Prints the flows that live, for a person at work on a seed.
    func describeFlows() {
        print("at", network.now, "free buffers", driver.buffers.freeCount, "of", driver.buffers.capacity)
        for slot in 0..<worker.flows.touchedSlots where worker.flows[slot].phase != .free {
            let flow = worker.flows[slot]
            print(slot, flow.phase, "pending", flow.pendingOperations, flow.closeReason)
            for leg in Leg.allCases {
                let state = flow[leg]
                print(
                    " ", leg, state.socket, state.receive, state.input, "sending", state.sending, "broken", state.isBroken, "fin sent",
                    state.finSent)
                print("    outbox", state.outbox.count, state.outbox.bytes, driver.describe(state.socket))
            }
        }
    }

    /// What is not as it must be once every connection is over; empty is right.
    func imbalances() -> [String] {
        var found = driver.breaches + driver.leaks()
        if connectionsActive != 0 { found.append("\(connectionsActive) flows are left") }
        if counter(Column.accepted) != closed { found.append("accepted \(counter(Column.accepted)), closed \(closed)") }
        if closed(.internal) != 0 { found.append("\(closed(.internal)) were closed for no reason that has a name") }
        found += miscounted() + datagramImbalances()
        for row in serviceRows + endpointRows where counters.read(row: row, column: Column.connectionsActive) != 0 {
            found.append("row \(row) counts \(Int64(bitPattern: counters.read(row: row, column: Column.connectionsActive))) as active")
        }
        let stale = network.count(.staleCompletion)
        if counter(Column.staleCompletions) != UInt64(stale) {
            found.append("\(counter(Column.staleCompletions)) stale completions were dropped of \(stale)")
        }
        if network.connectionsOpen != 0 { found.append("\(network.connectionsOpen) connections are open in the network") }
        return found
    }
}
