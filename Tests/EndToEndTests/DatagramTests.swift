import Foundation
import Glibc
import Testing

/// UDP: every datagram arrives as it was sent, from where it was expected, at an endpoint that is there.
extension EndToEndTests {
    @Suite struct DatagramTests {
        /// Runs a UDP Service whose endpoints the body may change.
        private func withService(
            _ engine: String, _ endpoints: [DatagramBackend], affinity: String = "None", annotations: [String: String] = [:],
            options: [String] = [], prefix: [String] = [],
            _ body: (_ ringway: RunningRingway, _ port: Int, _ change: ([DatagramBackend]) throws -> Void) throws -> Void
        ) throws {
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            func write(_ endpoints: [DatagramBackend]) throws {
                var (addresses, annotations) = (endpoints.map(\.address), annotations)
                if addresses.isEmpty {
                    addresses = ["127.0.0.1:9"]
                    annotations["weights"] = "127.0.0.1:9=0"
                }
                try directory.replace(
                    "echo.yaml", with: udpServiceYAML(port: port, endpoints: addresses, affinity: affinity, annotations: annotations))
            }
            try write(endpoints)
            try withRingway(engine, [directory.path("echo.yaml")], options: options, prefix: prefix, directory: directory) { ringway in
                try body(ringway, port) { endpoints in
                    let generation = try ringway.statistics().generation
                    try write(endpoints)
                    try waitUntil("the change is applied") { try ringway.statistics().generation > generation }
                }
            }
        }

