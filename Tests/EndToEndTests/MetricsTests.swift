import Foundation
import Testing

/// What the running program tells of itself, asked with curl as an operator would.
extension EndToEndTests {
    @Suite struct MetricsTests {
        private static func service(_ name: String, port: Int, endpoint: Int, address: String = "127.0.0.1") -> String {
            """
            apiVersion: v1
            kind: Service
            metadata: {name: \(name), annotations: {ringway.dev/endpoints: "127.0.0.1:\(endpoint)"}}
            spec: {externalIPs: [\(address)], ports: [{name: http, port: \(port)}]}

            """
        }

        /// The status and the body.
        private static func get(_ address: String, _ target: String) throws -> (status: String, body: String) {
            let outcome = try ChildProcess.run([
                "curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--write-out", "%{http_code}",
                "http://\(address)\(target)",
            ])
            guard outcome.isSuccess else { throw ChildProcess.Failure(description: "curl \(target): \(outcome.error)") }
            return (String(outcome.output.suffix(3)), String(outcome.output.dropLast(3)))
        }

        private static func address(of ringway: RunningRingway) throws -> String {
            let line = ringway.log.split(separator: "\n").first { $0.contains("adminListen=") }
            return try #require(
                line?.split(separator: " ").first { $0.hasPrefix("adminListen=") }?.split(separator: "=").last.map(String.init))
        }

        private static func value(_ page: String, _ name: String) -> Double? {
            page.split(separator: "\n").first { $0.hasPrefix(name + " ") || $0.hasPrefix(name + "{") }?.split(separator: " ").last.flatMap {
                Double($0)
            }
        }

        @Test(arguments: Engines.available) func countersAreThereForPrometheus(engine: String) throws {
            let backend = try Nginx(["one"])
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let file = directory.path("web.yaml")
            let web = Self.service("web", port: port, endpoint: backend.ports[0])
            try directory.replace("web.yaml", with: web)
            try withRingway(engine, [file], options: ["--admin-listen", "127.0.0.1:0"], directory: directory) { ringway in
                let admin = try Self.address(of: ringway)
                for _ in 0..<3 { #expect(try Self.get("127.0.0.1:\(port)", "/").status == "200") }
                try waitUntil("the connections are counted") {
                    Self.value(try Self.get(admin, "/metrics").body, "ringway_connections_total") == 3
                }
                // Before the change, nobody has waited for one.
                let before = try Self.get(admin, "/metrics").body
                #expect(Self.value(before, "ringway_programming_duration_seconds_count") == 0)
                let idle = Self.service("idle", port: try FreePort.take(), endpoint: backend.ports[0])
                try directory.replace("web.yaml", with: web + "---\n" + idle)
                try waitUntil("the change is counted") {
                    Self.value(try Self.get(admin, "/metrics").body, "ringway_programming_duration_seconds_count") == 1
                }
                let page = try Self.get(admin, "/metrics").body
                #expect(page.contains("ringway_build_info{version=\"0.1.0\",engine=\"\(engine)\"} 1"))
                #expect(
                    page.contains(
                        "ringway_connections_total{namespace=\"default\",service=\"web\",port=\"http\",protocol=\"TCP\"} 3\n"))
                #expect(page.contains("service=\"idle\""))
                #expect(Self.value(page, "ringway_programming_duration_seconds_sum").map { $0 > 0 && $0 < 60 } == true)
                #expect(Self.value(page, "ringway_ready") == 1)
                #expect(Self.value(page, "process_open_fds").map { $0 > 5 } == true)
                #expect(Self.value(page, "ringway_config_generation") == Self.value(page, "ringway_config_acknowledged_generation"))
                #expect(try Self.get(admin, "/api/v1/stats").status == "404", "that is for the socket")
                try Self.checkWithPromtool(page, in: directory)
            }
        }

        /// What Prometheus' own tool says, where it is installed (Debian: prometheus).
        private static func checkWithPromtool(_ page: String, in directory: TemporaryDirectory) throws {
            guard try ChildProcess.run(["sh", "-c", "command -v promtool"]).isSuccess else { return }
            let file = directory.path("page")
            try directory.replace("page", with: page)
            let outcome = try ChildProcess.run(["promtool", "check", "metrics"], input: file)
            #expect(outcome.isSuccess && outcome.error.isEmpty, "\(outcome.output)\(outcome.error)")
        }

        @Test func readinessSaysWhatIsAmissAndWhy() throws {
            let backend = try Nginx(["one"])
            let (port, other) = (try FreePort.take(), try FreePort.take())
            let directory = try TemporaryDirectory()
            let file = directory.path("web.yaml")
            // 192.0.2.0/24 is for documentation: no host has it.
            let broken = Self.service("gone", port: other, endpoint: backend.ports[0], address: "192.0.2.1")
            let web = Self.service("web", port: port, endpoint: backend.ports[0])
            try directory.replace("web.yaml", with: web + "---\n" + broken)
            try withRingway("epoll", [file], options: ["--admin-listen", "127.0.0.1:0"], directory: directory) { ringway in
                let admin = try Self.address(of: ringway)
                let partly = try Self.get(admin, "/readyz")
                #expect(partly.status == "200")
                #expect(partly.body.contains("[!]listeners degraded: 1 of 2 not open: tcp 192.0.2.1:\(other) of default/gone:http"))
                #expect(partly.body.hasSuffix("readyz check passed\n"))
                #expect(try Self.get(admin, "/readyz?exclude=listeners") == ("200", "ok\n"))
                #expect(try Self.get(admin, "/livez?verbose") == ("200", "[+]ping ok\n[+]workers ok\nlivez check passed\n"))
                #expect(try Self.get(admin, "/healthz") == ("200", "ok\n"))

                try directory.replace("web.yaml", with: broken)
                try waitUntil("nothing is served any more") { try Self.get(admin, "/readyz").status == "503" }
                #expect(try Self.get(admin, "/livez").status == "200")
                try directory.replace("web.yaml", with: web + "---\nkind: Service\napiVersion: v1\n")
                try waitUntil("the rejected object is told") {
                    let ready = try Self.get(admin, "/readyz")
                    return ready.status == "200" && ready.body.contains("[!]configuration degraded: 1 object rejected, see the log")
                }
            }
        }

        @Test func aTakenPortIsAnErrorOnlyWhereItWasAskedFor() throws {
            let directory = try TemporaryDirectory()
            let taken = try Nginx(["one"])
            let given = try RunningRingway(
                "epoll", ["\(try FreePort.take())=\(taken.ports[0])"], options: ["--admin-listen", "127.0.0.1:\(taken.ports[0])"],
                directory: directory)
            #expect(try given.process.wait() == .code(1))
            #expect(given.log.contains("can't answer /metrics and /readyz on 127.0.0.1:\(taken.ports[0]): another process has the port"))
            #expect(given.log.contains("give --admin-listen another ADDR:PORT (or none)"))
        }
    }
}
