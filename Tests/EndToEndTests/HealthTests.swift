import Foundation
import Glibc
import Testing

/// Health from traffic: endpoints that fail are passed over, tried again by real connections, and brought back.
extension EndToEndTests {
    @Suite struct HealthTests {
        /// The endpoint on a port, as statistics have it.
        private static func endpoint(_ port: Int, _ ringway: RunningRingway) throws -> Statistics.Endpoint {
            try #require(try ringway.statistics().endpoints.first { $0.address.hasSuffix(":\(port)") })
        }

        /// Failures of two workers may meet at the fifth: one connection too many for the second.
        private static let overshoot: UInt64 = 1

        // F2, and the half of F1 that is about new connections.
        @Test(arguments: Engines.available)
        func anEndpointThatRefusesIsEjectedTriedAgainAndBroughtBack(engine: String) throws {
            let server = try Nginx(["alive"])
            let dead = try FreePort.take()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(server.ports[0]),\(dead)"]) { ringway in
                func answers(_ count: Int) -> [String: Int] {
                    HTTPLoad(port: port, connections: 1, requestsPerConnection: 1, requests: count).run().answers
                }
                #expect(answers(60) == ["alive": 60])
                var seen = try Self.endpoint(dead, ringway)
                #expect(seen.state == "ejected" && seen.because == "connect-refused" && seen.ejections == 1)
                #expect((5...5 + Self.overshoot).contains(seen.connectFailures) && seen.connections == seen.connectFailures)
                #expect(seen.ejectedForSeconds ?? 0 > 0 && seen.ejectedForSeconds ?? 99 <= 5.1)
                #expect(try Self.endpoint(server.ports[0], ringway).state == "active")
                try waitUntil("the log says so") { ringway.log.contains("endpoint ejected") }
                #expect(ringway.log.contains("endpoint=127.0.0.1:\(dead)") && ringway.log.contains("because=connect-refused"))
                // Once the time is over one connection tries it, unseen, and it is ejected for longer.
                try waitUntil("it is tried", within: .seconds(30)) {
                    #expect(answers(4) == ["alive": 4])
                    return try Self.endpoint(dead, ringway).ejections == 2
                }
                seen = try Self.endpoint(dead, ringway)
                #expect((seen.ejectedForSeconds ?? 0) > 5)
                // It comes to life, and is brought back by the connection that tries it next.
                let revived = try Nginx(["back"], port: dead)
                try waitUntil("it is brought back", within: .seconds(40)) {
                    #expect(answers(4).values.reduce(0, +) == 4)
                    return try Self.endpoint(dead, ringway).state == "active"
                }
                #expect((answers(40)["back"] ?? 0) > 4)
                try waitUntil("the log says so") { ringway.log.contains("endpoint is back") }
                _ = revived
            }
        }

