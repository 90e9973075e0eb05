import Foundation
import Glibc
import Testing

/// Cluster IPs that share a listener: the real kernel leads their connections there.
extension EndToEndTests {
    @Suite struct SharedListenerTests {
        private static func service(_ number: Int, port: Int, _ backend: Int) -> String {
            serviceYAML("s\(number)", port: port, endpoints: ["127.0.0.1:\(backend)"])
                .replacing("externalIPs: [\"127.0.0.1\"]", with: "clusterIP: 127.77.0.\(number)")
        }

        /// Sockets of the process that listen.
        private static func listening(_ process: ChildProcess) throws -> Int {
            let lines = try ChildProcess.run(["ss", "-ltnpH"]).output.split(separator: "\n")
            return lines.count { $0.contains("pid=\(process.identifier),") }
        }

        private static func isRefused(_ address: String, _ port: Int) throws -> Bool {
            try ChildProcess.run(["curl", "--silent", "--max-time", "10", "http://\(address):\(port)/"]).exit == .code(7)
        }

        @Test(.enabled(if: geteuid() == 0, "needs CAP_BPF"), arguments: Engines.available)
        func clusterIPsBeyondTheLimitShareOneListener(engine: String) throws {
            let directory = try TemporaryDirectory()
            let nginx = try Nginx(["a", "b", "c", "d"])
            func write(_ numbers: [Int]) throws {
                let services = numbers.map { Self.service($0, port: 8000 + $0, nginx.ports[$0 - 1]) }
                _ = try directory.write(services.joined(separator: "---\n"), to: "services.yaml")
            }
            try write([1, 2, 3])
            let ringway = try RunningRingway(
                engine, [directory.path("services.yaml")], options: ["--listeners-max", "1", "--workers", "2"], directory: directory)
            defer { ringway.process.end() }
            let before = try Self.listening(ringway.process)
            for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
                for _ in 0..<8 { #expect(try curl(8000 + number, at: "127.77.0.\(number)") == name) }
            }
            // Nobody else's port or address is led there.
            #expect(try Self.isRefused("127.77.0.2", 8001))
            #expect(try Self.isRefused("127.77.0.9", 8002))

            try write([1, 3, 4])
            try waitUntil("the fourth is served") { (try? curl(8004, at: "127.77.0.4")) == "d" }
            #expect(try Self.isRefused("127.77.0.2", 8002))
            #expect(try curl(8003, at: "127.77.0.3") == "c")
            // One listener of its own and one that is shared, of each worker; the socket for the statistics' address beside them.
            #expect(try Self.listening(ringway.process) == before && before <= 6)
            ringway.process.signal(SIGTERM)
            #expect(try ringway.process.wait() == .code(0))
            #expect(try Self.isRefused("127.77.0.3", 8003))
        }

        @Test(.enabled(if: geteuid() == 0, "needs capabilities to drop"))
        func withoutTheCapabilityEachHasItsOwn() throws {
            let directory = try TemporaryDirectory()
            let nginx = try Nginx(["a", "b", "c"])
            let services = (1...3).map { Self.service($0, port: 8010 + $0, nginx.ports[$0 - 1]) }
            let file = try directory.write(services.joined(separator: "---\n"), to: "services.yaml")
            let ringway = try RunningRingway(
                "epoll", [file], options: ["--listeners-max", "1"],
                prefix: ["setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin"], directory: directory)
            defer { ringway.process.end() }
            #expect(ringway.log.contains("CAP_BPF"), "\(ringway.log)")
            for (number, name) in [(1, "a"), (2, "b"), (3, "c")] { #expect(try curl(8010 + number, at: "127.77.0.\(number)") == name) }
        }
    }
}
