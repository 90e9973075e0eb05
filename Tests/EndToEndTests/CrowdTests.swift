import Foundation
import Glibc
import Testing

/// Thousands of connections at once. Each costs four descriptors, two of them Ringway's, of the 20,000 that a process has here.
extension EndToEndTests {
    @Suite struct CrowdTests {
        private static let size = 4000

        private func withCrowd(
            _ engine: String, _ count: Int = size, annotations: [String: String] = [:], options: [String] = [], endsHere: Bool = true,
            _ body: (RunningRingway, CrowdBackend, Int, [TestSocket]) throws -> Void
        ) throws {
            let backend = try CrowdBackend()
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let yaml = serviceYAML(port: port, endpoints: ["127.0.0.1:\(backend.port)"], annotations: annotations)
            try directory.replace("web.yaml", with: yaml)
            try withRingway(engine, [directory.root], options: options, endsHere: endsHere, directory: directory) { ringway in
                let clients = try [TestSocket](count, to: port)
                defer { clients.closeAll() }
                #expect(try clients.exchange("hello") == count)
                try body(ringway, backend, port, clients)
            }
        }

        /// A thousand streams flow from three backends when one of them is killed. What their clients had said and it had not read
        /// makes its kernel reset them.
        @Test(arguments: Engines.available)
        func aBackendKilledUnderAThousandStreamsResetsItsOwnAndNoOther(engine: String) throws {
            let servers = try ["one", "two", "three"].map { try Nginx([$0]) }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=" + servers.map { "\($0.ports[0])" }.joined(separator: ",")]) { ringway in
                let streams = try [TestSocket](1000, to: port)
                defer { streams.closeAll() }
                let request = "GET /trickle HTTP/1.1\r\nHost: test\r\n\r\n"
                let more = String(repeating: "x", count: 100)
                for stream in streams { try stream.send(request) }
                for stream in streams { #expect(try stream.receive(exactly: 15) == "HTTP/1.1 200 OK") }
                for stream in streams { try stream.send(more) }
                try waitUntil("all is with the backends") {
                    try ringway.statistics().services[0].bytesFromClients == UInt64(1000 * (request.utf8.count + more.utf8.count))
                }
                let endpoints = try ringway.statistics().endpoints
                #expect(endpoints.map(\.connectionsActive).reduce(0, +) == 1000)
                let victim = try #require(endpoints.max { $0.connectionsActive < $1.connectionsActive })
                let server = try #require(servers.first { "127.0.0.1:\($0.ports[0])" == victim.address })
                server.process.signal(SIGKILL)

                streams.forEach { $0.makeNonBlocking() }
                var living = Array(streams.indices)
                var resets = 0
                var received = [Int](repeating: 0, count: streams.count)
                func readOn() {
                    living.removeAll { index in
                        do throws(TestSocket.Failure) {
                            while true {
                                let count = try streams[index].receive().count
                                if count == 0 { return true }
                                received[index] += count
                            }
                        } catch {
                            if error.errno == ECONNRESET { resets += 1 }
                            return error.errno != EAGAIN
                        }
                    }
                }
                try waitUntil("the end of the backend is the end of its streams") {
                    readOn()
                    return living.count <= 1000 - Int(victim.connectionsActive)
                }
                #expect(resets == Int(victim.connectionsActive) && living.count + resets == 1000)
                try waitUntil("the closes are counted") { try ringway.statistics().closed("server-reset") == victim.connectionsActive }
                let load = HTTPLoad(port: port, connections: 20, requestsPerConnection: 1, requests: 300).run()
                #expect(load.failures == [] && load.requests == 300 && load.answers.count == 2)
                let before = received
                try waitUntil("the other streams flow on") {
                    readOn()
                    return living.allSatisfy { received[$0] > before[$0] }
                }
                #expect(living.count + resets == 1000)
            }
        }

