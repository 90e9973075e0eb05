import AdminServer
import Addressing
import ControlPlane
import Forwarding
import Routing
import ServiceModel
import Testing

@testable import CLI

struct LogLineTests {
    private func line(_ message: String, _ fields: [(key: String, value: String)] = []) -> LogLine {
        LogLine(microseconds: 1_772_582_400_123_456, level: "info", message: message, fields: fields)
    }

    @Test func textIsTimeLevelMessageAndKeys() {
        #expect(
            line("started", [("workers", "2"), ("reason", "no such file"), ("empty", "")]).text(as: .text)
                == "2026-03-04T00:00:00.123Z info started workers=2 reason=\"no such file\" empty=\"\"")
    }

    @Test func jsonIsOneObject() {
        #expect(
            line("a \"b\"\n", [("key", "\u{1}\\")]).text(as: .json)
                == #"{"time":"2026-03-04T00:00:00.123Z","level":"info","message":"a \"b\"\n","key":"\u0001\\"}"#)
    }

    @Test func aMessageCannotForgeASecondLine() {
        #expect(!line("bad\n2026 error forged", [("key", "a\nb")]).text(as: .text).contains("\n"))
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_782_400, "2000-02-29T00:00:00.000Z"), (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
    ])
    func timesFollowTheCalendar(seconds: Int64, text: String) {
        #expect(LogLine(microseconds: seconds * 1_000_000, level: "info", message: "x", fields: []).text(as: .text) == "\(text) info x")
    }
}

struct JournalTests {
    private let bad = Diagnostic(
        severity: .error, location: SourceLocation(file: "web.yaml", line: 3, column: 5),
        object: ObjectKey(kind: .service, namespace: "default", name: "web"), message: "Service \"web\" is invalid")

    private func report(_ state: ListenerReport.State) throws -> ListenerReport {
        ListenerReport(
            key: FrontendKey(try #require(SocketAddress("127.0.0.1:80")), .tcp),
            service: ServicePortName(namespace: "default", name: "web", port: "", transport: .tcp), state: state)
    }

    @Test func aFindingIsSaidOnceUntilItGoesAndReturns() {
        var journal = Journal()
        #expect(
            journal.found([bad]) == [
                Journal.Entry(level: .error, message: "web.yaml:3:5: Service \"web\" is invalid", fields: ["object": "Service default/web"])
            ])
        #expect(journal.found([bad]).isEmpty)
        #expect(journal.found([]).isEmpty)
        #expect(journal.found([bad]).count == 1)
    }

    @Test func aListenerIsSaidWhenItsStateChanges() throws {
        var journal = Journal()
        #expect(journal.listenersReported(ListenerChanges(reports: [try report(.listening)])).isEmpty)
        #expect(journal.listenersReported(ListenerChanges(reports: [try report(.failed("in use"))])).map(\.fields["reason"]) == ["in use"])
        #expect(journal.listenersReported(ListenerChanges(reports: [try report(.failed("in use"))])).isEmpty)
        #expect(journal.listenersReported(ListenerChanges(reports: [try report(.noEndpoints)])).map(\.level) == [.warning])
        #expect(journal.listenersReported(ListenerChanges(reports: [try report(.listening)])).map(\.message) == ["listening"])
    }

