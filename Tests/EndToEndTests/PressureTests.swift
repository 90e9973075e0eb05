import Foundation
import Glibc
import Testing

/// Much data, slow readers and few descriptors.
extension EndToEndTests {
    @Suite struct PressureTests {
        static let megabyte = 1 << 20
        /// A megabyte that repeats in no shorter period, so that a lost, doubled or swapped piece is seen.
        static let pattern: [UInt8] = {
            var state: UInt32 = 2_463_534_242
            return (0..<megabyte).map { _ in
                state ^= state << 13
                state ^= state >> 17
                state ^= state << 5
                return UInt8(truncatingIfNeeded: state >> 8)
            }
        }()

        /// Receives until FIN, or `most` bytes, and compares all of it with the pattern from its byte `begin` on; the number of bytes
        /// that were right.
        static func receivePattern(_ socket: TestSocket, from begin: Int = 0, count most: Int = .max) throws -> Int {
            var buffer = [UInt8](repeating: 0, count: 1 << 18)
            var total = 0
            while true {
                let count = total < most ? try socket.receive(into: &buffer) : 0
                if count == 0 { return total }
                var checked = 0
                while checked < count {
                    let start = (begin + total + checked) % megabyte
                    let length = min(count - checked, megabyte - start)
                    guard buffer[checked..<checked + length].elementsEqualFast(pattern[start..<start + length]) else {
                        return total + checked
                    }
                    checked += length
                }
                total += count
            }
        }

        @Test(arguments: Engines.available)
        func twoHundredMegabytesPassUnharmedInBothDirectionsAtOnce(engine: String) throws {
            let megabytes = 200
            let atBackend = Counter()
            let backend = try ScriptedBackend { connection in
                let received = Pending { try Self.receivePattern(connection) }
                for _ in 0..<megabytes { try connection.send(Self.pattern) }
                connection.shutdownWrite()
                atBackend.add(try received.value())
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                let received = Pending { try Self.receivePattern(client) }
                for _ in 0..<megabytes { try client.send(Self.pattern) }
                client.shutdownWrite()
                #expect(try received.value() == megabytes * Self.megabyte)
                #expect(try wait { atBackend.value == megabytes * Self.megabyte }, "\(atBackend.value)")
                try waitUntil("the connection ends") { try ringway.statistics().connectionsActive == 0 }
                let service = try #require(try ringway.statistics().services.first)
                #expect(service.bytesFromClients == UInt64(megabytes * Self.megabyte))
                #expect(service.bytesToClients == UInt64(megabytes * Self.megabyte))
            }
        }

        @Test(arguments: Engines.available)
        func clientsThatNeverReadCostBoundedMemoryAndNobodyElsesTime(engine: String) throws {
            let sent = Counter()
            let stop = Counter()
            let flood = try ScriptedBackend { connection in
                connection.makeNonBlocking()
                while !stop.isStopped {
                    let count = try connection.sendNow(Self.pattern)
                    sent.add(count)
                    if count == 0 { usleep(10_000) }
                }
            }
            defer { stop.stop() }
            let nginx = try Nginx(["backend-1"])
            let ports = try FreePort.take(2)
            try withRingway(engine, ["\(ports[0])=\(flood.port)", "\(ports[1])=\(nginx.ports[0])"]) { ringway in
                // Warm, so that the growth measured is that of the slow readers.
                _ = HTTPLoad(port: ports[1], connections: 50, requestsPerConnection: 10, requests: 500).run()
                let before = ringway.residentBytes
                let clients = try (0..<20).map { _ in try TestSocket(to: "127.0.0.1", ports[0], receiveBuffer: 65_536) }
                var last = -1
                try waitUntil("back-pressure reaches the backend", within: .seconds(30)) {
                    defer { last = sent.value }
                    usleep(500_000)
                    return sent.value == last && last > 0
                }
                // What the kernel's buffers of both connections hold (up to 10 MB each) and Ringway's share.
                #expect(sent.value < 20 * 24 * Self.megabyte, "\(sent.value) bytes were taken from the backend")
                #expect(ringway.residentBytes - before < 64 * Self.megabyte, "\(ringway.residentBytes - before) bytes more")

                let outcome = HTTPLoad(port: ports[1], connections: 20, requestsPerConnection: 50, requests: 2000).run()
                #expect(outcome.failures == [])
                #expect(outcome.requests == 2000)
                try FailoverTests.expectIdle(ringway)
                stop.stop()
                clients.forEach { $0.close() }
            }
        }

