package import Addressing
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
    private let state: Mutex<State>
    private let sharing: SharedListeners
    private let room: ConnectionRoom
    private let connectionsMax: Int?
    private let names: NamePublisher?

    /// What the workers serve, as far as they have acknowledged it.
    fileprivate struct State {
        var generation: UInt64 = 0
        /// Of the snapshot that was applied last; those without endpoints and those that failed among them.
        var frontends = PersistentDictionary<FrontendKey, Frontend>()
        var served: [FrontendKey: ServedFrontend] = [:]
        /// Why frontends could not be opened.
        var failures: [FrontendKey: String] = [:]
        var rows: CounterRows
        var sockets = ListenerSockets()
        /// Closed connections that were taken from the workers, and not yet written down.
        var closed: [ClosedConnection] = []
        /// Rows whose connections are reset, or will be.
        var doomed: Set<Int> = []
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
        let room = ConnectionRoom(
            workers: settings.workers, nameAddresses: settings.names?.addresses.count ?? 0,
            asksOthers: settings.names?.forwarding.isUsed == true)
        let limit: @Sendable () -> Int = { room.budget.connections }
        let sessions: @Sendable () -> Int = { room.sessionsOfWorker }
        self.room = room
        connectionsMax = settings.connectionsMax
        names = settings.names.map(NamePublisher.init)
        let ownMax = settings.listenersMax ?? min(Limits.ownListenersMax, HostLimits.openFiles() / (8 * settings.workers))
        sharing = SharedListeners(ownMax: max(1, ownMax))
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
        state = Mutex(State(rows: CounterRows(tables: workers.map(\.counters), health: health)))
    }

    /// What the limit of open files comes to now.
    package var descriptorBudget: DescriptorBudget { room.budget }

    /// Makes the workers serve `snapshot` and nothing else; returns when every worker has acknowledged it. Connections that
    /// exist are not touched. Frontends that could not be opened before are tried again. Costs what the snapshot has touched, where it
    /// follows the one before. Calls must not overlap: one caller, in order of generation.
    ///
    /// - Returns: what became of the frontends that were touched.
    package func apply(_ snapshot: RoutingSnapshot) async -> ListenerChanges {
        // Names first, for the first of them take their addresses before any frontend could.
        let nameFailures = await names?.publish(snapshot, to: workers) ?? []
        var changes = await applyFrontends(snapshot)
        changes.nameFailures = nameFailures
        return changes
    }

    private func applyFrontends(_ snapshot: RoutingSnapshot) async -> ListenerChanges {
        var failures: [FrontendKey: Int32] = [:]
        let delta = state.withLock { state in state.delta(to: snapshot, workers: workers, sharing) }
        var open: [ServedFrontend] = []
        for served in delta.open {
            // What we have, had until now, or are closing may be ours still: the probe would meet our own listener.
            let key = served.frontend.key
            let failure = delta.own.meet(key) ? 0 : HostLimits.probeBind(key.address, key.transport)
            if failure == 0 { open.append(served) } else { failures[key] = failure }
        }
        // Counted before they are open: a worker that has one to accept on has the room for connections that is left beside it.
        let opened = open
        spare(delta.arrived)
        state.withLock { $0.sockets.add(opened) }
        publishRoom()
        sharing.stop(delta.close)
        let replies = await Self.apply(open: opened, replace: delta.replace, close: delta.close, to: workers)
        for reply in replies {
            for (key, errno) in reply.failures where failures[key] == nil { failures[key] = errno }
        }
        let homesFailed = sharing.lead(to: replies.flatMap(\.shared))
        // Led to workers that know of them.
        for served in opened where failures[served.frontend.key] == nil {
            guard let home = served.sharedAt else { continue }
            failures[served.frontend.key] = homesFailed[home] ?? sharing.start(served.frontend.key)
        }
        // A frontend that one worker could not open is served by none: half of the connections would be enough to puzzle anybody.
        let halfOpen = opened.map(\.frontend.key).filter { failures[$0] != nil }
        if !halfOpen.isEmpty {
            _ = await Self.apply(open: [], replace: [], close: halfOpen, to: workers)
        }
        defer { publishRoom() }
        reset(delta.departed)
        return state.withLock { state in
            state.sockets.remove(delta.close.compactMap { state.served[$0] } + opened.filter { failures[$0.frontend.key] != nil })
            for key in delta.close { state.served[key] = nil }
            for served in delta.replace + opened where failures[served.frontend.key] == nil {
                state.served[served.frontend.key] = served
            }
            for key in delta.touched { state.failures[key] = failures[key].map { self.text(errno: $0, key) } }
            state.generation = snapshot.generation
            state.frontends = snapshot.frontends
            let gone = delta.touched.filter { snapshot.frontends[$0] == nil }
            let reports = ListenerReport.all(of: delta.touched, state.frontends, state.failures)
            return ListenerChanges(reports: reports, gone: Array(gone))
        }
    }

    private func text(errno: Int32, _ key: FrontendKey) -> String {
        names?.holds(key) == true ? BindFailure.ownNames : BindFailure.text(errno: errno, key)
    }

    /// Resets the connections of Service ports that are no more, where their settings say so.
    private func reset(_ departed: [(row: Int, settings: EndpointGroup.Settings)]) {
        let rows = departed.compactMap { row, settings in
            settings.resetsAfterDeletion.map { (serviceRow: row, after: $0.clampedNanoseconds) }
        }
        guard !rows.isEmpty else { return }
        state.withLock { $0.doomed.formUnion(rows.map(\.serviceRow)) }
        for worker in workers { worker.post(.resetDeleted(rows)) }
    }

    /// Spares the connections in rows that have Services again, the same or others.
    private func spare(_ arrived: [Int]) {
        let spared = state.withLock { state -> [Int] in
            guard !state.doomed.isEmpty else { return [] }
            return arrived.filter { state.doomed.remove($0) != nil }
        }
        guard !spared.isEmpty else { return }
        for worker in workers { worker.post(.spare(spared)) }
    }

    /// Says how many sockets are listened on: the limit of connections depends on it.
    private func publishRoom() {
        let (count, servesDatagrams) = state.withLock { ($0.sockets.count, $0.sockets.hasDatagrams) }
        room.setListeners(count * workers.count, servesDatagrams: servesDatagrams)
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
        state.withLock { $0.rows.probed(endpoint, failure) }
    }

    /// How every endpoint of the snapshot is, in no order.
    package func endpointReports() -> [EndpointReport] { state.withLock { $0.rows.endpointReports() } }

    /// What became of each frontend of the snapshot that was applied last, sorted by key.
    package var listenerReports: [ListenerReport] {
        // Sorted when nobody waits for the lock.
        let (frontends, failures) = state.withLock { ($0.frontends, $0.failures) }
        return ListenerReport.all(of: frontends.keys, frontends, failures)
    }

    /// Whether one of them could not be opened.
    package var hasFailedListeners: Bool { state.withLock { !$0.failures.isEmpty } }

    /// Those that could not be.
    package var failedListeners: Set<FrontendKey> { state.withLock { Set($0.failures.keys) } }

    /// Why cluster IPs beyond the number of listeners of their own don't share one; nil while they do, or need not.
    package var sharingProblem: String? { sharing.problem }

    /// The Service ports that are counted, in order.
    package func servicePorts() -> [ServicePortName] { state.withLock { $0.rows.names }.sorted() }

    /// What some of them have counted. Changes wait while this reads, so ask for a few at a time.
    package func readings(of ports: some Sequence<ServicePortName>) -> [ServiceReading] {
        state.withLock { state in ports.compactMap { state.rows.reading(of: $0) } }
    }

    /// Connections and UDP sessions of some of them that are open now, altogether and by endpoint.
    package func connections(
        of ports: some Sequence<ServicePortName>
    ) -> [ServicePortName: (total: UInt64, byEndpoint: [SocketAddress: UInt64])] {
        state.withLock { state in
            ports.reduce(into: [:]) { $0[$1] = state.rows.connections(of: $1) }
        }
    }

    /// The names that are answered now, to ask as a client would; nil where nobody answers.
    package func nameAsking() -> NameAsking? { names?.asking }

    /// What became of names that others were asked for; nil where nobody is.
    package func forwardingReading() -> ForwardingReading? {
        guard let forwarding = names?.settings.forwarding, forwarding.isUsed else { return nil }
        return ForwardingReading(forwarding.upstreams, workers)
    }

    /// What was asked of the cluster's DNS, by address and protocol; nothing where nobody answers.
    package func nameReadings() -> [NameReading] {
        guard let settings = names?.settings else { return [] }
        return (0..<2 * settings.addresses.count).map { NameReading(settings, socket: $0, workers) }
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
        let (frontends, failures) = state.withLock { state in
            statistics.generation = state.generation
            statistics.services = state.rows.statistics()
            return (state.frontends, state.failures)
        }
        statistics.names = names.map { DataPlaneStatistics.Names($0.settings, nameReadings(), forwardingReading()) }
        statistics.listeners = ListenerReport.all(of: frontends.keys, frontends, failures).map { report in
            var listener = DataPlaneStatistics.Listener()
            listener.frontend = report.key.description
            listener.service = report.service.description
            listener.origin = frontends[report.key]?.origin.rawValue ?? ""
            switch report.state {
            case .listening: listener.state = "listening"
            case .noEndpoints: listener.state = "no-endpoints"
            case .noEndpointsHere: listener.state = "no-endpoints-here"
            case .failed(let message):
                listener.state = "failed"
                listener.message = message
            }
            return listener
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

    /// What has to change for the workers to serve a snapshot.
    fileprivate struct Delta {
        var open: [ServedFrontend] = []
        var replace: [ServedFrontend] = []
        var close: [FrontendKey] = []
        var touched: Set<FrontendKey>
        var own = OwnAddresses()
        /// Of Service ports that have gone, and that have come.
        var departed: [(row: Int, settings: EndpointGroup.Settings)] = []
        var arrived: [Int] = []
    }

    fileprivate mutating func delta(to snapshot: RoutingSnapshot, workers: [WorkerHandle], _ sharing: SharedListeners) -> Delta {
        var closed = self.closed
        rows.reclaim { rows in Self.collectClosed(from: workers, rows, into: &closed) }
        self.closed = closed
        var delta = Delta(touched: touched(by: snapshot))
        var former: [EndpointGroup] = []
        // In order: which of them get a listener of their own must not be a matter of chance.
        for key in delta.touched.sorted(by: { $0.precedes($1) }) {
            let (before, now) = (frontends[key], snapshot.frontends[key])
            let old = served[key]
            if let now, let before, old != nil, before.routes(as: now) { continue }
            let numbers = now?.groups.map { rows.take($0) } ?? []
            former += before?.groups ?? []
            guard let now, now.isOpen, key.transport != .sctp else {
                if old != nil { delta.close.append(key) }
                continue
            }
            // Where none is left here, those that are queued get what they came for; others meet a listener that has been silent from the
            // first. And one that tells clients apart needs a socket of its own for it.
            let begins =
                old.map { old in
                    let falls = key.transport == .tcp && now.group.isEmpty && !old.frontend.group.isEmpty
                    return falls || old.sharedAt != nil && now.tellsClientsApart
                } ?? true
            let home = begins ? sharing.home(of: now, ownListeners: sockets.ownCount + delta.open.count) : old?.sharedAt
            let new = ServedFrontend(
                frontend: now, serviceRow: numbers[0].service, endpointRows: numbers[0].endpoints,
                shortCircuitRows: numbers.count > 1 ? numbers[1].endpoints : [], sharedAt: home)
            if begins {
                if old != nil { delta.close.append(key) }
                delta.open.append(new)
            } else {
                delta.replace.append(new)
            }
        }
        // Last, so that what goes on keeps its rows.
        for group in former { rows.leave(group) }
        (delta.departed, delta.arrived) = (rows.departed, rows.arrived)
        delta.own = sockets.beginRound(closing: delta.close)
        return delta
    }

    /// The frontends that may be other than they were, and those to try again.
    private func touched(by snapshot: RoutingSnapshot) -> Set<FrontendKey> {
        guard let touched = snapshot.touched, snapshot.generation == generation + 1 else {
            return Set(frontends.keys).union(snapshot.frontends.keys)
        }
        return touched.union(failures.keys)
    }
}

extension ListenerReport {
    /// In the order of their keys.
    fileprivate static func all(
        of keys: some Sequence<FrontendKey>, _ frontends: PersistentDictionary<FrontendKey, Frontend>, _ failures: [FrontendKey: String]
    ) -> [ListenerReport] {
        keys.compactMap { key in
            guard let frontend = frontends[key] else { return nil }
            let open: State = frontend.isSilent ? .noEndpointsHere : frontend.isOpen ? .listening : .noEndpoints
            return ListenerReport(key: key, service: frontend.group.service, state: failures[key].map(State.failed) ?? open)
        }.sorted { $0.key.precedes($1.key) }
    }
}

extension FrontendKey {
    fileprivate func precedes(_ other: FrontendKey) -> Bool {
        (address, transport.rawValue) < (other.address, other.transport.rawValue)
    }
}