    @Test func anEndpointIsSaidWhenItIsEjectedAndWhenItIsBack() throws {
        let service = ServicePortName(namespace: "default", name: "web", port: "", transport: .tcp)
        func report(_ host: Int, _ state: EndpointReport.State, weight: UInt16 = 1) throws -> EndpointReport {
            let endpoint = try #require(SocketAddress("10.0.0.\(host):80"))
            let reason = state == .ejected ? "connect-refused" : nil
            return EndpointReport(.init(service: service, endpoint: endpoint), weight: weight, state: state, reason: reason)
        }
        var journal = Journal()
        let idle = try report(9, .well, weight: 0)
        #expect(journal.endpointsReported([try report(1, .well), try report(2, .well), idle]).isEmpty)
        #expect(
            journal.endpointsReported([try report(1, .well), try report(2, .ejected), idle]) == [
                Journal.Entry(
                    level: .warning, message: "endpoint ejected",
                    fields: ["service": "default/web", "endpoint": "10.0.0.2:80", "because": "connect-refused"])
            ])
        #expect(journal.endpointsReported([try report(1, .well), try report(2, .ejected), idle]).isEmpty)
        // One of weight 0 is no endpoint that is left.
        let entries = journal.endpointsReported([try report(1, .down), try report(2, .ejected), idle])
        #expect(entries.map(\.message) == ["endpoint is down", "no endpoint is well: all of them are used"])
        #expect(
            journal.endpointsReported([try report(1, .well), try report(2, .well), idle]).map(\.message)
                == ["endpoint is back", "endpoint is back"])
        // One that is gone is not back.
        _ = journal.endpointsReported([try report(1, .ejected), try report(2, .well)])
        #expect(journal.endpointsReported([try report(2, .well)]).isEmpty)
    }

    @Test func aChangeIsOneLineWithItsCounts() throws {
        var compiler = SnapshotCompiler()
        var journal = Journal()
        _ = compiler.compile([try Shorthand("80=81").object])
        let compilation = compiler.compile([try Shorthand("80=81,82").object])
        let entries = journal.applied(compilation, listeners: ListenerChanges(), rejectedObjects: 2)
        let entry = try #require(entries.first)
        #expect(entries.count == 1)
        #expect(entry.message == "configuration applied")
        #expect(entry.fields["generation"] == "2")
        #expect(entry.fields["endpointsAdded"] == "1")
        #expect(entry.fields["endpointsRemoved"] == "0")
        #expect(entry.fields["servicesChanged"] == "1")
        #expect(entry.fields["rejectedObjects"] == "2")
    }
}

struct StartReportTests {
    private func greeting(_ shorthands: [String], failing: [String: String] = [:], engine: String = "io_uring") throws -> [String] {
        var compiler = SnapshotCompiler()
        _ = compiler.compile(try Shorthand.all(shorthands).map(\.object))
        let reports = compiler.snapshot.frontends.values.sorted { $0.key.address < $1.key.address }.map { frontend in
            let reason = failing[frontend.key.description]
            return ListenerReport(
                key: frontend.key, service: frontend.group.service,
                state: reason.map { .failed($0) } ?? (frontend.group.isEmpty ? .noEndpoints : .listening))
        }
        return StartReport(
            engine: EngineReport(name: engine, reason: "the reason"),
            limits: LimitsReport(budget: DescriptorBudget(openFiles: 20_000, workers: 2, listeners: 2)), snapshot: compiler.snapshot,
            reports: reports, sources: ["dir"],
            adminSocket: "/tmp/a.sock", adminSocketIsDefault: false, adminAddress: "127.0.0.1:9400"
        ).lines
    }

    @Test func aShorthandIsGreetedWithItsListenerAndBackends() throws {
        #expect(
            try greeting(["9300=9301,9302"]) == [
                "engine   io_uring (the reason)",
                "limits   9,831 connections (ulimit -n 20,000; set aside: 64 for the program, 16 for 2 workers, 256 for pipes, "
                    + "2 for listeners)",
                "listen   tcp 127.0.0.1:9300  service default/port-9300",
                "backends 127.0.0.1:9301   127.0.0.1:9302",
                "admin    ringway stats --admin-socket /tmp/a.sock",
                "metrics  http://127.0.0.1:9400/metrics",
            ])
    }

    @Test func onePortOnTCPAndUDPIsGreetedAsTwoListeners() throws {
        let lines = try greeting(["53=54", "53/udp=54,55"]).filter { $0.hasPrefix("listen") || $0.hasPrefix("backends") }
        #expect(
            lines == [
                "listen   tcp 127.0.0.1:53  service default/port-53", "backends 127.0.0.1:54",
                "listen   udp 127.0.0.1:53  service default/port-53-udp", "backends 127.0.0.1:54   127.0.0.1:55",
            ])
    }

    @Test func whatDoesNotListenSaysWhy() throws {
        let lines = try greeting(["80=81", "90=90"], failing: ["tcp 127.0.0.1:80": "permission denied"], engine: "epoll")
        #expect(lines.first == "engine   epoll: the reason")
        #expect(lines.contains("listen   tcp 127.0.0.1:80  service default/port-80  failed: permission denied"))
        #expect(
            lines.contains(
                "listen   tcp 127.0.0.1:90  service default/port-90  not open: the Service has no endpoints, so clients are refused"))
    }

    @Test func nothingToServeSaysThatItIsWatched() throws {
        #expect(try greeting([]).contains { $0.contains("nothing yet") && $0.contains("dir") })
    }

    @Test func manyServicesAreCountedAndNotListed() throws {
        let lines = try greeting((1...50).map { "\($0)=1000" })
        #expect(lines.count(where: { $0.hasPrefix("backends") }) == StartReport.servicePortsMax)
        #expect(lines.contains { $0.contains("and 30 more Service ports (50 listeners in all, 0 failed)") })
    }
}

