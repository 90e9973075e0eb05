import Foundation
import Glibc
import Testing

/// `ringway diff`, asked of the real process, with connections that are open.
extension EndToEndTests {
    @Suite struct DiffTests {
        /// What `ringway diff --output json` promises to a script.
        private struct Document: Decodable {
            struct Object: Decodable {
                struct Field: Decodable { var path: String }
                var kind: String
                var namespace: String
                var name: String
                var verdict: String
                var isNamed: Bool
                var isInForce: Bool
                var fields: [Field]
            }

            struct Listener: Decodable {
                var frontend: String
                var change: String
                var service: String
                var origin: String
                var reason: String?
            }

            struct Port: Decodable {
                struct Endpoint: Decodable {
                    var address: String
                    var connections: Int
                }
                var service: String
                var transport: String
                var change: String
                var endpointsAdded: [Endpoint]
                var endpointsRemoved: [Endpoint]
                var endpoints: Int
                var settingsChange: Bool
                var connections: Int
            }

            struct Connections: Decodable {
                struct Part: Decodable {
                    var service: String
                    var transport: String
                    var endpoint: String?
                    var count: Int
                    var fate: String
                    var seconds: Double?
                }
                var touched: Int
                var parts: [Part]
            }

            struct Finding: Decodable {
                var severity: String
                var file: String
                var line: Int
                var column: Int
                var message: String
            }

            struct Status: Decodable {
                var code: Int
                var message: String
            }

            var apiVersion: String
            var kind: String
            var generation: UInt64
            var hasChanges: Bool
            var unchanged: Int
            var objects: [Object]
            var listeners: [Listener]
            var servicePorts: [Port]
            var connections: Connections
            var findings: [Finding]
            var statuses: [Status]
        }

        private static func diff(_ ringway: RunningRingway, _ arguments: [String]) throws -> ChildProcess.Outcome {
            try ChildProcess.run([RunningRingway.binary, "diff", "--admin-socket", ringway.adminSocket] + arguments)
        }

        private static func document(_ ringway: RunningRingway, _ arguments: [String]) throws -> Document {
            let outcome = try diff(ringway, ["--output", "json"] + arguments)
            guard !outcome.output.isEmpty else { throw ChildProcess.Failure(description: outcome.error) }
            return try JSONDecoder().decode(Document.self, from: Data(outcome.output.utf8))
        }

        /// Everything of the process that a diff must leave alone.
        private static func state(of ringway: RunningRingway, _ directory: TemporaryDirectory) throws -> [String] {
            let services = try ChildProcess.run(
                [RunningRingway.binary, "get", "svc", "-A", "-o", "yaml", "--admin-socket", ringway.adminSocket])
            let statistics = try ringway.statistics()
            let files = ["ringway.db", "ringway.db-wal"].map { name in
                (try? Data(contentsOf: URL(fileURLWithPath: directory.path("state/\(name)"))))?.base64EncodedString() ?? "none"
            }
            return [
                services.output, "\(statistics.generation) \(statistics.configuration)", "\(statistics.listeners)",
                "\(statistics.services.map { "\($0.name) \($0.connectionsActive) \($0.endpoints)" })", ringway.log,
            ] + files
        }

        private static func service(
            _ port: Int, _ target: Int, app: String, _ annotation: String = "keep", type: String = "ClusterIP"
        ) -> String {
            """
            apiVersion: v1
            kind: Service
            metadata: {name: web, annotations: {ringway.dev/on-delete: \(annotation)}}
            spec:
              type: \(type)
              selector: {app: \(app)}
              externalIPs: [127.0.0.1]
              ports: [{name: http, port: \(port), targetPort: \(target)}]

            """
        }

        private static func pod(_ name: String, app: String, _ address: String) -> String {
            """
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: \(name), labels: {app: \(app)}}
            spec: {containers: [{name: c, image: i}]}
            status: {podIP: \(address), phase: Running, conditions: [{type: Ready, status: "True"}]}

            """
        }

