import Foundation
import Glibc
import Testing

/// The engines a test runs on, as `--engine` names them. Where the kernel denies io_uring, `ioUringRunsHere` is seen as skipped
/// and every test runs on epoll alone.
enum Engines {
    static let isUringGranted: Bool = {
        guard let outcome = try? ChildProcess.run([RunningRingway.binary, "--version"]) else { return false }
        return outcome.output.contains("engine  io_uring")
    }()

    static let available: [String] = isUringGranted ? ["io_uring", "epoll"] : ["epoll"]
}

/// The real program, with an admin socket of its own, serving what the test gives it.
///
/// `withRingway` starts it, waits until it serves, and sees to it that it ends well: no connection and no descriptor is left
/// over, it did not crash, SIGTERM ends it with 0.
final class RunningRingway {
    /// `RINGWAY_BINARY`, or the program that was built with the tests, beside them.
    static let binary: String = {
        if let path = ProcessInfo.processInfo.environment["RINGWAY_BINARY"] { return path }
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        var folder = URL(fileURLWithPath: tests).deletingLastPathComponent()
        while folder.path.count > 1 {
            let candidate = folder.appendingPathComponent("ringway").path
            if unsafe access(candidate, X_OK) == 0 { return candidate }
            folder.deleteLastPathComponent()
        }
        return "ringway"
    }()

    /// A command that takes something from what it runs: `uring`, `ipv4-sockets` or `pipes`.
    static func denied(_ what: String) -> [String] {
        [URL(fileURLWithPath: binary).deletingLastPathComponent().appending(path: "Deny").path, what]
    }

    let process: ChildProcess
    let directory: TemporaryDirectory
    let adminSocket: String
    private var descriptorsAtStart = 0
    private var listenersAtStart: UInt64 = 0

    /// Starts it and waits until it serves or has ended.
    ///
    /// - Parameter prefix: a command that runs it: `prlimit --nofile=256`, `nsenter …`.
    init(
        _ engine: String, _ sources: [String], options: [String] = [], prefix: [String] = [], input: String = "/dev/null",
        directory: TemporaryDirectory
    ) throws {
        self.directory = directory
        adminSocket = directory.path("admin-\(directory.nextNumber()).sock")
        var command = prefix + [Self.binary, "run", "--engine", engine, "--admin-socket", adminSocket]
        // Tests run side by side, and there is one port by default.
        if !options.contains("--admin-listen") { command += ["--admin-listen", "none"] }
        // The machine's own network is left as it is; tests of that have a namespace, and say so.
        if !options.contains("--host-network") { command += ["--host-network", "off"] }
        // Ports that are free at this moment are not those of the usual range.
        if !options.contains("--node-port-range") { command += ["--node-port-range", "1-65535"] }
        if !options.contains("--workers") { command += ["--workers", "2"] }
        process = try ChildProcess(command + options + sources, input: input, in: directory)
        try waitUntil("ringway serves", within: .seconds(30)) {
            log.contains(" started ") || log.contains("\"started\"") || !process.isRunning
        }
        if process.isRunning {
            let statistics = try statistics()
            descriptorsAtStart = openDescriptors - pipeDescriptors
            listenersAtStart = statistics.workers.reduce(0) { $0 + $1.listeners }
        }
    }

    /// What it wrote to standard error.
    var log: String { process.error }

    // MARK: A look inside

    func statistics() throws -> Statistics {
        let outcome = try ChildProcess.run([Self.binary, "stats", "--admin-socket", adminSocket, "-o", "json"])
        guard outcome.isSuccess else { throw ChildProcess.Failure(description: "ringway stats: \(outcome.exit): \(outcome.error)\n\(log)") }
        return try JSONDecoder().decode(Statistics.self, from: Data(outcome.output.utf8))
    }

    var residentBytes: Int {
        let status = (try? String(contentsOfFile: "/proc/\(process.identifier)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return (Int(line.split(whereSeparator: \.isWhitespace).dropFirst().first ?? "") ?? 0) * 1024
    }

    /// CPU time it has used, user and system.
    var cpuSeconds: Double {
        let status = (try? String(contentsOfFile: "/proc/\(process.identifier)/stat", encoding: .utf8)) ?? ""
        let fields = (status.split(separator: ")").last ?? "").split(separator: " ")
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(CInt(_SC_CLK_TCK)))
    }

    var openDescriptors: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.identifier)/fd").count) ?? 0 }

    /// Descriptors of pipes; a few that are empty stay open for the next bulk stream.
    var pipeDescriptors: Int {
        let directory = "/proc/\(process.identifier)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.count {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\($0)"))?.hasPrefix("pipe:") == true
        }
    }

    // MARK: The end

    /// Nothing may be left of the connections once the test is over with them.
    func expectNothingLeft(sourceLocation: SourceLocation) throws {
        var last = "no answer"
        let settled = try wait(within: .seconds(15)) {
            let statistics = try statistics()
            let listeners = statistics.workers.reduce(0) { $0 + $1.listeners }
            let pipes = pipeDescriptors
            // Sockets of UDP sessions stay for the next ones.
            let others = pipes + Int(listeners) + Int(statistics.socketsActive)
            let grown = openDescriptors - others - descriptorsAtStart + Int(listenersAtStart)
            last = "\(statistics.connectionsActive) connections and \(grown) more descriptors than at start are open, \(pipes) of pipes"
            return statistics.connectionsActive == 0 && grown <= 3 && pipes <= 64
        }
        #expect(settled, "\(last)", sourceLocation: sourceLocation)
    }

    /// SIGTERM ends it, with 0.
    func expectCleanEnd(sourceLocation: SourceLocation) throws {
        guard let exit = process.poll() else {
            process.signal(SIGTERM)
            let exit = try process.wait(within: .seconds(40))
            #expect(exit == .code(0), "\(log)", sourceLocation: sourceLocation)
            return
        }
        Issue.record("ringway has ended by itself with \(exit): \(log)", sourceLocation: sourceLocation)
    }
}

