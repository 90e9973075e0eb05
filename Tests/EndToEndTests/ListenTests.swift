import Foundation
import Glibc
import Testing

/// Addresses that can't be listened on, and what `ringway stats` tells.
extension EndToEndTests {
    @Suite struct ListenTests {
        @Test(arguments: Engines.available)
        func aPortInUseIsSaidAndTheOthersAreServed(engine: String) throws {
            let backend = try ScriptedBackend.named("served")
            let ports = try FreePort.take(2)
            let holder = try TestSocket(listeningOn: "127.0.0.1", ports[0], reuseAddress: false)
            defer { holder.close() }
            try withRingway(engine, ["\(ports[0])=\(backend.port)", "\(ports[1])=\(backend.port)"]) { ringway in
                #expect(ringway.process.output.contains("port \(ports[0]) is in use by another process"))
                let answer = try TestSocket(to: "127.0.0.1", ports[1]).receiveAll()
                #expect(answer == "served")
                #expect(try ringway.statistics().listeners.map(\.state).sorted() == ["failed", "listening"])
            }
        }

        @Test(arguments: Engines.available)
        func anAddressOfAnotherHostIsSaidAndTheOthersAreServed(engine: String) throws {
            let backend = try ScriptedBackend.named("served")
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            // 192.0.2.0/24 is for documentation: no host has such an address.
            let file = try directory.write(
                serviceYAML("here", port: port, endpoints: ["127.0.0.1:\(backend.port)"]) + "---\n"
                    + serviceYAML("there", on: "192.0.2.1", port: port, endpoints: ["127.0.0.1:\(backend.port)"]), to: "services.yaml")
            try withRingway(engine, [file]) { ringway in
                #expect(ringway.process.output.contains("192.0.2.1 is not an address of this host"))
                let answer = try TestSocket(to: "127.0.0.1", port).receiveAll()
                #expect(answer == "served")
                let failed = try #require(try ringway.statistics().listeners.first { $0.state == "failed" })
                #expect(failed.frontend == "tcp 192.0.2.1:\(port)" && failed.service == "default/there")
                #expect(failed.message?.contains("is not an address of this host") == true)
            }
        }

        /// On one engine only: it takes ten seconds, and what waits is the control loop.
        @Test(arguments: Engines.available.suffix(1))
        func aListenerThatFailedIsTriedAgain(engine: String) throws {
            let backend = try ScriptedBackend.named("served")
            let port = try FreePort.take()
            let holder = try TestSocket(listeningOn: "127.0.0.1", port, reuseAddress: false)
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                #expect(ringway.process.output.contains("is in use by another process"))
                holder.close()
                try waitUntil("the port is taken over", within: .seconds(30)) {
                    (try? TestSocket(to: "127.0.0.1", port).receiveAll()) == "served"
                }
            }
        }

        @Test(arguments: Engines.available)
        func statisticsTellTheEngineTheProcessAndItsServices(engine: String) throws {
            let backend = try ScriptedBackend.named("served")
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                for _ in 0..<5 { _ = try TestSocket(to: "127.0.0.1", port).receiveAll() }
                try waitUntil("all connections end") { try ringway.statistics().connectionsActive == 0 }
                let statistics = try ringway.statistics()
                #expect(statistics.engine == engine && !statistics.engineReason.isEmpty)
                #expect(statistics.pid == ringway.process.identifier && statistics.uptimeSeconds > 0 && statistics.version != "")
                #expect(statistics.generation == 1 && statistics.configuration.generation == 1)
                #expect(statistics.configuration.objects == 1 && statistics.configuration.rejectedObjects == 0)
                #expect(statistics.connectionsMax > 0 && statistics.connectionsAccepted == 5)
                #expect(statistics.workers.map(\.index) == [0, 1])
                #expect(statistics.workers.allSatisfy { $0.ticks > 0 && $0.systemCalls > 0 && ($0.allocations ?? 0) > 0 })
                let listener = try #require(statistics.listeners.first)
                #expect(listener.frontend == "tcp 127.0.0.1:\(port)" && listener.state == "listening" && listener.origin == "externalIP")
                let service = try #require(statistics.services.first)
                #expect(service.namespace == "default" && service.transport == "TCP" && service.connections == 5)
                #expect(service.bytesToClients == 30 && service.bytesFromClients == 0)
                #expect(service.closed.values.reduce(0, +) == 5)
                let endpoint = try #require(service.endpoints.first)
                #expect(endpoint.address == "127.0.0.1:\(backend.port)" && endpoint.state == "active" && endpoint.connections == 5)

                let table = try ChildProcess.run([RunningRingway.binary, "stats", "--admin-socket", ringway.adminSocket])
                #expect(table.isSuccess && table.output.contains("127.0.0.1:\(backend.port)") && table.output.contains(engine))
            }
        }

        @Test(arguments: Engines.available)
        func theStartIsToldInAFewLines(engine: String) throws {
            let ports = try FreePort.take(3)
            try withRingway(engine, ["\(ports[0])=\(ports[1]),\(ports[2])"]) { ringway in
                let lines = ringway.process.output.split(separator: "\n")
                #expect(lines.contains { $0.hasPrefix("engine   \(engine)") })
                #expect(lines.contains { $0.hasPrefix("listen   tcp 127.0.0.1:\(ports[0])") })
                #expect(lines.contains { $0.contains("127.0.0.1:\(ports[1])") && $0.contains("127.0.0.1:\(ports[2])") })
            }
        }

        @Test func statsWithoutARunningProcessSaysWhatToDo() throws {
            let directory = try TemporaryDirectory()
            let outcome = try ChildProcess.run([RunningRingway.binary, "stats", "--admin-socket", directory.path("none.sock")])
            #expect(outcome.exit == .code(1) && outcome.error.contains("ringway run"))
        }

        @Test(arguments: Engines.available)
        func jsonLogsAreOneObjectALine(engine: String) throws {
            let ports = try FreePort.take(2)
            try withRingway(engine, ["\(ports[0])=\(ports[1])"], options: ["--log-format", "json"]) { ringway in
                #expect(ringway.process.output.isEmpty)
                let lines = ringway.log.split(separator: "\n")
                #expect(lines.count > 1)
                for line in lines {
                    let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                    #expect(object?["message"] is String && object?["level"] is String && object?["time"] is String, "\(line)")
                }
            }
        }
    }
}
