internal import Forwarding

/// One line, or one histogram, of the process.
struct ProcessMetric: Sendable {
    enum Content {
        case number(Double)
        case labelled([(labels: [(String, String)], value: Double)])
        case histogram(Histogram.Reading?)
        case absent
    }

    let metric: Metric
    let content: @Sendable (ProcessReading) -> Content

    static let all: [ProcessMetric] = [
        ProcessMetric("ringway_build_info", .gauge, "Version and engine; always 1.") {
            .labelled([([("version", $0.version), ("engine", $0.dataPlane.engine)], 1)])
        },
        ProcessMetric("ringway_ready", .gauge, "What /readyz says: 1 or 0.") { .number($0.isReady ? 1 : 0) },
        ProcessMetric("ringway_config_objects", .gauge, "Objects in force.") { .number(Double($0.configuration.objects)) },
        ProcessMetric("ringway_config_rejected_objects", .gauge, "Objects whose present text was rejected.") {
            .number(Double($0.configuration.rejectedObjects))
        },
        ProcessMetric("ringway_config_generation", .gauge, "Number of the configuration published last.") {
            .number(Double($0.configuration.generation))
        },
        ProcessMetric("ringway_config_acknowledged_generation", .gauge, "Number of the one that all workers serve.") {
            .number(Double($0.dataPlane.generation))
        },
        ProcessMetric("ringway_config_last_success_timestamp_seconds", .gauge, "When the workers last acknowledged one.") {
            .number($0.programming.lastApplied)
        },
        ProcessMetric("ringway_listeners", .gauge, "Virtual addresses and ports by state.") { reading in
            .labelled([
                ([("state", "listening")], Double(reading.listenersOpen)),
                ([("state", "no-endpoints")], Double(reading.listenersWithoutEndpoints)),
                ([("state", "failed")], Double(reading.listenersFailed)),
            ])
        },
        ProcessMetric("ringway_connections_max", .gauge, "Connections that may be open at once.") {
            .number(Double($0.dataPlane.connectionsMax))
        },
        ProcessMetric("ringway_programming_duration_seconds", .histogram, "From the event of a changed file until all workers serve it.") {
            .histogram($0.programming.sinceEvent)
        },
        ProcessMetric("kubeproxy_network_programming_duration_seconds", .histogram, "The same, in kube-proxy's buckets.") {
            .histogram($0.programming.sinceEventCoarse)
        },
        ProcessMetric("kubeproxy_sync_proxy_rules_duration_seconds", .histogram, "One round: files read, compiled, acknowledged.") {
            .histogram($0.programming.round)
        },
        ProcessMetric("kubeproxy_sync_proxy_rules_last_timestamp_seconds", .gauge, "When the last round had ended.") {
            .number($0.programming.lastApplied)
        },
        ProcessMetric("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", .gauge, "When the last round was asked for.") {
            .number($0.programming.lastQueued)
        },
    ]

    private init(_ name: String, _ kind: Metric.Kind, _ help: String, _ content: @escaping @Sendable (ProcessReading) -> Content) {
        metric = Metric(name, kind, help)
        self.content = content
    }
}

extension MetricText {
    mutating func add(_ process: ProcessMetric, _ reading: ProcessReading) {
        let name = process.metric.name
        switch process.content(reading) {
        case .absent, .histogram(nil): return
        case .number(let value):
            begin(process.metric)
            add(name, [], value)
        case .labelled(let samples):
            begin(process.metric)
            for sample in samples { add(name, sample.labels, sample.value) }
        case .histogram(let histogram?):
            begin(process.metric)
            add(name, [], histogram)
        }
    }
}
