import Addressing
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// Pods as endpoints, as a cluster's EndpointSlice controller makes them.
struct PodSlicesTests {
    private static func pod(
        _ name: String, _ addresses: [String], labels: [String: String] = ["app": "web"], namespace: String = "default",
        _ change: (inout Pod) -> Void = { _ in }
    ) -> KubernetesObject {
        var pod = Pod()
        pod.addresses = addresses.map(Objects.ip)
        pod.isReady = true
        change(&pod)
        return KubernetesObject(
            metadata: ObjectMetadata(name: name, namespace: namespace, labels: labels), body: .pod(pod), location: Objects.at(1))
    }

    private static func service(_ change: (inout Service) -> Void = { _ in }) -> KubernetesObject {
        Objects.service("web") {
            $0.clusterIPs = [Objects.ip("172.30.0.41")]
            $0.ports = [Objects.servicePort(80)]
            $0.selector = ["app": "web"]
            change(&$0)
        }
    }

    private func endpoints(_ objects: [KubernetesObject], at frontend: String = "172.30.0.41:80") -> [String] {
        var compiler = SnapshotCompiler(node: LocalNode(name: "here"))
        _ = compiler.compile(objects)
        return compiler.snapshot.group(frontend)?.endpoints.map(\.address.description) ?? []
    }

    @Test func allLabelsOfTheSelectorMustMatchInTheServicesNamespace() {
        let objects = [
            Self.service { $0.selector = ["app": "web", "tier": "front"] },
            Self.pod("a", ["10.0.0.1"], labels: ["app": "web", "tier": "front", "more": "x"]),
            Self.pod("b", ["10.0.0.2"], labels: ["app": "web"]), Self.pod("c", ["10.0.0.3"], labels: ["app": "web", "tier": "back"]),
            Self.pod("d", ["10.0.0.4"], labels: ["app": "web", "tier": "front"], namespace: "other"),
        ]
        #expect(endpoints(objects) == ["10.0.0.1:80"])
        #expect(endpoints([Self.service { $0.selector = [:] }] + objects.dropFirst()) == [])
    }

    @Test func whatIsOverOrNotReadyIsLeftOutAndWhatTerminatesComesLast() {
        let over = Self.pod("over", ["10.0.0.1"]) { $0.isOver = true }
        let unready = Self.pod("unready", ["10.0.0.2"]) { $0.isReady = false }
        let leaving = Self.pod("leaving", ["10.0.0.3"]) { $0.isTerminating = true }
        let ready = Self.pod("ready", ["10.0.0.4"])
        let none = Self.pod("none", [])
        #expect(endpoints([Self.service(), over, unready, leaving, ready, none]) == ["10.0.0.4:80"])
        #expect(endpoints([Self.service(), over, unready, leaving]) == ["10.0.0.3:80"])
        #expect(endpoints([Self.service(), over, unready]) == [])
        let publishing = Self.service { $0.publishNotReadyAddresses = true }
        #expect(endpoints([publishing, over, unready, leaving, ready]) == ["10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"])
    }

    @Test func aNamedPortIsEachPodsOwn() {
        func named(_ name: String, _ address: String, _ port: Int?, _ transport: TransportProtocol = .tcp) -> KubernetesObject {
            Self.pod(name, [address]) { if let port { $0.namedPorts = [Pod.PortName("http", transport): PortNumber(port)!] } }
        }
        let service = Self.service {
            $0.ports = [Objects.servicePort(80)]
            $0.ports[0].targetPort = nil
            $0.ports[0].targetPortName = "http"
        }
        let pods = [
            named("a", "10.0.0.1", 8080), named("b", "10.0.0.2", 9090), named("c", "10.0.0.3", nil), named("d", "10.0.0.4", 53, .udp),
        ]
        #expect(endpoints([service] + pods) == ["10.0.0.1:8080", "10.0.0.2:9090"])
    }

    @Test func eachFamilyHasItsOwnAddresses() {
        let service = Self.service {
            $0.clusterIPs = [Objects.ip("172.30.0.41"), Objects.ip("fd00::41")]
            $0.ipFamilies = [.ipv4, .ipv6]
        }
        let objects = [service, Self.pod("a", ["10.0.0.1", "fd00::1", "10.0.0.9"]), Self.pod("b", ["10.0.0.2"])]
        #expect(endpoints(objects) == ["10.0.0.1:80", "10.0.0.2:80"])
        #expect(endpoints(objects, at: "[fd00::41]:80") == ["[fd00::1]:80"])
    }

    @Test func nodesDecideWherePoliciesAndPreferencesSaySo() {
        let pods = [Self.pod("a", ["10.0.0.1"]) { $0.nodeName = "here" }, Self.pod("b", ["10.0.0.2"]) { $0.nodeName = "there" }]
        #expect(endpoints([Self.service { $0.internalTrafficPolicy = .local }] + pods) == ["10.0.0.1:80"])
        #expect(endpoints([Self.service { $0.trafficDistribution = .preferSameNode }] + pods) == ["10.0.0.1:80"])
        #expect(endpoints([Self.service { $0.trafficDistribution = .preferSameZone }] + pods) == ["10.0.0.1:80", "10.0.0.2:80"])
        let nowhere = Self.pod("c", ["10.0.0.3"])
        #expect(endpoints([Self.service { $0.trafficDistribution = .preferSameNode }, nowhere] + pods).count == 3)
    }

    private static func node(_ name: String, zone: String?) -> KubernetesObject {
        let labels = zone.map { [LocalNode.zoneLabel: $0] } ?? [:]
        return KubernetesObject(
            metadata: ObjectMetadata(name: name, namespace: "", labels: labels), body: .node(Node()), location: Objects.at(1))
    }