        /// Slow and idle clients cost memory for their rows in tables, and nobody else anything.
        @Test(arguments: Engines.available)
        func thousandsOfIdleAndBytewiseClientsCostLittleAndDelayNobody(engine: String) throws {
            let backend = try CrowdBackend()
            let nginx = try Nginx(["web"])
            let ports = try FreePort.take(2)
            try withRingway(engine, ["\(ports[0])=\(backend.port)", "\(ports[1])=\(nginx.ports[0])"]) { ringway in
                // Warm, so that the growth is that of the crowd.
                _ = HTTPLoad(port: ports[1], connections: 50, requestsPerConnection: 10, requests: 1000).run()
                for _ in 0..<2 {
                    let first = try [TestSocket](200, to: ports[0])
                    #expect(try first.exchange("hello") == 200)
                    first.closeAll()
                    try waitUntil("they are gone") { try ringway.statistics().connectionsActive == 0 }
                }
                let before = ringway.residentBytes
                let idle = try [TestSocket](Self.size, to: ports[0])
                defer { idle.closeAll() }
                // Not more at once than before: how many buffers a burst touches is not the price of who stays.
                for first in stride(from: 0, to: Self.size, by: 200) {
                    #expect(try Array(idle[first..<min(first + 200, Self.size)]).exchange("hello") == min(200, Self.size - first))
                }
                try waitUntil("all are counted") { try ringway.statistics().connectionsActive == UInt64(Self.size) }
                let each = (ringway.residentBytes - before) / Self.size
                // Their rows are 512 bytes at most; the rest is for a megabyte by which the memory of a process wanders.
                #expect(each <= 768, "\(each) bytes for each idle connection")
                #expect(try ringway.statistics().workers.map(\.buffersActive).reduce(0, +) == 0)
                try FailoverTests.expectIdle(ringway)

                let stop = Counter()
                defer { stop.stop() }
                let bytewise = Pending {
                    let clients = try [TestSocket](20, to: ports[0])
                    var rounds = 0
                    while !stop.isStopped {
                        guard try clients.exchange("x") == clients.count else { return -1 }
                        rounds += 1
                        usleep(10_000)
                    }
                    return rounds
                }
                let load = HTTPLoad(port: ports[1], connections: 20, requestsPerConnection: 10, requests: 4000).run()
                #expect(load.failures == [] && load.requests == 4000)
                stop.stop()
                #expect(try bytewise.value() > 0)
                #expect(try idle.exchange("still here") == Self.size)
            }
        }

        @Test(arguments: Engines.available)
        func aStormOfResetsFromManyClientsLeavesNothingBehind(engine: String) throws {
            let backend = try CrowdBackend()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"]) { ringway in
                func storm() throws {
                    let clients = (0..<2).map { _ in
                        Pending {
                            for round in 0..<5000 {
                                let client = try TestSocket(to: "127.0.0.1", port)
                                if round % 2 > 0 { try client.send("hello") }
                                client.reset()
                            }
                        }
                    }
                    for client in clients { try client.value(within: .seconds(120)) }
                    try waitUntil("all connections are over") { try ringway.statistics().connectionsActive == 0 }
                }
                // The first one makes the tables as large as it needs them; the second finds them so.
                try storm()
                let before = ringway.residentBytes
                try storm()
                #expect(ringway.residentBytes - before < 4 << 20, "\(ringway.residentBytes - before) bytes more")
                let statistics = try ringway.statistics()
                let service = try #require(statistics.services.first)
                #expect(service.closed.values.reduce(0, +) == service.connections && service.connectionsActive == 0)
                #expect(service.endpoints.map(\.connectionsActive) == [0])
                #expect(statistics.workers.allSatisfy { $0.buffersActive == 0 })
                // Some went before they were accepted; the others are all counted.
                #expect((10_000...20_000).contains(service.connections), "\(service.connections)")
                try waitUntil("the backend is left by all") { backend.tally.open == 0 }
                #expect(try [TestSocket](100, to: port).exchange("hello") == 100)
            }
        }

        /// The Service's file goes: nobody new comes in, the connections there are live on, and another Service notices nothing.
        @Test(arguments: Engines.available)
        func theConnectionsOfARemovedServiceLiveOn(engine: String) throws {
            let nginx = try Nginx(["other"])
            let other = try FreePort.take()
            try withCrowd(engine) { ringway, backend, port, clients in
                try ringway.directory.replace(
                    "other.yaml", with: serviceYAML("other", port: other, endpoints: ["127.0.0.1:\(nginx.ports[0])"]))
                try waitUntil("the other Service is served") { (try? curl(other)) == "other" }
                let stop = Counter()
                defer { stop.stop() }
                let load = Pending { HTTPLoad(port: other, connections: 10, requestsPerConnection: 10).run { stop.isStopped } }
                try FileManager.default.removeItem(atPath: ringway.directory.path("web.yaml"))
                try waitUntil("new clients are refused") { (try? TestSocket(to: "127.0.0.1", port)) == nil }
                #expect(try clients.exchange("the Service is gone") == clients.count)
                #expect(backend.tally.open == clients.count && backend.tally.resets == 0)
                // All of them end at once, in one way or the other.
                for (index, client) in clients.enumerated() { if index % 2 == 0 { client.close() } else { client.reset() } }
                try waitUntil("both sides of all are closed", within: .seconds(30)) { backend.tally.open == 0 }
                stop.stop()
                let outcome = try load.value()
                #expect(outcome.failures == [])
                #expect(outcome.requests > 0)
            }
        }

