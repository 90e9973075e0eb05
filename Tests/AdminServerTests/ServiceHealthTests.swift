import Addressing
import AdminServer
import ControlPlane
import Glibc
import NIOCore
import NIOPosix
import ServiceModel
import Synchronization
import Testing

/// Ports on which load balancers ask whether this node has endpoints of a Service.
struct ServiceHealthTests {
    private static func port(_ number: Int, _ name: String = "web", endpoints: Int) -> HealthCheckPort {
        HealthCheckPort(
            service: ServiceKey(namespace: "shop", name: name), port: PortNumber(number)!, endpointsHere: endpoints,
            location: SourceLocation(file: "web.yaml"))
    }

    private static let nextPort = Atomic(Int.random(in: 0..<6000))

    /// A server at a port that nobody had, below those that the kernel gives to connections of other tests.
    private static func takePort() async throws -> (number: Int, server: any Channel) {
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        for _ in 0..<100 {
            let number = 3000 + nextPort.add(1, ordering: .relaxed).newValue % 6000
            if let server = try? await bootstrap.bind(host: "0.0.0.0", port: number).get() { return (number, server) }
        }
        throw IOError(errnoCode: EADDRINUSE, reason: "no free port")
    }

    /// A port that nobody has at this moment.
    private static func freePort() async throws -> Int {
        let (number, server) = try await takePort()
        try await server.close()
        return number
    }

    /// What is answered to a request, until the server closes; nil where nobody listens.
    private static func ask(
        _ port: Int, _ request: String = "GET / HTTP/1.0\r\n\r\n", at host: String = "127.0.0.1"
    ) async throws -> String? {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(10))
        let connected = try? await bootstrap.connect(host: host, port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        guard let connected else { return nil }
        return try await connected.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: request))
            var answer = ""
            for try await part in inbound { answer += String(buffer: part) }
            return answer
        }
    }

    @Test func theAnswerIsAKubernetesProxysToTheByte() {
        let well = ServiceHealth(Self.port(30_000, endpoints: 2), isHealthy: true)
        let body =
            "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 2,\n"
            + "\t\"serviceProxyHealthy\": true\n}"
        #expect(well.body == body && well.passed)
        #expect(!ServiceHealth(Self.port(30_000, endpoints: 0), isHealthy: true).passed)
        let ill = ServiceHealth(Self.port(30_000, endpoints: 2), isHealthy: false)
        #expect(!ill.passed && ill.body.contains("\"serviceProxyHealthy\": false"))
    }

    @Test func itIsAnsweredByWhateverPathAndMethodAndFollowsChanges() async throws {
        let isHealthy = Atomic(true)
        let servers = ServiceHealthServers { isHealthy.load(ordering: .relaxed) }
        let number = try await Self.freePort()
        #expect(await servers.serve([Self.port(number, endpoints: 3)]).isEmpty)
        let answer = try #require(try await Self.ask(number))
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") || answer.hasPrefix("HTTP/1.0 200 OK\r\n"))
        for header in ["Content-Type: application/json", "X-Content-Type-Options: nosniff", "X-Load-Balancing-Endpoint-Weight: 3"] {
            #expect(answer.contains("\r\n\(header)\r\n"))
        }
        #expect(answer.hasSuffix("\r\n\r\n" + ServiceHealth(Self.port(number, endpoints: 3), isHealthy: true).body))
        let post = "POST /any/where?x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
        #expect(try await Self.ask(number, post)?.hasPrefix("HTTP/1.1 200 OK\r\n") == true)
        let head = try #require(try await Self.ask(number, "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
        #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n") && head.hasSuffix("\r\n\r\n"))

        // Two requests of one connection, and a change between two answers.
        #expect(await servers.serve([Self.port(number, endpoints: 0)]).isEmpty)
        let two = try #require(
            try await Self.ask(number, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
        #expect(two.ranges(of: "HTTP/1.1 503 Service Unavailable").count == 2)
        #expect(await servers.serve([Self.port(number, endpoints: 1)]).isEmpty)
        isHealthy.store(false, ordering: .relaxed)
        #expect(try await Self.ask(number)?.contains(" 503 ") == true)

        #expect(await servers.serve([]).isEmpty)
        #expect(try await Self.ask(number) == nil)
    }

    @Test func itIsAnsweredAtTheAddressesOfNodePortsAlone() async throws {
        let servers = ServiceHealthServers { true }
        let number = try await Self.freePort()
        let ports = [Self.port(number, endpoints: 1)]
        func answered() async throws -> [String] {
            var hosts: [String] = []
            for host in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] where try await Self.ask(number, at: host) != nil { hosts.append(host) }
            return hosts
        }
        let addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map { IPAddress($0)! }
        #expect(await servers.serve(ports, at: Array(addresses[..<2])).isEmpty)
        #expect(try await answered() == ["127.0.0.2", "127.0.0.3"])
        // The node loses an address and is given another one.
        #expect(await servers.serve(ports, at: Array(addresses[1...])).isEmpty)
        #expect(try await answered() == ["127.0.0.3", "127.0.0.4"])
        // An address that is no more: the others go on.
        #expect(await servers.serve(ports, at: [IPAddress("192.0.2.1")!, addresses[0]]).count == 1)
        #expect(await servers.serve(ports, at: [addresses[0]]).isEmpty)
        #expect(try await answered() == ["127.0.0.2"])
        #expect(await servers.serve(ports, at: []).isEmpty)
        #expect(try await answered() == [])
        await servers.stop()
    }

    @Test func aConnectionThatIsLeftSaysNothingOfAServiceThatIsGone() async throws {
        let servers = ServiceHealthServers { true }
        let number = try await Self.freePort()
        #expect(await servers.serve([Self.port(number, endpoints: 1)]).isEmpty)
        let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(host: "127.0.0.1", port: number) {
            channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        try await connection.executeThenClose { inbound, outbound in
            var parts = inbound.makeAsyncIterator()
            var answer = ""
            for isServed in [true, false] {
                if !isServed { await servers.stop() }
                try? await outbound.write(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
                answer = ""
                while !answer.hasSuffix("}"), let part = try await parts.next() { answer += String(buffer: part) }
                #expect(answer.hasPrefix("HTTP/1.1 200 OK") == isServed)
            }
            #expect(answer.isEmpty)
        }
    }

    @Test func aPortThatIsTakenIsReportedTriedAgainAndHarmsNoOther() async throws {
        let servers = ServiceHealthServers { true }
        let (taken, other) = try await Self.takePort()
        let free = try await Self.freePort()
        let ports = [Self.port(taken, endpoints: 1), Self.port(free, "api", endpoints: 1), Self.port(free, "copy", endpoints: 1)]
        let failures = await servers.serve(ports)
        #expect(failures.map(\.port.service.name) == ["web", "copy"])
        #expect(failures.first?.reason == "another process has the port (`ss -ltnp` names it)")
        #expect(failures.last?.reason == "it is that of Service shop/api")
        #expect(try await Self.ask(free)?.contains("\"name\": \"api\"") == true)
        try await other.close()
        #expect(await servers.serve(Array(ports.prefix(2))).isEmpty)
        #expect(try await Self.ask(taken)?.contains("\"name\": \"web\"") == true)
        await servers.stop()
    }
}
