import Foundation
import Glibc
import Testing

/// UDP with several hosts and real peers: `DatagramHosts` draws them.
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct DatagramHostsTests {
        private static func message(_ number: Int, _ size: Int) -> [UInt8] {
            (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ number &* 7) }
        }

        private static func burst(_ count: Int, of size: Int) -> [[UInt8]] { (0..<count).map { message($0, size) } }

        /// Sends back what it gets. But for "apart 40", which is answered with 40 datagrams, and "cut 40", for which the kernel makes
        /// them of one (UDP_SEGMENT).
        private static func backend(on host: String, in namespace: Namespace) throws -> DatagramBackend {
            try DatagramBackend(on: host, 7, in: namespace, segment: 600) { datagram in
                switch String(decoding: datagram, as: UTF8.self) {
                case "apart 40": burst(40, of: 600)
                case "cut 40": [burst(40, of: 600).flatMap(\.self)]
                default: [datagram]
                }
            }
        }

        // MARK: Addresses

        /// F35: a wildcard listener of a host with several links and addresses.
        @Test(arguments: Engines.available)
        func answersComeFromTheAddressThatWasAskedOnEveryLink(engine: String) throws {
            let hosts = try DatagramHosts()
            let backend = try Self.backend(on: "10.99.0.2", in: hosts.back)
            let directory = try TemporaryDirectory()
            try directory.write(
                """
                apiVersion: v1
                kind: Service
                metadata:
                  name: echo
                  annotations: {ringway.dev/endpoints: "\(backend.address)"}
                spec:
                  type: NodePort
                  ports: [{port: 7, nodePort: 30007, protocol: UDP}]

                """, to: "echo.yaml")
            let pairs = [
                ("10.98.1.2", "10.98.1.1"), ("10.98.2.2", "10.98.2.1"), ("10.98.1.2", "10.98.9.1"), ("10.98.1.2", "10.98.2.1"),
                ("fd98:1::2", "fd98:1::1"), ("fd98:2::2", "fd98:2::1"), ("fd98:1::2", "fd98:9::1"), ("fd98:1::2", "fd98:2::1"),
            ]
            try withRingway(engine, [directory.path("echo.yaml")], prefix: hosts.front.enter, directory: directory) { ringway in
                for (source, asked) in pairs {
                    // A connected socket hears the address it asked and no other.
                    let client = try DatagramSocket(on: source, to: (asked, 30007), in: hosts.client)
                    client.send("?")
                    #expect(client.receive()?.text == "?", "\(source) asks \(asked)")
                    for question in ["apart 40", "cut 40"] {
                        client.send(question)
                        #expect((0..<40).map { _ in client.receive()?.bytes } == Self.burst(40, of: 600), "\(source) asks \(asked)")
                    }
                }
                // One socket that asks several.
                let client = try DatagramSocket(on: "10.98.1.2", in: hosts.client)
                for asked in ["10.98.1.1", "10.98.9.1", "10.98.2.1"] {
                    client.send(Array(asked.utf8), to: asked, 30007)
                    let answer = try #require(client.receive())
                    #expect(answer.text == asked && answer.from == "\(asked):30007")
                }
                let statistics = try ringway.statistics()
                #expect(statistics.sessionsActive == UInt64(pairs.count) + 3 && statistics.services.first?.dropped == [:])
            }
        }

        // MARK: Endpoints that can't be reached

        /// An endpoint that the network refuses, how it is known then, and the port of a Service that has it beside one that is well.
        private struct Refused {
            let port: Int
            let host: String
            let because: String

            var isIPv6: Bool { host.contains(":") }
            var address: String { isIPv6 ? "[\(host)]:7" : "\(host):7" }

            func newClient(_ hosts: DatagramHosts) throws -> DatagramSocket {
                try DatagramSocket(on: isIPv6 ? "fd98:1::2" : "10.98.1.2", to: (isIPv6 ? "fd98:1::1" : "10.98.1.1", port), in: hosts.client)
            }
        }

        /// F32 over a wire: every kind of refusal counts against the endpoint, the next datagram goes elsewhere, and five in a row eject.
        @Test(arguments: Engines.available)
        func anEndpointThatTheNetworkRefusesIsLeftAndBroughtBack(engine: String) throws {
            let hosts = try DatagramHosts()
            let wells = try ["10.99.0.2", "fd99::2"].map { try DatagramBackend.echo("well ", on: $0, 7, in: hosts.back) }
            // A host that isn't there, a closed port, and a firewall's word.
            let refused = [
                Refused(port: 1, host: "10.99.0.9", because: "connect-unreachable"),
                Refused(port: 2, host: "fd99::9", because: "connect-unreachable"),
                Refused(port: 3, host: "10.99.0.3", because: "connect-refused"),
                Refused(port: 4, host: "fd99::3", because: "connect-refused"),
                Refused(port: 5, host: "10.99.0.4", because: "connect-unreachable"),
                Refused(port: 6, host: "fd99::4", because: "connect-unreachable"),
            ]
            let services = refused.map {
                ($0.isIPv6 ? "[fd98:1::1]" : "10.98.1.1") + ":\($0.port)/udp=\(wells[$0.isIPv6 ? 1 : 0].address),\($0.address)"
            }
            try withRingway(engine, services, prefix: hosts.front.enter) { ringway in
                func endpoint(_ refused: Refused) throws -> Statistics.Endpoint {
                    try #require(try ringway.statistics().endpoints.first { $0.address == refused.address })
                }
                let clients = try refused.map { refused in try (0..<40).map { _ in try refused.newClient(hosts) } }
                for group in clients {
                    for client in group { client.send("first") }
                    // A host sends fifty ICMP messages at once, and a thousand in a second.
                    usleep(50_000)
                }
                for one in refused {
                    // The kernel looks for a neighbour for three seconds.
                    let isEjected = try wait(within: .seconds(20)) { try endpoint(one).ejections == 1 }
                    let found = try endpoint(one)
                    #expect(isEjected && found.connectFailures >= 5 && found.because == one.because, "\(found)")
                }
                var lost = 0
                for (one, group) in zip(refused, clients) {
                    for client in group where client.receive(within: 0) == nil {
                        lost += 1
                        client.send("second")
                        #expect(client.receive(within: 3000)?.text == "well second", "\(one.host)")
                    }
                }
                #expect(lost >= 30)
                for service in try ringway.statistics().services { #expect(service.dropped == [:] && service.rebinds >= 5) }

                // They serve again.
                try DatagramHosts.run(
                    """
                    nft flush chain inet faults input
                    ip address add 10.99.0.9/24 dev eth0
                    ip address add fd99::9/64 dev eth0 nodad
                    """, in: hosts.back)
                let repaired = try refused.map { try DatagramBackend.echo("back ", on: $0.host, 7, in: hosts.back) }
                for one in refused {
                    try waitUntil("\(one.host) is back", within: .seconds(40)) {
                        let client = try one.newClient(hosts)
                        client.send("?")
                        return client.receive(within: 300)?.text == "back ?"
                    }
                    #expect(try endpoint(one).state == "active")
                }
                _ = repaired
            }
        }

        // MARK: Sizes

        /// F33: what is larger than a packet, what is empty, what is joined by ringway, and what is joined by its peers.
        @Test(arguments: Engines.available)
        func boundariesAreKeptOverAWire(engine: String) throws {
            let hosts = try DatagramHosts()
            let near = try Self.backend(on: "10.99.0.2", in: hosts.back)
            let plain = try DatagramBackend.echo(on: "10.99.0.3", 7, in: hosts.back)
            let services = ["10.98.1.1:1/udp=\(near.address)", "10.98.1.1:2/udp=\(plain.address)", "10.98.2.1:3/udp=\(plain.address)"]
            try withRingway(engine, services, prefix: hosts.front.enter) { ringway in
                let client = try DatagramSocket(on: "10.98.1.2", to: ("10.98.1.1", 2), in: hosts.client)
                // Over a link of 1400, where the joined answers are refused.
                let narrow = try DatagramSocket(on: "10.98.2.2", to: ("10.98.2.1", 3), in: hosts.client)
                func expect(_ messages: [[UInt8]], _ socket: DatagramSocket, _ what: Comment) {
                    #expect(messages.map { _ in socket.receive()?.bytes } == messages, what)
                }
                for socket in [client, narrow] {
                    for size in [0, 1, 1372, 1373, 1472, 1473, 4000, 65_507] {
                        let bytes = Self.message(size, size)
                        socket.send(bytes)
                        expect([bytes], socket, "\(size) bytes")
                    }
                    for size in [1, 1200, 1372, 1450, 1472, 2000, 1200] {
                        let burst = Self.burst(40, of: size)
                        for datagram in burst { socket.send(datagram) }
                        expect(burst, socket, "bursts of \(size) bytes")
                    }
                    // The client's kernel cuts them; the last one is shorter.
                    let burst = Self.burst(40, of: 1200) + [Self.message(40, 500)]
                    socket.cut(into: 1200)
                    socket.send(burst.flatMap(\.self))
                    socket.cut(into: 0)
                    expect(burst, socket, "cut by the client")
                }
                let asking = try DatagramSocket(on: "10.98.1.2", to: ("10.98.1.1", 1), in: hosts.client)
                for question in ["apart 40", "cut 40"] {
                    asking.send(question)
                    expect(Self.burst(40, of: 600), asking, "\(question)")
                }
                for service in try ringway.statistics().services { #expect(service.dropped == [:]) }
            }
        }

        /// Behind a router whose next link takes 1400 bytes, an endpoint or a client: what is too long for it is cut on the way, and
        /// nothing is lost.
        @Test(arguments: Engines.available)
        func aNarrowLinkBehindARouterIsPassedBothWays(engine: String) throws {
            let hosts = try DatagramHosts()
            let far = try DatagramBackend.echo(on: "10.97.0.2", 7, in: hosts.far)
            let near = try DatagramBackend.echo(on: "10.99.0.2", 7, in: hosts.back)
            let services = ["10.98.1.1:7/udp=\(far.address)", "10.99.0.1:7/udp=\(near.address)"]
            try withRingway(engine, services, prefix: hosts.front.enter) { ringway in
                let clients = [
                    try DatagramSocket(on: "10.98.1.2", to: ("10.98.1.1", 7), in: hosts.client),
                    try DatagramSocket(on: "10.97.0.2", to: ("10.99.0.1", 7), in: hosts.far),
                ]
                for client in clients {
                    for size in [1200, 1450, 1472, 4000, 1200] {
                        for count in [1, 40] {
                            let burst = Self.burst(count, of: size)
                            for datagram in burst { client.send(datagram) }
                            #expect(burst.map { _ in client.receive(within: 5000)?.bytes } == burst, "\(count) of \(size)")
                        }
                    }
                }
                let statistics = try ringway.statistics()
                #expect(statistics.services.allSatisfy { $0.dropped == [:] } && statistics.endpoints.allSatisfy { $0.connectFailures == 0 })
            }
        }

        /// IPv6 has no router cut anything. It says what is too long, once that is lost, and from then on the kernel cuts.
        @Test(arguments: Engines.available)
        func overIPv6ANarrowLinkLosesTheFirstDatagramAndNoOther(engine: String) throws {
            let hosts = try DatagramHosts()
            let far = try DatagramBackend.echo(on: "fd97::2", 7, in: hosts.far)
            try withRingway(engine, ["[fd98:1::1]:7/udp=\(far.address)"], prefix: hosts.front.enter) { ringway in
                let client = try DatagramSocket(on: "fd98:1::2", to: ("fd98:1::1", 7), in: hosts.client)
                client.send(Self.message(0, 1450))
                #expect(client.receive(within: 500) == nil)
                for size in [1450, 1200, 1430, 4000] {
                    for count in [1, 40] {
                        let burst = Self.burst(count, of: size)
                        for datagram in burst { client.send(datagram) }
                        #expect(burst.map { _ in client.receive(within: 5000)?.bytes } == burst, "\(count) of \(size)")
                    }
                }
                let service = try #require(try ringway.statistics().services.first)
                #expect(service.dropped == [:] && service.rebinds == 0)
            }
        }

        // MARK: Changes

        /// F34: a sender that waits for nothing, and an endpoint that goes, once with its host.
        @Test(arguments: Engines.available)
        func nothingReachesAnEndpointOnceItsRemovalIsAcknowledged(engine: String) throws {
            let hosts = try DatagramHosts()
            let (atFar, atNear) = (Numbers(), Numbers())
            let far = try atFar.backend(on: "10.97.0.2", 514, in: hosts.far)
            let near = try atNear.backend(on: "10.99.0.2", 514, in: hosts.back)
            let directory = try TemporaryDirectory()
            func write(_ endpoint: DatagramBackend) throws {
                // Of the class one-way, as the port's number says.
                try directory.replace("log.yaml", with: udpServiceYAML(on: "10.98.1.1", port: 514, endpoints: [endpoint.address]))
            }
            try write(far)
            try withRingway(engine, [directory.path("log.yaml")], prefix: hosts.front.enter, directory: directory) { ringway in
                func change(to endpoint: DatagramBackend) throws {
                    let generation = try ringway.statistics().generation
                    try write(endpoint)
                    try waitUntil("the change is acknowledged") { try ringway.statistics().generation > generation }
                }
                let sender = NumberSender(from: try DatagramSocket(on: "10.98.1.2", to: ("10.98.1.1", 514), in: hosts.client))
                try waitUntil("they arrive") { far.received > 200 }
                try change(to: near)
                let firstChange = sender.sent
                try waitUntil("they arrive at the other") { near.received > 200 }
                #expect(atFar.all.allSatisfy { $0 <= firstChange })
                try change(to: far)
                let secondChange = sender.sent
                try waitUntil("they arrive again") { atFar.all.last ?? 0 > secondChange }
                #expect(atNear.all.allSatisfy { $0 <= secondChange })
                // Up to here none was lost, nor came twice.
                let here = min(atFar.all.last ?? 0, secondChange)
                #expect((atFar.all + atNear.all).filter { $0 <= here }.sorted() == Array(0...here))

                try hosts.far.set("ip link set eth0 down")
                let down = sender.sent
                usleep(200_000)
                try change(to: near)
                let thirdChange = sender.sent
                try waitUntil("they arrive at the host that is up") { atNear.all.last ?? 0 > thirdChange + 200 }
                try hosts.far.set("ip link set eth0 up")
                let all = try sender.stop()
                try waitUntil("the last has arrived") { atNear.all.last == all - 1 }
                #expect(atFar.all.allSatisfy { $0 <= thirdChange })
                #expect(atNear.all.filter { $0 > thirdChange } == Array(thirdChange + 1..<all))
                let lost = all - far.received - near.received
                #expect(lost <= thirdChange - here, "\(lost) lost of \(thirdChange - down) sent while the host was down")
                let service = try #require(try ringway.statistics().services.first)
                #expect(service.datagramsFromClients == UInt64(all) && service.dropped == [:])
            }
        }

        // MARK: Resolvers

        /// Two resolvers behind port 53 of both protocols, whose number says the class.
        @Test(arguments: Engines.available)
        func resolversAreAskedOverBothProtocols(engine: String) throws {
            let hosts = try DatagramHosts()
            let addresses = ["10.99.0.2", "10.99.0.3"]
            let resolvers = try zip(["a", "b"], addresses).map { try Dnsmasq($0, on: $1, in: hosts.back) }
            let endpoints = addresses.map { "\($0):53" }.joined(separator: ",")
            let services = ["10.98.1.1:53=\(endpoints)", "10.98.1.1:53/udp=\(endpoints)"]
            try withRingway(engine, services, prefix: hosts.front.enter) { ringway in
                func dig(_ arguments: String) throws -> String {
                    let words = ["dig", "+short", "+time=1", "+tries=8", "@10.98.1.1"] + arguments.split(separator: " ").map(String.init)
                    let outcome = try hosts.client.run(words)
                    return outcome.isSuccess ? outcome.output : "\(outcome.exit): \(outcome.output) \(outcome.error)"
                }
                func udp() throws -> Statistics.Service {
                    try #require(try ringway.statistics().services.first { $0.transport == "UDP" })
                }
                #expect(try dig("service.test A service.test AAAA") == "192.0.2.7\n2001:db8::7\n")
                #expect(try dig("+tcp service.test A") == "192.0.2.7\n")
                let names = Set(try (0..<16).map { _ in try dig("who.test TXT") })
                #expect(names == ["\"a\"\n", "\"b\"\n"])
                // Cut off over UDP, and asked again over TCP.
                #expect(try dig("large.test TXT").count > 2400)
                #expect(try ringway.statistics().services.first { $0.transport == "TCP" }?.connections ?? 0 >= 2)

                // The C library asks for both addresses from one socket.
                let directory = try TemporaryDirectory()
                let configuration = try directory.write("nameserver 10.98.1.1\noptions timeout:2 attempts:4\n", to: "resolv.conf")
                let before = try udp().connections
                let script = """
                    mount --bind \(configuration) /etc/resolv.conf
                    for n in $(seq 40); do getent ahosts service.test | awk '{ print $1 }' | sort -u; done
                    """
                let outcome = try hosts.client.run(["unshare", "--mount", "sh", "-ec", script])
                #expect(outcome.output == String(repeating: "192.0.2.7\n2001:db8::7\n", count: 40), "\(outcome)")
                let service = try udp()
                // Most questions share a session; some are asked when the one before them has been answered.
                #expect((before + 40..<before + 80).contains(service.connections))
                try waitUntil("the sessions are over") { try ringway.statistics().sessionsActive == 0 }
                #expect(service.datagramsFromClients == service.datagramsToClients && service.dropped == [:])

                // Their sockets serve others a second later.
                let sockets = try ringway.statistics().socketsActive
                usleep(1_100_000)
                for _ in 0..<8 { #expect(try dig("service.test A") == "192.0.2.7\n") }
                #expect(try ringway.statistics().socketsActive <= sockets)

                // One dies, and nobody goes without an answer for longer than a try.
                resolvers[0].process.end()
                for _ in 0..<8 { #expect(try dig("who.test TXT").hasSuffix("\"b\"\n")) }
                #expect(try udp().endpoints.first { $0.address == "10.99.0.2:53" }?.connectFailures ?? 0 > 0)
            }
        }

        // MARK: Ends

        @Test(arguments: Engines.available)
        func sigtermEndsWithManySessionsOpen(engine: String) throws {
            let backend = try DatagramBackend.echo()
            let port = try FreePort.take()
            let options = ["--grace", "10m"]
            try withRingway(engine, ["127.0.0.1:\(port)/udp=\(backend.address)"], options: options, endsHere: false) { ringway in
                let clients = try (0..<100).map { _ in try DatagramSocket(to: ("127.0.0.1", port)) }
                for client in clients { client.send("?") }
                for client in clients { #expect(client.receive()?.text == "?") }
                #expect(try ringway.statistics().sessionsActive == 100)
                ringway.process.signal(SIGTERM)
                #expect(try ringway.process.wait() == .code(0), "\(ringway.log)")
                // The kernel refuses what comes after.
                #expect(try wait { clients[0].send("?") == ECONNREFUSED })
            }
        }

        @Test(arguments: Engines.available)
        func changesOfOtherServicesDisturbNoSession(engine: String) throws {
            let backends = try ["a ", "b "].map { try DatagramBackend.echo($0) }
            let ports = try FreePort.take(2)
            let directory = try TemporaryDirectory()
            try directory.replace("echo.yaml", with: udpServiceYAML(port: ports[0], endpoints: backends.map(\.address)))
            func writeOther(_ round: Int) throws {
                let endpoints = backends.map(\.address)[..<(1 + round % 2)]
                try directory.replace(
                    "other.yaml",
                    with: udpServiceYAML(
                        "other", port: ports[1], endpoints: Array(endpoints), annotations: ["udp-timeout": "\(10 + round)s"])
                )
            }
            try writeOther(0)
            let sources = [directory.path("echo.yaml"), directory.path("other.yaml")]
            try withRingway(engine, sources, directory: directory) { ringway in
                let client = try DatagramSocket(to: ("127.0.0.1", ports[0]))
                client.send("first")
                let name = try #require(client.receive()).text.prefix(2)
                let sender = NumberSender(from: client)
                let stop = Counter()
                let answers = Pending {
                    let answers = Numbers()
                    while let arrival = client.receive(within: stop.isStopped ? 500 : 10_000) {
                        answers.note(Array(arrival.bytes.dropFirst(2)))
                    }
                    return answers
                }
                for round in 1...8 {
                    let generation = try ringway.statistics().generation
                    try writeOther(round)
                    try waitUntil("change \(round) is applied") { try ringway.statistics().generation > generation }
                }
                let count = try sender.stop()
                stop.stop()
                client.send("-1")
                #expect(try answers.value().all == Array(0..<count) + [-1])
                client.send("last")
                #expect(client.receive()?.text == name + "last")
                let service = try #require(try ringway.statistics().services.first { $0.name == "echo" })
                #expect(service.connections == 1 && service.rebinds == 0 && service.dropped == [:])
            }
        }

        @Test(arguments: Engines.available)
        func sessionsHaveFilesOfTheirOwn(engine: String) throws {
            let (udp, tcp) = (try DatagramBackend.echo(), try ScriptedBackend.echo())
            let port = try FreePort.take()
            let services = ["\(port)=127.0.0.1:\(tcp.port)", "127.0.0.1:\(port)/udp=\(udp.address)"]
            try withRingway(engine, services, prefix: ["prlimit", "--nofile=256:256"]) { ringway in
                #expect(ringway.process.output.contains("64 for UDP sessions"), "\(ringway.process.output)")
                let connectionsMax = Int(try ringway.statistics().connectionsMax)
                let clients = try (0..<300).map { _ in try DatagramSocket(to: ("127.0.0.1", port)) }
                for client in clients {
                    client.send("?")
                    #expect(client.receive()?.text == "?")
                }
                // With as many sessions as there may be, there is still room for every connection.
                let connections = try (0..<connectionsMax).map { _ in try TestSocket(to: "127.0.0.1", port) }
                for connection in connections {
                    try connection.send("!")
                    #expect(try connection.receive(exactly: 1) == "!")
                }
                clients[299].send("?")
                #expect(clients[299].receive()?.text == "?")
            }
        }
    }
}
