import Foundation
import Glibc
import Testing

/// A host that gives nothing more: the kernel's errors come from a filter on system calls.
extension EndToEndTests {
    @Suite struct ShortageTests {
        /// No socket for an IPv4 endpoint is to be had (ENFILE): its clients wait, and are reset when their time is over.
        @Test(arguments: Engines.available)
        func aFullFileTableOfTheHostIsSurvivedWithoutSpinning(engine: String) throws {
            let backend = try ScriptedBackend.named("served")
            let overIPv6 = try ScriptedBackend(on: "::1") { connection in
                try connection.send("served")
                connection.shutdownWrite()
                _ = connection.ending()
            }
            let ports = try FreePort.take(2, on: "::1")
            let services = ["[::1]:\(ports[0])=127.0.0.1:\(backend.port)", "[::1]:\(ports[1])=[::1]:\(overIPv6.port)"]
            let options = ["--connect-timeout", "4s"]
            try withRingway(engine, services, options: options, prefix: RunningRingway.denied("ipv4-sockets")) { ringway in
                let clients = try (0..<20).map { _ in try TestSocket(to: "::1", ports[0]) }
                try waitUntil("accepting pauses") { try ringway.statistics().acceptPauses > 0 }
                // Statistics are answered all the while, here and below.
                try FailoverTests.expectIdle(ringway)
                #expect(try ringway.statistics().connectionsActive > 0)
                for client in clients { #expect(client.ending() == ECONNRESET) }
                try waitUntil("the closes are counted") { try ringway.statistics().closed("limit-process") == 20 }
                // Accepting goes on, and what needs nothing of the kind is served.
                #expect(try TestSocket(to: "::1", ports[1]).receiveAll() == "served")
                #expect(try ringway.statistics().endpoints.allSatisfy { $0.connectFailures == 0 })
            }
        }

        /// Bulk streams are spliced through pipes. Without any they are copied.
        @Test(arguments: Engines.available)
        func withoutPipesBulkStreamsArriveAllTheSame(engine: String) throws {
            let megabytes = 30
            let backend = try ScriptedBackend { connection in
                let received = try PressureTests.receivePattern(connection)
                try connection.send("\(received) ")
                for _ in 0..<megabytes { try connection.send(PressureTests.pattern) }
                connection.shutdownWrite()
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], prefix: RunningRingway.denied("pipes")) { ringway in
                let before = ringway.pipeDescriptors
                let client = try TestSocket(to: "127.0.0.1", port)
                for _ in 0..<megabytes { try client.send(PressureTests.pattern) }
                client.shutdownWrite()
                let expected = "\(megabytes * PressureTests.megabyte) "
                #expect(try client.receive(exactly: expected.utf8.count) == expected)
                #expect(try PressureTests.receivePattern(client) == megabytes * PressureTests.megabyte)
                #expect(ringway.pipeDescriptors == before)
            }
        }
    }
}
