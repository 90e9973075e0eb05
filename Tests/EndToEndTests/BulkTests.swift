import Foundation
import Glibc
import Testing

/// Streams large enough to be spliced, and what may befall them.
extension EndToEndTests {
    @Suite struct BulkTests {
        private typealias Stream = PressureTests

        @Test(arguments: Engines.available)
        func aClientThatStopsReadingForAWhileGetsEveryByteAndTheEnd(engine: String) throws {
            let megabytes = 100
            let requested = Counter()
            // The client has sent FIN before; the server's comes while nobody reads.
            let backend = try ScriptedBackend { connection in
                requested.add(try Stream.receivePattern(connection))
                for _ in 0..<megabytes { try connection.send(Stream.pattern) }
                connection.shutdownWrite()
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                for _ in 0..<megabytes { try client.send(Stream.pattern) }
                client.shutdownWrite()
                var received = 0
                var buffer = [UInt8](repeating: 0, count: 1 << 16)
                func read(_ bytes: Int) throws {
                    let target = received + bytes
                    while received < target {
                        let count = try client.receive(into: &buffer)
                        guard count > 0 else { return }
                        for place in stride(from: 0, to: count, by: 997) {
                            let expected = Stream.pattern[(received + place) % Stream.megabyte]
                            guard buffer[place] == expected else {
                                Issue.record("byte \(received + place) is wrong")
                                return
                            }
                        }
                        received += count
                    }
                }
                try read(40 * Stream.megabyte)
                sleep(3)
                try FailoverTests.expectIdle(ringway)
                let workers = try ringway.statistics().workers
                #expect(workers.contains { $0.bulkDirections >= 1 } && workers.contains { $0.pipesOpen >= 1 })
                #expect(workers.allSatisfy { $0.transfersRefused == 0 })
                // Almost to the end: now the server's FIN stands behind bytes that can't be delivered.
                try read(megabytes * Stream.megabyte - received - 12 * Stream.megabyte)
                sleep(4)
                try read(.max - received)
                #expect(received == megabytes * Stream.megabyte)
                #expect(requested.value == megabytes * Stream.megabyte)
                try waitUntil("the connection ends") { try ringway.statistics().connectionsActive == 0 }
                let service = try #require(try ringway.statistics().services.first)
                #expect(service.bytesFromClients == UInt64(megabytes * Stream.megabyte))
                #expect(service.bytesToClients == UInt64(megabytes * Stream.megabyte))
                #expect(try ringway.statistics().closed("client-fin") == 1)
            }
        }

        @Test(arguments: Engines.available)
        func smallThenBulkThenSmallIsOneUnbrokenStream(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                var sent = 0
                func exchange(_ bytes: Int) throws {
                    let begin = sent
                    let received = Pending { try Stream.receivePattern(client, from: begin, count: bytes) }
                    while sent < begin + bytes {
                        let start = sent % Stream.megabyte
                        let count = min(begin + bytes - sent, Stream.megabyte - start)
                        try client.send(Array(Stream.pattern[start..<start + count]))
                        sent += count
                    }
                    #expect(try received.value() == bytes)
                }
                for _ in 0..<3 {
                    for _ in 0..<30 { try exchange(100) }
                    try exchange(8 * Stream.megabyte)
                }
                for _ in 0..<30 { try exchange(1) }
                client.shutdownWrite()
                try waitUntil("the connection ends") { try ringway.statistics().connectionsActive == 0 }
            }
        }

        @Test(arguments: Engines.available)
        func aPeerThatIsGoneInTheMiddleOfABulkStreamEndsNothingElse(engine: String) throws {
            let flood = try ScriptedBackend { connection in
                while true { try connection.send(Stream.pattern) }
            }
            let echo = try ScriptedBackend.echo()
            let ports = try FreePort.take(2)
            try withRingway(engine, ["\(ports[0])=\(flood.port)", "\(ports[1])=\(echo.port)"]) { ringway in
                let ignored = try String(contentsOfFile: "/proc/\(ringway.process.identifier)/status", encoding: .utf8)
                    .split(separator: "\n").first { $0.hasPrefix("SigIgn:") }
                let mask = try #require(ignored.flatMap { UInt64($0.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) })
                #expect(mask & (1 << UInt64(SIGPIPE - 1)) != 0)
                for _ in 0..<10 {
                    let client = try TestSocket(to: "127.0.0.1", ports[0])
                    var buffer = [UInt8](repeating: 0, count: 1 << 16)
                    var received = 0
                    while received < 4 * Stream.megabyte { received += try client.receive(into: &buffer) }
                    client.reset()
                }
                let client = try TestSocket(to: "127.0.0.1", ports[1])
                try client.send("still here")
                #expect(try client.receive(exactly: 10) == "still here")
                client.close()
                try waitUntil("all connections end") { try ringway.statistics().connectionsActive == 0 }
            }
        }
    }
}
