import Foundation
import Glibc
import Testing

/// Half of a connection has ended, or nobody reads: what still flows flows, and what stands still ends.
extension EndToEndTests {
    @Suite struct SilenceTests {
        /// One side ends; the other one goes on, slowly, for longer than the timeout, and is cut only once it is silent.
        @Test(arguments: Engines.available, [true, false])
        func theOtherHalfOfAConnectionFlowsOnAndEndsByTheTimeoutOnceSilent(engine: String, clientEndsFirst: Bool) throws {
            let rounds = 8
            let received = Counter()
            let resets = Counter()
            @Sendable func speakSlowly(_ socket: TestSocket) throws {
                for _ in 0..<rounds {
                    try socket.send("x")
                    usleep(250_000)
                }
            }
            @Sendable func listen(_ socket: TestSocket) throws {
                for _ in 0..<rounds { received.add(try socket.receive(exactly: 1).utf8.count) }
            }
            let backend = try ScriptedBackend { connection in
                if clientEndsFirst {
                    #expect(try connection.receiveAll() == "")
                    try speakSlowly(connection)
                } else {
                    connection.shutdownWrite()
                    try listen(connection)
                }
                if connection.ending() == ECONNRESET { resets.add(1) }
                // Holds its side open.
                usleep(4_000_000)
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], options: ["--half-close-timeout", "1200ms"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                if clientEndsFirst {
                    client.shutdownWrite()
                    try listen(client)
                } else {
                    #expect(try client.receiveAll() == "")
                    try speakSlowly(client)
                }
                try waitUntil("every byte arrives") { received.value == rounds }
                #expect(try ringway.statistics().closed("half-close-timeout") == 0)
                try waitUntil("the close is counted") { try ringway.statistics().closed("half-close-timeout") == 1 }
                // Who has had a FIN already hears of the reset when it speaks.
                if clientEndsFirst {
                    #expect(client.ending() == ECONNRESET)
                } else {
                    #expect(throws: TestSocket.Failure.self) {
                        for _ in 0..<50 {
                            try client.send("x")
                            usleep(20_000)
                        }
                    }
                    #expect(try wait { resets.value == 1 })
                }
            }
        }

        /// The client's window is shut and the backend has more to say than anybody takes.
        @Test(arguments: Engines.available, ["idle-timeout", "tcp-user-timeout"])
        func aClientThatReadsNothingIsGivenUpInTheEnd(engine: String, timeout: String) throws {
            let endings = Counter()
            let backend = try ScriptedBackend { connection in
                do throws(TestSocket.Failure) {
                    while true { try connection.send(PressureTests.pattern) }
                } catch {
                    if error.errno == ECONNRESET || error.errno == EPIPE { endings.add(1) }
                }
            }
            let port = try FreePort.take()
            let options = ["--\(timeout)", "1500ms", timeout == "idle-timeout" ? "--tcp-user-timeout" : "--idle-timeout", "off"]
            try withRingway(engine, ["\(port)=\(backend.port)"], options: options) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port, receiveBuffer: 16_384)
                let reason = timeout == "idle-timeout" ? "client-idle" : "client-lost"
                try waitUntil("the close is counted", within: .seconds(40)) { try ringway.statistics().closed(reason) == 1 }
                #expect(try wait { endings.value == 1 }, "the backend was not told")
                #expect(try ringway.statistics().workers.map(\.buffersActive).reduce(0, +) == 0)
                client.close()
            }
        }
    }
}
