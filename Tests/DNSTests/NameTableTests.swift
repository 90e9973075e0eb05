import ControlPlane
import Routing
import ServiceModel
import Testing

@testable import DNS

/// What the control plane makes of changes, as far as they are about names.
struct NameTableTests {
    private static func headless(_ name: String, in namespace: String = "prod", addresses: [String]) -> String {
        """
        ---
        {apiVersion: v1, kind: Service, metadata: {name: \(name), namespace: \(namespace)}, spec: {clusterIP: None, ports: [{port: 80}]}}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: \(name), namespace: \(namespace), labels: {kubernetes.io/service-name: \(name)}}
        addressType: IPv4
        ports: [{port: 80}]
        endpoints: [\(addresses.map { "{addresses: [\($0)]}" }.joined(separator: ", "))]

        """
    }

    private static func pod(_ name: String, in namespace: String, _ address: String, phase: String = "Running") -> String {
        """
        ---
        {apiVersion: v1, kind: Pod, metadata: {name: \(name), namespace: \(namespace)}, spec: {containers: [{name: c, image: c}]}, \
        status: {podIP: \(address), phase: \(phase)}}

        """
    }

    @Test func aChangeOfNamesAloneIsPublishedWithWhatItTouched() throws {
        var compiler = SnapshotCompiler(names: .services)
        let first = Self.headless("a", addresses: ["10.1.0.1"]) + Self.headless("b", addresses: ["10.1.0.2"])
        let before = try #require(compiler.compile(try World.objects(first)).snapshot)
        #expect(before.generation == 1 && before.frontends.isEmpty && before.names.services.count == 2)

        let second = Self.headless("a", addresses: ["10.1.0.1", "10.1.0.3"]) + Self.headless("b", addresses: ["10.1.0.2"])
        let compilation = compiler.compile(try World.objects(second))
        let after = try #require(compilation.snapshot)
        let (a, b) = (ServiceName(namespace: "prod", name: "a"), ServiceName(namespace: "prod", name: "b"))
        #expect(after.generation == 2 && after.touched == [] && compilation.changes == SnapshotChanges())
        #expect(after.names.touched?.services == [a] && after.names.touched?.namespaces == [])
        #expect(after.names.services[b] === before.names.services[b] && after.names.services[a] !== before.names.services[a])

        // Objects that are written otherwise and mean the same.
        let same = second.replacing("ports: [{port: 80}]", with: "ports: [{port: 80, protocol: TCP}]")
        #expect(same != second)
        let objects = try World.objects(same)
        #expect(compiler.compile(objects).snapshot == nil)
    }

    @Test func aSnapshotOfOtherFrontendsSaysThatNoNameWasTouched() throws {
        var world = try World()
        let web = """
            apiVersion: v1
            kind: Service
            metadata: {name: web}
            spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ports: [{port: 80}]}

            """
        func with(_ annotation: String) -> String {
            web.replacing("{name: web}", with: "{name: web, annotations: {ringway.dev/algorithm: \(annotation)}}")
        }
        try world.load(with("random"))
        let serial = world.zone.serial
        let snapshot = try #require(try world.load(with("round-robin")).snapshot)
        #expect(snapshot.names.touched?.isEmpty == true && snapshot.names.services.count == 1)
        #expect(world.zone.serial == serial)
    }

    @Test func withoutNamesThereAreNone() throws {
        var compiler = SnapshotCompiler()
        let objects = try World.objects(Self.headless("a", addresses: ["10.1.0.1"]))
        #expect(compiler.compile(objects).snapshot == nil)
        #expect(compiler.snapshot.names.services.isEmpty && compiler.snapshot.names.namespaces.isEmpty)
    }

    @Test func namespacesAreThereAsLongAsSomethingStandsInThem() throws {
        var world = try World()
        func spaces() -> [String] { world.compiler.snapshot.names.namespaces.keys.sorted() }
        let declared = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: c}}\n"
        try world.load(Self.headless("s", in: "a", addresses: []) + Self.pod("p", in: "b", "10.1.0.1") + declared)
        #expect(spaces() == ["a", "b", "c"])
        try world.load(Self.pod("p", in: "b", "10.1.0.1") + Self.pod("p", in: "c", "10.1.0.2") + declared)
        #expect(spaces() == ["b", "c"])
        #expect(try world.answer("a.svc.cluster.local") == ["NXDOMAIN"])
        try world.load(Self.pod("p", in: "c", "10.1.0.2"))
        #expect(spaces() == ["c"])
        world.take([])
        #expect(spaces() == [] && world.zone.contents == [:])
    }

    @Test func podsAreFoundWhereTheyAreNow() throws {
        var world = try World(pods: .verified)
        try world.load(Self.pod("p", in: "a", "10.1.0.1") + Self.pod("q", in: "a", "10.1.0.1"))
        #expect(try world.answer("10-1-0-1.a.pod.cluster.local") == ["10.1.0.1"])
        // Another at the same address.
        try world.load(Self.pod("q", in: "a", "10.1.0.1"))
        #expect(try world.answer("10-1-0-1.a.pod.cluster.local") == ["10.1.0.1"])
        try world.load(Self.pod("q", in: "a", "10.1.0.2"))
        #expect(try world.answer("10-1-0-1.a.pod.cluster.local") == ["NXDOMAIN"])
        #expect(try world.answer("10-1-0-2.a.pod.cluster.local") == ["10.1.0.2"])
        try world.load(Self.pod("q", in: "a", "10.1.0.2", phase: "Succeeded"))
        #expect(try world.answer("10-1-0-2.a.pod.cluster.local") == ["NXDOMAIN"] && world.answer("a.pod.cluster.local") == [])
    }

    @Test func aChangeIsAnsweredAtOnce() throws {
        var world = try World()
        try world.load(Self.headless("a", addresses: ["10.1.0.1", "10.1.0.2"]))
        #expect(try world.answer("a.prod.svc.cluster.local") == ["10.1.0.1", "10.1.0.2"])
        try world.load(Self.headless("a", addresses: ["10.1.0.2"]))
        #expect(try world.answer("a.prod.svc.cluster.local") == ["10.1.0.2"])
        #expect(try world.answer("10-1-0-1.a.prod.svc.cluster.local") == ["NXDOMAIN"])
        try world.load(Self.headless("a", addresses: []))
        #expect(try world.answer("a.prod.svc.cluster.local") == ["NXDOMAIN"])
    }
}
