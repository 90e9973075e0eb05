import Addressing
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// What becomes of clients by where they come from: traffic policies, the short circuit, source ranges, and who asks about health.
struct ClientRuleTests {
    private static let node: LocalNode = {
        var node = LocalNode(name: "here")
        node.addresses = [Objects.ip("192.168.0.2"), Objects.ip("2001:db8::2")]
        node.clusterRanges = [IPRange("10.0.0.0/8")!]
        return node
    }()

    private static func endpoint(_ address: String, _ node: String, ready: Bool = true) -> EndpointSlice.Endpoint {
        EndpointSlice.Endpoint(address: Objects.ip(address), ready: ready, serving: ready, nodeName: node)
    }

    private static func loadBalancer(_ change: (inout Service) -> Void = { _ in }) -> KubernetesObject {
        Objects.service("web") {
            $0.type = .loadBalancer
            $0.clusterIPs = [Objects.ip("172.30.0.41")]
            $0.externalIPs = [Objects.ip("192.0.2.9")]
            $0.loadBalancerIPs = [Objects.ip("1.2.3.4"), Objects.ip("2001:db8::9")]
            $0.ports = [Objects.servicePort(80, nodePort: 30080), Objects.servicePort(53, "", .udp, nodePort: 30053)]
            $0.externalTrafficPolicy = .local
            $0.healthCheckNodePort = PortNumber(30_999)
            change(&$0)
        }
    }

    private static func slice(_ endpoints: [EndpointSlice.Endpoint], _ name: String = "web-1") -> KubernetesObject {
        Objects.slice(name, of: "web", ports: [Objects.port(8080), Objects.port(5353, "", .udp)], endpoints)
    }

