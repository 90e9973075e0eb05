internal import Forwarding

/// What is said of each worker.
struct WorkerMetric: Sendable {
    let metric: Metric
    let value: @Sendable (DataPlaneStatistics.Worker) -> UInt64?

    static let all: [WorkerMetric] = [
        WorkerMetric("ringway_worker_ticks_total", .counter, "Turns of the worker.") { $0.ticks },
        WorkerMetric("ringway_worker_system_calls_total", .counter, "System calls of the worker.") { $0.systemCalls },
        WorkerMetric("ringway_worker_allocations_total", .counter, "Heap allocations of the worker.") { $0.allocations },
        WorkerMetric("ringway_worker_connections_accepted_total", .counter, "TCP connections accepted.") { $0.connectionsAccepted },
        WorkerMetric("ringway_worker_connections_active", .gauge, "TCP connections open now.") { $0.connectionsActive },
        WorkerMetric("ringway_worker_listeners", .gauge, "Listeners open now.") { $0.listeners },
        WorkerMetric("ringway_accept_pauses_total", .counter, "Times that accepting paused for want of descriptors or places.") {
            $0.acceptPauses
        },
        WorkerMetric("ringway_buffers_active", .gauge, "Buffers that hold bytes on their way.") { $0.buffersActive },
        WorkerMetric("ringway_buffers_exhausted_total", .counter, "Receives that found no free buffer.") { $0.buffersExhausted },
        WorkerMetric("ringway_bulk_directions_total", .counter, "Directions that went over to moving bytes in the kernel.") {
            $0.bulkDirections
        },
        WorkerMetric("ringway_transfers_refused_total", .counter, "Directions that had to come back from it.") { $0.transfersRefused },
        WorkerMetric("ringway_pipes_open", .gauge, "Pipes open now.") { $0.pipesOpen },
        WorkerMetric("ringway_source_ports_exhausted_total", .counter, "Connect attempts that found no local port.") { $0.portsExhausted },
        WorkerMetric("ringway_sources_uncounted_total", .counter, "Connections that a limit per client could not count.") {
            $0.sourcesUncounted
        },
        WorkerMetric("ringway_stale_completions_total", .counter, "Completions that came after their operation was given up.") {
            $0.staleCompletions
        },
        WorkerMetric("ringway_udp_sockets_active", .gauge, "Sockets of UDP sessions, those without an owner included.") {
            $0.socketsActive
        },
        WorkerMetric("ringway_udp_sessions_evicted_total", .counter, "UDP sessions pushed out by others for want of room.") {
            $0.sessionsEvicted
        },
        WorkerMetric("ringway_udp_replies_late_total", .counter, "Datagrams of endpoints that no session waited for.") { $0.repliesLate },
        WorkerMetric("ringway_connections_not_logged_total", .counter, "Closed connections that the log lost.") { $0.connectionsNotLogged },
    ]

    private init(
        _ name: String, _ kind: Metric.Kind, _ help: String, _ value: @escaping @Sendable (DataPlaneStatistics.Worker) -> UInt64?
    ) {
        metric = Metric(name, kind, help)
        self.value = value
    }
}
