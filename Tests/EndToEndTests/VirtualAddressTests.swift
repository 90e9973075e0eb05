import Foundation
import Glibc
import Testing

/// Virtual addresses that no interface has: the program makes them the host's own, keeps other servers off them, and tidies up.
/// `VirtualAddressHosts` draws who takes part.
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct VirtualAddressTests {
        private static let all = "{\"ranges\":[\"10.96.0.0/12\"],\"guard\":true}\n"
        private static let nothing = "{\"ranges\":[],\"guard\":false}\n"

        @Test(arguments: Engines.available)
        func aClusterIPIsServedWithoutAnInterfaceAndNothingElseIsReachableByIt(engine: String) throws {
            let hosts = try VirtualAddressHosts()
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

        @Test func addressesOfAPoolAreTheHostsOwnToo() throws {
            let hosts = try VirtualAddressHosts()
            try hosts.front.set("ip address del 10.99.0.1/24 dev eth0\nip address add 192.0.2.1/24 dev eth0")
            try hosts.client.set("ip address add 192.0.2.2/24 dev eth0\nip route add 198.51.100.0/24 via 192.0.2.1")
            let yaml = serviceYAML(port: 80, endpoints: ["127.0.0.1:8081"])
                .replacing("externalIPs: [\"127.0.0.1\"]", with: "type: LoadBalancer")
            let ringway = try hosts.run(
                "epoll", try hosts.directory.write(yaml, to: "web.yaml"), options: ["--load-balancer-pool", "198.51.100.8-198.51.100.13"])
            defer { ringway.process.end() }
            for host in [hosts.front, hosts.client] { #expect(try curl(80, at: "198.51.100.8", prefix: host.enter) == "web") }
            #expect(try hosts.said(by: hosts.client, "198.51.100.8", 2222) == nil)
            // The first of the two ranges that these addresses are has one that is served.
            #expect(try hosts.network("show", "-o", "json") == "{\"ranges\":[\"10.96.0.0/12\",\"198.51.100.8/30\"],\"guard\":true}\n")
            ringway.process.signal(SIGTERM)
            #expect(try ringway.process.wait() == .code(0))
            #expect(try hosts.network("show", "-o", "json") == Self.nothing)
        }

        /// A script that waits for a Service to be shown may use it then: here an nft that takes a second is what it has to wait for.
        @Test func aServiceIsShownOnceItIsServed() throws {
            let hosts = try VirtualAddressHosts()
            try hosts.front.set("ip address del 10.99.0.1/24 dev eth0")
            let services = hosts.directory.path("services")
            try FileManager.default.createDirectory(atPath: services, withIntermediateDirectories: false)
            let slow = try hosts.directory.write("#!/bin/sh\nsleep 1\nexec \(hosts.directory.path("nft")) \"$@\"\n", to: "slow")
            try #require(unsafe chmod(slow, 0o755) == 0)
            // It is looked for in the system's own folders alone.
            let replaced = "nft=$(command -v nft) && cp \"$nft\" \(hosts.directory.path("nft")) && mount --bind \(slow) \"$nft\""
            let ringway = try hosts.run(
                "epoll", services, prefix: ["unshare", "--mount", "sh", "-c", "\(replaced) && exec \"$@\"", "sh"])
            defer { ringway.process.end() }
            try FileManager.default.moveItem(atPath: try hosts.writeService(), toPath: "\(services)/web.yaml")
            try waitUntil("the Service is shown") {
                try ChildProcess.run([RunningRingway.binary, "get", "--admin-socket", ringway.adminSocket, "svc", "web-0"]).isSuccess
            }
            #expect(try curl(80, at: "10.96.0.10", prefix: hosts.front.enter) == "web")
        }

        @Test func whatACrashLeavesIsAdoptedOrCleanedUp() throws {
            let hosts = try VirtualAddressHosts()
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
            let hosts = try VirtualAddressHosts()
            let ringway = try hosts.run("epoll", try hosts.writeService(["10.96.0.10", "127.0.0.10"]))
            defer { ringway.process.end() }
            #expect(ringway.log.contains("10.96.0.0/12 overlaps the"), "\(ringway.log)")
            #expect(ringway.log.contains("10.99.0.") && ringway.log.contains("choose another --service-cidr"), "\(ringway.log)")
            #expect(try curl(80, at: "127.0.0.10", prefix: hosts.front.enter) == "web")
            #expect(try hosts.network("show", "-o", "json") == Self.nothing)
        }

        @Test func withoutTheCapabilityWhatCanBeBoundIsServedAndTheRestNamed() throws {
            let hosts = try VirtualAddressHosts()
            try hosts.front.set("ip address del 10.99.0.1/24 dev eth0")
            let ringway = try hosts.run(
                "epoll", try hosts.writeService(["10.96.0.10", "127.0.0.10"]), prefix: ["setpriv", "--bounding-set=-net_admin"])
            defer { ringway.process.end() }
            #expect(
                ringway.log.contains("CAP_NET_ADMIN; ranges in 127.0.0.0/8 need none, such as --service-cidr 127.96.0.0/12"),
                "\(ringway.log)")
            #expect(try curl(80, at: "127.0.0.10", prefix: hosts.front.enter) == "web")
            #expect(try hosts.network("show", "-o", "json") == Self.nothing)
        }
    }
}
