import Foundation
import Glibc
import Synchronization
import Testing

/// Connections of all kinds come and go, for `RINGWAY_SOAK_MINUTES`, two where nobody says; afterwards everything is as it was.
extension EndToEndTests {
    @Suite struct SoakTests {
        private static let minutes = Double(ProcessInfo.processInfo.environment["RINGWAY_SOAK_MINUTES"] ?? "") ?? 2

        /// Both engines side by side: what is looked for is what is left over, and not speed.
        @Test func nothingIsLeftOfConnectionsOfAllKinds() throws {
            let soaks = Engines.available.map { engine in Pending { try Soak(engine: engine, minutes: Self.minutes).finding() } }
            for (engine, soak) in zip(Engines.available, soaks) {
                let finding = try soak.value(within: .seconds(60 * Self.minutes + 300))
                print("\(engine): \(finding.summary)")
                #expect(finding.problems == [], "\(engine): \(finding.summary)")
                #expect(finding.rounds > 2)
            }
        }
    }
}

/// One program under a mixture of connections, in rounds. After each round nothing may be left of it.
private final class Soak {
    struct Finding: Sendable {
        var rounds = 0
        var connections: UInt64 = 0
        var closed: [String: UInt64] = [:]
        /// Of each round's end.
        var residentBytes: [Int] = []
        var descriptors: [Int] = []
        var problems: [String] = []

        var summary: String {
            let ends = closed.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
            let memory = residentBytes.map { $0 >> 10 }
            return "\(rounds) rounds, \(connections) connections (\(ends)); KiB resident \(memory.first ?? 0) after the first round, "
                + "\(memory.max() ?? 0) at most, \(memory.last ?? 0) at the end; "
                + "descriptors \(descriptors.min() ?? 0) to \(descriptors.max() ?? 0)"
        }
    }

    /// Growth from the end of the warm-up to the end. Where the memory of a process lies wanders by a megabyte or two.
    private static let growthMax = 6 << 20

    private let engine: String
    private let deadline: ContinuousClock.Instant
    private let directory: TemporaryDirectory
    private let echo: CrowdBackend
    private let resetting: ScriptedBackend
    private let flooding: ScriptedBackend
    private let ports: [String: Int]
    private let refused: [Int]
    private var found = Finding()

    init(engine: String, minutes: Double) throws {
        self.engine = engine
        deadline = .now + .seconds(60 * minutes)
        directory = try TemporaryDirectory()
        echo = try CrowdBackend()
        resetting = try ScriptedBackend { connection in
            _ = try connection.receive(max: 10)
            connection.reset()
        }
        flooding = try ScriptedBackend { connection in
            while true { try connection.send(EndToEndTests.PressureTests.pattern) }
        }
        ports = try Dictionary(
            uniqueKeysWithValues: ["echo", "idle", "refused", "reset", "flood", "proxy", "limit", "come"].map {
                ($0, try FreePort.take())
            })
        refused = try FreePort.take(2)
    }

    /// What has become of it. An error is a problem found, and not thrown: the other engine's soak goes on to its own end.
    func finding() -> Finding {
        do { try run() } catch { found.problems.append("round \(found.rounds): \(error)") }
        return found
    }

    private func run() throws {
        for name in ports.keys where name != "come" { try write(name) }
        let ringway = try RunningRingway(engine, [directory.root], options: ["--grace", "5s"], directory: directory)
        defer { ringway.process.end() }
        guard ringway.process.isRunning else { throw ChildProcess.Failure(description: "ringway did not start: \(ringway.log)") }
        // The first rounds make tables, pools and the statistics' own memory as large as they need them.
        let warmUp = 3
        repeat {
            try round()
            found.rounds += 1
            try settle(ringway)
        } while ContinuousClock.now < deadline || found.rounds <= warmUp
        let warm = found.residentBytes[warmUp - 1]
        let growth = (found.residentBytes.last ?? 0) - warm
        if growth > Self.growthMax { found.problems.append("\(growth) bytes more than after the warm-up") }
        ringway.process.signal(SIGTERM)
        let exit = try ringway.process.wait(within: .seconds(40))
        if exit != .code(0) { found.problems.append("\(exit): \(ringway.log.suffix(1000))") }
    }