        @Test(arguments: Engines.available)
        func everyDatagramArrivesAsItWasSent(engine: String) throws {
            let backend = try DatagramBackend.echo()
            try withService(engine, [backend]) { ringway, port, _ in
                let client = try DatagramSocket(to: ("127.0.0.1", port))
                for size in [0, 1, 512, 1400, 1472, 9000, 65_507] {
                    let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) }
                    client.send(bytes)
                    #expect(try #require(client.receive()).bytes == bytes)
                }
                // Bursts of one sender, equal and unequal, are joined on the way; nobody may be able to tell.
                var generator = SystemRandomNumberGenerator()
                for _ in 0..<20 {
                    let sizes = (0..<100).map { _ in Bool.random(using: &generator) ? 600 : Int.random(in: 0...900, using: &generator) }
                    let burst = sizes.enumerated().map { index, size in [UInt8](repeating: UInt8(index), count: size) }
                    for datagram in burst { client.send(datagram) }
                    let answers = burst.map { _ in client.receive()?.bytes }
                    try #require(answers == burst)
                }
                let service = try #require(try ringway.statistics().services.first)
                #expect(service.datagramsFromClients == 2007 && service.datagramsToClients == 2007)
                #expect(service.dropped == [:] && service.connectionsActive == 1)
            }
        }

        @Test(arguments: Engines.available)
        func repliesComeFromTheAddressThatWasAsked(engine: String) throws {
            let backend = try DatagramBackend.echo()
            let port = try FreePort.take(on: "0.0.0.0")
            try withRingway(engine, ["0.0.0.0:\(port)/udp=\(backend.address)"]) { ringway in
                for address in ["127.0.0.1", "127.0.0.2", "::1"] {
                    let client = try DatagramSocket(on: address == "::1" ? "::1" : "127.0.0.1", to: (address, port))
                    client.send(address)
                    // A connected socket hears the address it asked and no other.
                    #expect(try #require(client.receive()).text == address)
                }
                // One socket that asks two addresses has a session with each.
                let client = try DatagramSocket()
                for address in ["127.0.0.3", "127.0.0.4"] {
                    client.send(Array(address.utf8), to: address, port)
                    let answer = try #require(client.receive())
                    #expect(answer.text == address && answer.from == "\(address):\(port)")
                }
                #expect(try ringway.statistics().sessionsActive == 5)
            }
        }

        /// One socket keeps sending, one datagram at a time, while its Service goes from three endpoints to one, to none, to two.
        @Test(arguments: Engines.available)
        func aSenderFollowsTheEndpointsOfItsService(engine: String) throws {
            let backends = try ["a", "b", "c", "d"].map { try DatagramBackend.echo($0) }
            try withService(engine, Array(backends[..<3])) { ringway, port, change in
                let client = try DatagramSocket(to: ("127.0.0.1", port))
                func ask() -> String? {
                    client.send("?")
                    return client.receive(within: 5000)?.text
                }
                let first = try #require(ask())
                for _ in 0..<20 { #expect(ask() == first, "a session stays with its endpoint") }
                let old = try #require(["a", "b", "c"].firstIndex { first == $0 + "?" })
                let next = (old + 1) % 3

                var counts = backends.map(\.received)
                try change([backends[next]])
                for _ in 0..<20 { #expect(ask() == ["a", "b", "c"][next] + "?") }
                for index in 0..<3 where index != next { #expect(backends[index].received == counts[index]) }

                counts = backends.map(\.received)
                try change([])
                // ICMP port unreachable: the answer to one datagram is told with the next call.
                #expect(ask() == nil && ask() == nil)
                #expect(try wait { client.send("?") == ECONNREFUSED })
                #expect(backends.map(\.received) == counts)

                try change([backends[old], backends[3]])
                let now = try #require(ask())
                #expect([first, "d?"].contains(now), "service resumes with the first datagram")
                for _ in 0..<20 { #expect(ask() == now) }
                #expect(backends[next].received == counts[next])
            }
        }

        @Test(arguments: ["session", "one-way", "per-datagram"], Engines.available)
        func aOneWaySenderIsNeverLeftWithAnEndpointThatIsGone(udpClass: String, engine: String) throws {
            let backends = try (0..<2).map { _ in try DatagramBackend.silent() }
            try withService(engine, [backends[0]], annotations: ["udp-class": udpClass]) { ringway, port, change in
                let client = try DatagramSocket(to: ("127.0.0.1", port))
                for round in 1...4 {
                    let current = backends[1 - round % 2]
                    let before = backends.map(\.received)
                    for _ in 0..<50 { client.send("log") }
                    try waitUntil("they arrive") { current.received == before[1 - round % 2] + 50 }
                    try change([backends[round % 2]])
                }
                #expect(backends.map(\.received) == [100, 100])
                let service = try #require(try ringway.statistics().services.first)
                #expect(service.rebinds == (udpClass == "per-datagram" ? 0 : 3) && service.dropped == [:])
            }
        }

        /// ICMP from an endpoint that is down counts against it, and the next datagram goes elsewhere.
        @Test(arguments: Engines.available)
        func anEndpointThatRefusesIsLeft(engine: String) throws {
            let well = try DatagramBackend.echo("well ")
            let down = try DatagramBackend.silent()
            down.stop()
            try waitUntil("its port is closed") { (try? DatagramSocket(on: "127.0.0.1", down.port)) != nil }
            try withService(engine, [well, down]) { ringway, port, _ in
                for number in 0..<40 {
                    let client = try DatagramSocket(to: ("127.0.0.1", port))
                    client.send("first")
                    // Lost, or answered. If it was lost, the refusal is known by the time of the second.
                    if client.receive(within: 300) == nil {
                        client.send("second")
                        #expect(client.receive()?.text == "well second", "client \(number)")
                    }
                }
                let statistics = try ringway.statistics()
                let refused = try #require(statistics.endpoints.first { $0.address == down.address })
                #expect(refused.connectFailures >= 5 && refused.ejections == 1 && refused.because == "connect-refused")
                #expect(statistics.endpoints.first { $0.address == well.address }?.connectFailures == 0)
            }
        }

        @Test(arguments: Engines.available)
        func aFloodOfClientsIsHeldToTheTable(engine: String) throws {
            let backend = try DatagramBackend.echo()
            // A quarter of 256 files for two workers.
            try withService(engine, [backend], prefix: ["prlimit", "--nofile=256:256"]) { ringway, port, _ in
                let clients = try (0..<400).map { _ in try DatagramSocket(to: ("127.0.0.1", port)) }
                for (number, client) in clients.enumerated() {
                    client.send("\(number)")
                    #expect(client.receive()?.text == "\(number)")
                }
                let statistics = try ringway.statistics()
                #expect((32...64).contains(statistics.sessionsActive), "\(statistics.sessionsActive) sessions")
                #expect(statistics.sessionsEvicted == 400 - statistics.sessionsActive)
                #expect(ringway.openDescriptors < 200)
                // Those that were pushed out begin anew.
                for client in clients[..<10] {
                    client.send("again")
                    #expect(client.receive()?.text == "again")
                }
            }
        }

        @Test(arguments: Engines.available)
        func aResolversTwoQuestionsAreOneShortSession(engine: String) throws {
            let backend = try DatagramBackend.echo()
            try withService(engine, [backend], annotations: ["udp-class": "one-reply"], options: ["--workers", "1"]) { ringway, port, _ in
                func resolve(_ times: Int) throws {
                    for _ in 0..<times {
                        let client = try DatagramSocket(to: ("127.0.0.1", port))
                        client.send("A")
                        client.send("AAAA")
                        #expect([client.receive()?.text, client.receive()?.text] == ["A", "AAAA"])
                    }
                }
                try resolve(20)
                try waitUntil("the sessions are over") { try ringway.statistics().sessionsActive == 0 }
                // A second later their sockets serve others.
                usleep(1_500_000)
                try resolve(20)
                #expect(try ringway.statistics().socketsActive < 35)
            }
        }

        @Test(arguments: Engines.available)
        func anAnswerTooLargeForItsQuestionIsNotPassedOn(engine: String) throws {
            let backend = try DatagramBackend { [[UInt8](repeating: 1, count: $0.count), [UInt8](repeating: 2, count: 4000)] }
            try withService(engine, [backend], annotations: ["udp-reply-ratio-max": "10"]) { ringway, port, _ in
                let client = try DatagramSocket(to: ("127.0.0.1", port))
                client.send([UInt8](repeating: 0, count: 40))
                #expect(client.receive()?.bytes.count == 40)
                #expect(client.receive(within: 300) == nil)
                #expect(try ringway.statistics().services.first?.dropped == ["reply-ratio": 1])
            }
        }

        @Test(arguments: Engines.available)
        func aClientHasAsManySessionsAndDatagramsAsItMay(engine: String) throws {
            let backend = try DatagramBackend.echo()
            let annotations = ["max-connections-per-source": "5", "udp-rate-per-source": "100"]
            try withService(engine, [backend], annotations: annotations, options: ["--workers", "1"]) { ringway, port, _ in
                let clients = try (0..<8).map { _ in try DatagramSocket(to: ("127.0.0.1", port)) }
                for client in clients[..<5] {
                    client.send("x")
                    #expect(client.receive()?.text == "x")
                }
                for client in clients[5...] {
                    client.send("x")
                    #expect(client.receive(within: 100) == nil)
                }
                for _ in 0..<1000 { clients[0].send("y") }
                try waitUntil("the rest is dropped") { try ringway.statistics().services.first?.datagramsFromClients == 1008 }
                let dropped = try #require(try ringway.statistics().services.first).dropped
                #expect(dropped["limit-source"] == 3)
                // A tenth of a second's worth is a burst; more only as time goes by.
                #expect((500...995).contains(dropped["limit-rate"] ?? 0), "\(dropped)")
            }
        }

        @Test(arguments: Engines.available)
        func onePortServesTCPAndUDP(engine: String) throws {
            let udp = try DatagramBackend.echo("udp ")
            let tcp = try ScriptedBackend.named("tcp")
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=127.0.0.1:\(tcp.port)", "\(port)/udp=\(udp.address)"]) { ringway in
                let client = try DatagramSocket(to: ("127.0.0.1", port))
                client.send("?")
                #expect(client.receive()?.text == "udp ?")
                #expect(try TestSocket(to: "127.0.0.1", port).receiveAll() == "tcp")
                #expect(Set(try ringway.statistics().services.map(\.transport)) == ["TCP", "UDP"])
            }
        }

        @Test(arguments: Engines.available)
        func theSameClientGoesToTheSameEndpointWhateverItsPort(engine: String) throws {
            let backends = try ["a", "b", "c"].map { try DatagramBackend.echo($0) }
            try withService(engine, backends, affinity: "ClientIP") { _, port, _ in
                let answers = try (0..<20).map { _ in
                    let client = try DatagramSocket(to: ("127.0.0.1", port))
                    client.send("")
                    return client.receive()?.text
                }
                #expect(Set(answers).count == 1 && answers[0] != nil)
            }
        }
    }
}
