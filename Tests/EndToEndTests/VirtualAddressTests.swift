import Foundation
import Glibc
import Testing

/// Virtual addresses that no interface has: the program makes them the host's own, keeps other servers off them, and tidies up.
///
///       front namespace                            client namespace
///     ┌───────────────────────────────┐          ┌──────────────────────────────┐
///     │ 10.99.0.1      ringway        │  veth    │ 10.99.0.2                    │
///     │ 127.0.0.1:8081 nginx         ═╪══════════╪═ 10.96.0.0/12 via 10.99.0.1  │
///     │ 0.0.0.0:2222   another server │          │                              │
///     └───────────────────────────────┘          └──────────────────────────────┘
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct VirtualAddressTests {
        private final class Hosts {
            let front: Namespace
            let client: Namespace
            let directory: TemporaryDirectory
            let nginx: Nginx
            let other: ChildProcess

            init() throws {
                front = try Namespace()
                client = try Namespace(beside: front)
                directory = try TemporaryDirectory()
                try front.set(
                    """
                    ip link add eth0 type veth peer name eth0 netns \(client.identifier)
                    ip address add 10.99.0.1/24 dev eth0
                    ip link set eth0 up
                    """)
                try client.set(
                    """
                    ip address add 10.99.0.2/24 dev eth0
                    ip link set eth0 up
                    ip route add 10.96.0.0/16 via 10.99.0.1
                    """)
                nginx = try Nginx(["web"], addresses: ["127.0.0.1"], port: 8081, prefix: front.enter)
                other = try ChildProcess(
                    front.enter + ["socat", "TCP-LISTEN:2222,fork,reuseaddr", "EXEC:echo other"], in: directory)
                try waitUntil("the other server listens") { try said(by: front, "127.0.0.1", 2222) == "other" }
            }

            deinit { other.end() }

            /// What a server says that speaks first; nil where it refuses.
            func said(by host: Namespace, _ address: String, _ port: Int) throws -> String? {
                let outcome = try host.run(["socat", "-u", "-T5", "TCP:\(address):\(port),connect-timeout=5", "-"])
                return outcome.isSuccess ? outcome.output.trimmingCharacters(in: .whitespacesAndNewlines) : nil
            }

            func network(_ arguments: String...) throws -> String {
                let outcome = try front.run([RunningRingway.binary, "network"] + arguments)
                #expect(outcome.isSuccess, "\(outcome.error)")
                return outcome.output
            }

            func writeService(_ addresses: [String] = ["10.96.0.10"]) throws -> String {
                let services = addresses.enumerated().map { number, address in
                    serviceYAML("web-\(number)", port: 80, endpoints: ["127.0.0.1:8081"])
                        .replacing("externalIPs: [\"127.0.0.1\"]", with: "clusterIP: \(address)")
                }
                return try directory.write(services.joined(separator: "---\n"), to: "web.yaml")
            }

            func run(_ engine: String, _ file: String, options: [String] = [], prefix: [String] = []) throws -> RunningRingway {
                let network = options.contains("--host-network") ? [] : ["--host-network", "auto"]
                return try RunningRingway(
                    engine, [file], options: options + network + ["--node-port-range", "30000-32767"], prefix: front.enter + prefix,
                    directory: directory)
            }
        }

        private static let all = "{\"ranges\":[\"10.96.0.0/12\"],\"guard\":true}\n"
        private static let nothing = "{\"ranges\":[],\"guard\":false}\n"

        @Test(arguments: Engines.available)
        func aClusterIPIsServedWithoutAnInterfaceAndNothingElseIsReachableByIt(engine: String) throws {
            let hosts = try Hosts()
            // 10.99.0.0/24 is a part of the range.
            try hosts.front.set("ip address del 10.99.0.1/24 dev eth0\nip address add 192.0.2.1/24 dev eth0")
            try hosts.client.set(
                "ip address add 192.0.2.2/24 dev eth0\nip route del 10.96.0.0/16\nip route add 10.96.0.0/16 via 192.0.2.1")
            let ringway = try hosts.run(engine, try hosts.writeService())
            defer { ringway.process.end() }
            #expect(ringway.log.contains("virtual addresses are this host's own") && ringway.log.contains("range=10.96.0.0/12"))
            for host in [hosts.front, hosts.client] {
                #expect(try curl(80, at: "10.96.0.10", prefix: host.enter) == "web")
                // The other server, and a port and an address that nobody has: each is refused.
                #expect(try hosts.said(by: host, "10.96.0.10", 2222) == nil)
                #expect(try hosts.said(by: host, "10.96.0.99", 2222) == nil)
                #expect(try hosts.said(by: host, "10.96.0.99", 80) == nil)
            }
            #expect(try hosts.said(by: hosts.front, "127.0.0.1", 2222) == "other")
            #expect(try hosts.said(by: hosts.client, "192.0.2.1", 2222) == "other")
            #expect(try hosts.network("show", "-o", "json") == Self.all)
            ringway.process.signal(SIGTERM)
            #expect(try ringway.process.wait() == .code(0))
            #expect(try hosts.network("show", "-o", "json") == Self.nothing)
        }

        @Test func whatACrashLeavesIsAdoptedOrCleanedUp() throws {
            let hosts = try Hosts()
            try hosts.front.set("ip address del 10.99.0.1/24 dev eth0")
            let file = try hosts.writeService()
            for _ in 0..<2 {
                let ringway = try hosts.run("epoll", file)
                defer { ringway.process.end() }
                #expect(try curl(80, at: "10.96.0.10", prefix: hosts.front.enter) == "web")
                #expect(!ringway.log.contains("the host's network is not"), "\(ringway.log)")
                ringway.process.signal(SIGKILL)
                _ = try ringway.process.wait()
                #expect(try hosts.network("show", "-o", "json") == Self.all)
            }
            #expect(try hosts.network("show").contains("route   local 10.96.0.0/12 dev lo\nguard   nftables table inet ringway"))
            _ = try hosts.network("cleanup")
            #expect(try hosts.network("show") == "nothing of this host's network is Ringway's\n")
            // With nothing there it has nothing to do, which is no error.
            _ = try hosts.network("cleanup")
            let kept = try hosts.run("epoll", file, options: ["--host-network", "keep"])
            defer { kept.process.end() }
            kept.process.signal(SIGTERM)
            #expect(try kept.process.wait() == .code(0))
            #expect(try hosts.network("show", "-o", "json") == Self.all)
        }

        /// 10.99.0.0/24 is in the middle of it: the host's own network would be cut off.
        @Test func aRangeThatTheHostUsesIsRefusedByNameAndHarmsNobody() throws {
            let hosts = try Hosts()
            let ringway = try hosts.run("epoll", try hosts.writeService(["10.96.0.10", "127.0.0.10"]))
            defer { ringway.process.end() }
            #expect(ringway.log.contains("10.96.0.0/12 overlaps the"), "\(ringway.log)")
            #expect(ringway.log.contains("10.99.0.") && ringway.log.contains("choose another --service-cidr"), "\(ringway.log)")
            #expect(try curl(80, at: "127.0.0.10", prefix: hosts.front.enter) == "web")
            #expect(try hosts.network("show", "-o", "json") == Self.nothing)
        }

        @Test func withoutTheCapabilityWhatCanBeBoundIsServedAndTheRestNamed() throws {
            let hosts = try Hosts()
            try hosts.front.set("ip address del 10.99.0.1/24 dev eth0")
            let ringway = try hosts.run(
                "epoll", try hosts.writeService(["10.96.0.10", "127.0.0.10"]), prefix: ["setpriv", "--bounding-set=-net_admin"])
            defer { ringway.process.end() }
            #expect(ringway.log.contains("CAP_NET_ADMIN"), "\(ringway.log)")
            #expect(try curl(80, at: "127.0.0.10", prefix: hosts.front.enter) == "web")
            #expect(try hosts.network("show", "-o", "json") == Self.nothing)
        }

        /// The setting is the namespace's own.
        @Test func nodePortsAreKeptFromConnectionsOfTheHost() throws {
            let hosts = try Hosts()
            func reserved() throws -> String {
                try hosts.front.run(["cat", "/proc/sys/net/ipv4/ip_local_reserved_ports"]).output.trimmingCharacters(in: .newlines)
            }
            _ = try hosts.front.run(["sh", "-c", "echo 31000 60999 >/proc/sys/net/ipv4/ip_local_port_range"])
            _ = try hosts.front.run(["sh", "-c", "echo 31080,40000 >/proc/sys/net/ipv4/ip_local_reserved_ports"])
            let yaml = serviceYAML(port: 80, endpoints: ["127.0.0.1:8081"])
                .replacing("externalIPs: [\"127.0.0.1\"]", with: "type: NodePort").replacing(
                    "- port: 80", with: "- port: 80\n    nodePort: 30080")
            let ringway = try hosts.run("epoll", try hosts.directory.write(yaml, to: "web.yaml"))
            defer { ringway.process.end() }
            #expect(try curl(30080, at: "10.99.0.1", prefix: hosts.client.enter) == "web")
            #expect(try reserved() == "31000-32767,40000")
            ringway.process.signal(SIGTERM)
            #expect(try ringway.process.wait() == .code(0))
            #expect(try reserved() == "31080,40000")
        }
    }
}