    /// Pods on three nodes of two zones, asked from the first.
    @Test(
        arguments: [
            // What the Service prefers, the zones of `here`, `near` and `far`, and which Pods it leads to.
            (TrafficDistribution.preferSameZone, ["one", "one", "two"], ["10.0.0.1:80", "10.0.0.2:80"]),
            (.preferClose, ["one", "one", "two"], ["10.0.0.1:80", "10.0.0.2:80"]),
            (.preferSameZone, ["three", "one", "two"], ["10.0.0.1:80"]),
            (.preferSameNode, ["one", "one", "two"], ["10.0.0.1:80"]),
            // One Pod's zone isn't known, or this node's own.
            (.preferSameZone, ["one", "one", nil], ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]),
            (.preferSameZone, [nil, "one", "two"], ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]),
            (nil, ["one", "one", "two"], ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]),
        ] as [(TrafficDistribution?, [String?], [String])])
    func nodesSayInWhichZoneAPodIs(_ distribution: TrafficDistribution?, _ zones: [String?], _ expected: [String]) {
        let names = ["here", "near", "far"]
        let pods = names.enumerated().map { index, name in
            Self.pod("web-\(index)", ["10.0.0.\(index + 1)"]) { $0.nodeName = name }
        }
        let nodes = zip(names, zones).map { Self.node($0, zone: $1) }
        #expect(endpoints([Self.service { $0.trafficDistribution = distribution }] + pods + nodes) == expected)
    }

    /// With no Pod on this node its zone is preferred, by the hints that a cluster's controller gives as well.
    @Test func withNoPodOnThisNodeOneInItsZoneIsPreferred() {
        let pods = [Self.pod("a", ["10.0.0.1"]) { $0.nodeName = "near" }, Self.pod("b", ["10.0.0.2"]) { $0.nodeName = "far" }]
        let nodes = [Self.node("here", zone: "one"), Self.node("near", zone: "one"), Self.node("far", zone: "two")]
        #expect(endpoints([Self.service { $0.trafficDistribution = .preferSameNode }] + pods + nodes) == ["10.0.0.1:80"])
    }

    @Test func aHostnameIsAPodsOwnInTheServiceOfItsSubdomain() throws {
        let pods = [
            Self.pod("web-0", ["10.0.0.1"]) { ($0.hostname, $0.subdomain) = ("web-0", "web") },
            Self.pod("web-1", ["10.0.0.2"]) { ($0.hostname, $0.subdomain) = ("web-1", "other") },
            Self.pod("web-2", ["10.0.0.3"]) { $0.hostname = "web-2" },
        ]
        guard case .service(let service) = Self.service().body else { return }
        let slices = PodSlices(of: service, named: "web", objects: pods).slices
        #expect(slices.flatMap(\.endpoints).map(\.hostname) == ["web-0", nil, nil])
    }

    @Test func onlyPodsThatAreReadyHaveHints() {
        let pods = [
            Self.pod("a", ["10.0.0.1"]) { $0.nodeName = "here" },
            Self.pod("b", ["10.0.0.2"]) { ($0.nodeName, $0.isReady) = ("here", false) },
        ]
        guard case .service(let service) = Self.service({ $0.trafficDistribution = .preferSameNode }).body else { return }
        let endpoints = PodSlices(of: service, named: "web", objects: pods, zones: ["here": "one"]).slices.flatMap(\.endpoints)
        #expect(endpoints.map(\.nodeHints) == [["here"], []] && endpoints.map(\.zoneHints) == [["one"], []])
    }

    @Test func endpointsKeepTheirNodesAndThoseThatAreNotToBeMirroredAreNone() {
        func endpoints(_ labels: [String: String] = [:], _ annotations: [String: String] = [:]) -> KubernetesObject {
            var (subset, object) = (Endpoints.Subset(), Endpoints())
            subset.ports = [Objects.port(8080)]
            for (address, node) in [("10.0.0.7", "here"), ("10.0.0.8", "there")] {
                var entry = Endpoints.Address(Objects.ip(address))
                entry.nodeName = node
                subset.addresses.append(entry)
            }
            object.subsets = [subset]
            let metadata = ObjectMetadata(name: "web", labels: labels, annotations: annotations)
            return KubernetesObject(metadata: metadata, body: .endpoints(object), location: Objects.at(1))
        }
        let local = Self.service { $0.internalTrafficPolicy = .local }
        let pod = Self.pod("a", ["10.0.0.1"]) { $0.nodeName = "here" }
        #expect(self.endpoints([local, pod, endpoints()]) == ["10.0.0.7:8080"])
        let label = "endpointslice.kubernetes.io/skip-mirror"
        #expect(self.endpoints([local, pod, endpoints([label: "false"])]) == ["10.0.0.7:8080"])
        #expect(self.endpoints([local, pod, endpoints([label: "true"])]) == ["10.0.0.1:80"])
        #expect(self.endpoints([local, pod, endpoints([:], ["control-plane.alpha.kubernetes.io/leader": "{}"])]) == ["10.0.0.1:80"])
    }

    @Test func slicesAndEndpointsGoBeforePodsAndAChangeOfAPodIsAChange() {
        let pod = Self.pod("a", ["10.0.0.1"])
        #expect(endpoints([Self.service(), pod, Objects.slice("web-1", of: "web", [Objects.ready("10.0.0.7")])]) == ["10.0.0.7:8080"])
        var compiler = SnapshotCompiler()
        _ = compiler.compile([Self.service(), pod])
        let after = compiler.compile([Self.service(), Self.pod("a", ["10.0.0.2"])])
        #expect(after.snapshot?.group("172.30.0.41:80")?.endpoints.map(\.address.description) == ["10.0.0.2:80"])
        #expect(compiler.compile([Self.service()]).notices.first?.message.contains("no Pod that its selector matches") == true)
    }
}
