import Foundation
import Testing

/// unbound on a port of loopback, that asks nobody but whom its settings name. It runs from a copy, so that where AppArmor has a profile
/// for the distribution's path it may read the test's files. It counts and says what it is asked.
final class Unbound: Sendable {
    let process: ChildProcess
    let port: Int
    private let directory: TemporaryDirectory
    private let configuration: String

    var place: String { "127.0.0.1:\(port)" }

    /// - Parameters:
    ///   - server: lines of the clause `server:`.
    ///   - clauses: others, such as `stub-zone:`.
    ///   - files: what these name, by name.
    init(server: String = "", clauses: String, files: [String: String] = [:], port: Int? = nil, prefix: [String] = []) throws {
        directory = try TemporaryDirectory()
        self.port = try port ?? FreePort.take()
        for (name, text) in files { try directory.write(text, to: name) }
        configuration = try directory.write(
            """
            server:
                interface: 127.0.0.1
                port: \(self.port)
                num-threads: 1
                do-daemonize: no
                use-syslog: no
                log-queries: yes
                extended-statistics: yes
                username: ""
                chroot: ""
                pidfile: ""
                logfile: ""
                root-hints: ""
                directory: "\(directory.root)"
            remote-control:
                control-enable: yes
                control-interface: "\(directory.path("control"))"
                control-use-cert: no
            server:
            \(server)
            \(clauses)

            """, to: "unbound.conf")
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(separator: ":") + ["/usr/sbin", "/sbin"]
        let program = folders.map { "\($0)/unbound" }.first(where: FileManager.default.isExecutableFile)
        guard let program else { throw ChildProcess.Failure(description: "there is no unbound: `Scripts/install tests` installs it") }
        try FileManager.default.copyItem(atPath: program, toPath: directory.path("unbound"))
        process = try ChildProcess(prefix + [directory.path("unbound"), "-d", "-c", configuration], in: directory)
        let process = process
        try waitUntil("unbound serves") {
            guard process.isRunning else { throw ChildProcess.Failure(description: "unbound ended: \(process.error)") }
            return process.error.contains("start of service")
        }
    }

    deinit { process.end() }

    /// A resolver that knows a world of its own: the zones `test` and `org`, and two names beside them.
    ///
    /// `service.test`, both addresses; `alias.test` and `example.org`, aliases of it; `medium.test`, more than fits without EDNS;
    /// `large.test`, more than fits with it; `warehouse.example.com`, and who has 192.0.2.7. What isn't in `test` is denied for 30 s, in
    /// `org` for one.
    static func world(port: Int? = nil, prefix: [String] = []) throws -> Unbound {
        let text = Array(repeating: "\"\(String(repeating: "x", count: 200))\"", count: 3).joined(separator: " ")
        let large = (0..<4).map { "large 600 TXT \"\($0)\" \(text)" }.joined(separator: "\n")
        func zone(_ name: String, denial: Int, _ records: String) -> String {
            """
            $ORIGIN \(name).
            @ 600 SOA ns.test. hostmaster.test. 1 7200 900 86400 \(denial)
            @ 600 NS ns.test.
            \(records)

            """
        }
        let test = """
            ns 600 A 192.0.2.53
            service 600 A 192.0.2.7
            service 600 AAAA 2001:db8::7
            alias 600 CNAME service.test.
            medium 600 TXT \(text)
            \(large)
            """
        // As if it had been told by the zones' servers: without AA, and with aliases followed from one zone to the other.
        let clauses = ["test", "org"].map { name in
            """
            auth-zone:
                name: "\(name)"
                zonefile: "\(name).zone"
                for-downstream: no
                for-upstream: yes
                fallback-enabled: no
            """
        }
        return try Unbound(
            server: """
                    module-config: "iterator"
                    local-zone: "test." nodefault
                    local-data: "warehouse.example.com. 600 A 192.0.2.20"
                    local-data-ptr: "192.0.2.7 600 service.test"
                """,
            clauses: clauses.joined(separator: "\n"),
            files: [
                "test.zone": zone("test", denial: 30, test), "org.zone": zone("org", denial: 1, "example 600 CNAME service.test."),
            ],
            port: port, prefix: prefix)
    }

    /// How often it was asked for a name and type: `service.test. A`.
    func queries(_ question: String) -> Int {
        process.error.split(separator: "\n").count { $0.contains(" \(question) IN") }
    }

    /// One of its own counts: `num.query.tcp`.
    func count(_ name: String) throws -> Int {
        let outcome = try ChildProcess.run(["unbound-control", "-c", configuration, "stats_noreset"])
        let line = outcome.output.split(separator: "\n").first { $0.hasPrefix("\(name)=") }
        return try #require(line.flatMap { Int($0.dropFirst(name.count + 1)) }, "\(name): \(outcome.output)\(outcome.error)")
    }
}