struct LimitsReportTests {
    private func report(_ files: Int, _ connectionsMax: Int?, workers: Int = 1) -> LimitsReport {
        LimitsReport(budget: DescriptorBudget(openFiles: files, workers: workers, listeners: 2), connectionsMax: connectionsMax)
    }

    @Test func aLimitOfTheUserIsNamedWithWhatTheFilesWouldAllow() {
        let report = report(20_000, 500)
        #expect(report.text == "500 connections (--connections-max; ulimit -n 20,000 leaves room for 9,899)")
        #expect(report.connections == 500 && report.warning == nil)
    }

    @Test func aLimitBeyondTheOpenFilesIsAWarningWithTheRemedy() throws {
        let report = report(1024, 5000)
        #expect(report.connections == 443)
        #expect(
            report.text.hasPrefix("443 connections, not the 5,000 of --connections-max (ulimit -n 1,024; set aside: 64 for the program"))
        let warning = try #require(report.warning)
        #expect(warning.contains("at 443 connections accepting pauses"))
        // Who does as told gets what was asked for.
        let files = try #require(warning.split(separator: " ").compactMap { Int($0.filter(\.isNumber)) }.last)
        #expect(self.report(files, 5000).warning == nil && self.report(files, 5000).connections == 5000)
    }

    @Test func theTablesOfTheWorkersAreNamedWhereFilesWouldAllowMore() {
        #expect(report(1_000_000, nil, workers: 1).text == "262,144 connections (the tables of 1 worker)")
        #expect(report(1_000_000, 300_000).warning?.hasSuffix("the tables of 1 worker hold 262144") == true)
    }
}

struct StatisticsTableTests {
    @Test func servicesEndpointsAndWorkersAreLinedUp() {
        var statistics = DataPlaneStatistics()
        statistics.engine = "epoll"
        statistics.engineReason = "asked for"
        var service = DataPlaneStatistics.Service()
        service.namespace = "default"
        service.name = "web"
        service.port = "http"
        service.connections = 12
        service.bytesToClients = 1_234_567
        service.closed = ["client-fin": 10, "connect-refused": 2]
        var endpoint = DataPlaneStatistics.Endpoint()
        endpoint.address = "10.0.0.1:80"
        endpoint.state = "removed"
        var weighted = DataPlaneStatistics.Endpoint()
        weighted.address = "10.0.0.2:80"
        weighted.weight = 3
        var ejected = DataPlaneStatistics.Endpoint()
        ejected.address = "10.0.0.3:80"
        ejected.state = "ejected"
        ejected.ejectedForSeconds = 11.2
        ejected.because = "connect-refused"
        var tried = ejected
        tried.address = "10.0.0.4:80"
        tried.state = "probing"
        tried.ejectedForSeconds = nil
        tried.weight = 2
        service.endpoints = [endpoint, weighted, ejected, tried]
        service.connectionsActive = 2
        service.connectionsMax = 50
        statistics.services = [service]
        var listener = DataPlaneStatistics.Listener()
        listener.frontend = "tcp 10.0.0.9:80"
        listener.state = "failed"
        listener.message = "in use"
        statistics.listeners = [listener]
        statistics.workers = [DataPlaneStatistics.Worker()]
        let report = AdminReport(version: "1", pid: 7, uptimeSeconds: 3700, configuration: .init(), dataPlane: statistics)
        let text = StatisticsTable(report: report).text
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines.first == "ringway 1  engine epoll (asked for)  pid 7  up 1h01m")
        #expect(text.contains("default/web:http"))
        #expect(text.contains("10.0.0.1:80 (removed)") && text.contains("10.0.0.2:80 (weight 3)") && text.contains(" 2/50 "))
        #expect(text.contains("10.0.0.3:80 (ejected 12s: connect-refused)"))
        #expect(text.contains("10.0.0.4:80 (weight 2, probing: connect-refused)"))
        #expect(text.contains("client-fin 10, connect-refused 2"))
        #expect(text.contains("in use"))
        #expect(lines.allSatisfy { $0.last != " " })
        let header = lines.first { $0.hasPrefix("SERVICE") }
        let row = lines.first { $0.hasPrefix("default/web:http") }
        #expect(header?.count == row?.count, "numbers end where their heading ends")
        #expect(!text.contains("REBINDS"), "nothing about UDP where there is none")
    }

    @Test func portsOfUDPSayWhatBecameOfTheirDatagrams() {
        var service = DataPlaneStatistics.Service()
        (service.namespace, service.name, service.transport) = ("default", "dns", "UDP")
        (service.datagramsFromClients, service.datagramsToClients, service.rebinds) = (1200, 1100, 7)
        service.dropped = ["limit-rate": 80, "no-endpoint": 20]
        var worker = DataPlaneStatistics.Worker()
        worker.sessionsActive = 42
        var statistics = DataPlaneStatistics()
        (statistics.services, statistics.workers) = ([service], [worker])
        let report = AdminReport(version: "1", pid: 7, uptimeSeconds: 1, configuration: .init(), dataPlane: statistics)
        let lines = StatisticsTable(report: report).text.split(separator: "\n").map(String.init)
        #expect(lines[1].hasSuffix("udp sessions 42"))
        #expect(lines.contains { $0.hasPrefix("default/dns udp  limit-rate 80, no-endpoint 20 ") && $0.hasSuffix(" 1200  1100        7") })
    }

    @Test(
        arguments: [
            (0, "0"), (999, "999"), (1000, "1.0k"), (1250, "1.3k"), (9990, "10k"), (123_456_789, "123M"), (999_600, "1.0M"),
            (UInt64.max, "18447P"),
        ] as [(UInt64, String)])
    func bytesAreShort(count: UInt64, text: String) {
        #expect(StatisticsTable.bytes(count) == text)
    }

    @Test(arguments: [(0, "0s"), (59.9, "59s"), (200, "3m20s"), (7500, "2h05m"), (273_600, "3d04h")])
    func uptimeIsShort(seconds: Double, text: String) {
        #expect(StatisticsTable.uptime(seconds) == text)
    }
}