        @Test(arguments: Engines.available)
        func aChangeIsForetoldTouchesNothingAndThenHappensAsItWasSaid(engine: String) throws {
            let port = try FreePort.take()
            let blue = try ScriptedBackend.echo()
            let directory = try TemporaryDirectory()
            let pods = Self.pod("blue", app: "blue", "127.0.0.1") + Self.pod("green", app: "green", "127.0.0.2")
            let old = Self.service(port, blue.port, app: "blue") + pods
            let new = Self.service(port, blue.port, app: "green", type: "NodePort") + pods
            try directory.replace("web.yaml", with: old)
            try directory.write(new, to: "new.yaml")
            let options = ["--state-directory", directory.path("state")]
            try withRingway(engine, [directory.path("web.yaml")], options: options, directory: directory) { ringway in
                let clients = try (0..<3).map { _ in try TestSocket(to: "127.0.0.1", port) }
                for client in clients {
                    try client.send("x")
                    #expect(try client.receive(exactly: 1) == "x")
                }
                let before = try Self.state(of: ringway, directory)

                let same = try Self.diff(ringway, [directory.path("web.yaml")])
                #expect(same.exit == .code(0) && same.output == "no change: 3 objects as in force\n", "\(same.error)")

                let said = try Self.document(ringway, [directory.path("new.yaml")])
                #expect(said.hasChanges && said.objects.map { "\($0.verdict) \($0.kind) \($0.name)" } == ["changed Service web"])
                #expect(
                    said.objects.flatMap(\.fields).map(\.path) == [
                        "spec.ports[http].nodePort", "spec.selector.app", "spec.type",
                    ])
                let web = try #require(said.servicePorts.first)
                #expect(web.endpointsRemoved.map { "\($0.address) \($0.connections)" } == ["127.0.0.1:\(blue.port) 3"])
                #expect(web.endpointsAdded.map(\.address) == ["127.0.0.2:\(blue.port)"] && web.endpoints == 1)
                #expect(said.connections.touched == 0 && said.connections.parts.map { "\($0.count) \($0.fate)" } == ["3 goOn"])
                #expect(said.listeners.map(\.frontend).sorted() == ["tcp 0.0.0.0:<allocated>", "tcp [::]:<allocated>"])

                let text = try Self.diff(ringway, [directory.path("new.yaml")])
                #expect(text.exit == .code(1) && text.error.isEmpty, "\(text.error)")
                #expect(text.output.contains("    spec.selector.app: blue → green\n"))
                #expect(text.output.contains("- 127.0.0.1:\(blue.port), 3 connections now\n"))
                #expect(text.output.hasSuffix("    no connection is touched\n"))

                #expect(try Self.state(of: ringway, directory) == before, "nothing has changed")

                try directory.replace("web.yaml", with: new)
                try waitUntil("the change is applied") { try ringway.statistics().generation == said.generation + 1 }
                let statistics = try ringway.statistics()
                let service = try #require(statistics.services.first { $0.name == "web" })
                #expect(service.endpoints.filter { $0.state == "active" }.map(\.address) == ["127.0.0.2:\(blue.port)"])
                #expect(service.connectionsActive == 3 && statistics.listeners.count { $0.origin == "nodePort" } == 2)
                for client in clients {
                    try client.send("y")
                    #expect(try client.receive(exactly: 1) == "y")
                }
                #expect(try Self.diff(ringway, [directory.path("new.yaml")]).exit == .code(0), "now it is in force")
            }
        }

