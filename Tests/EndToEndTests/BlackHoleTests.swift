import Foundation
import Testing

/// Endpoints behind a network that swallows, refuses or can't reach them.
///
///       front namespace                               back namespace
///     ┌──────────────────────────────────┐          ┌───────────────────────────────────────────┐
///     │ curl ─► 10.99.0.1:80  ringway    │  veth    │ 10.99.0.2:80  nginx, "alive"              │
///     │                       10.99.0.1 ═╪══════════╪═ 10.99.0.3:80  nft drops every SYN to it  │
///     │                                  │          │ 10.99.0.4:80  nft answers: unreachable    │
///     └──────────────────────────────────┘          └───────────────────────────────────────────┘
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct BlackHoleTests {
        private final class Topology {
            let front: Namespace
            let back: Namespace

            init() throws {
                front = try Namespace()
                back = try Namespace(beside: front)
                try front.set(
                    """
                    ip link add eth0 type veth peer name eth0 netns \(back.identifier)
                    ip address add 10.99.0.1/24 dev eth0
                    ip link set eth0 up
                    """)
                try back.set(
                    """
                    ip address add 10.99.0.2/24 dev eth0
                    ip address add 10.99.0.3/24 dev eth0
                    ip address add 10.99.0.4/24 dev eth0
                    ip link set eth0 up
                    nft add table inet faults
                    nft add chain inet faults input { type filter hook input priority 0 ; }
                    nft add rule inet faults input ip daddr 10.99.0.3 tcp flags & ( syn | ack ) == syn drop
                    nft add rule inet faults input ip daddr 10.99.0.4 meta l4proto tcp reject with icmp type host-unreachable
                    """)
            }
        }

        @Test(arguments: Engines.available)
        func aDroppedSYNIsPassedOverWithinTheAttemptTimeout(engine: String) throws {
            let topology = try Topology()
            let nginx = try Nginx(["alive"], addresses: ["10.99.0.2"], port: 80, prefix: topology.back.enter)
            let options = ["--connect-attempt-timeout", "300ms"]
            try withRingway(engine, ["10.99.0.1:80=10.99.0.2:80,10.99.0.3:80"], options: options, prefix: topology.front.enter) { ringway in
                for _ in 0..<12 {
                    let answer = try curl(80, at: "10.99.0.1", prefix: topology.front.enter)
                    #expect(answer == "alive")
                }
                let statistics = try ringway.statistics()
                let hole = try #require(statistics.endpoints.first { $0.address == "10.99.0.3:80" })
                #expect(hole.connectFailures > 0 && hole.connectFailures == hole.connections && statistics.retries == hole.connections)
            }
            _ = nginx
        }

        @Test(arguments: Engines.available)
        func anUnreachableEndpointIsPassedOverAtOnce(engine: String) throws {
            let topology = try Topology()
            let nginx = try Nginx(["alive"], addresses: ["10.99.0.2"], port: 80, prefix: topology.back.enter)
            try withRingway(engine, ["10.99.0.1:80=10.99.0.2:80,10.99.0.4:80"], prefix: topology.front.enter) { ringway in
                for _ in 0..<20 {
                    let answer = try curl(80, at: "10.99.0.1", prefix: topology.front.enter)
                    #expect(answer == "alive")
                }
                #expect(try ringway.statistics().retries > 0)
            }
            _ = nginx
        }

        @Test(arguments: Engines.available)
        func onlyDroppedSYNsEndWithinTheBudget(engine: String) throws {
            let topology = try Topology()
            let options = ["--connect-attempt-timeout", "200ms", "--connect-timeout", "500ms"]
            try withRingway(engine, ["10.99.0.1:80=10.99.0.3:80"], options: options, prefix: topology.front.enter) { ringway in
                let outcome = try topology.front.run(["curl", "--silent", "--max-time", "15", "http://10.99.0.1:80/"])
                // 56: reset by the peer, and not 28, curl's own patience.
                #expect(outcome.exit == .code(56))
                try waitUntil("the close is counted") { try ringway.statistics().closed("connect-timeout") == 1 }
            }
        }
    }
}
