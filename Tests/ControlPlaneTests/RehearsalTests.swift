import Addressing
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// What is said of a change before it is made.
struct RehearsalTests {
    private typealias World = RehearsalWorld

    private static let (a, b, c) = ("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")

    @Test func aNewServiceOpensListenersAndWhatItIsGivenIsNotPromised() throws {
        let world = try World()
        let preview = world.preview([
            try World.service("web", "\"type\":\"NodePort\",\"ports\":[{\"port\":80}]", ["ringway.dev/endpoints": Self.a])
        ])
        #expect(preview.verdicts == ["+ Service web"])
        #expect(preview.fields == ["spec.clusterIP: - > \"<allocated>\"", "spec.ports[0].nodePort: - > \"<allocated>\""])
        #expect(preview.listening == ["opened tcp 0.0.0.0:<allocated>", "opened tcp <allocated>:80", "opened tcp [::]:<allocated>"])
        #expect(preview.endpoints == ["default/web +\(Self.a)"])
        #expect(preview.hasChanges && !preview.hasErrors && preview.connections.touched == 0 && preview.fates == [])
    }

    @Test func whatIsAskedForByNumberIsTold() throws {
        var world = try World(pools: [LoadBalancerPool(name: "default", spans: [IPSpan("192.0.2.0/28")!])])
        let spec = "\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.0.9\",\"ports\":[{\"port\":80,\"nodePort\":30005}]"
        let web = try World.service("web", spec, ["ringway.dev/endpoints": Self.a])
        let preview = world.preview([web])
        #expect(preview.fields == ["status.loadBalancer.ingress[0]: - > {\"ip\":\"<allocated>\",\"ipMode\":\"VIP\"}"])
        #expect(
            preview.listening == [
                "opened tcp 0.0.0.0:30005", "opened tcp 10.96.0.9:80", "opened tcp <allocated>:80", "opened tcp [::]:30005",
            ])
        // What it has, and what it would get again, is no lot.
        world.apply([web])
        #expect(!world.preview([web]).hasChanges)
        world.apply([], removed: [web.key])
        let again = world.preview([web])
        #expect(again.verdicts == ["+ Service web"] && again.fields.first?.hasPrefix("status.loadBalancer.ingress[192.0.2.0]") == true)
    }

    @Test func theSameFromAnotherFileIsNoChange() throws {
        var world = try World()
        let (old, new) = (try World.echo("web", endpoints: [Self.a]), try World.echo("web", endpoints: [Self.a]))
        let slice = Objects.slice("s", of: "other", [Objects.ready("10.0.0.9")])
        world.apply([old], objects: [slice])
        let moved = KubernetesObject(metadata: slice.metadata, body: slice.body, location: Objects.at(99))
        let preview = world.preview([new], objects: [moved])
        #expect(!preview.hasChanges && preview.objects == [] && preview.unchanged == 2)
    }

    struct Change: CustomTestStringConvertible, Sendable {
        let testDescription: String
        var before: [String] = [a, b]
        var after: [String]
        var annotations: [String: String] = [:]
        var port = 80
        var transport = "TCP"
        var listening: [String] = []
        var endpoints: [String] = []
        var fates: [String] = []
        var touched: UInt64 = 0
    }

    /// A Service on port 80 with 2 endpoints; 5 connections are open, 3 of them to the first.
    static let changes = [
        Change(testDescription: "nothing", after: [a, b]),
        Change(testDescription: "an endpoint comes", after: [a, b, c], endpoints: ["default/web +\(c)"]),
        Change(
            testDescription: "an endpoint goes, its connections don't", after: [b], endpoints: ["default/web -\(a)"],
            fates: ["goOn 3 of \(a)"]),
        Change(
            testDescription: "an endpoint goes whose Service is reset when it is deleted", after: [b],
            annotations: ["ringway.dev/on-delete": "reset"], endpoints: ["default/web -\(a)"], fates: ["goOn 3 of \(a)"]),
        Change(
            testDescription: "another port", after: [a, b], port: 81,
            listening: [
                "opened tcp 10.96.0.122:81", "closed tcp 10.96.0.122:80", "opened tcp 203.0.113.1:81", "closed tcp 203.0.113.1:80",
            ]),
        Change(
            testDescription: "another protocol, so that the port is no more", after: [a, b],
            annotations: ["ringway.dev/on-delete": "drain(10m)"], transport: "UDP",
            listening: [
                "closed tcp 10.96.0.122:80", "opened udp 10.96.0.122:80", "closed tcp 203.0.113.1:80", "opened udp 203.0.113.1:80",
            ], endpoints: ["default/web -\(a) -\(b)", "default/web +\(a) +\(b)"], fates: ["drain 5 in 600"], touched: 5),
        Change(
            testDescription: "a setting", after: [a, b], annotations: ["ringway.dev/algorithm": "round-robin"], endpoints: ["default/web"]),
    ]

    @Test(arguments: changes)
    func aChangedServiceTouchesNoMoreThanItMust(change: Change) throws {
        var world = try World()
        var kept = change.annotations
        kept["ringway.dev/algorithm"] = nil
        world.apply([try World.echo("web", endpoints: change.before, kept)])
        world.connect("web", 5, to: [Self.a: 3, Self.b: 2])
        let preview = world.preview([
            try World.echo("web", change.port, endpoints: change.after, change.annotations, transport: change.transport)
        ])
        #expect(preview.listening.sorted() == change.listening.sorted())
        #expect(preview.endpoints.sorted() == change.endpoints.sorted())
        #expect(preview.fates == change.fates && preview.connections.touched == change.touched)
        #expect(preview.hasChanges == (change.testDescription != "nothing"))
    }

    @Test(
        arguments: [("keep", ["goOn 5"], 0), ("drain(90s)", ["drain 5 in 90"], 5), ("reset", ["reset 5"], 5)]
            as [(String, [String], UInt64)])
    func aDeletedServiceEndsItsConnectionsAsItsLastVersionSays(policy: String, fates: [String], touched: UInt64) throws {
        var world = try World()
        world.apply([try World.echo("web", endpoints: [Self.a], ["ringway.dev/on-delete": policy])])
        world.connect("web", 5, to: [Self.a: 4])
        let preview = world.preview([], prunes: true)
        #expect(preview.verdicts == ["- Service web unnamed"] && preview.endpoints == ["default/web -\(Self.a)"])
        #expect(preview.fates == fates && preview.connections.touched == touched)
        // A version that comes with its end has no say: it is never served.
        world.open = [:]
        #expect(world.preview([], prunes: true).fates == [])
    }

    @Test func datagramsGoElsewhereWhileThereIsAnEndpoint() throws {
        var world = try World()
        world.apply([try World.echo("dns", endpoints: [Self.a, Self.b], transport: "UDP")])
        world.connect("dns", 3, to: [Self.a: 2], .udp)
        func fates(_ endpoints: [String]) throws -> [String] {
            world.preview([try World.echo("dns", endpoints: endpoints, transport: "UDP")]).fates
        }
        #expect(try fates([Self.b]) == ["rebind 2 of \(Self.a)"])
        #expect(world.preview([], prunes: true).fates == ["end 3"])
    }

    @Test func theLastEndpointClosesTheListener() throws {
        var world = try World()
        let web = try World.service("web", "\"externalIPs\":[\"203.0.113.1\"],\"ports\":[{\"port\":80}]")
        world.apply([web], objects: [Objects.slice("s", of: "web", [Objects.ready("10.0.0.1")])])
        let preview = world.preview([], objects: [Objects.slice("s", of: "web", [Objects.unready("10.0.0.1")])])
        #expect(preview.verdicts == ["~ EndpointSlice s"])
        #expect(
            preview.fields == [
                "endpoints[10.0.0.1].conditions.ready: true > false", "endpoints[10.0.0.1].conditions.serving: true > false",
            ])
        #expect(preview.listeners.map(\.change) == [.closed, .closed] && preview.listeners.allSatisfy { $0.reason == "no endpoint" })
        #expect(
            preview.findings.map(\.message) == ["Service default/web: no endpoint is ready (of 1)"],
            "of a Service that the files don't name, but it did not hold before")
    }

    @Test func aSelectorThatMatchesOthersChangesEndpoints() throws {
        var world = try World()
        func pod(_ name: String, _ app: String, _ address: String) -> KubernetesObject {
            var pod = Pod()
            pod.addresses = [Objects.ip(address)]
            pod.isReady = true
            return KubernetesObject(metadata: ObjectMetadata(name: name, labels: ["app": app]), body: .pod(pod), location: Objects.at(1))
        }
        func web(_ app: String) throws -> ServiceManifest {
            try World.service("web", "\"clusterIP\":\"10.96.0.9\",\"selector\":{\"app\":\"\(app)\"},\"ports\":[{\"port\":80}]")
        }
        world.apply([try web("blue")], objects: [pod("blue", "blue", "10.0.0.1"), pod("green", "green", "10.0.0.2")])
        let preview = world.preview([try web("green")])
        #expect(preview.fields == ["spec.selector.app: \"blue\" > \"green\""])
        #expect(preview.endpoints == ["default/web +10.0.0.2:80 -10.0.0.1:80"] && preview.listening == [])
    }

    @Test func whatIsRefusedStaysAndIsSaidAsAnAPIServerSaysIt() throws {
        var world = try World()
        world.apply([try World.echo("web", endpoints: [Self.a])])
        let bad = try World.service("web", "\"clusterIP\":\"10.96.0.77\",\"ports\":[{\"port\":80}]")
        let new = try World.service("new", "\"sessionAffinity\":\"Perhaps\",\"ports\":[{\"port\":80}]")
        let preview = world.preview([bad, new])
        #expect(preview.verdicts == ["! Service new", "! Service web"] && preview.objects.map(\.isInForce) == [false, true])
        #expect(!preview.hasChanges && preview.hasErrors)
        #expect(
            preview.findings.contains {
                $0.message.contains("spec.clusterIPs[0]: Invalid value") && $0.message.contains("may not change once set")
            })
        #expect(preview.statuses.map { $0["code"] } == [.integer(422), .integer(422)])
    }

    @Test func anImmutableFieldOfASliceIsRefused() throws {
        var world = try World()
        world.apply([], objects: [Objects.slice("s", of: "web", [])])
        let preview = world.preview([], objects: [Objects.slice("s", of: "web", family: .ipv6, [])])
        #expect(preview.verdicts == ["! EndpointSlice s"] && preview.findings.contains { $0.message.contains("addressType") })
    }

    @Test func pruningTakesWhatIsNotNamedButNotTheCommandLine() throws {
        var world = try World()
        let (web, shop) = (try World.echo("web", endpoints: [Self.a]), try World.echo("shop", 81, endpoints: [Self.b]))
        let given = try World.echo("port-90", 90, endpoints: [Self.c])
        world.apply([web, shop, given], objects: [Objects.slice("s", of: "web", [])])
        world.commandLine = [given.key: ServiceModel.SourceLocation(file: "90=10.0.0.3:1")]
        #expect(!world.preview([web]).hasChanges)
        let preview = world.preview([web], prunes: true)
        #expect(preview.verdicts == ["- EndpointSlice s unnamed", "- Service shop unnamed"] && preview.unchanged == 1)
        #expect(!world.preview([web], prunes: true, isWhole: false).hasChanges, "what can't be read may hold the rest")
        let taken = world.preview([try World.echo("port-90", 91, endpoints: [Self.c])])
        #expect(taken.verdicts == ["! Service port-90"] && !taken.hasChanges && taken.listening == [])
        #expect(
            taken.findings.map(\.message) == [
                "Service default/port-90 is also on the command line, 90=10.0.0.3:1, which counts: rename one of them"
            ])
    }

    @Test func aServiceThatWaitsForANumberIsToldOfWhenItComesFree() throws {
        var world = try World()
        func wishing(_ name: String, _ spec: String = "\"nodePort\":30001") throws -> ServiceManifest {
            try World.service(name, "\"type\":\"NodePort\",\"ports\":[{\"port\":80,\(spec)}]")
        }
        world.apply([try wishing("first"), try wishing("second")])
        #expect(world.registry.refused.map(\.name) == ["second"])
        let preview = world.preview([try wishing("first", "\"nodePort\":30002")])
        #expect(preview.verdicts == ["~ Service first", "+ Service second unnamed"])
        #expect(preview.fields == ["spec.ports[0].nodePort: 30001 > 30002", "spec.clusterIP: - > \"<allocated>\""])
    }

    @Test func anAddressThatTwoAskForGoesToTheFirstByName() throws {
        var world = try World()
        world.apply([try World.echo("web", endpoints: [Self.a])])
        let preview = world.preview([try World.echo("api", endpoints: [Self.b])])
        #expect(preview.listening == ["opened tcp 10.96.0.118:80", "moved tcp 203.0.113.1:80"])
        #expect(preview.hasErrors && preview.findings.contains { $0.message.contains("Service default/web can't have tcp 203.0.113.1:80") })
    }

    @Test func addressesOfARangeThatIsNotTheHostsOwnAreNotListenedOn() throws {
        var world = try World()
        world.unreachableRanges = [IPRange("10.96.0.0/24")!]
        let preview = world.preview([try World.service("web", "\"ports\":[{\"port\":80}]", ["ringway.dev/endpoints": Self.a])])
        #expect(preview.listening == ["unserved tcp <allocated>:80"] && preview.endpoints == [])
        #expect(world.preview([try World.echo("asks", endpoints: [Self.a])]).listening.allSatisfy { $0.hasPrefix("opened") })
    }

    @Test func aLoadBalancersQuestionsHaveAPort() throws {
        let world = try World()
        let spec =
            "\"type\":\"LoadBalancer\",\"externalTrafficPolicy\":\"Local\",\"healthCheckNodePort\":30007,"
            + "\"ports\":[{\"port\":80,\"nodePort\":30006}]"
        let preview = world.preview([try World.service("web", spec)])
        #expect(preview.listeners.filter { $0.origin == "healthCheckNodePort" }.map(\.frontend) == ["tcp *:30007"])
    }

    // MARK: What happens then

    /// Seeded changes, each foretold and then made: the open frontends, and the endpoints of each Service port, must be what was said.
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func whatIsSaidIsWhatHappens(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var world = try World()
        let names = ["web", "shop", "dns"]
        for _ in 0..<12 {
            var services: [ServiceManifest] = []
            for name in names where Bool.random(using: &random) {
                let endpoints = [Self.a, Self.b, Self.c].filter { _ in Bool.random(using: &random) }
                let spec =
                    "\"type\":\"\(Bool.random(using: &random) ? "NodePort" : "ClusterIP")\","
                    + "\"externalIPs\":[\"203.0.113.\(Int.random(in: 1...2, using: &random))\"],\"ports\":[{\"port\":"
                    + "\(Int.random(in: 80...81, using: &random)),\"protocol\":\"\(Bool.random(using: &random) ? "TCP" : "UDP")\"}]"
                services.append(
                    try World.service(name, spec, endpoints.isEmpty ? [:] : ["ringway.dev/endpoints": endpoints.joined(separator: ",")]))
            }
            let prunes = Bool.random(using: &random)
            let (preview, before) = (world.preview(services, prunes: prunes), world.compiler.snapshot)
            #expect(world.preview(services, prunes: prunes) == preview, "a preview changes nothing")
            let removed = prunes ? world.inventory.keys.filter { key in !services.contains { $0.key == key } } : []
            world.apply(services, removed: removed)
            let after = world.compiler.snapshot
            #expect(preview.endpoints.sorted() == Self.endpoints(from: before, to: after).sorted())
            let (was, is_) = (Self.open(before), Self.open(after))
            #expect(preview.listeners.count { $0.change == .opened } == is_.subtracting(was).count)
            #expect(preview.listeners.count { $0.change == .closed } == was.subtracting(is_).count)
            for listener in preview.listeners where !listener.frontend.contains("<") {
                let isOpen = is_.contains { $0.description == listener.frontend }
                #expect(isOpen == (listener.change == .opened || listener.change == .moved), "\(listener)")
            }
            #expect(!world.preview(services, prunes: prunes).hasChanges, "said once, done once")
        }
    }

    private static func open(_ snapshot: RoutingSnapshot) -> Set<FrontendKey> {
        Set(snapshot.frontends.values.filter(\.isOpen).map(\.key))
    }

    private static func endpoints(from before: RoutingSnapshot, to after: RoutingSnapshot) -> [String] {
        func all(_ snapshot: RoutingSnapshot) -> [ServicePortName: Set<SocketAddress>] {
            snapshot.frontends.values.reduce(into: [:]) { result, frontend in
                result[frontend.group.service, default: []].formUnion(frontend.group.endpoints.map(\.address))
            }
        }
        let (was, now) = (all(before), all(after))
        return Set(was.keys).union(now.keys).compactMap { port -> String? in
            let (old, new) = (was[port] ?? [], now[port] ?? [])
            guard old != new || (was[port] == nil) != (now[port] == nil) else { return nil }
            let added = new.subtracting(old).sorted().map { "+\($0)" }
            return ([port.description] + added + old.subtracting(new).sorted().map { "-\($0)" }).joined(separator: " ")
        }
    }
}