        @Test(arguments: Engines.available)
        func whatIsPrunedEndsItsConnectionsAsTheVersionInForceSays(engine: String) throws {
            let ports = try FreePort.take(3)
            let backend = try ScriptedBackend.echo()
            let endpoints = ["127.0.0.1:\(backend.port)"]
            let directory = try TemporaryDirectory()
            try FileManager.default.createDirectory(atPath: directory.path("live"), withIntermediateDirectories: false)
            try directory.write(serviceYAML("web", port: ports[0], endpoints: endpoints), to: "live/web.yaml")
            try directory.write(
                serviceYAML("shop", port: ports[1], endpoints: endpoints, annotations: ["on-delete": "reset"]), to: "live/shop.yaml")
            let shorthand = "\(ports[2])=127.0.0.1:\(backend.port)"
            try withRingway(engine, [directory.path("live"), shorthand], directory: directory) { ringway in
                let clients = try ports.map { try TestSocket(to: "127.0.0.1", $0) }
                for client in clients {
                    try client.send("x")
                    #expect(try client.receive(exactly: 1) == "x")
                }
                #expect(try Self.diff(ringway, [directory.path("live/web.yaml")]).exit == .code(0))
                let said = try Self.document(ringway, [directory.path("live/web.yaml"), "--prune"])
                #expect(said.objects.map { "\($0.verdict) \($0.name) \($0.isNamed)" } == ["removed shop false"] && said.unchanged == 1)
                #expect(said.listeners.map { "\($0.change) \($0.frontend)" } == ["closed tcp 127.0.0.1:\(ports[1])"])
                #expect(said.connections.parts.map { "\($0.service) \($0.count) \($0.fate)" } == ["default/shop 1 reset"])
                #expect(said.connections.touched == 1)

                try FileManager.default.removeItem(atPath: directory.path("live/shop.yaml"))
                #expect(clients[1].ending() == ECONNRESET)
                for client in [clients[0], clients[2]] {
                    try client.send("y")
                    #expect(try client.receive(exactly: 1) == "y")
                }
            }
        }

        @Test func whatIsWrongIsSaidWithItsPlaceAndExitsWithTwo() throws {
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            try directory.write(serviceYAML(port: port, endpoints: ["127.0.0.1:9"]), to: "web.yaml")
            let metrics = try FreePort.take()
            let options = ["--admin-listen", "127.0.0.1:\(metrics)"]
            try withRingway("epoll", [directory.path("web.yaml")], options: options, directory: directory) { ringway in
                let bad = try directory.write(serviceYAML(port: 0, endpoints: ["127.0.0.1:9"]) + "---\nkind: [\n", to: "bad.yaml")
                let refused = try Self.diff(ringway, [bad])
                #expect(refused.exit == .code(2) && refused.output.isEmpty)
                let check = try ChildProcess.run([RunningRingway.binary, "check", bad])
                #expect(!check.error.isEmpty && refused.error == check.error, "word for word")
                let document = try Self.document(ringway, [bad])
                #expect(document.objects.map { "\($0.verdict) \($0.isInForce)" } == ["refused true"] && !document.hasChanges)
                #expect(document.statuses.map(\.code).sorted() == [400, 422])

                for arguments in [["/nowhere/web.yaml"], [directory.path("web.yaml"), "/nowhere/web.yaml"]] {
                    let missing = try Self.diff(ringway, arguments)
                    #expect(missing.exit == .code(2) && missing.error.hasPrefix("/nowhere/web.yaml: can't be read: No such file"))
                }
                let large = try directory.write(String(repeating: "# large\n", count: 3 << 20), to: "large.yaml")
                let tooLarge = try Self.diff(
                    ringway, [large, try directory.write("# \(String(repeating: "x", count: 10 << 20))", to: "more.yaml")])
                #expect(tooLarge.exit == .code(2) && tooLarge.error.contains("more than 33554432 bytes together"), "\(tooLarge.error)")
                #expect(try Self.diff(ringway, ["80=127.0.0.1:81"]).error.contains("is a shorthand"))

                let posted = try ChildProcess.run([
                    "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "{}", "http://127.0.0.1:\(metrics)/api/v1/preview",
                ])
                #expect(posted.output == "404", "on the socket alone")
            }
        }

        @Test func withoutARunningProcessTheRemedyIsNamed() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write(serviceYAML(port: 80, endpoints: ["127.0.0.1:9"]), to: "web.yaml")
            let outcome = try ChildProcess.run([RunningRingway.binary, "diff", file, "--admin-socket", "/tmp/ringway-nobody"])
            #expect(outcome.exit == .code(2) && outcome.error.contains("start one with `ringway run`"))
        }
    }
}
