import Addressing
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// What this node is, and what comes of it when that changes.
struct LocalNodeTests {
    private static func listens(_ compiler: SnapshotCompiler) -> [String] {
        compiler.snapshot.frontends.keys.map(\.description).sorted()
    }

    @Test func nodePortsAreServedWhereTheNodeSaysAndAChangeOfThatTouchesNoOtherListener() throws {
        let web = Objects.service("web") {
            $0.type = .nodePort
            $0.externalIPs = [Objects.ip("192.0.2.1")]
            $0.inlineEndpoints = [Objects.socket("10.0.0.1:8080")]
            $0.ports = [Objects.servicePort(80, nodePort: 30080)]
        }
        var node = LocalNode(name: "here")
        var compiler = SnapshotCompiler(node: node)
        _ = compiler.compile([web])
        #expect(Self.listens(compiler) == ["tcp 0.0.0.0:30080", "tcp 192.0.2.1:80", "tcp [::]:30080"])

        node.nodePortAddresses = ["10.1.0.1", "::"].map(Objects.ip)
        compiler.nodeChanged(to: node)
        let narrowed = compiler.compile([web])
        #expect(Self.listens(compiler) == ["tcp 10.1.0.1:30080", "tcp 192.0.2.1:80", "tcp [::]:30080"])
        #expect(narrowed.changes.listenersAdded == 1 && narrowed.changes.listenersRemoved == 1)
        let group = try #require(compiler.snapshot.group("10.1.0.1:30080"))

        node.nodePortAddresses = ["10.1.0.1", "10.1.0.2"].map(Objects.ip)
        compiler.nodeChanged(to: node)
        _ = compiler.compile([web])
        #expect(Self.listens(compiler) == ["tcp 10.1.0.1:30080", "tcp 10.1.0.2:30080", "tcp 192.0.2.1:80"])
        #expect(compiler.snapshot.group("10.1.0.2:30080") === group && compiler.snapshot.group("10.1.0.1:30080") === group)

        compiler.nodeChanged(to: node)
        #expect(compiler.compile([web]).snapshot == nil)
        node.nodePortAddresses = []
        compiler.nodeChanged(to: node)
        _ = compiler.compile([web])
        #expect(Self.listens(compiler) == ["tcp 192.0.2.1:80"])
    }

    private static func node(_ name: String, zone: String) -> KubernetesObject {
        KubernetesObject(
            metadata: ObjectMetadata(name: name, namespace: "", labels: [LocalNode.zoneLabel: zone]), body: .node(Node()),
            location: Objects.at(1))
    }

    @Test func podsOfTheNodeAreNearByWhereItsObjectSaysWhereTheyAre() {
        let web = Objects.service("web") {
            $0.type = .nodePort
            $0.ports = [Objects.servicePort(80, nodePort: 30080)]
            $0.externalTrafficPolicy = .local
        }
        let slice = Objects.slice(
            "web-1", of: "web", ports: [Objects.port(8080)],
            [EndpointSlice.Endpoint(address: Objects.ip("10.0.9.1"), ready: true, serving: true, nodeName: "there")])
        func node(_ name: String, _ ranges: [String]) -> KubernetesObject {
            var node = Node()
            node.podRanges = ranges.compactMap { IPRange($0) }
            return KubernetesObject(
                metadata: ObjectMetadata(name: name, namespace: ""), body: .node(node), location: Objects.at(1))
        }
        var told = LocalNode(name: "here")
        var compiler = SnapshotCompiler(node: told)
        func verdict(_ client: String, _ objects: [KubernetesObject]) -> Verdict {
            _ = compiler.compile([web, slice] + objects)
            return compiler.snapshot.verdict(client: client, to: "192.168.0.2:30080")
        }
        #expect(verdict("10.0.1.7", []) == .silence)
        #expect(verdict("10.0.1.7", [node("there", ["10.0.1.0/24"])]) == .silence, "another node's")
        #expect(verdict("10.0.1.7", [node("here", ["10.0.1.0/24", "fd00:1::/64"])]) == ["10.0.9.1:8080"])
        #expect(verdict("10.0.2.7", [node("here", ["10.0.1.0/24"])]) == .silence)
        #expect(verdict("10.0.1.7", [node("here", ["10.0.2.0/24"])]) == .silence, "it has moved")
        told.clusterRanges = [IPRange("10.0.0.0/16")!]
        compiler.nodeChanged(to: told)
        #expect(verdict("10.0.5.7", [node("here", ["10.0.2.0/24"])]) == ["10.0.9.1:8080"], "what was told counts")
    }

    /// Two endpoints with hints of two zones.
    private static var zoned: [KubernetesObject] {
        let service = Objects.service("web") {
            $0.externalIPs = [Objects.ip("192.0.2.1")]
            $0.ports = [Objects.servicePort(80)]
        }
        let endpoints = [("10.0.0.1", "one"), ("10.0.0.2", "two")].map { address, zone in
            EndpointSlice.Endpoint(address: Objects.ip(address), zoneHints: [zone])
        }
        return [service, Objects.slice("web-1", of: "web", endpoints)]
    }

    @Test func itsOwnObjectSaysItsZoneWhereNobodyElseDidAndAChangeOfThatReachesEveryService() {
        func addresses(_ compiler: SnapshotCompiler) -> [String] {
            compiler.snapshot.group("192.0.2.1:80")?.endpoints.map(\.address.address.description) ?? []
        }
        var compiler = SnapshotCompiler(node: LocalNode(name: "here"))
        _ = compiler.compile(Self.zoned + [Self.node("there", zone: "one")])
        #expect(addresses(compiler) == ["10.0.0.1", "10.0.0.2"])
        for zone in ["one", "two"] {
            _ = compiler.compile(Self.zoned + [Self.node("there", zone: "one"), Self.node("here", zone: zone)])
            #expect(addresses(compiler) == [zone == "one" ? "10.0.0.1" : "10.0.0.2"])
        }
        #expect(compiler.compile(Self.zoned + [Self.node("here", zone: "two"), Self.node("there", zone: "two")]).snapshot == nil)
        _ = compiler.compile(Self.zoned)
        #expect(addresses(compiler) == ["10.0.0.1", "10.0.0.2"])
        var told = SnapshotCompiler(node: LocalNode(name: "here", zone: "two"))
        _ = told.compile(Self.zoned + [Self.node("here", zone: "one")])
        #expect(addresses(told) == ["10.0.0.2"])
    }
}
