import Foundation
import Glibc
import Testing

/// Algorithms, weights and limits, as annotations set them.
extension EndToEndTests {
    @Suite struct ChoosingTests {
        /// Whether a connection is served: it says something, and hears it from an echo.
        private static func isServed(_ socket: TestSocket) -> Bool {
            guard (try? socket.send("hello")) != nil else { return false }
            return (try? socket.receive(exactly: 5)) == "hello"
        }

        /// Opens that many connections and sorts out those that are reset.
        private static func served(_ count: Int, _ port: Int, from source: String? = nil) throws -> [TestSocket] {
            try (0..<count).map { _ in try TestSocket(to: "127.0.0.1", port, from: source) }.filter(isServed)
        }

        private static func connections(_ ringway: RunningRingway) throws -> [UInt64] {
            try ringway.statistics().endpoints.sorted { $0.address < $1.address }.map(\.connections)
        }

        // MARK: Algorithms and weights

        @Test(arguments: Engines.available)
        func roundRobinIsExactForAWorkerAndFollowsWeights(engine: String) throws {
            let backends = try (0..<3).map { _ in try ScriptedBackend.echo() }.sorted { $0.port < $1.port }
            let endpoints = backends.map { "127.0.0.1:\($0.port)" }
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            func write(_ annotations: [String: String]) throws {
                try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: endpoints, annotations: annotations))
            }
            try write(["algorithm": "round-robin"])
            try withRingway(engine, [directory.path("web.yaml")], options: ["--workers", "1"], directory: directory) { ringway in
                #expect(try Self.served(9, port).count == 9)
                #expect(try Self.connections(ringway) == [3, 3, 3])
                #expect(try ringway.statistics().services.map(\.algorithm) == ["round-robin"])
                try write(["algorithm": "round-robin", "weights": "\(endpoints[0])=3, \(endpoints[2])=0"])
                try waitUntil("weights are applied") { try ringway.statistics().generation == 2 }
                #expect(try Self.served(8, port).count == 8)
                #expect(try Self.connections(ringway) == [3 + 6, 3 + 2, 3])
                #expect(try ringway.statistics().endpoints.sorted { $0.address < $1.address }.map(\.weight) == [3, 1, 0])
            }
        }

        @Test(arguments: Engines.available)
        func leastConnectionsLevelsOverAllWorkers(engine: String) throws {
            let backends = try (0..<2).map { _ in try ScriptedBackend.echo() }
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let text = serviceYAML(
                port: port, endpoints: backends.map { "127.0.0.1:\($0.port)" }, annotations: ["algorithm": "least-connections"])
            try withRingway(engine, [directory.write(text, to: "web.yaml")], directory: directory) { ringway in
                // One after the other, so that no two workers choose at once.
                let clients = try (0..<40).flatMap { _ in try Self.served(1, port) }
                let active = try ringway.statistics().endpoints.map(\.connectionsActive)
                #expect(clients.count == 40 && active == [20, 20])
            }
        }

        @Test(arguments: Engines.available)
        func weightZeroForAllRefusesClientsAndCutsNobody(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let endpoints = ["127.0.0.1:\(backend.port)"]
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: endpoints))
            try withRingway(engine, [directory.path("web.yaml")], directory: directory) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                #expect(Self.isServed(client))
                try directory.replace(
                    "web.yaml", with: serviceYAML(port: port, endpoints: endpoints, annotations: ["weights": "127.0.0.1=0"]))
                try waitUntil("clients are refused") { (try? TestSocket(to: "127.0.0.1", port)) == nil }
                #expect(Self.isServed(client))
                #expect(ringway.log.contains("every endpoint has weight 0"))
                try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: endpoints))
                try waitUntil("clients are served again") { (try? TestSocket(to: "127.0.0.1", port)).map(Self.isServed) == true }
                #expect(Self.isServed(client))
            }
        }

        // MARK: Session affinity

        /// Clients on both workers, while endpoints come by a reload; and without a word from a client for as long as the Service says.
        @Test(arguments: Engines.available)
        func clientsReturnToTheirEndpointUntilTheTimeoutIsOver(engine: String) throws {
            let backends = try ["a", "b", "c", "d"].map { try ScriptedBackend.named($0) }
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            func write(_ count: Int, seconds: Int) throws {
                let yaml = serviceYAML(port: port, endpoints: backends[..<count].map { "127.0.0.1:\($0.port)" }, affinity: "ClientIP")
                let config = "ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: \(seconds)}}"
                try directory.replace("web.yaml", with: yaml.replacing("ClientIP", with: config))
            }
            func askAll() throws -> [String] {
                try (1...30).map { try TestSocket(to: "127.0.0.1", port, from: "127.0.1.\($0)").receiveAll() }
            }
            try write(2, seconds: 3600)
            try withRingway(engine, [directory.path("web.yaml")], options: ["--workers", "2"], directory: directory) { ringway in
                let first = try askAll()
                #expect(Set(first) == ["a", "b"])
                try write(4, seconds: 3600)
                try waitUntil("two more are there") { try ringway.statistics().generation == 2 }
                for _ in 0..<5 { #expect(try askAll() == first) }
                try write(4, seconds: 1)
                try waitUntil("the time is shorter") { try ringway.statistics().generation == 3 }
                Thread.sleep(forTimeInterval: 2.1)
                #expect(Set(try askAll()) == ["a", "b", "c", "d"])
                let workers = try ringway.statistics().workers
                #expect(workers.allSatisfy { $0.connectionsAccepted > 0 && $0.affinitiesEvicted == 0 })
            }
        }

        // MARK: Limits

        /// Two workers may take the last place at the same moment.
        private static let overshoot = 1

        @Test(arguments: Engines.available)
        func aServiceTakesItsLimitAndOthersAreUntouched(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let endpoints = ["127.0.0.1:\(backend.port)"]
            let ports = try FreePort.take(2)
            let directory = try TemporaryDirectory()
            func write(_ limit: Int) throws {
                try directory.replace(
                    "web.yaml",
                    with: serviceYAML(port: ports[0], endpoints: endpoints, annotations: ["max-connections": "\(limit)"]) + "---\n"
                        + serviceYAML("other", port: ports[1], endpoints: endpoints))
            }
            try write(10)
            try withRingway(engine, [directory.path("web.yaml")], directory: directory) { ringway in
                var clients = try Self.served(30, ports[0])
                let taken = clients.count
                #expect((10...10 + Self.overshoot).contains(taken), "\(taken)")
                let others = try Self.served(25, ports[1])
                #expect(others.count == 25)
                let web = try #require(try ringway.statistics().services.first { $0.name == "web" })
                #expect(web.connectionsMax == 10 && web.connectionsPerSourceMax == nil)
                #expect(Int(web.connectionsActive) == taken && web.closed["limit-service"] == UInt64(30 - taken), "\(web)")
                // Places that become free are taken again.
                clients.removeLast(taken - 8)
                try waitUntil("two places are free") {
                    try ringway.statistics().services.first { $0.name == "web" }?.connectionsActive == 8
                }
                clients += try Self.served(2, ports[0])
                #expect(clients.count == 10)
                // A new limit holds for what comes, and nobody is cut.
                try write(3)
                try waitUntil("the limit is lower") { try ringway.statistics().generation == 2 }
                #expect(try Self.served(2, ports[0]).isEmpty && clients.allSatisfy(Self.isServed))
                try write(12)
                try waitUntil("the limit is higher") { try ringway.statistics().generation == 3 }
                clients += try Self.served(1, ports[0])
                clients += try Self.served(1, ports[0])
                #expect(clients.count == 12 && clients.allSatisfy(Self.isServed) && others.allSatisfy(Self.isServed))
                #expect(try Self.served(1, ports[0]).isEmpty)
            }
        }

        @Test(arguments: Engines.available)
        func aClientTakesItsLimitAndOtherClientsAreUntouched(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let text = serviceYAML(
                port: port, endpoints: ["127.0.0.1:\(backend.port)"], annotations: ["max-connections-per-source": "5"])
            try withRingway(engine, [directory.write(text, to: "web.yaml")], directory: directory) { ringway in
                var clients = try Self.served(20, port, from: "127.0.0.1")
                let taken = clients.count
                #expect((5...5 + Self.overshoot).contains(taken), "\(taken)")
                // One at a time there is no race.
                for address in 2...4 {
                    for _ in 0..<5 { #expect(try Self.served(1, port, from: "127.0.0.\(address)").count == 1) }
                    let held = try (0..<6).flatMap { _ in try Self.served(1, port, from: "127.0.0.\(address)") }
                    #expect((5...6).contains(held.count), "\(held.count)")
                    try waitUntil("they are gone") {
                        held.forEach { $0.close() }
                        return try Int(ringway.statistics().connectionsActive) == taken
                    }
                }
                let statistics = try ringway.statistics()
                #expect(statistics.closed("limit-source") >= UInt64(20 - taken) && statistics.closed("limit-service") == 0)
                #expect(statistics.services.first?.connectionsPerSourceMax == 5)
                #expect(statistics.workers.allSatisfy { $0.sourcesUncounted == 0 })
                clients.removeAll()
                try waitUntil("all are gone") { try ringway.statistics().connectionsActive == 0 }
                #expect((5...5 + Self.overshoot).contains(try Self.served(20, port, from: "127.0.0.1").count))
            }
        }

        @Test(arguments: Engines.available)
        func theProcessTakesItsLimit(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let ports = try FreePort.take(2)
            try withRingway(engine, ports.map { "\($0)=\(backend.port)" }, options: ["--connections-max", "12"]) { ringway in
                let clients = try Self.served(10, ports[0]) + Self.served(20, ports[1])
                #expect((12...12 + Self.overshoot).contains(clients.count), "\(clients.count)")
                let statistics = try ringway.statistics()
                #expect(statistics.connectionsMax == 12 && statistics.acceptPauses == 0)
                #expect(statistics.closed("limit-process") == UInt64(30 - clients.count))
            }
        }
    }
}
