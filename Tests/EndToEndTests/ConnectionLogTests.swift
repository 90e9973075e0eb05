import Foundation
import Glibc
import Testing

/// What the log says about connections, and that a log nobody reads stops nothing.
extension EndToEndTests {
    @Suite struct ConnectionLogTests {
        private struct Line: Decodable {
            var time: String
            var level: String
            var message: String
            var service: String?
            var client: String?
            var frontend: String?
            var endpoint: String?
            var reason: String?
            var bytesFromClient: UInt64?
            var bytesToClient: UInt64?
            var durationMs: Double?
            var connectMs: Double?
            var attempts: UInt64?
            var datagramsFromClient: UInt64?
            var datagramsToClient: UInt64?
            var answerMs: Double?
        }

        private func closed(_ ringway: RunningRingway, _ message: String = "connection closed") -> [Line] {
            let lines = ringway.log.split(separator: "\n").compactMap { try? JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
            return lines.filter { $0.message == message }
        }

        /// One that ends well, one that is reset, and one that nobody answers.
        private func connect(_ ports: [Int]) throws {
            let good = try TestSocket(to: "127.0.0.1", ports[0])
            try good.send("hello")
            good.shutdownWrite()
            #expect(try good.receiveAll() == "hello")
            let bad = try TestSocket(to: "127.0.0.1", ports[0])
            try bad.send("hello")
            #expect(try bad.receive(exactly: 5) == "hello")
            bad.reset()
            let refused = try TestSocket(to: "127.0.0.1", ports[1])
            #expect(refused.ending() == ECONNRESET)
        }

        @Test(arguments: Engines.available)
        func everyClosedConnectionIsALineWithAllThatIsKnown(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let ports = try FreePort.take(3)
            let sources = ["\(ports[0])=\(backend.port)", "\(ports[1])=\(ports[2])"]
            try withRingway(engine, sources, options: ["--log-connections", "all", "--log-format", "json"]) { ringway in
                try connect(ports)
                try waitUntil("three lines") { closed(ringway).count >= 3 }
                let lines = closed(ringway)
                #expect(lines.count == 3)
                let good = try #require(lines.first { $0.reason == "client-fin" })
                #expect(good.service == "default/port-\(ports[0])" && good.level == "info")
                #expect(good.frontend == "127.0.0.1:\(ports[0])" && good.endpoint == "127.0.0.1:\(backend.port)")
                #expect(good.client?.hasPrefix("127.0.0.1:") == true)
                #expect(good.bytesFromClient == 5 && good.bytesToClient == 5 && good.attempts == 1)
                let (duration, connect) = (try #require(good.durationMs), try #require(good.connectMs))
                #expect(connect > 0 && connect <= duration && duration < 60_000)
                let reset = try #require(lines.first { $0.reason == "client-reset" })
                #expect(reset.bytesFromClient == 5 && reset.bytesToClient == 5)
                let refused = try #require(lines.first { $0.reason == "connect-refused" })
                #expect(refused.service == "default/port-\(ports[1])" && refused.endpoint == "127.0.0.1:\(ports[2])")
                #expect(refused.connectMs == nil && refused.attempts == 1 && refused.bytesFromClient == 0)
                #expect(try ringway.statistics().workers.allSatisfy { $0.connectionsNotLogged == 0 })
            }
        }

        @Test(arguments: Engines.available)
        func aSessionThatHasEndedIsALineToo(engine: String) throws {
            let backend = try DatagramBackend.echo()
            let directory = try TemporaryDirectory()
            let port = try FreePort.take()
            let yaml = udpServiceYAML(
                port: port, endpoints: [backend.address], annotations: ["udp-class": "one-reply"])
            let file = try directory.write(yaml, to: "echo.yaml")
            try withRingway(engine, [file], options: ["--log-connections", "all", "--log-format", "json"]) { ringway in
                let client = try DatagramSocket(to: ("127.0.0.1", port))
                client.send("hello")
                #expect(try #require(client.receive()).text == "hello")
                try waitUntil("a line") { !closed(ringway, "session closed").isEmpty }
                let line = try #require(closed(ringway, "session closed").first)
                #expect(line.reason == "server-fin" && line.frontend == "127.0.0.1:\(port)" && line.endpoint == backend.address)
                #expect(line.client?.hasPrefix("127.0.0.1:") == true && line.service?.hasPrefix("default/echo") == true)
                #expect(line.bytesFromClient == 5 && line.bytesToClient == 5 && line.attempts == 1)
                #expect(line.datagramsFromClient == 1 && line.datagramsToClient == 1)
                #expect(try #require(line.answerMs) <= #require(line.durationMs) && line.connectMs == nil)
            }
        }

        @Test(arguments: Engines.available)
        func errorsAreLoggedAlone(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let ports = try FreePort.take(3)
            let sources = ["\(ports[0])=\(backend.port)", "\(ports[1])=\(ports[2])"]
            try withRingway(engine, sources, options: ["--log-connections", "errors"]) { ringway in
                try connect(ports)
                try waitUntil("both lines") {
                    ringway.log.contains(" info connection closed service=default/port-") && ringway.log.contains("reason=client-reset")
                        && ringway.log.contains("reason=connect-refused")
                }
                #expect(!ringway.log.contains("client-fin"))
            }
        }

        /// Also one that is refused by a limit, and those that a drain resets at the very end.
        @Test(arguments: Engines.available)
        func theLastConnectionsAreLoggedBeforeTheEnd(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            let options = ["--log-connections", "all", "--connections-max", "1", "--grace", "100ms", "--workers", "1"]
            try withRingway(engine, ["\(port)=\(backend.port)"], options: options, endsHere: false) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send("hello")
                #expect(try client.receive(exactly: 5) == "hello")
                let refused = try TestSocket(to: "127.0.0.1", port)
                #expect(refused.ending() == ECONNRESET)
                ringway.process.signal(SIGTERM)
                #expect(try ringway.process.wait() == .code(0))
                #expect(ringway.log.contains("reason=limit-process") && ringway.log.contains("reason=drain"))
                #expect(ringway.log.contains(" info stopped "))
            }
        }

        @Test(arguments: Engines.available)
        func withoutTheOptionNothingIsSaid(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let ports = try FreePort.take(3)
            try withRingway(engine, ["\(ports[0])=\(backend.port)", "\(ports[1])=\(ports[2])"], endsHere: false) { ringway in
                try connect(ports)
                try waitUntil("all are closed") { try ringway.statistics().closed("connect-refused") == 1 }
                ringway.process.signal(SIGTERM)
                #expect(try ringway.process.wait() == .code(0))
                #expect(ringway.log.contains("started") && !ringway.log.contains("connection closed"))
            }
        }

        /// A pipe on standard error that is read until the start is said, and then kept open and full.
        @Test(arguments: Engines.available)
        func aLogThatNobodyReadsStopsNothing(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            func yaml(_ limit: Int) -> String {
                serviceYAML(port: port, endpoints: ["127.0.0.1:\(backend.port)"], annotations: ["max-connections": "\(limit)"])
            }
            let file = try directory.write(yaml(1), to: "web.yaml")
            let reader = "exec \"$@\" 2> >(sed -u '/ started /q' >&2; exec tail -f --pid=$$ /dev/null)"
            let options = ["--log-connections", "all", "--workers", "1"]
            try withRingway(engine, [file], options: options, prefix: ["bash", "-c", reader, "bash"], directory: directory) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                func exchange() throws {
                    try client.send("hello")
                    #expect(try client.receive(exactly: 5) == "hello")
                }
                try exchange()
                // Each further client is refused by the limit, which is a line: until the log drops some.
                func dropped() throws -> UInt64 { try ringway.statistics().workers.reduce(0) { $0 + $1.connectionsNotLogged } }
                var refused = 0
                while try dropped() == 0, refused < 200_000 {
                    for _ in 0..<2000 {
                        // It may be reset before it knows that it is connected.
                        let client = try? TestSocket(to: "127.0.0.1", port)
                        if let client, client.ending() != ECONNRESET { Issue.record("a client beyond the limit was not reset") }
                        refused += 1
                    }
                    try exchange()
                }
                #expect(try dropped() > 0)
                #expect(try ringway.statistics().closed("limit-service") == UInt64(refused))
                // Neither is the control loop held up.
                try directory.replace("web.yaml", with: yaml(2))
                try waitUntil("the change is applied") { try ringway.statistics().services.first?.connectionsMax == 2 }
                let second = try TestSocket(to: "127.0.0.1", port)
                try second.send("second")
                #expect(try second.receive(exactly: 6) == "second")
                try exchange()
            }
        }
    }
}
