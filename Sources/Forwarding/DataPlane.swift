import Addressing
import Engine
import Glibc
package import Routing
import Synchronization

/// The running workers, seen from the control plane. The only door to them.
///
/// `apply` finds the delta between what the workers serve and a snapshot, and sends them that; statistics are read from the
/// workers' counters without their help.
package final class DataPlane: Sendable {
    package let engine: EngineReport
    private let workers: [WorkerHandle]
    private let health = HealthTable()
    private let state = Mutex(State())
    private let room: ConnectionRoom
    private let connectionsMax: Int?

    /// What the workers serve, as far as they have acknowledged it.
    fileprivate struct State {
        /// The same number on TCP and UDP is two ports.
        struct Port: Hashable {
            let number: PortNumber
            let transport: TransportProtocol

            init(_ key: FrontendKey) {
                number = key.address.port
                transport = key.transport
            }
        }

        var generation: UInt64 = 0
        var served: [FrontendKey: ServedFrontend] = [:]
        var reports: [ListenerReport] = []
        var origins: [FrontendKey: Frontend.Origin] = [:]
        var rows = CounterRows()
        /// Closed connections that were taken from the workers, and not yet written down.
        var closed: [ClosedConnection] = []
        /// Ports of the frontends closed by the last snapshot: their listeners may still be emptying their queues.
        var portsClosed: Set<Port> = []
        var isDraining = false
    }

    /// Starts the workers. They listen on nothing yet.
    package init(settings: DataPlaneSettings) throws(DataPlaneError) {
        precondition(settings.workers >= 1, "at least one worker")
        for address in settings.sourceAddresses {
            let failure = HostLimits.probeSource(address)
            if failure != 0 { throw DataPlaneError(BindFailure.text(errno: failure, source: address)) }
        }
        var (name, reason) = try EngineSelection.choose(settings.engine)
        let room = ConnectionRoom(workers: settings.workers)
        let limit: @Sendable () -> Int = { room.budget.connections }
        let sessions: @Sendable () -> Int = { room.sessionsOfWorker }
        self.room = room
        connectionsMax = settings.connectionsMax
        do throws(DataPlaneError) {
            workers = try WorkerHandle.start(name, settings: settings, health: health, connectionsMax: limit, sessionsMax: sessions)
        } catch {
            guard settings.engine == .auto, name == .ioUring else { throw error }
            // The probe's small ring was granted and a worker's was not: locked memory, most likely.
            name = .epoll
            reason = error.description
            workers = try WorkerHandle.start(name, settings: settings, health: health, connectionsMax: limit, sessionsMax: sessions)
        }
        engine = EngineReport(name: name.rawValue, reason: reason)
    }

    /// What the limit of open files comes to now.
    package var descriptorBudget: DescriptorBudget { room.budget }

    /// Makes the workers serve `snapshot` and nothing else; returns when every worker has acknowledged it. Connections that
    /// exist are not touched. Frontends that could not be opened before are tried again. Calls must not overlap: one caller, in
    /// order of generation.
    ///
    /// - Returns: one report for each frontend of the snapshot, sorted by key.
    package func apply(_ snapshot: RoutingSnapshot) async -> [ListenerReport] {
        var failures: [FrontendKey: Int32] = [:]
        let delta = state.withLock { state in state.delta(to: snapshot, workers: workers, health) }
        var open: [ServedFrontend] = []
        for served in delta.open {
            // A port that we have, had until now, or are closing may be ours still: the probe would meet our own listener.
            let isOurs = delta.portsOfOurs.contains(State.Port(served.frontend.key))
            let failure = isOurs ? 0 : HostLimits.probeBind(served.frontend.key.address, served.frontend.key.transport)
            if failure == 0 { open.append(served) } else { failures[served.frontend.key] = failure }
        }
        // Counted before they are open: a worker that has one to accept on has the room for connections that is left beside it.
        let opened = open
        let (listeners, servesDatagrams) = state.withLock { state in
            let keys = state.served.keys + opened.map(\.frontend.key)
            return (keys.count, keys.contains { $0.transport == .udp })
        }
        room.setListeners(listeners * workers.count, servesDatagrams: servesDatagrams)
        for reply in await Self.apply(open: opened, replace: delta.replace, close: delta.close, to: workers) {
            for (key, errno) in reply.failures where failures[key] == nil {
                failures[key] = errno
            }
        }
        // A frontend that one worker could not open is served by none: half of the connections would be enough to puzzle anybody.
        let halfOpen = open.map(\.frontend.key).filter { failures[$0] != nil }
        if !halfOpen.isEmpty {
            _ = await Self.apply(open: [], replace: [], close: halfOpen, to: workers)
        }
        return state.withLock { state in
            for key in delta.close { state.served[key] = nil }
            for served in delta.replace + open where failures[served.frontend.key] == nil {
                state.served[served.frontend.key] = served
            }
            room.setListeners(
                state.served.count * workers.count, servesDatagrams: state.served.keys.contains { $0.transport == .udp })
            state.generation = snapshot.generation
            state.origins = snapshot.frontends.mapValues(\.origin)
            state.reports = snapshot.frontends.values.map { frontend in
                let listening: ListenerReport.State = frontend.group.isEmpty ? .noEndpoints : .listening
                let failed = failures[frontend.key].map { ListenerReport.State.failed(BindFailure.text(errno: $0, frontend.key)) }
                return ListenerReport(key: frontend.key, service: frontend.group.service, state: failed ?? listening)
            }.sorted { ($0.key.address, $0.key.transport.rawValue) < ($1.key.address, $1.key.transport.rawValue) }
            return state.reports
        }
    }

    /// Tells all workers at once: a client whose socket hashes to one while it is the first to listen, and to another soon after, would
    /// have a UDP session with each.
    private static func apply(
        open: [ServedFrontend], replace: [ServedFrontend], close: [FrontendKey], to workers: [WorkerHandle]
    ) async -> [WorkerReply] {
        await withTaskGroup(of: WorkerReply.self) { group in
            for worker in workers { group.addTask { await worker.apply(open: open, replace: replace, close: close) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Stops accepting (accept queues are drained first), lets connections finish within `grace`, resets the rest, ends the
    /// workers. Returns the number of connections that had to be reset.
    package func drain(grace: Duration) async -> Int {
        let isFirst = state.withLock { state in
            defer { state.isDraining = true }
            return !state.isDraining
        }
        guard isFirst else { return 0 }
        for worker in workers { worker.post(.stopAccepting) }
        let deadline = ContinuousClock.now + grace
        // Two looks in a row: a connection may be between the accept queue and the count.
        var looksIdle = 0
        while ContinuousClock.now < deadline, looksIdle < 2 {
            try? await Task.sleep(for: .milliseconds(10))
            looksIdle = connectionsActive == 0 ? looksIdle + 1 : 0
        }
        let left = connectionsActive
        for worker in workers {
            if left > 0 { worker.post(.resetAll) }
            worker.post(.stop)
        }
        for worker in workers { worker.join() }
        return left
    }

    /// Connections open now, on all workers.
    package var connectionsActive: Int {
        workers.reduce(0) { $0 + Int($1.counters.read(row: Column.workerRow, column: Column.active)) }
    }

    /// Hands over the connections that were closed since the last call, each worker's in their order; what `write` can't take, and
    /// says so, is counted as not logged. From any thread, but never two at once.
    package func takeClosedConnections(_ write: (ClosedConnection) -> Bool) {
        let closed = state.withLock { state in
            Self.State.collectClosed(from: workers, state.rows, into: &state.closed)
            defer { state.closed = [] }
            return state.closed
        }
        for connection in closed where !write(connection) { workers[connection.worker].countNotLogged() }
    }

    /// Goes on with every change of an endpoint's health, so that nobody asks for reports in vain.
    package var healthChangeCount: UInt64 { health.changeCount }

    /// Takes what an active probe has found of an endpoint: nil where it is well, else what is wrong with it. It gets no new connections
    /// then, while another one is left.
    package func endpointProbed(_ endpoint: EndpointKey, failure: String?) {
        state.withLock { $0.rows.probed(endpoint, failure, health) }
    }

    /// How every endpoint of the snapshot is, in no order.
    package func endpointReports() -> [EndpointReport] { state.withLock { $0.rows.endpointReports(health) } }

    /// What became of each frontend of the snapshot that was applied last.
    package var listenerReports: [ListenerReport] { state.withLock { $0.reports } }

    /// The Service ports that are counted, in order.
    package func servicePorts() -> [ServicePortName] { state.withLock { $0.rows.names }.sorted() }

    /// What some of them have counted. Changes wait while this reads, so ask for a few at a time.
    package func readings(of ports: some Sequence<ServicePortName>) -> [ServiceReading] {
        state.withLock { state in ports.compactMap { state.rows.reading(of: $0, health) } }
    }

    /// The process and its workers, without Services and listeners, of which there may be thousands.
    package func overview() -> DataPlaneStatistics {
        var statistics = DataPlaneStatistics()
        statistics.engine = engine.name
        statistics.engineReason = engine.reason
        statistics.connectionsMax = UInt64(min(room.budget.connections, connectionsMax ?? .max))
        statistics.workers = workers.map { $0.statistics() }
        statistics.generation = state.withLock { $0.generation }
        return statistics
    }

    /// Reads all counters; cheap, from any thread.
    package func statistics() -> DataPlaneStatistics {
        var statistics = overview()
        state.withLock { state in
            statistics.generation = state.generation
            statistics.listeners = state.reports.map { report in
                var listener = DataPlaneStatistics.Listener()
                listener.frontend = report.key.description
                listener.service = report.service.description
                listener.origin = state.origins[report.key]?.rawValue ?? ""
                switch report.state {
                case .listening: listener.state = "listening"
                case .noEndpoints: listener.state = "no-endpoints"
                case .failed(let message):
                    listener.state = "failed"
                    listener.message = message
                }
                return listener
            }
            statistics.services = state.rows.statistics(health)
        }
        return statistics
    }
}

extension DataPlane.State {
    /// Takes what the workers have handed over, and names the Services while their rows are still theirs.
    fileprivate static func collectClosed(from workers: [WorkerHandle], _ rows: CounterRows, into closed: inout [ClosedConnection]) {
        let now = HostLimits.monotonicNanoseconds()
        for worker in workers {
            while let record = worker.takeRecord() {
                guard closed.count < Limits.closedConnectionsMax else {
                    worker.countNotLogged()
                    continue
                }
                closed.append(
                    ClosedConnection(
                        service: rows.service(of: record.serviceRow), endpoint: rows.endpoint(of: record.endpointRow), record: record,
                        nanosecondsAgo: now > record.closedAt ? now - record.closedAt : 0, worker: worker.index))
            }
        }
    }

    /// What has to change for the workers to serve `snapshot`.
    fileprivate mutating func delta(
        to snapshot: RoutingSnapshot, workers: [WorkerHandle], _ health: HealthTable
    ) -> (open: [ServedFrontend], replace: [ServedFrontend], close: [FrontendKey], portsOfOurs: Set<Port>) {
        var closed = self.closed
        rows.begin(workers.map(\.counters)) { rows in Self.collectClosed(from: workers, rows, into: &closed) }
        self.closed = closed
        var open: [ServedFrontend] = []
        var replace: [ServedFrontend] = []
        for (key, frontend) in snapshot.frontends {
            let rows = self.rows.assign(frontend.group, health)
            guard !frontend.group.isEmpty, key.transport != .sctp else { continue }
            let old = served[key]
            if let old, old.frontend.group === frontend.group { continue }
            let new = ServedFrontend(frontend: frontend, serviceRow: rows.service, endpointRows: rows.endpoints)
            if old == nil { open.append(new) } else { replace.append(new) }
        }
        let close = served.keys.filter { snapshot.frontends[$0]?.group.isEmpty ?? true }
        let portsOfOurs = portsClosed.union(served.keys.map(Port.init))
        portsClosed = Set(close.map(Port.init))
        return (open, replace, Array(close), portsOfOurs)
    }
}
