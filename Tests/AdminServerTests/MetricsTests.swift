import Addressing
import Forwarding
import Routing
import Synchronization
import Testing

@testable import AdminServer

struct MetricsTests {
    private static func port(_ name: String, _ transport: TransportProtocol = .tcp) -> ServicePortName {
        ServicePortName(namespace: "shop", name: name, port: "http", transport: transport)
    }

    private static func reading(_ port: ServicePortName) -> ServiceReading {
        var reading = ServiceReading(service: port, counters: (0..<Column.count).map { UInt64($0 + 100) })
        reading.endpoints = [.active: 2, .down: 1]
        reading.connectFailures = 7
        return reading
    }

    private static func subject(_ ports: [ServicePortName], _ process: ProcessReading = ProcessReading()) -> AdminSubject {
        AdminSubject(
            report: { preconditionFailure("nobody asks for it") }, metrics: { process }, servicePorts: { ports },
            readings: { $0.map(reading) })
    }

    private static func page(_ subject: AdminSubject) async throws -> String {
        var text = ""
        try await MetricsPage(subject: subject).write { text += $0 }
        return text
    }

    @Test func thePageIsWhatPrometheusReads() async throws {
        var process = ProcessReading()
        process.version = "1.2.3"
        process.dataPlane.engine = "epoll"
        process.dataPlane.workers = (0..<2).map { index in
            var worker = DataPlaneStatistics.Worker()
            worker.index = index
            worker.ticks = UInt64(5 + index)
            return worker
        }
        let histogram = Histogram(bounds: Histogram.programmingBounds)
        for seconds in [0.004, 0.004, 0.3, 90] { histogram.observe(seconds) }
        process.programming.sinceEvent = histogram.reading
        process.programming.lastApplied = 1_764_000_000.25
        let page = MetricsParser(try await Self.page(Self.subject([Self.port("web"), Self.port("dns", .udp)], process)))
        #expect(page.problems == [])
        #expect(page.value("ringway_build_info", ["version": "1.2.3", "engine": "epoll"]) == 1)
        #expect(page.value("ringway_worker_ticks_total", ["worker": "1"]) == 6)
        #expect(page.value("ringway_config_last_success_timestamp_seconds") == 1_764_000_000.25)
        #expect(page.value("ringway_programming_duration_seconds_bucket", ["le": "0.005"]) == 2)
        #expect(page.value("ringway_programming_duration_seconds_bucket", ["le": "+Inf"]) == 4)
        let web = ["namespace": "shop", "service": "web", "port": "http", "protocol": "TCP"]
        #expect(page.value("ringway_connections_total", web) == Double(100 + Column.connections))
        #expect(page.value("ringway_endpoints", web.merging(["state": "down"]) { $1 }) == 1)
        #expect(page.value("ringway_endpoints", web.merging(["state": "ejected"]) { $1 }) == 0)
        let closed = web.merging(["reason": CloseReason.serverReset.name]) { $1 }
        #expect(
            page.value("ringway_connection_closed_total", closed) == Double(100 + Column.closed + Int(CloseReason.serverReset.rawValue)))
        #expect(page.value("ringway_udp_sessions_active", ["service": "dns"]) == Double(100 + Column.connectionsActive))
        #expect(page.value("ringway_connections_total", ["service": "dns"]) == nil, "UDP has sessions")
        #expect(page.value("process_resident_memory_bytes").map { $0 > 0 } == true)
        #expect(page.value("process_open_fds").map { $0 > 2 } == true)
    }

    @Test func aServiceHasFewSeriesUntilReasonsOccur() async throws {
        let subject = AdminSubject(
            report: { preconditionFailure("nobody asks for it") }, servicePorts: { [Self.port("web")] },
            readings: { $0.map { ServiceReading(service: $0, counters: [UInt64](repeating: 0, count: Column.count)) } })
        let lines = try await Self.page(subject).split(separator: "\n").filter { $0.contains("service=\"web\"") }
        #expect((8...25).contains(lines.count), "\(lines)")
        #expect(!lines.contains { $0.contains("reason=") })
    }

    @Test func namesStandOnceInTheList() {
        let names = ServiceMetric.all.map(\.metric.name) + WorkerMetric.all.map(\.metric.name) + ProcessMetric.all.map(\.metric.name)
        #expect(Set(names).count == names.count)
    }

    @Test func valuesOfLabelsAreEscaped() {
        var text = MetricText()
        text.add("a", [("b", "x\"\\\n")], 1.0)
        #expect(text.text == "a{b=\"x\\\"\\\\\\n\"} 1\n")
    }

    @Test(arguments: [(0.25, "0.25"), (60, "60"), (.infinity, "+Inf"), (1e-05, "1e-05")])
    func numbersAreWrittenAsPrometheusReadsThem(value: Double, text: String) {
        #expect(value.metricText == text)
    }

    @Test func theBucketsOfKubeProxyAreItsOwn() {
        #expect(Histogram.networkProgrammingBounds.count == 80)
        #expect(Histogram.networkProgrammingBounds.prefix(3) == [0.25, 0.5, 1] && Histogram.networkProgrammingBounds.last == 300)
        #expect(Histogram.syncBounds.first == 0.001 && Histogram.syncBounds.last == 16.384)
    }

    @Test func theKernelsFilesAreReadByTheirFields() {
        let fields = (3...52).map { $0 == 3 ? "S" : "\($0)" }.joined(separator: " ")
        let metrics = KernelMetrics(
            stat: "42 (a name) with) \(fields)\n", system: "cpu 1 2\nbtime 1000\n",
            limits:
                "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024   4096  files\n",
            ticksPerSecond: 10, pageBytes: 4096)
        let values = Dictionary(uniqueKeysWithValues: metrics.values.map { ($0.metric.name, $0.value) })
        #expect(
            values == [
                "process_cpu_seconds_total": 2.9, "process_resident_memory_bytes": 24 * 4096, "process_virtual_memory_bytes": 23,
                "process_threads": 20, "process_start_time_seconds": 1002.2, "process_max_fds": 1024,
            ])
        #expect(KernelMetrics(stat: nil, system: nil, limits: nil).values.isEmpty)
    }

    @Test func thousandsOfServicesAreReadAFewAtATimeAndWrittenInPieces() async throws {
        let ports = (0..<10_000).map { Self.port("web-\($0)") }
        let largest = Mutex(0)
        let subject = AdminSubject(
            report: { preconditionFailure("nobody asks for it") }, servicePorts: { ports },
            readings: { some in
                largest.withLock { $0 = max($0, some.count) }
                return some.map { ServiceReading(service: $0, counters: [UInt64](repeating: 1, count: Column.count)) }
            })
        var (pieces, longest, lines) = (0, 0, 0)
        try await MetricsPage(subject: subject).write { piece in
            pieces += 1
            longest = max(longest, piece.utf8.count)
            lines += piece.utf8.count { $0 == 0x0a }
        }
        #expect(largest.withLock { $0 } == MetricsPage.portsAtOnce)
        #expect(longest < 2 * MetricsPage.pieceBytes && pieces > 100 && lines > 100_000)
    }
}