    private func expect(
        _ objects: [KubernetesObject], _ flows: [(client: String, to: String, verdict: Verdict)],
        _ location: Testing.SourceLocation = #_sourceLocation
    ) {
        var compiler = SnapshotCompiler(node: Self.node)
        _ = compiler.compile(objects)
        for flow in flows {
            #expect(
                compiler.snapshot.verdict(client: flow.client, to: flow.to) == flow.verdict, "\(flow.client) to \(flow.to)",
                sourceLocation: location)
        }
    }

    private static let outside = "203.0.113.2"
    private static let pod = "10.0.0.7"
    private static let all: Verdict = ["10.244.0.1:8080", "10.244.1.1:8080"]

    @Test func localPolicyHoldsForClientsOutsideAndOthersTakeTheShortCircuit() {
        expect(
            [Self.loadBalancer(), Self.slice([Self.endpoint("10.244.0.1", "here"), Self.endpoint("10.244.1.1", "there")])],
            [
                (Self.outside, "172.30.0.41:80", Self.all), (Self.outside, "1.2.3.4:80", ["10.244.0.1:8080"]),
                (Self.outside, "192.0.2.9:80", ["10.244.0.1:8080"]), (Self.outside, "192.168.0.2:30080", ["10.244.0.1:8080"]),
                (Self.outside, "udp 1.2.3.4:53", ["10.244.0.1:5353"]), (Self.pod, "1.2.3.4:80", Self.all),
                (Self.pod, "192.168.0.2:30080", Self.all), (Self.pod, "udp 192.0.2.9:53", ["10.244.0.1:5353", "10.244.1.1:5353"]),
                ("192.168.0.2", "1.2.3.4:80", Self.all), ("127.0.0.1", "127.0.0.1:30080", Self.all),
                ("::ffff:10.0.0.7", "1.2.3.4:80", Self.all),
                ("1.2.3.4", "1.2.3.4:80", Self.all), ("1.2.3.4", "192.0.2.9:80", ["10.244.0.1:8080"]),
            ])
    }

    @Test func withEndpointsElsewhereOnlyClientsOutsideHearNothing() {
        expect(
            [Self.loadBalancer(), Self.slice([Self.endpoint("10.244.1.1", "there")])],
            [
                (Self.outside, "172.30.0.41:80", ["10.244.1.1:8080"]), (Self.outside, "1.2.3.4:80", .silence),
                (Self.outside, "udp 1.2.3.4:53", .silence), (Self.outside, "192.168.0.2:30080", .silence),
                (Self.pod, "1.2.3.4:80", ["10.244.1.1:8080"]), (Self.pod, "udp 1.2.3.4:53", ["10.244.1.1:5353"]),
            ])
        let internalToo = Self.loadBalancer { $0.internalTrafficPolicy = .local }
        expect(
            [internalToo, Self.slice([Self.endpoint("10.244.1.1", "there")])],
            [
                (Self.outside, "172.30.0.41:80", .silence), (Self.pod, "172.30.0.41:80", .silence),
                (Self.pod, "1.2.3.4:80", ["10.244.1.1:8080"]),
            ])
    }

    @Test func withoutEndpointsAnywhereEverybodyIsRefused() {
        let ranges = Self.loadBalancer { $0.loadBalancerSourceRanges = [IPRange("198.51.100.0/24")!] }
        for service in [Self.loadBalancer(), ranges, Self.loadBalancer { $0.internalTrafficPolicy = .local }] {
            expect(
                [service, Self.slice([Self.endpoint("10.244.0.1", "here", ready: false)])],
                ["172.30.0.41:80", "1.2.3.4:80", "udp 1.2.3.4:53", "192.168.0.2:30080"].flatMap { to in
                    [Self.outside, Self.pod, "192.168.0.2"].map { ($0, to, .refused) }
                })
        }
    }

    @Test func sourceRangesHoldAtLoadBalancerAddressesOnlyEachFamilyForItself() {
        let service = Self.loadBalancer {
            $0.externalTrafficPolicy = nil
            $0.loadBalancerSourceRanges = [IPRange("192.168.0.0/24")!, IPRange("203.0.113.0/25")!]
        }
        expect(
            [service, Self.slice([Self.endpoint("10.244.0.1", "here"), Self.endpoint("10.244.1.1", "there")])],
            [
                (Self.outside, "1.2.3.4:80", Self.all), ("203.0.113.130", "1.2.3.4:80", .silence), (Self.pod, "1.2.3.4:80", .silence),
                ("203.0.113.130", "udp 1.2.3.4:53", .silence), ("203.0.113.130", "192.0.2.9:80", Self.all),
                ("203.0.113.130", "192.168.0.2:30080", Self.all), ("203.0.113.130", "172.30.0.41:80", Self.all),
                // The node's own address is in a range, so what it says by the address it asks is let in, too.
                ("192.168.0.2", "1.2.3.4:80", Self.all), ("1.2.3.4", "1.2.3.4:80", Self.all),
                // There is no range of IPv6.
                ("2001:db8:5::1", "[2001:db8::9]:80", Self.all),
            ])
        var compiler = SnapshotCompiler(node: Self.node)
        let notices = compiler.compile([service, Self.slice([])]).notices.map(\.message)
        #expect(notices.contains { $0.contains("loadBalancerSourceRanges has no IPv6 range") })
    }

    @Test(arguments: [["198.51.100.0/24"], ["198.51.100.0/24", "192.168.9.0/24"]])
    func aNodeThatIsInNoRangeIsNotLetInByTheAddressItAsks(_ ranges: [String]) {
        let service = Self.loadBalancer { $0.loadBalancerSourceRanges = ranges.compactMap { IPRange($0) } }
        expect(
            [service, Self.slice([Self.endpoint("10.244.0.1", "here")])],
            [("1.2.3.4", "1.2.3.4:80", .silence), ("198.51.100.1", "1.2.3.4:80", ["10.244.0.1:8080"])])
    }

    @Test func aRangeOfEverybodyIsNone() throws {
        let service = Self.loadBalancer {
            $0.externalTrafficPolicy = nil
            $0.loadBalancerSourceRanges = [IPRange("198.51.100.0/24")!, IPRange("0.0.0.0/0")!]
        }
        var compiler = SnapshotCompiler(node: Self.node)
        _ = compiler.compile([service, Self.slice([Self.endpoint("10.244.0.1", "here")])])
        let frontend = try #require(compiler.snapshot.frontends[Objects.frontend("1.2.3.4:80")])
        #expect(frontend.rules == nil && frontend.admitted.isEmpty)
    }

    @Test func rangesForNodePortsHoldThereOnly() {
        let service = Self.loadBalancer {
            $0.externalTrafficPolicy = nil
            $0.settings.nodePortSourceRanges = [IPRange("203.0.113.0/25")!]
        }
        expect(
            [service, Self.slice([Self.endpoint("10.244.0.1", "here")])],
            [
                (Self.outside, "192.168.0.2:30080", ["10.244.0.1:8080"]), ("203.0.113.130", "192.168.0.2:30080", .silence),
                ("203.0.113.130", "udp 192.168.0.2:30053", .silence), ("203.0.113.130", "1.2.3.4:80", ["10.244.0.1:8080"]),
                // A family without a range has nobody.
                ("2001:db8:5::1", "[2001:db8::2]:30080", .silence),
            ])
    }

    /// What a listener's filter lets in is what the verdict does not drop.
    @Test func theFilterOfAListenerAgreesWithTheVerdict() {
        var compiler = SnapshotCompiler(node: Self.node)
        let service = Self.loadBalancer { $0.loadBalancerSourceRanges = [IPRange("10.0.0.0/9")!, IPRange("192.168.0.0/24")!] }
        var looked = 0
        for endpoints in [["here", "there"], ["there"], ["here"]] {
            let some = endpoints.enumerated().map { Self.endpoint("10.244.\($0.offset).1", $0.element) }
            _ = compiler.compile([service, Self.slice(some)])
            for frontend in compiler.snapshot.frontends.values {
                let own = frontend.key.address.address
                let clients = [
                    Self.outside, Self.pod, "10.200.0.1", "192.168.0.2", "192.168.0.3", "127.0.0.1", "2001:db8::2", "::1", "\(own)",
                ]
                for client in clients.map(Objects.ip) where client.family == own.family {
                    let isDropped = if case .dropped = frontend.verdict(of: client) { true } else { false }
                    let isAdmitted = frontend.admitted.allSatisfy { list in list.contains { $0.contains(client) } }
                    #expect(isDropped != isAdmitted, "\(client) to \(frontend.key), endpoints \(endpoints)")
                    looked += 1
                }
            }
        }
        #expect(looked > 100)
    }

    @Test func aChangeOfTheNodeOrOfRangesReplacesTheFrontendsItConcerns() {
        var compiler = SnapshotCompiler(node: Self.node)
        let slice = Self.slice([Self.endpoint("10.244.0.1", "here"), Self.endpoint("10.244.1.1", "there")])
        let first = compiler.compile([Self.loadBalancer(), slice]).snapshot
        #expect(compiler.compile([Self.loadBalancer(), slice]).snapshot == nil)
        var node = Self.node
        node.addresses = [Objects.ip("192.168.0.3")]
        compiler.nodeChanged(to: node)
        let second = compiler.compile([Self.loadBalancer(), slice]).snapshot
        let third = compiler.compile([Self.loadBalancer { $0.loadBalancerSourceRanges = [IPRange("10.0.0.0/8")!] }, slice]).snapshot
        func changed(_ key: String, _ old: RoutingSnapshot?, _ new: RoutingSnapshot?) -> Bool {
            guard let old = old?.frontends[Objects.frontend(key)], let new = new?.frontends[Objects.frontend(key)] else { return false }
            return !new.routes(as: old)
        }
        #expect(changed("1.2.3.4:80", first, second) && !changed("172.30.0.41:80", first, second))
        #expect(changed("1.2.3.4:80", second, third) && !changed("192.0.2.9:80", second, third))
    }

    // MARK: - Health checks

    private static func ports(_ objects: [KubernetesObject]) -> [HealthCheckPort] {
        var compiler = SnapshotCompiler(node: node)
        return compiler.compile(objects).healthCheckPorts
    }

    @Test func healthChecksCountAddressesOfReadyEndpointsHere() throws {
        let here = [Self.endpoint("10.244.0.1", "here"), Self.endpoint("10.244.0.2", "here", ready: false)]
        let leaving = EndpointSlice.Endpoint(
            address: Objects.ip("10.244.0.3"), ready: false, serving: true, terminating: true, nodeName: "here")
        // The first is in both slices, and each has two ports.
        let slices = [Self.slice(here + [leaving]), Self.slice([here[0], Self.endpoint("10.244.1.1", "there")], "web-2")]
        let port = try #require(Self.ports([Self.loadBalancer()] + slices).first)
        #expect(port.port == PortNumber(30_999) && port.service.description == "default/web" && port.endpointsHere == 1)
        #expect(try #require(Self.ports([Self.loadBalancer()]).first).endpointsHere == 0)
    }

    @Test func onlyLoadBalancersWithLocalPolicyHaveThem() {
        #expect(Self.ports([Self.loadBalancer { $0.externalTrafficPolicy = .cluster }]).isEmpty)
        #expect(Self.ports([Self.loadBalancer { $0.type = .nodePort }]).isEmpty)
        #expect(Self.ports([Self.loadBalancer { $0.healthCheckNodePort = nil }]).isEmpty)
    }

    // MARK: - Other proxies

    private static func labelled(_ proxy: String?) -> KubernetesObject {
        Objects.service("web", labels: proxy.map { ["service.kubernetes.io/service-proxy-name": $0] } ?? [:]) {
            $0.clusterIPs = [Objects.ip("172.30.0.41")]
            $0.ports = [Objects.servicePort(80)]
        }
    }

    @Test(arguments: [nil, "ours", "theirs", ""], [nil, "ours"])
    func aServiceIsServedByTheProxyThatItNamesAndNoOther(label: String?, name: String?) {
        var compiler = SnapshotCompiler(proxyName: name)
        let compilation = compiler.compile([Self.labelled(label), Self.slice([Objects.ready("10.244.0.1")])])
        #expect(compiler.snapshot.frontends.isEmpty == (label != name))
        // That Services without the label are left out is what the name is for.
        #expect(compilation.notices.isEmpty == (label == name || label == nil))
    }

    @Test func aServiceThatChangesItsProxyIsServedNoMoreAndAgain() {
        var compiler = SnapshotCompiler()
        let slice = Self.slice([Objects.ready("10.244.0.1")])
        for (label, count) in [(nil, 1), ("theirs", 0), (nil, 1)] as [(String?, Int)] {
            _ = compiler.compile([Self.labelled(label), slice])
            #expect(compiler.snapshot.frontends.count == count)
        }
    }
}