        @Test(arguments: Engines.available)
        func aSlowReaderGetsEveryByte(engine: String) throws {
            let bytes = 8 * Self.megabyte
            let backend = try ScriptedBackend { connection in
                for _ in 0..<8 { try connection.send(Self.pattern) }
                connection.shutdownWrite()
                _ = connection.ending()
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { _ in
                let client = try TestSocket(to: "127.0.0.1", port, receiveBuffer: 8192)
                // Small bites with rests at first, then the rest at once.
                var received: [UInt8] = []
                for _ in 0..<50 {
                    received += try client.receive(max: 4096)
                    usleep(10_000)
                }
                #expect(received.elementsEqual(Self.pattern[..<received.count]))
                var total = received.count
                while true {
                    let count = try client.receive().count
                    if count == 0 { break }
                    total += count
                }
                #expect(total == bytes)
            }
        }

        @Test(arguments: Engines.available)
        func fewDescriptorsPauseAcceptingAndNothingElse(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], options: ["--workers", "1"], prefix: ["prlimit", "--nofile=256:256"]) {
                ringway in
                let clients = try (0..<250).map { _ in try TestSocket(to: "127.0.0.1", port) }
                for client in clients { try client.send("hello") }
                try waitUntil("accepting pauses") { try ringway.statistics().acceptPauses > 0 }
                let statistics = try ringway.statistics()
                #expect(statistics.connectionsActive <= statistics.connectionsMax && statistics.connectionsMax < 128)
                #expect(statistics.connectionsActive > 50)
                try FailoverTests.expectIdle(ringway)
                // As connections end, those that wait in the accept queue are served: none is lost.
                for client in clients {
                    #expect(try client.receive(exactly: 5) == "hello")
                    client.close()
                }
            }
        }

        @Test(arguments: Engines.available)
        func aLimitLoweredAtRunTimeIsSurvived(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], options: ["--workers", "1"]) { ringway in
                func limit(_ descriptors: Int) throws {
                    let outcome = try ChildProcess.run(["prlimit", "--pid", "\(ringway.process.identifier)", "--nofile=\(descriptors):"])
                    try #require(outcome.isSuccess, "\(outcome.error)")
                }
                let before = try (0..<40).map { _ in try TestSocket(to: "127.0.0.1", port) }
                for client in before {
                    try client.send("one")
                    #expect(try client.receive(exactly: 3) == "one")
                }
                // Below what is open already: nothing can be opened until some of it is closed.
                try limit(ringway.openDescriptors - 20)
                let waiting = try (0..<40).map { _ in try TestSocket(to: "127.0.0.1", port) }
                for client in waiting { try client.send("two") }
                try FailoverTests.expectIdle(ringway)
                #expect(ringway.process.isRunning)
                for client in before {
                    try client.send("six")
                    #expect(try client.receive(exactly: 3) == "six", "a connection that was there is cut")
                }
                try limit(1024)
                for client in waiting { #expect(try client.receive(exactly: 3) == "two") }
                #expect(try ringway.statistics().acceptPauses > 0)
            }
        }

        @Test(arguments: Engines.available)
        func connectionsBeyondTheLimitAreServedInTheEnd(engine: String) throws {
            let nginx = try Nginx(["backend-1"])
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(nginx.ports[0])"], prefix: ["prlimit", "--nofile=200:200"]) { _ in
                let outcome = HTTPLoad(port: port, connections: 300, requestsPerConnection: 5, requests: 6000).run()
                #expect(outcome.failures == [])
                #expect(outcome.requests == 6000)
            }
        }
    }
}

extension ArraySlice<UInt8> {
    /// memcmp: a comparison by elements takes minutes for hundreds of megabytes without optimisation.
    func elementsEqualFast(_ other: ArraySlice<UInt8>) -> Bool {
        guard count == other.count else { return false }
        return unsafe withUnsafeBytes { left in
            unsafe other.withUnsafeBytes { right in unsafe memcmp(left.baseAddress!, right.baseAddress!, left.count) == 0 }
        }
    }
}