        // F1: new connections after the kill never fail, and the dead one is ejected.
        @Test(arguments: Engines.available)
        func aKilledBackendIsEjectedWhileItsNeighboursServe(engine: String) throws {
            let servers = try ["one", "two", "three"].map { try Nginx([$0]) }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(servers.map { "\($0.ports[0])" }.joined(separator: ","))"]) { ringway in
                let streams = try (0..<9).map { _ in
                    let socket = try TestSocket(to: "127.0.0.1", port)
                    try socket.send("GET /file HTTP/1.1\r\nHost: test\r\n\r\n")
                    #expect(try socket.receive(exactly: 8) == "HTTP/1.1")
                    return socket
                }
                servers[1].process.signal(SIGKILL)
                _ = try servers[1].process.wait()
                let outcome = HTTPLoad(port: port, connections: 8, requestsPerConnection: 1, requests: 600).run()
                #expect(outcome.failures == [] && outcome.requests == 600 && outcome.answers["two"] == nil, "\(outcome)")
                let victim = try Self.endpoint(servers[1].ports[0], ringway)
                #expect(victim.ejections == 1 && victim.because == "connect-refused", "\(victim)")
                // With eight at once, some are under way when the fifth fails; the streams that were cut are no failures.
                #expect((5...13).contains(victim.connectFailures), "\(victim)")
                streams.forEach { $0.reset() }
            }
        }

        // F6
        @Test(arguments: Engines.available)
        func withAllEjectedAllAreUsedAndTheLogSaysSo(engine: String) throws {
            let closed = try FreePort.take(2)
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(closed[0]),\(closed[1])"]) { ringway in
                for _ in 0..<20 { #expect(try TestSocket(to: "127.0.0.1", port).ending() == ECONNRESET) }
                let endpoints = try ringway.statistics().endpoints
                #expect(endpoints.map(\.ejections) == [1, 1] && endpoints.allSatisfy { $0.connectFailures == 20 }, "\(endpoints)")
                try waitUntil("the log says so") { ringway.log.contains("no endpoint is well: all of them are used") }
                // Whoever comes back is used at once, whatever time is left.
                let server = try Nginx(["back"], port: closed[0])
                for _ in 0..<10 { #expect(try curl(port) == "back") }
                #expect(try Self.endpoint(closed[0], ringway).state == "active")
                _ = server
            }
        }

        // F7
        @Test(arguments: Engines.available, [false, true])
        func aServerThatAcceptsAndClosesIsEjected(engine: String, resets: Bool) throws {
            let backend = try ScriptedBackend.named("alive")
            let sick = try ScriptedBackend { connection in
                // A reset that meets the connect itself is a refusal.
                usleep(20_000)
                if resets { connection.reset() } else { connection.close() }
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port),\(sick.port)"]) { ringway in
                var failed = 0
                for _ in 0..<60 where (try? TestSocket(to: "127.0.0.1", port).receiveAll()) != "alive" { failed += 1 }
                let seen = try Self.endpoint(sick.port, ringway)
                // A FIN is the client's to see. Of a reset it sees nothing: it had not spoken, and is given another server.
                #expect(failed == (resets ? 0 : 5) && sick.accepted == 5, "\(failed) failed, \(sick.accepted) accepted")
                #expect(seen.state == "ejected" && seen.because == (resets ? "server-reset" : "server-fin"))
                #expect(seen.connectFailures == (resets ? 5 : 0))
            }
        }

        @Test(arguments: Engines.available)
        func byAnnotationEjectionIsOffOrSooner(engine: String) throws {
            let backend = try ScriptedBackend.named("alive")
            let dead = try FreePort.take()
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let endpoints = ["127.0.0.1:\(backend.port)", "127.0.0.1:\(dead)"]
            func write(_ limit: String) throws {
                let annotations = ["eject-after": limit, "algorithm": "round-robin"]
                try directory.replace("web.yaml", with: serviceYAML(port: port, endpoints: endpoints, annotations: annotations))
            }
            func run() throws {
                for _ in 0..<20 { #expect(try TestSocket(to: "127.0.0.1", port).receiveAll() == "alive") }
            }
            try write("off")
            try withRingway(engine, [directory.path("web.yaml")], options: ["--workers", "1"], directory: directory) { ringway in
                try run()
                var seen = try Self.endpoint(dead, ringway)
                #expect(seen.state == "active" && seen.connectFailures == 10 && seen.ejections == 0)
                try write("2")
                try waitUntil("it is applied") { try ringway.statistics().generation == 2 }
                try run()
                seen = try Self.endpoint(dead, ringway)
                #expect(seen.state == "ejected" && seen.connectFailures == 12)
                try write("off")
                try waitUntil("it is applied") { try ringway.statistics().generation == 3 }
                #expect(try Self.endpoint(dead, ringway).state == "active")
                try run()
                #expect(try Self.endpoint(dead, ringway).connectFailures == 22)
            }
        }

        // F39, the half that needs no network of its own: who answers slowly has more open, and gets fewer new ones.
        @Test(arguments: Engines.available)
        func leastConnectionsShiftsShareAwayFromASlowEndpoint(engine: String) throws {
            func server(_ name: String, _ delay: useconds_t) throws -> ScriptedBackend {
                try ScriptedBackend { connection in
                    _ = try connection.receive()
                    usleep(delay)
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(name.utf8.count)\r\nConnection: close\r\n\r\n\(name)")
                    connection.shutdownWrite()
                    _ = connection.ending()
                }
            }
            let (quick, slow) = (try server("quick", 0), try server("slow", 200_000))
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let text = serviceYAML(
                port: port, endpoints: [quick, slow].map { "127.0.0.1:\($0.port)" }, annotations: ["algorithm": "least-connections"])
            try withRingway(engine, [directory.write(text, to: "web.yaml")], directory: directory) { ringway in
                let outcome = HTTPLoad(port: port, connections: 6, requestsPerConnection: 1, requests: 240).run()
                #expect(outcome.failures == [] && outcome.requests == 240)
                let slowly = outcome.answers["slow"] ?? 0
                #expect(slowly > 0 && slowly < 80, "\(outcome.answers)")
                let endpoints = try ringway.statistics().endpoints
                #expect(endpoints.first { $0.address.hasSuffix(":\(slow.port)") }?.connections == UInt64(slowly))
                // Slow is not ill.
                #expect(endpoints.allSatisfy { $0.state == "active" && $0.ejections == 0 })
            }
        }
    }
}
