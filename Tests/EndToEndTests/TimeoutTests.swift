import Foundation
import Glibc
import Testing

/// Connections that fall silent, and peers that are gone without a word.
///
///       front namespace                               back namespace
///     ┌──────────────────────────────────┐          ┌───────────────────────────────────────────────┐
///     │ socat ─► 10.99.0.1:80  ringway ══╪═ veth ═══╪═ 10.99.0.2:80  socat (echo)                   │
///     │ socat (echo) 10.99.0.1:9000      │          │ socat ─► 10.99.0.1:81                         │
///     └──────────────────────────────────┘          │ nft drops everything, once the test says so   │
///                                                   └───────────────────────────────────────────────┘
extension EndToEndTests {
    @Suite struct TimeoutTests {
        @Test(arguments: Engines.available)
        func aSilentConnectionIsResetAndOneInUseIsNot(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], options: ["--idle-timeout", "600ms"]) { ringway in
                let silent = try TestSocket(to: "127.0.0.1", port)
                let used = try TestSocket(to: "127.0.0.1", port)
                try silent.send("hello")
                #expect(try silent.receive(exactly: 5) == "hello")
                let ending = Pending { silent.ending() }
                for _ in 0..<10 {
                    try used.send("ping")
                    #expect(try used.receive(exactly: 4) == "ping")
                    usleep(150_000)
                }
                #expect(ending.isDone)
                #expect(try ending.value() == ECONNRESET)
                used.shutdownWrite()
                #expect(try used.receiveAll() == "")
                try waitUntil("the closes are counted") {
                    let statistics = try ringway.statistics()
                    return statistics.closed("client-idle") == 1 && statistics.closed("client-fin") == 1
                }
            }
        }

        @Test(arguments: Engines.available)
        func aHalfClosedConnectionThatStaysSilentIsReset(engine: String) throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.receiveAll()
                // Holds its side open for as long as it may.
                _ = connection.ending()
                usleep(5_000_000)
            }
            let port = try FreePort.take()
            try withRingway(engine, ["\(port)=\(backend.port)"], options: ["--half-close-timeout", "400ms"]) { ringway in
                let client = try TestSocket(to: "127.0.0.1", port)
                try client.send("question")
                client.shutdownWrite()
                #expect(client.ending() == ECONNRESET)
                try waitUntil("the close is counted") { try ringway.statistics().closed("half-close-timeout") == 1 }
            }
        }

        @Test(arguments: Engines.available)
        func aServicesAnnotationCountsBeforeTheOption(engine: String) throws {
            let backend = try ScriptedBackend.echo()
            let ports = try FreePort.take(2)
            let directory = try TemporaryDirectory()
            func service(_ name: String, _ port: Int, _ timeout: String) -> String {
                """
                apiVersion: v1
                kind: Service
                metadata:
                  name: \(name)
                  annotations: {ringway.dev/endpoints: "127.0.0.1:\(backend.port)", ringway.dev/idle-timeout: "\(timeout)"}
                spec: {externalIPs: [127.0.0.1], ports: [{port: \(port)}]}
                """
            }
            let services = [service("short", ports[0], "300ms"), service("long", ports[1], "off")]
            let file = try directory.write(services.joined(separator: "\n---\n"), to: "web.yaml")
            try withRingway(engine, [file], options: ["--idle-timeout", "800ms"]) { ringway in
                let short = try TestSocket(to: "127.0.0.1", ports[0])
                let long = try TestSocket(to: "127.0.0.1", ports[1])
                #expect(short.ending() == ECONNRESET)
                usleep(1_500_000)
                try long.send("still here")
                #expect(try long.receive(exactly: 10) == "still here")
                let services = try ringway.statistics().services
                #expect(services.first { $0.name == "short" }?.closed == ["client-idle": 1])
                #expect(services.first { $0.name == "long" }?.closed == [:])
            }
        }
    }

    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct VanishedPeerTests {
        private final class Topology {
            let front: Namespace
            let back: Namespace
            let directory: TemporaryDirectory
            private var programs: [ChildProcess] = []

            init() throws {
                front = try Namespace()
                back = try Namespace(beside: front)
                directory = try TemporaryDirectory()
                try front.set(
                    """
                    ip link add eth0 type veth peer name eth0 netns \(back.identifier)
                    ip address add 10.99.0.1/24 dev eth0
                    ip link set eth0 up
                    """)
                try back.set(
                    """
                    ip address add 10.99.0.2/24 dev eth0
                    ip link set eth0 up
                    """)
            }

            deinit { for program in programs { program.end() } }

            @discardableResult
            func start(_ namespace: Namespace, _ command: [String]) throws -> ChildProcess {
                let program = try ChildProcess(namespace.enter + command, in: directory)
                programs.append(program)
                return program
            }

            /// Starts a server that sends back what it gets, and waits until it listens.
            func startEcho(_ namespace: Namespace, _ address: String, _ port: Int) throws {
                try start(namespace, ["socat", "TCP-LISTEN:\(port),bind=\(address),reuseaddr,fork", "PIPE"])
                try waitUntil("socat listens") {
                    try namespace.run(["ss", "-Hltn"]).output.contains("\(address):\(port) ")
                }
            }

            /// From now on the back namespace hears nothing and says nothing.
            func vanish() throws {
                try back.set(
                    """
                    nft add table inet faults
                    nft add chain inet faults input { type filter hook input priority 0 ; }
                    nft add rule inet faults input drop
                    nft add chain inet faults output { type filter hook output priority 0 ; }
                    nft add rule inet faults output drop
                    """)
            }
        }

        @Test(arguments: Engines.available)
        func keepaliveFindsASilentServerThatIsGone(engine: String) throws {
            let topology = try Topology()
            try topology.startEcho(topology.back, "10.99.0.2", 80)
            let options = ["--tcp-keepalive", "1s", "--tcp-user-timeout", "off"]
            try withRingway(engine, ["10.99.0.1:80=10.99.0.2:80"], options: options, prefix: topology.front.enter) { ringway in
                let client = try topology.start(topology.front, ["socat", "-u", "TCP:10.99.0.1:80", "-"])
                try waitUntil("the server's socket is watched over") {
                    try topology.front.run(["ss", "-Htno", "dst", "10.99.0.2"]).output.contains("timer:(keepalive")
                }
                try topology.vanish()
                // A second of silence, and four probes a second apart.
                _ = try client.wait(within: .seconds(20))
                try waitUntil("the close is counted") { try ringway.statistics().closed("server-lost") == 1 }
            }
        }

        @Test(arguments: Engines.available)
        func userTimeoutFindsAServerThatIsGoneWithBytesUnderWay(engine: String) throws {
            let topology = try Topology()
            try topology.startEcho(topology.back, "10.99.0.2", 80)
            let options = ["--tcp-keepalive", "off", "--tcp-user-timeout", "1500ms"]
            try withRingway(engine, ["10.99.0.1:80=10.99.0.2:80"], options: options, prefix: topology.front.enter) { ringway in
                let go = topology.directory.path("go")
                let client = try topology.start(
                    topology.front,
                    ["socat", "TCP:10.99.0.1:80", "SYSTEM:while ! test -e \(go); do sleep 0.1; done; echo question; sleep 60"])
                try waitUntil("the connection is there") { try ringway.statistics().endpoints.contains { $0.connectionsActive == 1 } }
                usleep(600_000)
                try topology.vanish()
                _ = try topology.directory.write("", to: "go")
                _ = try client.wait(within: .seconds(20))
                try waitUntil("the close is counted") { try ringway.statistics().closed("server-lost") == 1 }
            }
        }

        @Test(arguments: Engines.available)
        func keepaliveFindsASilentClientThatIsGone(engine: String) throws {
            let topology = try Topology()
            try topology.startEcho(topology.front, "10.99.0.1", 9000)
            let options = ["--tcp-keepalive", "1s", "--tcp-user-timeout", "2s"]
            try withRingway(engine, ["10.99.0.1:81=10.99.0.1:9000"], options: options, prefix: topology.front.enter) { ringway in
                let client = try topology.start(topology.back, ["socat", "-u", "TCP:10.99.0.1:81", "-"])
                try waitUntil("the connection is there") { try ringway.statistics().endpoints.contains { $0.connectionsActive == 1 } }
                try topology.vanish()
                try waitUntil("the close is counted", within: .seconds(20)) { try ringway.statistics().closed("client-lost") == 1 }
                client.end()
            }
        }
    }
}