    private func write(_ name: String) throws {
        let backends: [Int]
        var annotations: [String: String] = [:]
        switch name {
        case "refused": backends = refused
        case "reset": backends = [resetting.port]
        case "flood": backends = [flooding.port]
        case "limit":
            backends = [echo.port]
            annotations["max-connections-per-source"] = "5"
        case "proxy":
            backends = [echo.port]
            annotations = ["accept-proxy-protocol-from": "127.0.0.1/32", "proxy-protocol": "v1"]
        case "idle":
            backends = [echo.port]
            annotations["idle-timeout"] = "100ms"
        default: backends = [echo.port, refused[0]]
        }
        try directory.replace(
            "\(name).yaml",
            with: serviceYAML(name, port: ports[name]!, endpoints: backends.map { "127.0.0.1:\($0)" }, annotations: annotations))
    }

    private func expect(_ holds: Bool, _ problem: @autoclosure () -> String) {
        if !holds, found.problems.count < 10 { found.problems.append("round \(found.rounds): \(problem())") }
    }

    /// A few hundred connections, each kind in its turn, many of them at once.
    private func round() throws {
        try write("come")
        let crowd = try [TestSocket](200, to: ports["echo"]!)
        expect(try crowd.exchange("hello") == 200, "not everybody is answered")
        let silent = try [TestSocket](20, to: ports["idle"]!)
        let bulk = try TestSocket(to: "127.0.0.1", ports["flood"]!)
        let deaf = try [TestSocket](3, to: ports["flood"]!)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var received = 0
        while received < 20 << 20 { received += try bulk.receive(into: &buffer) }
        for _ in 0..<30 {
            // A Service that refuses, a server that resets, and one that wants a header.
            for other in ["refused", "reset", "proxy"] {
                expect(try [TestSocket].served(1, to: ports[other]!).isEmpty, "a client of \(other) was served")
            }
            let told = try TestSocket(to: "127.0.0.1", ports["proxy"]!)
            let header = "PROXY TCP4 203.0.113.9 198.51.100.1 1234 443\r\n"
            try told.send(header + "hello")
            told.shutdownWrite()
            expect(try told.receiveAll() == header + "hello", "what follows a header did not come back")
            let halfway = try TestSocket(to: "127.0.0.1", ports["echo"]!)
            try halfway.send("question")
            halfway.shutdownWrite()
            expect(try halfway.receiveAll() == "question", "a half-closed connection was not answered")
            for other in ["echo", "flood", "idle"] { try TestSocket(to: "127.0.0.1", ports[other]!).reset() }
        }
        let limited = try [TestSocket].served(30, to: ports["limit"]!)
        expect((5...6).contains(limited.count), "\(limited.count) of a limit of 5 are served")
        expect(silent.allSatisfy { $0.ending() == ECONNRESET }, "an idle connection lives on")
        // A Service comes, serves, goes, and its connection with it.
        var guest: TestSocket?
        expect(
            try wait(within: .seconds(20)) {
                guest = try? TestSocket(to: "127.0.0.1", ports["come"]!)
                return guest != nil
            }, "a new Service is not served")
        if let guest { expect(try [guest].exchange("hello") == 1, "a new Service does not answer") }
        try FileManager.default.removeItem(atPath: directory.path("come.yaml"))
        expect(try crowd.exchange(String(repeating: "again", count: 2000)) == 200, "not everybody is answered in the end")
        for (index, client) in crowd.enumerated() { if index % 2 == 0 { client.reset() } else { client.close() } }
        (deaf + limited + [bulk]).closeAll()
        guest?.close()
    }

    /// Waits until nothing is left of the round, and notes what the program has.
    private func settle(_ ringway: RunningRingway) throws {
        var last = ""
        let isSettled = try wait(within: .seconds(30)) {
            let statistics = try ringway.statistics()
            let listeners = Int(statistics.workers.map(\.listeners).reduce(0, +))
            let buffers = statistics.workers.map(\.buffersActive).reduce(0, +)
            let rows = statistics.services.map(\.connectionsActive) + statistics.endpoints.map(\.connectionsActive)
            let descriptors = ringway.openDescriptors - ringway.pipeDescriptors - listeners
            let base = found.descriptors.first ?? descriptors
            last =
                "\(statistics.connectionsActive) connections, \(rows.reduce(0, +)) in rows, \(buffers) buffers, "
                + "\(descriptors) descriptors (\(base) after the first round), \(echo.tally.open) at the backend"
            guard statistics.connectionsActive == 0, rows.allSatisfy({ $0 == 0 }), buffers == 0, echo.tally.open == 0,
                descriptors <= base + 6
            else { return false }
            found.connections = statistics.connectionsAccepted
            found.closed = statistics.services.reduce(into: [:]) { $0.merge($1.closed, uniquingKeysWith: +) }
            found.descriptors.append(descriptors)
            return true
        }
        expect(isSettled, "left over: \(last)")
        found.residentBytes.append(ringway.residentBytes)
    }
}
