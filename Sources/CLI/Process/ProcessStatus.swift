internal import AdminServer
internal import Forwarding
internal import Synchronization

/// What the process knows about itself, shared by the control loop (writes), the admin server (reads) and signals.
final class ProcessStatus: Sendable {
    /// The life of the process, in order.
    enum Phase: Sendable {
        /// Nothing is served yet: a signal ends the process at once.
        case starting
        case serving
        case draining
    }

    private struct State {
        var phase = Phase.starting
        var configuration = AdminReport.Configuration()
        var dataPlane: DataPlane?
        /// Since when the workers have been asked to acknowledge something.
        var pendingSince: ContinuousClock.Instant?
        var lastQueued = 0.0
        var lastApplied = 0.0
    }

    /// A worker answers within milliseconds; kube-proxy calls itself unhealthy after as long.
    private static let pendingMax = Duration.seconds(60)

    let inventory = InventoryStore()
    let previews = ChangePreviews()
    private let state = Mutex(State())
    private let started = ContinuousClock.now
    private let sinceEvent = Histogram(bounds: Histogram.programmingBounds)
    private let sinceEventCoarse = Histogram(bounds: Histogram.networkProgrammingBounds)
    private let rounds = Histogram(bounds: Histogram.syncBounds)

    var phase: Phase {
        get { state.withLock { $0.phase } }
        set { state.withLock { $0.phase = newValue } }
    }

    func began(with dataPlane: DataPlane) { state.withLock { $0.dataPlane = dataPlane } }

    func configured(objects: Int, rejectedObjects: Int, generation: UInt64) {
        state.withLock {
            $0.configuration.objects = objects
            $0.configuration.rejectedObjects = rejectedObjects
            $0.configuration.generation = generation
        }
    }

    // MARK: Programming

    /// The workers are about to be told something.
    func willApply() {
        state.withLock {
            $0.pendingSince = .now
            $0.lastQueued = Host.wallClockSeconds
        }
    }

    /// All have acknowledged it.
    func didApply() {
        state.withLock {
            $0.pendingSince = nil
            $0.lastApplied = Host.wallClockSeconds
        }
    }

    /// They have acknowledged a change of the files whose first event came at `event`, and which was read from `began` on.
    func programmed(since event: ContinuousClock.Instant, began: ContinuousClock.Instant) {
        rounds.observe(began.duration(to: .now) / .seconds(1))
        let seconds = event.duration(to: .now) / .seconds(1)
        sinceEvent.observe(seconds)
        sinceEventCoarse.observe(seconds)
    }

    // MARK: Health

    /// Whether this process should get clients. That a few listeners are missing, or a few objects were rejected, is no reason to send
    /// the clients of all others elsewhere: it is said, and `/readyz` stays 200.
    func readiness() -> [HealthCheck] {
        let (phase, configuration, dataPlane) = state.withLock { ($0.phase, $0.configuration, $0.dataPlane) }
        let serving: HealthCheck.Outcome =
            switch phase {
            case .starting: .failed("starting")
            case .serving: .passed
            case .draining: .failed("draining")
            }
        return [
            HealthCheck("serving", serving), workersCheck, ReadinessReport.listeners(dataPlane?.listenerReports ?? []),
            ReadinessReport.configuration(configuration),
        ]
    }

    /// Whether this process is worth keeping.
    func liveness() -> [HealthCheck] { [HealthCheck("ping"), workersCheck] }

    private var workersCheck: HealthCheck {
        let (pendingSince, isUp) = state.withLock { ($0.pendingSince, $0.dataPlane != nil) }
        guard isUp else { return HealthCheck("workers", .degraded("not started yet")) }
        if let pending = pendingSince?.duration(to: .now), pending > Self.pendingMax {
            return HealthCheck("workers", .failed("a change has not been acknowledged for \(pending.components.seconds) s"))
        }
        return HealthCheck("workers")
    }

    // MARK: What others read

    var adminSubject: AdminSubject {
        var subject = AdminSubject(
            report: report, readiness: readiness, liveness: liveness, metrics: metrics,
            servicePorts: { [self] in dataPlane?.servicePorts() ?? [] }, readings: { [self] in dataPlane?.readings(of: $0) ?? [] })
        subject.inventory = inventory
        subject.preview = { [self] in await previews.preview($0, on: dataPlane) }
        subject.asking = { [self] in dataPlane?.nameAsking() }
        subject.names = { [self] in dataPlane?.nameReadings() ?? [] }
        subject.forwarding = { [self] in dataPlane?.forwardingReading() }
        return subject
    }

    private var dataPlane: DataPlane? { state.withLock { $0.dataPlane } }

    func report() -> AdminReport {
        let (configuration, dataPlane) = state.withLock { ($0.configuration, $0.dataPlane) }
        let uptime = started.duration(to: .now)
        return AdminReport(
            version: Ringway.version, pid: Host.processID, uptimeSeconds: uptime / .seconds(1), configuration: configuration,
            dataPlane: dataPlane?.statistics() ?? DataPlaneStatistics())
    }

    private func metrics() -> ProcessReading {
        let state = state.withLock { $0 }
        var reading = ProcessReading()
        reading.version = Ringway.version
        reading.isReady = !readiness().contains(where: \.isFailure)
        reading.configuration = state.configuration
        reading.programming.lastQueued = state.lastQueued
        reading.programming.lastApplied = state.lastApplied
        reading.programming.sinceEvent = sinceEvent.reading
        reading.programming.sinceEventCoarse = sinceEventCoarse.reading
        reading.programming.round = rounds.reading
        reading.dataPlane = state.dataPlane?.overview() ?? DataPlaneStatistics()
        for report in state.dataPlane?.listenerReports ?? [] {
            switch report.state {
            case .listening: reading.listenersOpen += 1
            case .noEndpoints, .noEndpointsHere: reading.listenersWithoutEndpoints += 1
            case .failed: reading.listenersFailed += 1
            }
        }
        return reading
    }
}
