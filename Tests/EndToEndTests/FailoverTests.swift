import Foundation
import Glibc
import Testing

/// Endpoints that refuse, that swallow, that die, and Services that have none.
extension EndToEndTests {
    @Suite struct FailoverTests {
        @Test(arguments: Engines.available)
        func anEndpointThatRefusesIsPassedOverUnseen(engine: String) throws {
            let backend = try ScriptedBackend.named("alive")
            let closed = try FreePort.take(2)
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(closed[0]),\(backend.port),\(closed[1])"]) { ringway in
                for _ in 0..<60 { #expect(try TestSocket(to: "127.0.0.1", port).receiveAll() == "alive") }
                let statistics = try ringway.statistics()
                let failures = statistics.endpoints.map(\.connectFailures).reduce(0, +)
                #expect(statistics.retries > 0 && statistics.retries == failures)
                #expect(statistics.endpoints.first { $0.address == "127.0.0.1:\(backend.port)" }?.connections == 60)
                #expect(statistics.closed("connect-refused") == 0)
            }
        }

        /// A listener that never accepts, its queue full: the kernel drops further SYNs, as a black hole does.
        @Test(arguments: Engines.available)
        func aFullBacklogIsPassedOverAfterTheAttemptTimeout(engine: String) throws {
            let backend = try ScriptedBackend.named("alive")
            let hole = try FreePort.take()
            let listener = try TestSocket(listeningOn: "127.0.0.1", hole, backlog: 0)
            defer { listener.close() }
            let filling = try Self.fill(hole)
            defer { filling.forEach { close($0) } }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(hole),\(backend.port)"], options: ["--connect-attempt-timeout", "300ms"]) { ringway in
                for _ in 0..<12 { #expect(try TestSocket(to: "127.0.0.1", port).receiveAll() == "alive") }
                let statistics = try ringway.statistics()
                let failures = statistics.endpoints.first { $0.address == "127.0.0.1:\(hole)" }?.connectFailures ?? 0
                #expect(failures > 0 && statistics.retries == failures)
            }
        }

        @Test(arguments: Engines.available)
        func onlyBlackHolesEndInAResetWithinTheBudget(engine: String) throws {
            let holes = try FreePort.take(2)
            let listeners = try holes.map { try TestSocket(listeningOn: "127.0.0.1", $0, backlog: 0) }
            let filling = try holes.flatMap(Self.fill)
            defer {
                listeners.forEach { $0.close() }
                filling.forEach { close($0) }
            }
            let port = try FreePort.take()
            let options = ["--connect-attempt-timeout", "200ms", "--connect-timeout", "600ms"]
            try withRingway(engine, ["\(port)=\(holes[0]),\(holes[1])"], options: options) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                #expect(client.ending() == ECONNRESET)
                try waitUntil("the close is counted") { try ringway.statistics().closed("connect-timeout") == 1 }
            }
        }

        @Test(arguments: Engines.available)
        func ifAllRefuseTheClientIsResetAtOnceAndNothingSpins(engine: String) throws {
            let closed = try FreePort.take(3)
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(closed[0]),\(closed[1]),\(closed[2])"]) { ringway in
                for _ in 0..<50 { #expect(try TestSocket(to: "127.0.0.1", port).ending() == ECONNRESET) }
                try waitUntil("the closes are counted") { try ringway.statistics().closed("connect-refused") == 50 }
                try Self.expectIdle(ringway)
            }
        }

        @Test(arguments: Engines.available)
        func withoutEndpointsTheKernelRefusesTheClient(engine: String) throws {
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let file = try directory.write(
                """
                apiVersion: v1
                kind: Service
                metadata: {name: web}
                spec:
                  externalIPs: [127.0.0.1]
                  ports: [{port: \(port)}]
                """, to: "web.yaml")
            try withRingway(engine, [file]) { ringway in
                for _ in 0..<10 {
                    #expect(throws: TestSocket.Failure(operation: "connect to 127.0.0.1:\(port)", errno: ECONNREFUSED)) {
                        try TestSocket(to: "127.0.0.1", port)
                    }
                }
                let statistics = try ringway.statistics()
                #expect(statistics.listeners.map(\.state) == ["no-endpoints"])
                #expect(statistics.workers.allSatisfy { $0.listeners == 0 && $0.connectionsAccepted == 0 })
            }
        }

        @Test(arguments: Engines.available)
        func aBackendKilledInTheMiddleOfItsStreamsTakesNoOtherWithIt(engine: String) throws {
            let servers = try ["one", "two", "three"].map { try Nginx([$0]) }
            let port = try FreePort.take()
            let endpoints = servers.map { "\($0.ports[0])" }.joined(separator: ",")
            try withRingway(engine, ["\(port)=\(endpoints)"]) { ringway in
                let directory = try TemporaryDirectory()
                let streams = try (0..<12).map { _ in
                    try ChildProcess(
                        [
                            "curl", "--silent", "--max-time", "50", "--output", "/dev/null", "--write-out", "%{size_download}",
                            "http://127.0.0.1:\(port)/file",
                        ], in: directory)
                }
                defer { streams.forEach { $0.end() } }
                func active() throws -> [UInt64] {
                    let endpoints = try ringway.statistics().endpoints
                    return servers.map { server in
                        endpoints.first { $0.address == "127.0.0.1:\(server.ports[0])" }?.connectionsActive ?? 0
                    }
                }
                try waitUntil("all streams flow") { try active().reduce(0, +) == 12 }
                let before = try active()
                let victim = try #require(before.indices.max { before[$0] < before[$1] })
                servers[victim].process.signal(SIGKILL)
                let exits = try streams.map { try $0.wait(within: .seconds(60)) }
                let complete = zip(exits, streams).filter { $0 == .code(0) && $1.output == "\(Nginx.fileBytes)" }.count
                // 18: the transfer ended short of its length, 56: reset. Nothing else may have happened.
                let cut = exits.filter { $0 == .code(18) || $0 == .code(56) }.count
                #expect(cut == Int(before[victim]), "\(exits)")
                #expect(complete == 12 - Int(before[victim]), "\(exits)")
                // New connections never see the dead one.
                for _ in 0..<20 { #expect(try curl(port) != "") }
            }
        }

        /// Connects until the kernel takes no more: with a backlog of 0, one or two.
        private static func fill(_ port: Int) throws -> [Int32] {
            try (0..<4).map { _ in try TestSocket.beginConnect(to: port) }
        }

        /// A second of rest costs next to no CPU time.
        static func expectIdle(_ ringway: RunningRingway) throws {
            let before = ringway.cpuSeconds
            sleep(2)
            #expect(ringway.cpuSeconds - before < 0.4, "ringway spins")
        }
    }
}
