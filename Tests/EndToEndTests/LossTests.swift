import Foundation
import Testing

/// An endpoint behind a network that loses packets (F39).
///
///       front namespace                               back namespace
///     ┌──────────────────────────────────┐          ┌───────────────────────────────────────────┐
///     │ curl ─► 10.99.0.1:80  ringway    │  veth    │ 10.99.0.2:80  nginx, "clean"              │
///     │                       10.99.0.1 ═╪══════════╪═ 10.99.0.3:80  nginx, "lossy": nft drops  │
///     │                                  │          │                three in ten segments      │
///     └──────────────────────────────────┘          └───────────────────────────────────────────┘
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct LossTests {
        @Test(arguments: Engines.available)
        func leastConnectionsShiftsShareAwayFromALossyEndpoint(engine: String) throws {
            let front = try Namespace()
            let back = try Namespace(beside: front)
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
                ip link set eth0 up
                nft add table inet faults
                nft add chain inet faults input { type filter hook input priority 0 ; }
                nft add rule inet faults input ip daddr 10.99.0.3 tcp dport 80 numgen random mod 10 < 3 drop
                """)
            let nginx = try Nginx(["clean", "lossy"], addresses: ["10.99.0.2", "10.99.0.3"], port: 80, prefix: back.enter)
            let directory = try TemporaryDirectory()
            let text = serviceYAML(
                on: "10.99.0.1", port: 80, endpoints: ["10.99.0.2:80", "10.99.0.3:80"], annotations: ["algorithm": "least-connections"])
            try withRingway(engine, [directory.write(text, to: "web.yaml")], prefix: front.enter, directory: directory) { ringway in
                let requests = "seq 120 | xargs -P 6 -I N curl --silent --noproxy '*' --max-time 30 http://10.99.0.1:80/N"
                let outcome = try ChildProcess.run(front.enter + ["sh", "-c", requests], within: .seconds(90))
                let answers = outcome.output.split(separator: "\n")
                let lossy = answers.count { $0 == "lossy" }
                #expect(outcome.isSuccess && answers.count == 120, "\(outcome)")
                #expect(lossy > 0 && lossy < 45, "\(lossy) of 120")
                let endpoints = try ringway.statistics().endpoints
                #expect(endpoints.first { $0.address == "10.99.0.2:80" }?.state == "active", "\(endpoints)")
            }
            _ = nginx
        }
    }
}
