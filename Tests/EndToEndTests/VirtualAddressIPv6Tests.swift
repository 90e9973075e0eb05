import Glibc
import Testing

/// Virtual addresses of IPv6, which the kernel lets be bound only by who says that no interface has them.
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct VirtualAddressIPv6Tests {
        private static let dualStack = ["--service-cidr", "10.96.0.0/16,fd00:10:96::/112"]
        private static let all = "{\"ranges\":[\"10.96.0.0/16\",\"fd00:10:96::/112\"],\"guard\":true}\n"
        private static let nothing = "{\"ranges\":[],\"guard\":false}\n"

        private static func service(_ name: String, _ addresses: [String], _ port: String = "{port: 80}", to endpoint: String) -> String {
            let isDual = addresses.count == 2
            return """
                apiVersion: v1
                kind: Service
                metadata:
                  name: \(name)
                  annotations: {ringway.dev/endpoints: "\(endpoint)"}
                spec:
                  clusterIP: "\(addresses[0])"
                  clusterIPs: ["\(addresses.joined(separator: "\", \""))"]
                  ipFamilyPolicy: \(isDual ? "RequireDualStack" : "SingleStack")
                  ports: [\(port)]

                """
        }

        @Test(arguments: Engines.available)
        func clusterIPsOfBothFamiliesAreServedAndNothingElseIsReachableByThem(engine: String) throws {
            let hosts = try VirtualAddressHosts()
            let echo = try DatagramBackend.echo("", on: "127.0.0.1", 5353, in: hosts.front)
            let yaml = [
                Self.service("web", ["10.96.0.10", "fd00:10:96::10"], to: "127.0.0.1:8081"),
                Self.service("dns", ["fd00:10:96::53", "10.96.0.53"], "{port: 53, protocol: UDP}", to: echo.address),
            ]
            let file = try hosts.directory.write(yaml.joined(separator: "---\n"), to: "web.yaml")
            let ringway = try hosts.run(engine, file, options: Self.dualStack)
            defer { ringway.process.end() }
            #expect(ringway.log.contains("range=fd00:10:96::/112"), "\(ringway.log)")
            for host in [hosts.front, hosts.client] {
                #expect(try curl(80, at: "fd00:10:96::10", prefix: host.enter) == "web")
                #expect(try curl(80, at: "10.96.0.10", prefix: host.enter) == "web")
                // The other server, and a port and an address that nobody has: each is refused.
                #expect(try hosts.said(by: host, "fd00:10:96::10", 2222) == nil)
                #expect(try hosts.said(by: host, "fd00:10:96::99", 2222) == nil)
                #expect(try hosts.said(by: host, "fd00:10:96::99", 80) == nil)
                #expect(try hosts.said(by: host, "10.96.0.10", 2222) == nil)
            }
            #expect(try hosts.said(by: hosts.client, "fd99::1", 2222) == "other")
            // A connected socket hears the address that it asked, and no other.
            for asked in ["fd00:10:96::53", "10.96.0.53"] {
                let client = try DatagramSocket(on: asked.contains(":") ? "fd99::2" : "10.99.0.2", to: (asked, 53), in: hosts.client)
                client.send("?")
                #expect(client.receive()?.text == "?", "\(asked)")
            }
            #expect(try hosts.network("show", "-o", "json") == Self.all)
            ringway.process.signal(SIGTERM)
            #expect(try ringway.process.wait() == .code(0))
            #expect(try hosts.network("show", "-o", "json") == Self.nothing)
        }

        @Test func whatACrashLeavesIsAdoptedOrCleanedUp() throws {
            let hosts = try VirtualAddressHosts()
            let yaml = Self.service("web", ["fd00:10:96::10", "10.96.0.10"], to: "127.0.0.1:8081")
            let file = try hosts.directory.write(yaml, to: "web.yaml")
            for _ in 0..<2 {
                let ringway = try hosts.run("epoll", file, options: Self.dualStack)
                defer { ringway.process.end() }
                #expect(try curl(80, at: "fd00:10:96::10", prefix: hosts.front.enter) == "web")
                #expect(!ringway.log.contains("the host's network is not"), "\(ringway.log)")
                ringway.process.signal(SIGKILL)
                _ = try ringway.process.wait()
                #expect(try hosts.network("show", "-o", "json") == Self.all)
            }
            _ = try hosts.network("cleanup")
            #expect(try hosts.network("show", "-o", "json") == Self.nothing)
            #expect(try hosts.front.run(["ip", "-6", "route", "show", "table", "local", "proto", "0x72"]).output == "")
        }

        /// Each range is by itself: fd99::/64 is the host's own network.
        @Test func aRangeThatTheHostUsesIsRefusedByNameAndTheOtherServed() throws {
            let hosts = try VirtualAddressHosts()
            let yaml = Self.service("web", ["10.96.0.10", "fd99::1:10"], to: "127.0.0.1:8081")
            let ringway = try hosts.run(
                "epoll", try hosts.directory.write(yaml, to: "web.yaml"), options: ["--service-cidr", "10.96.0.0/16,fd99::/96"])
            defer { ringway.process.end() }
            #expect(ringway.log.contains("fd99::/96 overlaps the "), "\(ringway.log)")
            #expect(ringway.log.contains("dev eth0: choose another --service-cidr"), "\(ringway.log)")
            #expect(ringway.process.output.contains("fd99::1:10 is not an address of this host"), "\(ringway.process.output)")
            #expect(try curl(80, at: "10.96.0.10", prefix: hosts.client.enter) == "web")
            #expect(try hosts.network("show", "-o", "json") == "{\"ranges\":[\"10.96.0.0/16\"],\"guard\":true}\n")
        }

        @Test func aHostWithoutIPv6SaysSoAndServesTheOtherFamily() throws {
            let hosts = try VirtualAddressHosts()
            _ = try hosts.front.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"])
            let yaml = Self.service("web", ["10.96.0.10", "fd00:10:96::10"], to: "127.0.0.1:8081")
            let ringway = try hosts.run("epoll", try hosts.directory.write(yaml, to: "web.yaml"), options: Self.dualStack)
            defer { ringway.process.end() }
            #expect(ringway.log.contains("can't make fd00:10:96::/112 local: IPv6 is off"), "\(ringway.log)")
            #expect(try curl(80, at: "10.96.0.10", prefix: hosts.client.enter) == "web")
        }

        /// An administrator's own route: external addresses in it, and node ports of UDP behind the wildcard address.
        @Test(arguments: Engines.available)
        func addressesThatAreLocalByAnotherRouteAreServedAndAnsweredFrom(engine: String) throws {
            let hosts = try VirtualAddressHosts()
            try hosts.front.set("ip -6 route add local fd00:77::/64 dev lo")
            try hosts.client.set("ip -6 route add fd00:77::/64 via fd99::1")
            let echo = try DatagramBackend.echo("", on: "127.0.0.1", 5353, in: hosts.front)
            let yaml = """
                \(serviceYAML("web", on: "fd00:77::80", port: 80, endpoints: ["127.0.0.1:8081"]))---
                apiVersion: v1
                kind: Service
                metadata:
                  name: echo
                  annotations: {ringway.dev/endpoints: "\(echo.address)"}
                spec:
                  type: NodePort
                  externalIPs: ["fd00:77::53"]
                  ports: [{port: 53, nodePort: 30053, protocol: UDP}]

                """
            let ringway = try hosts.run(
                engine, try hosts.directory.write(yaml, to: "web.yaml"), options: ["--host-network", "off"])
            defer { ringway.process.end() }
            #expect(!ringway.log.contains("can't listen"), "\(ringway.log)")
            #expect(try curl(80, at: "fd00:77::80", prefix: hosts.client.enter) == "web")
            for (asked, port) in [("fd00:77::53", 53), ("fd00:77::99", 30053), ("fd99::1", 30053)] {
                let client = try DatagramSocket(on: "fd99::2", to: (asked, port), in: hosts.client)
                client.send("?")
                #expect(client.receive()?.text == "?", "\(asked) \(port)")
            }
        }
    }
}
