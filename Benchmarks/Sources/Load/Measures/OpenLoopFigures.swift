/// What an open loop found; requests of the warm-up are in none of it.
struct OpenLoopFigures {
    let target: String
    let rateAsked: Double
    /// Requests that were due.
    var scheduled = 0
    /// Since due, of requests with a good response.
    var latency = Times()
    var failures = FailureCounts()
    /// From the end of the warm-up to the end of the schedule, or to the last outcome if that is later.
    var seconds = 0.0
    /// How late requests were written, or their connects begun, that did not have to wait for a connection: the client's own
    /// lateness. Where it is near the latency, the client is what was measured.
    var sendLag = Times()
    /// Requests that found no connection free when they were due.
    var queuedForConnection = 0
    /// Connections the target ended while no request was on them. No failure: the next request opens one.
    var closedWhileIdle = 0
    var clientCPUSeconds = 0.0
    /// Per 100 ms since the end of the warm-up, when failures happened.
    var failureTimeline = Timeline(stretchNanoseconds: 100_000_000)

    var completed: Int { latency.count }

    var json: JSON {
        .object([
            ("target", .string(target)), ("rate_asked", .number(rateAsked)), ("scheduled", .integer(scheduled)),
            ("completed", .integer(completed)), ("failed", .integer(failures.total)), ("errors", failures.json),
            ("seconds", .number(seconds)), ("operations_per_second", .number(Double(completed) / seconds)),
            ("latency_microseconds", latency.summary), ("percentiles", latency.plot), ("send_lag_microseconds", sendLag.shortSummary),
            ("queued_for_connection", .integer(queuedForConnection)), ("closed_while_idle", .integer(closedWhileIdle)),
            ("client_cpu_seconds", .number(clientCPUSeconds)), ("client_cpu_share", .number(clientCPUSeconds / seconds)),
            ("failures_by_100ms", failureTimeline.json),
        ])
    }
}
