import AdminServer
import Forwarding
import FoundationEssentials
import Testing

extension AdminClient {
    /// One that waits for as long as it takes: side by side with everything else, a test may not have its turn for minutes.
    static func patient(_ path: String) -> AdminClient { AdminClient(path: path, limit: .seconds(600)) }
}

struct AdminServerTests {
    /// A directory of the test's own, as short as sun_path wants it.
    private final class Directory {
        let path = "/tmp/ringway-test-\(UInt32.random(in: 0...UInt32.max))"
        var socket: String { path + "/admin.sock" }

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false) }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func attribute(_ key: FileAttributeKey) throws -> Any? { try FileManager.default.attributesOfItem(atPath: socket)[key] }
    }

    private func report() -> AdminReport {
        var statistics = DataPlaneStatistics()
        statistics.engine = "epoll"
        statistics.generation = 7
        var worker = DataPlaneStatistics.Worker()
        worker.connectionsAccepted = 12
        statistics.workers = [worker]
        var configuration = AdminReport.Configuration()
        configuration.objects = 3
        configuration.rejectedObjects = 1
        configuration.generation = 8
        return AdminReport(version: "0.1.0", pid: 42, uptimeSeconds: 1.5, configuration: configuration, dataPlane: statistics)
    }

    private func server(_ directory: Directory, notReady: String? = nil) async throws -> AdminServer {
        let report = report()
        let checks = [HealthCheck("ping"), HealthCheck("serving", notReady.map { .failed($0) } ?? .passed)]
        return try await AdminServer(
            on: .socket(directory.socket), subject: AdminSubject(report: { report }, readiness: { checks }))
    }

    @Test func statisticsComeBackAsTheyWereReported() async throws {
        let directory = try Directory()
        let server = try await server(directory)
        let report = try await AdminClient.patient(directory.socket).report()
        #expect(report.pid == 42)
        #expect(report.configuration.rejectedObjects == 1)
        #expect(report.dataPlane.workers.first?.connectionsAccepted == 12)
        let text = try await AdminClient.patient(directory.socket).statisticsBody()
        #expect(text.contains("\"engine\" : \"epoll\""), "the counters stand at the top level")
        #expect(text.contains("\"uptimeSeconds\" : 1.5"))
        await server.stop()
    }

    @Test func onlyOwnerAndGroupMayUseTheSocket() async throws {
        let directory = try Directory()
        let server = try await server(directory)
        let mode = try #require(try directory.attribute(.posixPermissions))
        #expect("\(mode)" == String(0o660))
        await server.stop()
    }

    @Test func healthAndReadinessAnswer() async throws {
        let directory = try Directory()
        let server = try await server(directory, notReady: "draining")
        let client = AdminClient.patient(directory.socket)
        #expect(try await client.get("/healthz") == (200, "ok\n"))
        #expect(try await client.get("/readyz") == (503, "[+]ping ok\n[-]serving failed: draining\nreadyz check failed\n"))
        #expect(try await client.get("/readyz?exclude=serving") == (200, "ok\n"))
        #expect(try await client.get("/livez?verbose") == (200, "livez check passed\n"))
        #expect(try await client.get("/nothing").status == 404)
        await server.stop()
    }

    @Test func theSocketFileIsGoneAfterStop() async throws {
        let directory = try Directory()
        let server = try await server(directory)
        await server.stop()
        #expect(!FileManager.default.fileExists(atPath: directory.socket))
        await #expect(throws: AdminServerError.self) { try await AdminClient.patient(directory.socket).report() }
    }

    @Test func aSocketThatALiveProcessAnswersIsRefused() async throws {
        let directory = try Directory()
        let first = try await server(directory)
        let failure = await #expect(throws: AdminServerError.self) { try await self.server(directory) }
        #expect(failure?.kind == .inUse)
        #expect(failure?.description.contains(directory.socket) == true)
        #expect(try await AdminClient.patient(directory.socket).get("/healthz").status == 200, "the first one goes on")
        await first.stop()
    }

    @Test func aStaleSocketFileIsReplaced() async throws {
        let directory = try Directory()
        let first = try await server(directory)
        // A hard link keeps the socket file when the process behind it is gone.
        try FileManager.default.linkItem(atPath: directory.socket, toPath: directory.path + "/kept")
        // Not given up after a second, as in a process that ends: its listener has to be gone.
        await first.stop(within: .seconds(60))
        try FileManager.default.moveItem(atPath: directory.path + "/kept", toPath: directory.socket)
        let failure = await #expect(throws: AdminServerError.self) { try await AdminClient.patient(directory.socket).report() }
        #expect(failure?.kind == .nobodyListens)
        let second = try await server(directory)
        #expect(try await AdminClient.patient(directory.socket).get("/healthz").status == 200)
        await second.stop()
    }

    @Test func aFileThatIsNoSocketIsLeftAlone() async throws {
        let directory = try Directory()
        #expect(FileManager.default.createFile(atPath: directory.socket, contents: Data("precious".utf8)))
        let failure = await #expect(throws: AdminServerError.self) { try await self.server(directory) }
        #expect(failure?.kind == .unusable)
        #expect(FileManager.default.contents(atPath: directory.socket) == Data("precious".utf8))
    }

    @Test func aPathThatIsTooLongOrHasNoDirectoryIsSaidPlainly() async throws {
        let long = "/tmp/" + String(repeating: "x", count: 120)
        let report = report()
        let tooLong = await #expect(throws: AdminServerError.self) {
            try await AdminServer(on: .socket(long), subject: AdminSubject(report: { report }))
        }
        #expect(tooLong?.description.contains("too long") == true)
        let missing = await #expect(throws: AdminServerError.self) {
            try await AdminServer(
                on: .socket("/tmp/ringway-no-such-directory/x"), subject: AdminSubject(report: { report }))
        }
        #expect(missing?.description.contains("no such directory") == true)
    }

    @Test func nobodyListeningNamesTheSocketAndTheRemedy() async throws {
        let failure = await #expect(throws: AdminServerError.self) { try await AdminClient.patient("/tmp/ringway-nobody").report() }
        #expect(failure?.kind == .nobodyListens)
        #expect(failure?.description.contains("/tmp/ringway-nobody") == true)
        #expect(failure?.description.contains("ringway run") == true)
    }

    @Test func aHundredRequestsAtOnceAreAnswered() async throws {
        let directory = try Directory()
        let server = try await server(directory)
        let client = AdminClient.patient(directory.socket)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { (try? await client.get("/healthz").status) == 200 } }
            for await answered in group { #expect(answered) }
        }
        await server.stop()
    }
}
