import Foundation
import Glibc
import Testing

/// Node ports: on which of the host's addresses they are served, and what happens where somebody else has them. `VirtualAddressHosts`
/// draws who takes part.
extension EndToEndTests {
    @Suite(.enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct NodePortTests {
        private static func service(_ name: String, _ nodePort: Int, _ annotations: String = "127.0.0.1:8081", udp: Bool = false) -> String
        {
            """
            apiVersion: v1
            kind: Service
            metadata:
              name: \(name)
              annotations: {ringway.dev/endpoints: "\(annotations)"}
            spec:
              type: NodePort
              ports: [{port: \(udp ? 53 : 80), nodePort: \(nodePort), protocol: \(udp ? "UDP" : "TCP")}]
            ---

            """
        }

        private static func answers(_ hosts: VirtualAddressHosts, from host: Namespace, _ address: String, _ port: Int = 30080) -> Bool {
            (try? curl(port, at: address, prefix: host.enter, seconds: 5)) == "web"
        }

        private static func readiness(_ ringway: RunningRingway) throws -> String {
            try ChildProcess.run(["curl", "--silent", "--unix-socket", ringway.adminSocket, "http://localhost/readyz"]).output
        }

        @Test(arguments: Engines.available)
        func withoutTheOptionEveryAddressServesThemLoopbackIncludedButNoVirtualOne(engine: String) throws {
            let hosts = try VirtualAddressHosts()
            let file = try hosts.directory.write(
                Self.service("web", 30080).replacing("type: NodePort", with: "type: NodePort\n  clusterIP: 10.96.0.10"), to: "web.yaml")
            let ringway = try hosts.run(engine, file, options: ["--service-cidr", "10.96.0.0/16,fd00:10:96::/112"])
            defer { ringway.process.end() }
            for address in ["10.99.0.1", "fd99::1"] { #expect(Self.answers(hosts, from: hosts.client, address), "\(address)") }
            for address in ["127.0.0.1", "127.9.9.9", "::1"] { #expect(Self.answers(hosts, from: hosts.front, address), "\(address)") }
            #expect(Self.answers(hosts, from: hosts.client, "10.96.0.10", 80))
            for host in [hosts.front, hosts.client] {
                #expect(!Self.answers(hosts, from: host, "10.96.0.10"))
                #expect(!Self.answers(hosts, from: host, "10.96.0.99"))
            }
            try hosts.front.set("ip address add 10.99.0.7/24 dev eth0")
            #expect(Self.answers(hosts, from: hosts.client, "10.99.0.7"))
        }

        @Test(arguments: Engines.available)
        func onlyAddressesInsideOfTheRangesServeThemAsTheyComeAndGo(engine: String) throws {
            let hosts = try VirtualAddressHosts()
            try hosts.front.set("ip address add 192.0.2.1/32 dev eth0\nip address add fd99:1::1/64 dev eth0 nodad")
            let echo = try DatagramBackend.echo("", on: "127.0.0.1", 5353, in: hosts.front)
            let file = try hosts.directory.write(
                Self.service("web", 30080) + Self.service("dns", 30053, echo.address, udp: true), to: "web.yaml")
            let ringway = try hosts.run(engine, file, options: ["--nodeport-addresses", "10.99.0.0/24,fd99::/64"])
            defer { ringway.process.end() }
            for address in ["10.99.0.1", "fd99::1"] {
                #expect(Self.answers(hosts, from: hosts.client, address), "\(address)")
                let asker = try DatagramSocket(on: address.contains(":") ? "fd99::2" : "10.99.0.2", to: (address, 30053), in: hosts.client)
                asker.send("?")
                #expect(asker.receive()?.text == "?", "\(address)")
            }
            for address in ["127.0.0.1", "::1", "192.0.2.1", "fd99:1::1"] {
                #expect(!Self.answers(hosts, from: hosts.front, address), "\(address)")
            }
            let before = try ringway.statistics()
            #expect(before.listeners.filter { $0.origin == "nodePort" }.count == 4)
            // Twenty at a time are one change, or a few where the host is slow; each by itself they would be twenty.
            let batch = try hosts.directory.write(
                (10..<30).map { "address add 10.99.0.\($0)/24 dev eth0\n" }.joined() + "address add fd99::10/64 dev eth0\n", to: "batch")
            try hosts.front.set("ip -batch \(batch)")
            try waitUntil("the new addresses serve") {
                ["10.99.0.10", "10.99.0.29", "fd99::10"].allSatisfy { Self.answers(hosts, from: hosts.client, $0) }
            }
            let after = try ringway.statistics()
            #expect(after.listeners.filter { $0.origin == "nodePort" }.count == 4 + 2 * 21)
            #expect(after.generation <= before.generation + 7, "\(ringway.log)")
            try hosts.front.set("ip address del 10.99.0.10/24 dev eth0")
            try waitUntil("the address that is gone serves no more") {
                try ringway.statistics().listeners.allSatisfy { !$0.frontend.contains(" 10.99.0.10:") }
            }
            #expect(Self.answers(hosts, from: hosts.client, "10.99.0.1") && Self.answers(hosts, from: hosts.client, "10.99.0.29"))
            #expect(!ringway.log.contains("can't listen"), "\(ringway.log)")
        }

        @Test func thePrimaryAddressIsTheOneThatPacketsLeaveFromAndIsFollowed() throws {
            let hosts = try VirtualAddressHosts()
            try hosts.front.set("ip address add 10.99.0.5/24 dev eth0\nip route add default via 10.99.0.2")
            let file = hosts.directory.path("web.yaml")
            try hosts.directory.replace("web.yaml", with: Self.service("web", 30080))
            let ringway = try hosts.run("epoll", file, options: ["--nodeport-addresses", "primary", "--node-name", "here"])
            defer { ringway.process.end() }
            #expect(ringway.log.contains("addresses=10.99.0.1,fd99::1"), "\(ringway.log)")
            #expect(Self.answers(hosts, from: hosts.client, "10.99.0.1") && Self.answers(hosts, from: hosts.client, "fd99::1"))
            #expect(!Self.answers(hosts, from: hosts.client, "10.99.0.5") && !Self.answers(hosts, from: hosts.front, "127.0.0.1"))
            try hosts.front.set("ip route replace default via 10.99.0.2 src 10.99.0.5")
            try waitUntil("the other address serves") { Self.answers(hosts, from: hosts.client, "10.99.0.5") }
            #expect(!Self.answers(hosts, from: hosts.client, "10.99.0.1") && Self.answers(hosts, from: hosts.client, "fd99::1"))
            // Its own Node knows better; an address there that the host hasn't counts for nothing.
            let node = """
                apiVersion: v1
                kind: Node
                metadata: {name: here}
                status:
                  addresses:
                  - {type: ExternalIP, address: 10.99.0.5}
                  - {type: InternalIP, address: 192.0.2.99}
                  - {type: InternalIP, address: 10.99.0.1}

                """
            try hosts.directory.replace("web.yaml", with: Self.service("web", 30080) + node)
            try waitUntil("the Node's address serves") { Self.answers(hosts, from: hosts.client, "10.99.0.1") }
            #expect(!Self.answers(hosts, from: hosts.client, "10.99.0.5") && Self.answers(hosts, from: hosts.client, "fd99::1"))
        }

        @Test func whereNoAddressIsInTheRangesNoNodePortIsServedAndTheLogSaysSo() throws {
            let hosts = try VirtualAddressHosts()
            let file = try hosts.directory.write(Self.service("web", 30080), to: "web.yaml")
            let ringway = try hosts.run("epoll", file, options: ["--nodeport-addresses", "198.51.100.0/24,2001:db8::/64"])
            defer { ringway.process.end() }
            #expect(ringway.log.contains("node ports are not served: no address of this host is in --nodeport-addresses"), "\(ringway.log)")
            #expect(!Self.answers(hosts, from: hosts.client, "10.99.0.1"))
            try hosts.front.set("ip address add 198.51.100.1/32 dev eth0")
            try waitUntil("the new address serves") { Self.answers(hosts, from: hosts.front, "198.51.100.1") }
        }

        /// Strangers hold one port on any address, one on loopback alone, and one of UDP; servers that share their port (SO_REUSEPORT)
        /// would share it with the program, too, as all are one user's.
        @Test(arguments: Engines.available)
        func aPortThatIsTakenIsNamedAndServedOnceItIsFreeAndHarmsNoOther(engine: String) throws {
            let hosts = try VirtualAddressHosts()
            let held = ["TCP4-LISTEN:30080,reuseport", "TCP4-LISTEN:30081,bind=127.0.0.1,reuseport", "UDP4-RECV:30053,bind=10.99.0.1"]
            let strangers = try held.map { try ChildProcess(hosts.front.enter + ["socat", "\($0)", "EXEC:cat"], in: hosts.directory) }
            defer { for stranger in strangers { stranger.end() } }
            try waitUntil("strangers have the ports") {
                let sockets = try hosts.front.run(["ss", "-lntu"]).output
                return [":30080", ":30081", ":30053"].allSatisfy(sockets.contains)
            }
            let echo = try DatagramBackend.echo("", on: "127.0.0.1", 5353, in: hosts.front)
            let services =
                Self.service("any", 30080) + Self.service("loopback", 30081) + Self.service("dns", 30053, echo.address, udp: true)
                + Self.service("well", 30082)
            let ringway = try hosts.run(engine, try hosts.directory.write(services, to: "web.yaml"))
            defer { ringway.process.end() }
            let taken = ["tcp 0.0.0.0:30080 of default/any", "tcp 0.0.0.0:30081 of default/loopback", "udp 0.0.0.0:30053 of default/dns"]
            let readiness = try Self.readiness(ringway)
            for name in taken { #expect(readiness.contains("\(name): port 30"), "\(readiness)") }
            #expect(readiness.contains("3 of ") && readiness.hasSuffix("readyz check passed\n"), "\(readiness)")
            #expect(ringway.process.output.contains("is in use by another process"), "\(ringway.process.output)")
            #expect(Self.answers(hosts, from: hosts.client, "10.99.0.1", 30082))
            // The other family is nobody's.
            for port in 30080...30082 { #expect(Self.answers(hosts, from: hosts.client, "fd99::1", port), "\(port)") }
            strangers[0].end()
            try waitUntil("the port is free and served", within: .seconds(40)) { Self.answers(hosts, from: hosts.client, "10.99.0.1") }
            let next = try Self.readiness(ringway)
            #expect(!next.contains(taken[0]) && next.contains(taken[1]) && next.contains(taken[2]), "\(next)")
            for stranger in strangers { stranger.end() }
            try waitUntil("all ports are served", within: .seconds(40)) { try Self.readiness(ringway) == "ok\n" }
            #expect(Self.answers(hosts, from: hosts.client, "10.99.0.1", 30081))
            let asker = try DatagramSocket(on: "10.99.0.2", to: ("10.99.0.1", 30053), in: hosts.client)
            asker.send("?")
            #expect(asker.receive()?.text == "?")
        }

        /// An external address that comes late is served when it comes, not at the next try.
        @Test func anAddressThatComesIsServedAtOnce() throws {
            let hosts = try VirtualAddressHosts()
            let file = try hosts.directory.write(serviceYAML(on: "192.0.2.80", port: 80, endpoints: ["127.0.0.1:8081"]), to: "web.yaml")
            let ringway = try hosts.run("epoll", file)
            defer { ringway.process.end() }
            #expect(try Self.readiness(ringway).contains("192.0.2.80 is not an address of this host"))
            for _ in 0..<3 {
                try hosts.front.set("ip address add 192.0.2.80/32 dev eth0")
                try waitUntil("the address serves", within: .seconds(5)) { Self.answers(hosts, from: hosts.front, "192.0.2.80", 80) }
                try hosts.front.set("ip address del 192.0.2.80/32 dev eth0")
            }
            #expect(try Self.readiness(ringway) == "ok\n")
        }

        /// The setting is the namespace's own.
        @Test func onlyNodePortsInUseAreKeptFromConnectionsOfTheHost() throws {
            let hosts = try VirtualAddressHosts()
            func reserved() throws -> String {
                try hosts.front.run(["cat", "/proc/sys/net/ipv4/ip_local_reserved_ports"]).output.trimmingCharacters(in: .newlines)
            }
            // Both lists are longer than a page, which is what the kernel takes at once.
            let foreign = stride(from: 40_001, to: 42_000, by: 2).map(String.init).joined(separator: ",")
            let setting = try hosts.directory.write("31080,\(foreign)\n", to: "setting")
            _ = try hosts.front.run(["sh", "-c", "echo 31000 60999 >/proc/sys/net/ipv4/ip_local_port_range"])
            _ = try hosts.front.run(["sh", "-c", "dd if=\(setting) of=/proc/sys/net/ipv4/ip_local_reserved_ports bs=64k"])
            #expect(try reserved() == "31080,\(foreign)")
            let name = hosts.directory.path("web.yaml")
            let web = Self.service("web", 31080) + Self.service("low", 30080)
            try hosts.directory.replace("web.yaml", with: web)
            let ringway = try hosts.run("epoll", name)
            defer { ringway.process.end() }
            #expect(try reserved() == "31080,\(foreign)")
            // One Service of many ports without endpoints, which are its own all the same.
            let many = stride(from: 31_001, to: 32_760, by: 2)
            let ports = many.map { "  - {name: p\($0), port: \($0), nodePort: \($0)}\n" }.joined()
            let large = """
                apiVersion: v1
                kind: Service
                metadata: {name: large}
                spec:
                  type: NodePort
                  ports:
                \(ports)
                """
            try hosts.directory.replace("web.yaml", with: web + large)
            let list = many.map { $0 == 31_079 ? "31079-31081" : "\($0)" }.filter { $0 != "31081" }.joined(separator: ",")
            try waitUntil("its ports are reserved") { try reserved() == "\(list),\(foreign)" }
            try hosts.directory.replace("web.yaml", with: web.replacing("30080", with: "31090"))
            try waitUntil("they are given back") { try reserved() == "31080,31090,\(foreign)" }
            ringway.process.signal(SIGTERM)
            #expect(try ringway.process.wait() == .code(0))
            #expect(try reserved() == "31080,\(foreign)")
        }
    }
}
