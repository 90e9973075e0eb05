import Foundation
import Synchronization
import Testing

/// Active health checks: by a Pod's readiness probe and by annotation.
extension EndToEndTests {
    @Suite struct ProbeTests {
        /// Answers a GET with a status of the test's choice, and echoes whatever else comes.
        private final class Server: Sendable {
            let backend: ScriptedBackend
            private let status: StatusCode

            private final class StatusCode: Sendable {
                let code = Atomic<Int>(200)
            }

            var port: Int { backend.port }

            init() throws {
                let status = StatusCode()
                self.status = status
                backend = try ScriptedBackend { connection in
                    while true {
                        let bytes = try connection.receive()
                        if bytes.isEmpty { return connection.shutdownWrite() }
                        if String(decoding: bytes.prefix(4), as: UTF8.self) == "GET " {
                            return try connection.send("HTTP/1.1 \(status.code.load(ordering: .relaxed)) x\r\n\r\n")
                        }
                        try connection.send(bytes)
                    }
                }
            }

            func answer(_ code: Int) { status.code.store(code, ordering: .relaxed) }
        }

        private static func state(_ port: Int, _ ringway: RunningRingway) throws -> String? {
            try ringway.statistics().endpoints.first { $0.address.hasSuffix(":\(port)") }?.state
        }

        private static func connections(_ port: Int, _ ringway: RunningRingway) throws -> UInt64 {
            try ringway.statistics().endpoints.first { $0.address.hasSuffix(":\(port)") }?.connections ?? 0
        }

        /// Connections one after the other, each echoed.
        private static func use(_ count: Int, _ port: Int) throws {
            for _ in 0..<count {
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send("hello")
                #expect(try client.receive(exactly: 5) == "hello")
            }
        }

        private static let quick = ["health-check": "http:///", "health-check-interval": "100ms", "health-check-fall": "2"]

        @Test(arguments: Engines.available)
        func aPodWhoseReadinessProbeFailsGetsNoConnectionsUntilItSucceeds(engine: String) throws {
            let servers = [try Server(), try Server()]
            let port = try FreePort.take()
            var text = """
                apiVersion: v1
                kind: Service
                metadata:
                  name: web
                  annotations: {ringway.dev/algorithm: round-robin, ringway.dev/health-check-interval: 100ms}
                spec: {externalIPs: [127.0.0.1], ports: [{port: \(port)}]}

                """
            for (index, server) in servers.enumerated() {
                text += """
                    ---
                    apiVersion: discovery.k8s.io/v1
                    kind: EndpointSlice
                    metadata: {name: web-\(index), labels: {kubernetes.io/service-name: web}}
                    addressType: IPv4
                    ports: [{port: \(server.port)}]
                    endpoints: [{addresses: [127.0.0.1], targetRef: {kind: Pod, name: web-\(index)}}]
                    ---
                    apiVersion: v1
                    kind: Pod
                    metadata: {name: web-\(index)}
                    spec:
                      containers:
                      - name: web
                        ports: [{name: http, containerPort: \(server.port)}]
                        readinessProbe: {httpGet: {path: /ready, port: http}, failureThreshold: 2}
                    status: {podIP: 127.0.0.1}

                    """
            }
            let directory = try TemporaryDirectory()
            try withRingway(engine, [directory.write(text, to: "web.yaml")], options: ["--workers", "1"], directory: directory) { ringway in
                try Self.use(10, port)
                #expect(try servers.map { try Self.connections($0.port, ringway) } == [5, 5])
                servers[0].answer(503)
                try waitUntil("it is down") { try Self.state(servers[0].port, ringway) == "down" }
                try waitUntil("the log says so") { ringway.log.contains("endpoint is down") && ringway.log.contains("status 503") }
                let before = try Self.connections(servers[0].port, ringway)
                try Self.use(10, port)
                #expect(try Self.connections(servers[0].port, ringway) == before)
                servers[0].answer(204)
                try waitUntil("it is up") { try Self.state(servers[0].port, ringway) == "active" }
                try Self.use(10, port)
                #expect(try Self.connections(servers[0].port, ringway) == before + 5)
            }
        }

