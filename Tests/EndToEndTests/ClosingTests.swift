import Foundation
import Glibc
import Testing

/// What one side does to its connection arrives on the other side as the same thing: FIN as FIN, a reset as a reset.
extension EndToEndTests {
    @Suite struct ClosingTests {
        @Test(arguments: Engines.available)
        func halfCloseByTheClientLeavesTheAnswerOpen(engine: String) throws {
            // The backend answers only when the client has sent FIN.
            let backend = try ScriptedBackend { connection in
                let request = try connection.receiveAll()
                usleep(100_000)
                try connection.send("got \(request)")
                connection.shutdownWrite()
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send("question")
                client.shutdownWrite()
                #expect(try client.receiveAll() == "got question")
                try waitUntil("the close is counted") { try ringway.statistics().closed("client-fin") == 1 }
            }
        }

        @Test(arguments: Engines.available)
        func halfCloseByTheServerLeavesTheRequestOpen(engine: String) throws {
            let received = Counter()
            let backend = try ScriptedBackend { connection in
                try connection.send("greeting")
                connection.shutdownWrite()
                received.add(try connection.receiveAll().utf8.count)
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                #expect(try client.receiveAll() == "greeting")
                usleep(100_000)
                try client.send(String(repeating: "x", count: 100_000))
                client.shutdownWrite()
                #expect(try wait { received.value == 100_000 })
                try waitUntil("the close is counted") { try ringway.statistics().closed("server-fin") == 1 }
            }
        }

        @Test(arguments: Engines.available)
        func socatSeesHalfCloseInBothOrders(engine: String) throws {
            let ports = try FreePort.take(4)
            let directory = try TemporaryDirectory()
            let text = String(repeating: "a line for socat\n", count: 20_000)
            let input = try directory.write(text, to: "input")
            // The first answers when it has seen FIN; the second sends FIN first and then counts what comes.
            let late = try ChildProcess(
                ["socat", "TCP-LISTEN:\(ports[0]),bind=127.0.0.1,reuseaddr", "SYSTEM:wc -c"], in: directory)
            let early = try ChildProcess(
                ["socat", "TCP-LISTEN:\(ports[1]),bind=127.0.0.1,reuseaddr", "SYSTEM:exec 1>&-; wc -c >\(directory.path("count"))"],
                in: directory)
            defer {
                late.end()
                early.end()
            }
            try withRingway(engine, ["\(ports[2])=\(ports[0])", "\(ports[3])=\(ports[1])"]) { _ in
                try waitUntil("socat listens") { try Self.listens(ports[0]) && Self.listens(ports[1]) }
                let first = try ChildProcess.run(["socat", "-t15", "-", "TCP:127.0.0.1:\(ports[2])"], input: input)
                #expect(first.isSuccess && first.output.trimmingCharacters(in: .whitespacesAndNewlines) == "\(text.utf8.count)")
                let second = try ChildProcess.run(["socat", "-t15", "-u", "-", "TCP:127.0.0.1:\(ports[3])"], input: input)
                #expect(second.isSuccess)
                _ = try early.wait()
                let count = try String(contentsOfFile: directory.path("count"), encoding: .utf8)
                #expect(count.trimmingCharacters(in: .whitespacesAndNewlines) == "\(text.utf8.count)")
            }
        }

        @Test(arguments: Engines.available)
        func aResetByTheClientReachesTheServer(engine: String) throws {
            let endings = Counter()
            let backend = try ScriptedBackend { connection in
                try connection.send("hello")
                if connection.ending() == ECONNRESET { endings.add(1) }
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                #expect(try client.receive(exactly: 5) == "hello")
                client.reset()
                #expect(try wait { endings.value == 1 })
                try waitUntil("the close is counted") { try ringway.statistics().closed("client-reset") == 1 }
            }
        }

        @Test(arguments: Engines.available)
        func aResetByTheServerReachesTheClient(engine: String) throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.receive(exactly: 5)
                connection.reset()
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send("hello")
                #expect(client.ending() == ECONNRESET)
                try waitUntil("the close is counted") { try ringway.statistics().closed("server-reset") == 1 }
            }
        }

        @Test(arguments: Engines.available)
        func whatWasSentBeforeFinArrivesInFull(engine: String) throws {
            // A backend that writes and closes at once, a client that reads late: the close may not overtake the bytes.
            let text = String(repeating: "0123456789abcdef", count: 1 << 16)
            let backend = try ScriptedBackend { connection in
                try connection.send(text)
                connection.shutdownWrite()
                _ = connection.ending()
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { _ in
                for _ in 0..<10 {
                    let client = try TestSocket(to: "127.0.0.1", port)
                    usleep(50_000)
                    #expect(try client.receiveAll() == text)
                }
            }
        }

        @Test(arguments: Engines.available)
        func aStormOfResetsLeavesNothingBehind(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { _ in
                for round in 0..<1500 {
                    let client = try TestSocket(to: "127.0.0.1", port)
                    // At every stage of the connection's life: before connect, with bytes in flight, after an answer.
                    if round % 3 > 0 { try client.send("hello") }
                    if round % 3 > 1 { _ = try client.receive(exactly: 5) }
                    client.reset()
                }
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send("hello")
                #expect(try client.receive(exactly: 5) == "hello")
            }
        }

        /// Not by /proc/net/tcp, which also holds each connection in TIME_WAIT: a hundred thousand after a storm.
        private static func listens(_ port: Int) throws -> Bool {
            try !ChildProcess.run(["ss", "-Hltn", "sport", "= :\(port)"]).output.isEmpty
        }
    }
}
