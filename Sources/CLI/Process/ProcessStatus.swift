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
    }

    private let state = Mutex(State())
    private let started = ContinuousClock.now

    var phase: Phase {
        get { state.withLock { $0.phase } }
        set { state.withLock { $0.phase = newValue } }
    }

    /// Nil when ready, else why not: what `/readyz` says.
    var notReady: String? {
        switch phase {
        case .starting: "starting"
        case .serving: nil
        case .draining: "draining"
        }
    }

    func began(with dataPlane: DataPlane) { state.withLock { $0.dataPlane = dataPlane } }

    func configured(objects: Int, rejectedObjects: Int, generation: UInt64) {
        state.withLock {
            $0.configuration.objects = objects
            $0.configuration.rejectedObjects = rejectedObjects
            $0.configuration.generation = generation
        }
    }

    func report() -> AdminReport {
        let (configuration, dataPlane) = state.withLock { ($0.configuration, $0.dataPlane) }
        let uptime = started.duration(to: .now)
        return AdminReport(
            version: Ringway.version, pid: Host.processID, uptimeSeconds: uptime / .seconds(1), configuration: configuration,
            dataPlane: dataPlane?.statistics() ?? DataPlaneStatistics())
    }
}
