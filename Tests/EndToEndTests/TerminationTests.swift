import Foundation
import Glibc
import Testing

/// Signals: the first lets connections finish, the second ends at once, the grace period ends what is left.
extension EndToEndTests {
    @Suite struct TerminationTests {
        @Test(arguments: Engines.available)
        func sigtermLetsConnectionsFinishAndTakesNoNewOnes(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], endsHere: false) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send("before")
                #expect(try client.receive(exactly: 6) == "before")
                ringway.process.signal(SIGTERM)
                try waitUntil("new clients are refused") { (try? TestSocket(to: "127.0.0.1", port)) == nil }
                try client.send("after")
                #expect(try client.receive(exactly: 5) == "after")
                #expect(ringway.process.isRunning)
                client.shutdownWrite()
                #expect(client.ending() == nil)
                #expect(try ringway.process.wait() == .code(0))
                #expect(ringway.log.contains("connectionsReset=0"))
                #expect(!FileManager.default.fileExists(atPath: ringway.adminSocket))
            }
        }

        @Test(arguments: Engines.available)
        func sigintDoesTheSame(engine: String) throws {
            let port = try FreePort.take()
            let closed = try FreePort.take()
            try withRingway(engine, ["\(port)=\(closed)"], endsHere: false) { ringway in
                ringway.process.signal(SIGINT)
                let exit = try ringway.process.wait()
                #expect(exit == .code(0))
            }
        }

        @Test(arguments: Engines.available)
        func aSecondSignalEndsAtOnce(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], options: ["--grace", "10m"], endsHere: false) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send("hello")
                #expect(try client.receive(exactly: 5) == "hello")
                ringway.process.signal(SIGTERM)
                try waitUntil("draining begins") { ringway.log.contains("draining") }
                #expect(ringway.process.isRunning)
                ringway.process.signal(SIGTERM)
                #expect(try ringway.process.wait() == .code(128 + SIGTERM))
                #expect(!FileManager.default.fileExists(atPath: ringway.adminSocket))
            }
        }

        @Test(arguments: Engines.available)
        func theEndOfTheGracePeriodResetsWhatIsLeft(engine: String) throws {
            let endings = Counter()
            let backend = try ScriptedBackend { connection in
                try connection.send("hello")
                if connection.ending() == ECONNRESET { endings.add(1) }
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], options: ["--grace", "500ms"], endsHere: false) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                #expect(try client.receive(exactly: 5) == "hello")
                ringway.process.signal(SIGTERM)
                #expect(client.ending() == ECONNRESET)
                #expect(try wait { endings.value == 1 })
                #expect(try ringway.process.wait() == .code(0))
                #expect(ringway.log.contains("connectionsReset=1"))
            }
        }

        @Test(arguments: Engines.available)
        func whatWaitsInTheAcceptQueueIsServedBeforeTheEnd(engine: String) throws {
            let backend = try ScriptedBackend.named("served")
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], options: ["--workers", "1"], endsHere: false) { ringway in
                // Stopped, it can accept nothing: the connections are made by the kernel and wait.
                ringway.process.signal(SIGSTOP)
                let clients = try (0..<50).map { _ in try TestSocket(to: "127.0.0.1", port) }
                ringway.process.signal(SIGTERM)
                ringway.process.signal(SIGCONT)
                for client in clients { #expect(try client.receiveAll() == "served") }
                clients.forEach { $0.close() }
                #expect(try ringway.process.wait() == .code(0))
            }
        }
    }
}
