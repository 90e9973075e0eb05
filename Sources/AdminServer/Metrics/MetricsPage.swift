internal import Addressing
internal import Forwarding
internal import Routing

/// Makes the page of `/metrics`, piece by piece.
///
/// All samples of a name stand together, so the counters of all Service ports are read first, a few at a time (a change of the
/// configuration may come between), and kept while the page goes out: 0.5 KB for each. Text is made no faster than it is taken.
struct MetricsPage {
    /// Service ports read at once, while a change of the configuration would wait.
    static let portsAtOnce = 64
    /// Text is handed over when there is so much of it.
    static let pieceBytes = 32 << 10

    let subject: AdminSubject

    func write(_ put: (String) async throws -> Void) async throws {
        var text = MetricText()
        let process = subject.metrics()
        for metric in ProcessMetric.all { text.add(metric, process) }
        for (metric, value) in KernelMetrics().values {
            text.begin(metric)
            text.add(metric.name, [], value)
        }
        for metric in WorkerMetric.all {
            text.begin(metric.metric)
            for worker in process.dataPlane.workers {
                if let value = metric.value(worker) { text.add(metric.metric.name, [("worker", "\(worker.index)")], value) }
            }
        }
        let names = subject.names()
        if !names.isEmpty { for metric in NameMetric.all { metric.add(names, to: &text) } }
        if let forwarding = subject.forwarding() { ForwardingMetric.add(forwarding, to: &text) }
        try await put(text.take())

        let readings = await readings()
        for metric in ServiceMetric.all {
            text.begin(metric.metric)
            for reading in readings {
                for sample in metric.samples(reading) {
                    text.add(metric.metric.name, reading.labels + (sample.label.map { [$0] } ?? []), sample.value)
                }
                if text.text.utf8.count >= Self.pieceBytes { try await put(text.take()) }
            }
        }
        try await put(text.take())
    }

    private func readings() async -> [ServiceReading] {
        let ports = subject.servicePorts()
        var readings: [ServiceReading] = []
        readings.reserveCapacity(ports.count)
        var rest = ports[...]
        while !rest.isEmpty {
            readings += subject.readings(rest.prefix(Self.portsAtOnce))
            rest = rest.dropFirst(Self.portsAtOnce)
            await Task.yield()
        }
        return readings
    }
}

extension ServiceReading {
    fileprivate var labels: [(String, String)] {
        [("namespace", service.namespace), ("service", service.name), ("port", service.port), ("protocol", service.transport.rawValue)]
    }
}
