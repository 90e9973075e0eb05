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
    private let connectionsMax: @Sendable () -> Int

    /// What the workers serve, as far as they have acknowledged it.
    fileprivate struct State {
        var generation: UInt64 = 0
        var served: [FrontendKey: ServedFrontend] = [:]
        var reports: [ListenerReport] = []
        var origins: [FrontendKey: Frontend.Origin] = [:]
        var rows = CounterRows()
        /// Ports of the frontends closed by the last snapshot: their listeners may still be emptying their queues.
        var portsClosed: Set<PortNumber> = []
        var isDraining = false
    }

    /// Starts the workers. They listen on nothing yet.
    package init(settings: DataPlaneSettings) throws(DataPlaneError) {
        precondition(settings.workers >= 1, "at least one worker")
        var (name, reason) = try EngineSelection.choose(settings.engine)
        let limit: @Sendable () -> Int = { DataPlane.connectionsWithin(openFiles: HostLimits.openFiles(), workers: settings.workers) }
        connectionsMax = { min(limit(), settings.connectionsMax ?? .max) }
        do throws(DataPlaneError) {
            workers = try WorkerHandle.start(name, settings: settings, health: health, connectionsMax: limit)
        } catch {
            guard settings.engine == .auto, name == .ioUring else { throw error }
            // The probe's small ring was granted and a worker's was not: locked memory, most likely.
            name = .epoll
            reason = error.description
            workers = try WorkerHandle.start(name, settings: settings, health: health, connectionsMax: limit)
        }
        engine = EngineReport(name: name.rawValue, reason: reason)
    }

    /// Connections that a limit of open files leaves room for: two descriptors each, some kept back, those of pipes among them.
    package static func connectionsWithin(openFiles: Int, workers: Int) -> Int {
        let pipes = 2 * workers * pipesWithin(openFiles: openFiles, workers: workers)
        return max(1, (openFiles - min(Limits.descriptorsReserved + 8 * workers + pipes, openFiles / 2)) / 2)
    }

    /// Pipes that each worker may have under a limit of open files: not more than a sixteenth of it for all together.
    static func pipesWithin(openFiles: Int, workers: Int) -> Int { min(Engine.Limits.pipesMax, openFiles / (32 * workers)) }

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
            let isOurs = delta.portsOfOurs.contains(served.frontend.key.address.port)
            let failure = isOurs ? 0 : HostLimits.probeBind(served.frontend.key.address)
            if failure == 0 { open.append(served) } else { failures[served.frontend.key] = failure }
        }
        for worker in workers {
            let reply = await worker.apply(open: open, replace: delta.replace, close: delta.close)
            for (key, errno) in reply.failures where failures[key] == nil {
                failures[key] = errno
            }
        }
        // A frontend that one worker could not open is served by none: half of the connections would be enough to puzzle anybody.
        let halfOpen = open.map(\.frontend.key).filter { failures[$0] != nil }
        if !halfOpen.isEmpty {
            for worker in workers { _ = await worker.apply(open: [], replace: [], close: halfOpen) }
        }
        return state.withLock { state in
            for key in delta.close { state.served[key] = nil }
            for served in delta.replace + open where failures[served.frontend.key] == nil {
                state.served[served.frontend.key] = served
            }
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

    /// Goes on with every change of an endpoint's health, so that nobody asks for reports in vain.
    package var healthChangeCount: UInt64 { health.changeCount }

    /// Takes what an active probe has found of an endpoint: nil where it is well, else what is wrong with it. It gets no new connections
    /// then, while another one is left.
    package func endpointProbed(_ endpoint: EndpointKey, failure: String?) {
        state.withLock { $0.rows.probed(endpoint, failure, health) }
    }

    /// How every endpoint of the snapshot is, in no order.
    package func endpointReports() -> [EndpointReport] { state.withLock { $0.rows.endpointReports(health) } }

    /// Reads all counters; cheap, from any thread.
    package func statistics() -> DataPlaneStatistics {
        var statistics = DataPlaneStatistics()
        statistics.engine = engine.name
        statistics.engineReason = engine.reason
        statistics.connectionsMax = UInt64(connectionsMax())
        statistics.workers = workers.map { $0.statistics() }
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
    /// What has to change for the workers to serve `snapshot`.
    fileprivate mutating func delta(
        to snapshot: RoutingSnapshot, workers: [WorkerHandle], _ health: HealthTable
    ) -> (open: [ServedFrontend], replace: [ServedFrontend], close: [FrontendKey], portsOfOurs: Set<PortNumber>) {
        rows.begin(workers.map(\.counters))
        var open: [ServedFrontend] = []
        var replace: [ServedFrontend] = []
        for (key, frontend) in snapshot.frontends {
            let rows = self.rows.assign(frontend.group, health)
            guard !frontend.group.isEmpty, key.transport == .tcp else { continue }
            let old = served[key]
            if let old, old.frontend.group === frontend.group { continue }
            let new = ServedFrontend(frontend: frontend, serviceRow: rows.service, endpointRows: rows.endpoints)
            if old == nil { open.append(new) } else { replace.append(new) }
        }
        let close = served.keys.filter { snapshot.frontends[$0]?.group.isEmpty ?? true }
        let portsOfOurs = portsClosed.union(served.keys.map(\.address.port))
        portsClosed = Set(close.map(\.address.port))
        return (open, replace, Array(close), portsOfOurs)
    }
}
