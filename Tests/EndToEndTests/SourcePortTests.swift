import Foundation
import Testing

/// Ports that run out. The front namespace has twenty of them for each address of its own and each endpoint.
///
///       front namespace                               back namespace
///     ┌──────────────────────────────────┐          ┌───────────────────────────────────────────┐
///     │ 10.99.0.1:80  ringway            │  veth    │ bash, which holds many connections        │
///     │ 10.99.0.5, 10.99.0.6: sources   ═╪══════════╪═ 10.99.0.2:80, 10.99.0.3:80  nginx         │
///     │ ip_local_port_range 41000-41019  │          │                                           │
///     └──────────────────────────────────┘          └───────────────────────────────────────────┘
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct SourcePortTests {
        private static let ports = 20

        private final class Topology {
            let front: Namespace
            let back: Namespace
            let directory: TemporaryDirectory
            let nginx: Nginx

            init() throws {
                front = try Namespace()
                back = try Namespace(beside: front)
                directory = try TemporaryDirectory()
                try front.set(
                    """
                    ip link add eth0 type veth peer name eth0 netns \(back.identifier)
                    ip address add 10.99.0.1/24 dev eth0
                    ip address add 10.99.0.5/24 dev eth0
                    ip address add 10.99.0.6/24 dev eth0
                    ip link set eth0 up
                    """)
                // The range holds for this namespace alone.
                let range = "echo 41000 \(41000 + ports - 1) >/proc/sys/net/ipv4/ip_local_port_range"
                let outcome = try front.run(["sh", "-c", range])
                try #require(outcome.isSuccess, "\(outcome.error)")
                try back.set(
                    """
                    ip address add 10.99.0.2/24 dev eth0
                    ip address add 10.99.0.3/24 dev eth0
                    ip link set eth0 up
                    """)
                nginx = try Nginx(["web", "web"], addresses: ["10.99.0.2", "10.99.0.3"], port: 80, prefix: back.enter)
            }

            /// Makes connections one after the other, asks on each, and holds those that are answered until it is ended.
            func startClients(_ count: Int) throws -> ChildProcess {
                let script = """
                    trap '' PIPE
                    for n in $(seq \(count)); do
                        exec {fd}<>/dev/tcp/10.99.0.1/80
                        printf 'GET / HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n' >&$fd
                        if read -t 20 -r line <&$fd && [[ $line == *200* ]]; then echo served; else echo reset; exec {fd}>&-; fi
                    done 2>/dev/null
                    echo over
                    exec sleep 300
                    """
                let client = try ChildProcess(back.enter + ["bash", "-c", script], in: directory)
                try waitUntil("\(count) clients have had their turn", within: .seconds(60)) { client.output.hasSuffix("over\n") }
                return client
            }

            static func outcome(_ client: ChildProcess) -> [Int] {
                let lines = client.output.split(separator: "\n")
                return ["served", "reset"].map { word in lines.count { $0 == word } }
            }
        }

        @Test(arguments: Engines.available)
        func whereOneEndpointHasNoPortLeftAnotherServesAndThenClientsAreReset(engine: String) throws {
            let topology = try Topology()
            try withRingway(engine, ["10.99.0.1:80=10.99.0.2:80,10.99.0.3:80"], prefix: topology.front.enter) { ringway in
                let clients = try topology.startClients(2 * Self.ports + 10)
                defer { clients.end() }
                #expect(Topology.outcome(clients) == [2 * Self.ports, 10])
                let statistics = try ringway.statistics()
                #expect(statistics.endpoints.map(\.connectionsActive) == [UInt64(Self.ports), UInt64(Self.ports)])
                #expect(statistics.endpoints.map(\.connectFailures) == [0, 0], "the endpoints are not to blame")
                #expect(statistics.closed("no-source-port") == 10)
                #expect(statistics.workers.contains { $0.portsExhausted > 0 })
                try FailoverTests.expectIdle(ringway)

                // While it lasts, each client costs little: a few ticks, and hardly any look for a port.
                let before = ringway.cpuSeconds
                let late = try topology.startClients(300)
                defer { late.end() }
                #expect(Topology.outcome(late) == [0, 300])
                #expect(ringway.cpuSeconds - before < 1, "\(ringway.cpuSeconds - before) s for 300 clients")
                let ticks = try ringway.statistics().workers.map(\.ticks).reduce(0, +) - statistics.workers.map(\.ticks).reduce(0, +)
                #expect(ticks < 300 * 20, "\(ticks) ticks for 300 clients")
                try waitUntil("the closes are counted") { try ringway.statistics().closed("no-source-port") == 310 }
            }
        }

        @Test(arguments: Engines.available)
        func twoSourceAddressesMakeTwiceAsManyConnections(engine: String) throws {
            let topology = try Topology()
            let options = ["--source-addresses", "10.99.0.5,10.99.0.6"]
            try withRingway(engine, ["10.99.0.1:80=10.99.0.2:80"], options: options, prefix: topology.front.enter) { ringway in
                let clients = try topology.startClients(2 * Self.ports + 10)
                defer { clients.end() }
                #expect(Topology.outcome(clients) == [2 * Self.ports, 10])
                for source in ["10.99.0.5", "10.99.0.6"] {
                    let connections = try topology.front.run(["ss", "-Htn", "state", "established", "src", source, "dst", "10.99.0.2"])
                    #expect(connections.output.split(separator: "\n").count == Self.ports)
                }
                let statistics = try ringway.statistics()
                #expect(statistics.closed("no-source-port") == 10 && statistics.endpoints.map(\.connectFailures) == [0])
                try FailoverTests.expectIdle(ringway)
            }
        }

        @Test(arguments: Engines.available)
        func anAddressThatTheHostHasNotGotIsRefusedAtTheStart(engine: String) throws {
            let outcome = try ChildProcess.run([
                RunningRingway.binary, "run", "--engine", engine, "--admin-socket", "none", "--source-addresses", "127.0.0.1,192.0.2.1",
                "1=2",
            ])
            #expect(outcome.exit == .code(1))
            #expect(outcome.error.contains("--source-addresses: 192.0.2.1 is not an address of this host; add it (ip address add)"))
        }
    }
}
