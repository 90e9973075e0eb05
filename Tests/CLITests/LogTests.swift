import Addressing
import Forwarding
import Glibc
import Routing
import Synchronization
import Testing

@testable import CLI

/// Where lines go, and what is said of a connection.
struct LogTests {
    /// An output that blocks until it is let go, and what it was given.
    private final class Pipe: Sendable {
        private let state = Mutex<(isBlocked: Bool, isFull: Bool, bytes: [UInt8], writes: Int)>((true, false, [], 0))

        func write(_ bytes: [UInt8]) -> Bool {
            state.withLock { $0.writes += 1 }
            while state.withLock({ $0.isBlocked }) { usleep(1000) }
            return state.withLock { state in
                if !state.isFull { state.bytes += bytes }
                return !state.isFull
            }
        }

        func setFull(_ isFull: Bool) { state.withLock { $0.isFull = isFull } }

        func release() { state.withLock { $0.isBlocked = false } }
        var writes: Int { state.withLock { $0.writes } }
        var lines: [Substring] { state.withLock { String(decoding: $0.bytes, as: UTF8.self) }.split(separator: "\n") }
    }

    private static func line(_ message: String, _ fields: [(key: String, value: String)] = []) -> LogLine {
        LogLine(microseconds: 0, level: "info", message: message, fields: fields)
    }

    @Test func linesComeOutWholeAndInOrder() {
        let pipe = Pipe()
        pipe.release()
        let sink = LogSink(format: .text) { pipe.write($0) }
        for number in 0..<1000 { #expect(sink.write(Self.line("\(number)"))) }
        sink.flush()
        #expect(pipe.lines == (0..<1000).map { "1970-01-01T00:00:00.000Z info \($0)" })
    }

    @Test func nobodyWaitsForAnOutputThatBlocksAndWhatIsDroppedIsSaid() {
        let pipe = Pipe()
        let sink = LogSink(format: .text) { pipe.write($0) }
        sink.write(Self.line("first"))
        for _ in 0..<20_000 where pipe.writes == 0 { usleep(1000) }
        let long = Self.line("x", [("key", String(repeating: "y", count: 100_000))])
        // What connections may take leaves room for what the program says about itself.
        var taken = 0
        while sink.write(long, within: LogSink.connectionBytesMax) { taken += 1 }
        #expect(taken == LogSink.connectionBytesMax / 100_000)
        while sink.write(long) { taken += 1 }
        #expect(taken == LogSink.bytesMax / 100_000)
        #expect(!sink.write(long) && sink.write(Self.line("a short one")))
        pipe.release()
        let count = 1 + taken + 1 + 1
        var lines = pipe.lines
        for _ in 0..<30 where lines.count < count {
            sink.flush()
            lines = pipe.lines
        }
        #expect(lines.count == count)
        #expect(lines.count { $0.hasSuffix("lines=3") } == 1)
        // And then all is well again.
        #expect(sink.write(Self.line("after")))
        sink.flush()
        #expect(pipe.lines.last?.hasSuffix(" info after") == true)
    }

    @Test func whatAFullDiskTakesIsSaidWhenThereIsRoomAgain() throws {
        let disk = Pipe()
        disk.release()
        let sink = LogSink(format: .text) { disk.write($0) }
        disk.setFull(true)
        for _ in 0..<3 {
            sink.write(Self.line("lost"))
            sink.flush()
        }
        #expect(disk.writes == 3 && disk.lines.isEmpty)
        disk.setFull(false)
        sink.write(Self.line("found"))
        sink.flush()
        #expect(disk.lines.count == 2 && disk.lines.first?.hasSuffix(" info found") == true)
        #expect(try #require(disk.lines.last).hasSuffix("lines=3"))
    }

    private static func closed(_ change: (inout ConnectionRecord) -> Void = { _ in }) throws -> ClosedConnection {
        let frontend = try #require(SocketAddress("10.0.0.9:80"))
        var record = ConnectionRecord(.clientFin, frontend: frontend, serviceRow: 2, closedAt: 0)
        record.client = try #require(IPAddress("10.0.0.7"))
        record.clientPort = 40_712
        record.attempts = 1
        record.bytesFromClient = 412
        record.bytesToClient = 51_822
        record.durationNanoseconds = 38_104_999
        record.connectMicroseconds = 391
        record.isConnected = true
        change(&record)
        return ClosedConnection(
            service: ServicePortName(namespace: "default", name: "web", port: "http", transport: .tcp),
            endpoint: record.attempts > 0 ? SocketAddress("10.0.1.11:8080") : nil, record: record, nanosecondsAgo: 2_000_000)
    }

    @Test func aClosedConnectionIsOneLineOfText() throws {
        let line = LogLine(try Self.closed(), now: 1_002_000)
        #expect(
            line.text(as: .text)
                == "1970-01-01T00:00:01.000Z info connection closed service=default/web:http client=10.0.0.7:40712 frontend=10.0.0.9:80 "
                + "endpoint=10.0.1.11:8080 reason=client-fin bytesFromClient=412 bytesToClient=51822 durationMs=38.104 connectMs=0.391 "
                + "attempts=1")
    }

    @Test func ofOneThatWasRefusedOnlyWhatIsKnownIsSaidAndJSONHasNumbers() throws {
        let refused = try Self.closed {
            $0.reason = .limitSource
            $0.attempts = 0
            $0.client = .loopbackIPv6
            $0.isConnected = false
            $0.bytesFromClient = 0
            $0.bytesToClient = 0
            $0.durationNanoseconds = 1000
        }
        #expect(
            LogLine(refused, now: 1_002_000).text(as: .json)
                == #"{"time":"1970-01-01T00:00:01.000Z","level":"info","message":"connection closed","service":"default/web:http","#
                + #""client":"[::1]:40712","frontend":"10.0.0.9:80","reason":"limit-source","bytesFromClient":0,"bytesToClient":0,"#
                + #""durationMs":0.001,"attempts":0}"#)
    }
}