/// Runs a test against the program, and checks that it ends as it should.
///
/// - Parameter endsHere: false where the test itself ends the program and judges the end.
func withRingway(
    _ engine: String, _ sources: [String], options: [String] = [], prefix: [String] = [], endsHere: Bool = true,
    directory: TemporaryDirectory? = nil, sourceLocation: SourceLocation = #_sourceLocation, _ body: (RunningRingway) throws -> Void
) throws {
    let ringway = try RunningRingway(
        engine, sources, options: options, prefix: prefix, directory: try directory ?? TemporaryDirectory())
    defer { ringway.process.end() }
    guard ringway.process.isRunning else {
        Issue.record("ringway did not start: \(ringway.log)", sourceLocation: sourceLocation)
        return
    }
    do {
        try body(ringway)
    } catch {
        Issue.record("\(error)\nlog of ringway:\n\(ringway.log)", sourceLocation: sourceLocation)
        return
    }
    guard endsHere else { return }
    if ringway.process.isRunning { try ringway.expectNothingLeft(sourceLocation: sourceLocation) }
    try ringway.expectCleanEnd(sourceLocation: sourceLocation)
}

/// Looks again and again until the condition holds or the time is over; the answer is whether it held. The last look begins when the time
/// is over: whoever was stopped meanwhile still has one.
func wait(within limit: Duration = .seconds(15), _ condition: () throws -> Bool) throws -> Bool {
    let deadline = ContinuousClock.now + limit
    while true {
        let isLast = ContinuousClock.now >= deadline
        if try condition() { return true }
        if isLast { return false }
        usleep(20_000)
    }
}

/// The same where the test can't go on without it.
func waitUntil(_ what: String, within limit: Duration = .seconds(15), _ condition: () throws -> Bool) throws {
    guard try wait(within: limit, condition) else { throw ChildProcess.Failure(description: "waited \(limit) in vain: \(what)") }
}

/// What `ringway stats -o json` promises to a script.
struct Statistics: Decodable {
    struct Configuration: Decodable {
        var objects: Int
        var rejectedObjects: Int
        var generation: UInt64
    }

    struct Worker: Decodable {
        var index: Int
        var cpu: Int?
        var ticks: UInt64
        var systemCalls: UInt64
        var allocations: UInt64?
        var connectionsAccepted: UInt64
        var connectionsActive: UInt64
        var listeners: UInt64
        var acceptPauses: UInt64
        var buffersActive: UInt64
        var buffersExhausted: UInt64
        var staleCompletions: UInt64
        var sourcesUncounted: UInt64
        var affinitiesEvicted: UInt64
        var portsExhausted: UInt64
        var bulkDirections: UInt64
        var transfersRefused: UInt64
        var pipesOpen: UInt64
        var connectionsNotLogged: UInt64
        var sessionsActive: UInt64
        var sessionsEvicted: UInt64
        var socketsActive: UInt64
        var repliesLate: UInt64
    }

    struct Endpoint: Decodable {
        var address: String
        var state: String
        var weight: UInt64
        var connections: UInt64
        var connectionsActive: UInt64
        var connectFailures: UInt64
        var ejections: UInt64
        var ejectedForSeconds: Double?
        var because: String?
    }

    struct Service: Decodable {
        var namespace: String
        var name: String
        var port: String
        var transport: String
        var algorithm: String
        var connectionsMax: UInt64?
        var connectionsPerSourceMax: UInt64?
        var connections: UInt64
        var connectionsActive: UInt64
        var bytesFromClients: UInt64
        var bytesToClients: UInt64
        var retries: UInt64
        var datagramsFromClients: UInt64
        var datagramsToClients: UInt64
        var rebinds: UInt64
        var dropped: [String: UInt64]
        var closed: [String: UInt64]
        var endpoints: [Endpoint]
    }

    struct Listener: Decodable {
        var frontend: String
        var service: String
        var origin: String
        var state: String
        var message: String?
    }

    struct Names: Decodable {
        var addresses: [String]
        var domain: String
        var requests: [String: UInt64]
        var responses: [String: UInt64]
        var dropped: [String: UInt64]
        var connections: UInt64
        var connectionsActive: UInt64
        var closed: [String: UInt64]
        var questions: [String: UInt64]
    }

    var version: String
    var pid: Int32
    var uptimeSeconds: Double
    var engine: String
    var engineReason: String
    var generation: UInt64
    var connectionsMax: UInt64
    var configuration: Configuration
    var workers: [Worker]
    var listeners: [Listener]
    var services: [Service]
    var names: Names?

    var connectionsActive: UInt64 { workers.reduce(0) { $0 + $1.connectionsActive } }
    var connectionsAccepted: UInt64 { workers.reduce(0) { $0 + $1.connectionsAccepted } }
    var sessionsActive: UInt64 { workers.reduce(0) { $0 + $1.sessionsActive } }
    var sessionsEvicted: UInt64 { workers.reduce(0) { $0 + $1.sessionsEvicted } }
    var socketsActive: UInt64 { workers.reduce(0) { $0 + $1.socketsActive } }
    var acceptPauses: UInt64 { workers.reduce(0) { $0 + $1.acceptPauses } }
    var retries: UInt64 { services.reduce(0) { $0 + $1.retries } }
    var endpoints: [Endpoint] { services.flatMap(\.endpoints) }

    /// Connections that ended for this reason, of all Services.
    func closed(_ reason: String) -> UInt64 { services.reduce(0) { $0 + ($1.closed[reason] ?? 0) } }
}