struct CheckReportTests {
    @Test func theSummaryCountsWhatIsServed() throws {
        var compiler = SnapshotCompiler()
        let objects = try Shorthand.all(["80=81,82", "90=91"]).map(\.object)
        let compilation = compiler.compile(objects)
        let report = CheckReport(objects: objects, diagnostics: compilation.notices, totals: compilation.totals)
        #expect(report.summary == "ok: 2 services, 2 listeners, 3 endpoints")
        #expect(report.errors == 0)
    }
}

struct ReadinessReportTests {
    private static func report(_ port: Int, _ state: ListenerReport.State) -> ListenerReport {
        ListenerReport(
            key: FrontendKey(SocketAddress("127.0.0.1:\(port)")!, .tcp),
            service: ServicePortName(namespace: "default", name: "web", port: "", transport: .tcp), state: state)
    }

    @Test func aFewListenersThatFailAreSaidAndAllOfThemAreTooMany() {
        #expect(ReadinessReport.listeners([]).outcome == .passed)
        #expect(ReadinessReport.listeners([Self.report(1, .listening), Self.report(2, .noEndpoints)]).outcome == .passed)
        #expect(
            ReadinessReport.listeners([Self.report(1, .listening), Self.report(2, .failed("taken"))]).outcome
                == .degraded("1 of 2 not open: tcp 127.0.0.1:2 of default/web: taken"))
        #expect(ReadinessReport.listeners([Self.report(2, .failed("taken"))]).isFailure)
        guard case .failed(let many) = ReadinessReport.listeners((1...14).map { Self.report($0, .failed("taken")) }).outcome else {
            Issue.record("it passed")
            return
        }
        #expect(many.hasPrefix("14 of 14 not open: ") && many.hasSuffix("; and 4 more"))
    }

    @Test func rejectedObjectsAreNoReasonToSendClientsAway() {
        var configuration = AdminReport.Configuration()
        #expect(ReadinessReport.configuration(configuration).outcome == .passed)
        configuration.rejectedObjects = 2
        #expect(ReadinessReport.configuration(configuration).outcome == .degraded("2 objects rejected, see the log"))
    }
}