        @Test(arguments: Engines.available)
        func sigtermWithACrowdWaitsForTheGraceAndReportsWhoWasReset(engine: String) throws {
            try withCrowd(engine, options: ["--grace", "8s"], endsHere: false) { ringway, backend, _, clients in
                ringway.process.signal(SIGTERM)
                try waitUntil("draining begins") { ringway.log.contains("draining") }
                let (finishing, staying) = (Array(clients[..<1000]), Array(clients[1000...]))
                #expect(try finishing.exchange("the last words") == 1000)
                finishing.forEach { $0.shutdownWrite() }
                let finished = finishing.endings()
                #expect(finished.fins == 1000)
                let reset = staying.endings()
                #expect(reset.resets == staying.count)
                #expect(try ringway.process.wait() == .code(0))
                #expect(ringway.log.contains("connectionsReset=\(staying.count)"), "\(ringway.log)")
                try waitUntil("the backend has heard of all") { backend.tally.open == 0 }
                #expect(backend.tally.resets == staying.count)
            }
        }

        /// The process is stopped for longer than its idle timeout, while every client speaks. No connection is taken for idle for that,
        /// and of what came meanwhile, many times what the ring of buffers and the rings of io_uring hold, nothing is lost.
        @Test(arguments: Engines.available)
        func aStoppedProcessLosesNoConnectionAndNoByte(engine: String) throws {
            let count = 1500
            try withCrowd(engine, count, options: ["--idle-timeout", "6s", "--workers", "1"]) { ringway, backend, _, clients in
                let text = String(repeating: "0123456789abcdef", count: 768)
                #expect(try clients.exchange("before") == count)
                ringway.process.signal(SIGSTOP)
                for client in clients { try client.send(text) }
                usleep(8_000_000)
                ringway.process.signal(SIGCONT)
                #expect(try clients.count { try $0.receive(exactly: text.utf8.count) == text } == count)
                let statistics = try ringway.statistics()
                #expect(statistics.connectionsActive == UInt64(count) && statistics.services[0].closed == [:])
                // The timeout is none the less in force.
                try waitUntil("silent connections end", within: .seconds(40)) { try ringway.statistics().connectionsActive == 0 }
                #expect(try ringway.statistics().services[0].closed == ["client-idle": UInt64(count)])
                try waitUntil("the backend has heard of all") { backend.tally.open == 0 }
            }
        }

        /// Each stop and each continuation ends the wait in the kernel with EINTR.
        @Test(arguments: Engines.available)
        func interruptedWaitsFailNoRequest(engine: String) throws {
            let nginx = try Nginx(["web"])
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(nginx.ports[0])"]) { ringway in
                let stop = Counter()
                defer { stop.stop() }
                let load = Pending { HTTPLoad(port: port, connections: 20, requestsPerConnection: 20).run { stop.isStopped } }
                for _ in 0..<200 {
                    ringway.process.signal(SIGSTOP)
                    usleep(1000)
                    ringway.process.signal(SIGCONT)
                    usleep(5000)
                }
                stop.stop()
                let outcome = try load.value()
                #expect(outcome.failures == [] && outcome.requests > 100)
            }
        }

        @Test(arguments: Engines.available)
        func aCrowdFromOneAddressIsHeldToItsLimitAndStrangersAreServed(engine: String) throws {
            let limit = 1000
            // Two workers may take the last place at the same moment.
            let taken = limit...limit + 1
            let backend = try CrowdBackend()
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            let yaml = serviceYAML(
                port: port, endpoints: ["127.0.0.1:\(backend.port)"], annotations: ["max-connections-per-source": "\(limit)"])
            try withRingway(engine, [try directory.write(yaml, to: "web.yaml")]) { ringway in
                let crowd = try [TestSocket].served(Self.size, to: port)
                defer { crowd.closeAll() }
                #expect(taken.contains(crowd.count), "\(crowd.count)")
                let statistics = try ringway.statistics()
                #expect(statistics.closed("limit-source") == UInt64(Self.size - crowd.count))
                #expect(statistics.connectionsActive == UInt64(crowd.count) && statistics.workers.allSatisfy { $0.sourcesUncounted == 0 })
                for stranger in 2...5 {
                    let clients = try [TestSocket](200, to: port, from: "127.0.0.\(stranger)")
                    #expect(try clients.exchange("hello") == 200)
                    clients.closeAll()
                }
                #expect(try crowd.exchange("still here") == crowd.count)
                // Places that become free are the client's again.
                crowd.prefix(500).forEach { $0.close() }
                try waitUntil("they are free") { try ringway.statistics().connectionsActive == UInt64(crowd.count - 500) }
                let more = try [TestSocket].served(600, to: port)
                #expect(taken.contains(crowd.count - 500 + more.count), "\(more.count)")
                more.closeAll()
            }
        }
    }
}
