import Foundation
import Glibc
import Testing

/// What becomes of clients by where they come from, as endpoints come and go.
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct ClientRuleTests {
        private static let outside = "203.0.113.2"
        private static let pod = "10.0.0.2"
        private static let node = "192.168.0.2"
        private static let here = "10.180.0.1:80"
        private static let there = "10.180.1.1:80"

        /// `web` has local policy, and `guarded` source ranges; a third is another proxy's.
        private static func manifest(_ endpoints: [(address: String, node: String)]) -> String {
            func service(_ name: String, _ virtual: String, _ rest: String, annotations: String = "") -> String {
                """
                apiVersion: v1
                kind: Service
                metadata:
                  name: \(name)
                  labels: {\(name == "other" ? "" : "service.kubernetes.io/service-proxy-name: here")}
                  annotations: {\(annotations)}
                spec:
                  type: LoadBalancer
                \(rest)
                status: {loadBalancer: {ingress: [{ip: \(virtual)}]}}
                ---

                """
            }
            let addresses = endpoints.map { "- {addresses: [\($0.address)], nodeName: \($0.node)}\n" }.joined()
            let slices = ["web", "guarded", "other"].map { name in
                """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: \(name)-1, labels: {kubernetes.io/service-name: \(name)}}
                addressType: IPv4
                ports: [{name: tcp, port: 80}, {name: udp, port: 80, protocol: UDP}]
                endpoints: \(endpoints.isEmpty ? "[]" : "\n" + addresses)
                ---

                """
            }
            func ports(_ tcp: Int, _ udp: Int) -> String {
                "  ports: [{name: tcp, port: 80, nodePort: \(tcp)}, {name: udp, port: 80, protocol: UDP, nodePort: \(udp)}]"
            }
            return service(
                "web", "1.2.3.4",
                "  clusterIP: 172.30.0.41\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 3999\n" + ports(3001, 3002))
                + service(
                    "guarded", "5.6.7.8", "  clusterIP: 172.30.0.42\n  loadBalancerSourceRanges: [203.0.113.0/25]\n" + ports(3003, 3004),
                    annotations: "ringway.dev/node-port-source-ranges: 192.0.2.0/24")
                + service("other", "9.10.11.12", "  clusterIP: 172.30.0.43\n" + ports(3005, 3006)) + slices.joined()
        }

        /// The same over TCP and over UDP, whose node ports stand beside each other.
        private static func both(_ from: String, _ to: String, nodePort: Int? = nil, _ outcome: Flow.Outcome) -> [Flow] {
            [false, true].map { isUDP in
                Flow(from: from, to: to, port: nodePort.map { $0 + (isUDP ? 1 : 0) } ?? 80, isUDP: isUDP, outcome: outcome)
            }
        }

        /// Only what is asked at the load balancer's address and the node's port goes by policy and ranges.
        private static func flows(outside: Flow.Outcome, near: Flow.Outcome, anyway: Flow.Outcome, health: Flow.Outcome) -> [Flow] {
            var flows: [Flow] = []
            flows += both(Self.outside, "1.2.3.4", outside) + both(Self.outside, node, nodePort: 3001, outside)
            for client in [pod, node] { flows += both(client, "1.2.3.4", near) + both(client, node, nodePort: 3001, near) }
            flows += both("1.2.3.4", "1.2.3.4", near) + both("127.0.0.1", "127.0.0.1", nodePort: 3001, near)
            flows += both(Self.outside, "172.30.0.41", anyway) + both(Self.outside, "172.30.0.42", anyway)
            flows.append(Flow(from: Self.outside, to: node, port: 3999, outcome: health))
            flows.append(Flow(from: node, to: "127.0.0.1", port: 3999, outcome: health))
            return flows
        }

        @Test(arguments: Engines.available)
        func clientsAreLedDroppedAndRefusedByWhereTheyComeFrom(engine: String) throws {
            let hosts = try FlowHosts(
                node: [Self.node], virtual: ["1.2.3.4", "5.6.7.8", "9.10.11.12", "172.30.0.41", "172.30.0.42", "172.30.0.43"],
                clients: [Self.outside, "203.0.113.130", "192.0.2.7", Self.pod], endpoints: [("10.180.0.1", 80), ("10.180.1.1", 80)])
            let everywhere = Self.manifest([("10.180.0.1", "here"), ("10.180.1.1", "there")])
            let file = try hosts.directory.write(everywhere, to: "services.yaml")
            let options = [
                "--node-name", "here", "--cluster-cidr", "10.0.0.0/8", "--service-proxy-name", "here", "--service-cidr", "172.30.0.0/16",
                "--node-port-range", "3000-4000",
            ]
            try withRingway(engine, [file], options: options, prefix: hosts.node.enter, directory: hosts.directory) { ringway in
                func change(to manifest: String) throws {
                    let generation = try ringway.statistics().generation
                    try hosts.directory.write(manifest, to: "services.yaml")
                    try waitUntil("the change is applied") { try ringway.statistics().generation > generation }
                }
                let all = Flow.Outcome.reaches([Self.here, Self.there])
                var guarded = Self.both(Self.outside, "5.6.7.8", all) + Self.both("203.0.113.130", "5.6.7.8", .silence)
                guarded +=
                    Self.both("192.0.2.7", Self.node, nodePort: 3003, all) + Self.both(Self.outside, Self.node, nodePort: 3003, .silence)
                guarded += Self.both(Self.pod, "5.6.7.8", .silence) + Self.both("5.6.7.8", "5.6.7.8", .silence)
                let others = Self.both(Self.outside, "9.10.11.12", .refused) + Self.both(Self.outside, Self.node, nodePort: 3005, .refused)
                let complete = Self.flows(
                    outside: .reaches([Self.here]), near: all, anyway: all, health: .health(200, endpoints: 1))
                try hosts.expect(complete + guarded + others)
                #expect(try ringway.statistics().services.reduce(0) { $0 + ($1.dropped["denied"] ?? 0) } > 0)

                try change(to: Self.manifest([("10.180.1.1", "there")]))
                let elsewhere = Flow.Outcome.reaches([Self.there])
                try hosts.expect(
                    Self.flows(outside: .silence, near: elsewhere, anyway: elsewhere, health: .health(503, endpoints: 0)))
                #expect(try ringway.statistics().listeners.contains { $0.state == "no-endpoints-here" })

                try change(to: Self.manifest([]))
                try hosts.expect(
                    Self.flows(outside: .refused, near: .refused, anyway: .refused, health: .health(503, endpoints: 0)))

                try change(to: everywhere)
                try hosts.expect(complete + guarded)
                // Those who were to hear nothing did not get as far as a connection.
                #expect(try ringway.statistics().closed("denied") == 0)
            }
        }

        /// Somebody else has the port: it is said, everything else is served, and once it is free it is answered.
        @Test func aHealthCheckPortThatIsTakenHarmsNobody() throws {
            let hosts = try FlowHosts(
                node: [Self.node], virtual: ["1.2.3.4", "5.6.7.8", "9.10.11.12", "172.30.0.41", "172.30.0.42", "172.30.0.43"],
                clients: [Self.outside], endpoints: [("10.180.0.1", 80)])
            let other = try ChildProcess(
                hosts.node.enter + ["socat", "TCP-LISTEN:3999,fork,reuseaddr", "EXEC:echo other"], in: hosts.directory)
            defer { other.end() }
            try waitUntil("the other server listens") {
                try hosts.node.run(["socat", "-u", "-T5", "TCP:127.0.0.1:3999", "-"]).output == "other\n"
            }
            let file = try hosts.directory.write(Self.manifest([("10.180.0.1", "here")]), to: "services.yaml")
            let options = [
                "--node-name", "here", "--service-proxy-name", "here", "--service-cidr", "172.30.0.0/16", "--node-port-range", "3000-4000",
            ]
            try withRingway("epoll", [file], options: options, prefix: hosts.node.enter, directory: hosts.directory) { ringway in
                #expect(ringway.log.contains("failed to start healthcheck \"default/web\" on port 3999: another process has the port"))
                try hosts.expect(Self.both(Self.outside, "1.2.3.4", .reaches([Self.here])))
                other.end()
                // It is tried again every ten seconds.
                try waitUntil("the port is answered", within: .seconds(40)) {
                    try hosts.node.run(["curl", "-s", "-m", "5", "127.0.0.1:3999"]).output.contains("\"localEndpoints\": 1")
                }
            }
        }
    }
}