        // F38
        @Test(arguments: Engines.available)
        func healthServersThatHangDripOrFloodCostNothing(engine: String) throws {
            let good = try Server()
            func server(_ answer: @escaping @Sendable (TestSocket) throws -> Void) throws -> ScriptedBackend {
                try ScriptedBackend { connection in
                    let bytes = try connection.receive()
                    guard String(decoding: bytes.prefix(4), as: UTF8.self) == "GET " else { return try connection.send(bytes) }
                    try answer(connection)
                }
            }
            let silent = try server { _ = $0.ending() }
            let slow = try server { connection in
                for byte in "HTTP/1.1 200 OK\r\n\r\n" {
                    usleep(100_000)
                    try connection.send(String(byte))
                }
            }
            let sent = Counter()
            let flood = try server { connection in
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
                let block = [UInt8](repeating: 0x78, count: 65_536)
                for _ in 0..<16_384 {
                    try connection.send(block)
                    sent.add(block.count)
                }
            }
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            var annotations = Self.quick
            annotations["health-check-timeout"] = "300ms"
            let ports = [good.port, silent.port, slow.port, flood.port]
            let text = serviceYAML(port: port, endpoints: ports.map { "127.0.0.1:\($0)" }, annotations: annotations)
            try withRingway(engine, [directory.write(text, to: "web.yaml")], directory: directory) { ringway in
                try waitUntil("two are down") { try [silent.port, slow.port].allSatisfy { try Self.state($0, ringway) == "down" } }
                try waitUntil("the log says why") { ringway.log.contains("because=\"no answer\"") }
                let began = flood.accepted
                let resident = ringway.residentBytes
                try waitUntil("twenty more questions", within: .seconds(30)) { flood.accepted >= began + 20 }
                // Of 20 GB, what the sockets' buffers took; and the process keeps none of it.
                #expect(sent.value < 500 << 20, "\(sent.value) bytes were taken")
                #expect(ringway.residentBytes < resident + 16 << 20, "\(resident) bytes became \(ringway.residentBytes)")
                #expect(try Self.state(flood.port, ringway) == "active" && Self.state(good.port, ringway) == "active")
                let before = try [silent.port, slow.port].map { try Self.connections($0, ringway) }
                try Self.use(20, port)
                #expect(try [silent.port, slow.port].map { try Self.connections($0, ringway) } == before)
            }
        }

        // F6
        @Test(arguments: Engines.available)
        func withAllDownAllAreUsedAndTheLogSaysSo(engine: String) throws {
            let servers = [try Server(), try Server()]
            servers.forEach { $0.answer(500) }
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let endpoints = servers.map { "127.0.0.1:\($0.port)" }
            try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: endpoints, annotations: Self.quick))
            try withRingway(engine, [directory.path("web.yaml")], directory: directory) { ringway in
                try waitUntil("both are down") { try ringway.statistics().endpoints.allSatisfy { $0.state == "down" } }
                #expect(try ringway.statistics().endpoints.allSatisfy { $0.because == "status 500" })
                try Self.use(20, port)
                #expect(try ringway.statistics().endpoints.allSatisfy { $0.connections > 0 })
                try waitUntil("the log says so") { ringway.log.contains("no endpoint is well: all of them are used") }
                // Without the annotation nobody knows better.
                try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: endpoints))
                try waitUntil("both are back") { try ringway.statistics().endpoints.allSatisfy { $0.state == "active" } }
            }
        }

        @Test(arguments: Engines.available, ["v1", "v2"])
        func whatExpectsAProxyHeaderIsAskedWithOne(engine: String, version: String) throws {
            let nginx = try Nginx(["told"], expectsProxyProtocol: true)
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            func write(_ more: [String: String]) throws {
                let annotations = Self.quick.merging(more) { $1 }
                try directory.replace(
                    "web.yaml", with: serviceYAML(port: port, endpoints: ["127.0.0.1:\(nginx.ports[0])"], annotations: annotations))
            }
            try write([:])
            try withRingway(engine, [directory.path("web.yaml")], directory: directory) { ringway in
                try waitUntil("nginx misses the header") { try Self.state(nginx.ports[0], ringway) == "down" }
                try write(["proxy-protocol": version])
                try waitUntil("it is up") { try Self.state(nginx.ports[0], ringway) == "active" }
                // It stays so: two bad answers would take it down within half a second.
                sleep(2)
                #expect(try Self.state(nginx.ports[0], ringway) == "active")
            }
        }
    }
}
