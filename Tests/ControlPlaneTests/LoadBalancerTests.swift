import Addressing
import ServiceModel
import Testing

@testable import ControlPlane

/// Services of type LoadBalancer and the pools that they are given addresses from.
struct LoadBalancerTests {
    /// A Service as a file has it.
    struct Written {
        var spec = ""
        var annotations: [String: String] = [:]
        var ingress: [String] = []
        var port = 80
        var type = "LoadBalancer"

        init(
            _ annotations: [String: String] = [:], spec: String = "", ingress: [String] = [], port: Int = 80, type: String = "LoadBalancer"
        ) {
            (self.annotations, self.spec, self.ingress, self.port, self.type) = (annotations, spec, ingress, port, type)
        }

        func manifest(_ name: String) throws -> ServiceManifest {
            let notes = annotations.map { "\"\($0.key)\":\"\($0.value)\"" }.joined(separator: ",")
            let status = ingress.map { "{\"ip\":\"\($0)\",\"ipMode\":\"VIP\"}" }.joined(separator: ",")
            let tree = try JSONTree(
                "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"\(name)\",\"annotations\":{\(notes)}},"
                    + "\"spec\":{\(spec.isEmpty ? "" : "\(spec),")\"type\":\"\(type)\",\"ports\":[{\"port\":\(port)}]},"
                    + "\"status\":{\"loadBalancer\":{\"ingress\":[\(status)]}}}")
            guard let manifest = ObjectDecoder.decode(tree.node, strictness: .ringway, judgesServices: false).first?.manifest else {
                throw ServiceVector.Unusable(what: name)
            }
            return manifest
        }
    }

    struct World {
        var registry: ServiceRegistry
        var allocations: Allocations
        var written: [String: Written] = [:]
        var now: Int64 = 0
        var kept: [ServiceKey: AllocationRecord] = [:]

        init(_ pools: [(String, [String])], loadBalancerClass: String? = nil, restoring kept: [ServiceKey: AllocationRecord] = [:]) throws {
            registry = ServiceRegistry(loadBalancerClass: loadBalancerClass)
            allocations = try Allocations(
                .init(
                    serviceRanges: [Objects.range("10.96.0.0/16"), Objects.range("fd00::/112")],
                    nodePorts: Objects.portNumber(30000)...Objects.portNumber(32767),
                    loadBalancerPools: try pools.map { name, spans in
                        LoadBalancerPool(name: name, spans: try spans.map { try #require(IPSpan($0)) })
                    }), seed: 1)
            allocations.restore(kept)
            self.kept = kept
        }

        /// Changes some of the Services, nil taking one away, and gives the addresses of all.
        @discardableResult
        mutating func apply(_ changes: KeyValuePairs<String, Written?>) throws -> [String: [String]] {
            for (name, service) in changes { written[name] = service }
            return try apply(written.map { try $0.value.manifest($0.key) })
        }

        @discardableResult
        mutating func apply(_ manifests: [ServiceManifest]) throws -> [String: [String]] {
            allocations.expire(at: now)
            _ = registry.replaceAll(with: manifests, retriesRefused: true, allocations: &allocations, at: now)
            for (key, record) in allocations.takeChanges() { kept[key] = record }
            for (key, manifest) in registry.services {
                // What is shown, what is served and what is kept are one.
                let served = manifest.service.loadBalancerIPs
                #expect(manifest.ingress.map(\.ip) == served.map(\.description))
                let isGiven = served.allSatisfy(allocations.isInLoadBalancerPool)
                if isGiven { #expect(kept[key]?.allocation.loadBalancerIPs == served) }
            }
            return addresses
        }

        var addresses: [String: [String]] {
            Dictionary(uniqueKeysWithValues: registry.services.map { ($0.key.name, $0.value.ingress.map(\.ip)) })
        }

        /// What is said of a Service, without its name.
        func said(of name: String) -> [String] {
            registry.diagnostics.filter { $0.object?.name == name }.map { $0.message.replacingOccurrence(of: "Service \"\(name)\": ") }
        }
    }

    private static let small = [("default", ["192.0.2.8-192.0.2.10"])]

    @Test func addressesAreGivenInOrderAndFreedTenMinutesAfterTheirService() throws {
        var world = try World(Self.small)
        #expect(
            try world.apply(["a": Written(), "b": Written(), "c": Written()]) == [
                "a": ["192.0.2.8"], "b": ["192.0.2.9"], "c": ["192.0.2.10"],
            ])
        try world.apply(["d": Written()])
        #expect(world.addresses["d"] == [])
        #expect(world.said(of: "d") == ["its EXTERNAL-IP is pending: no pool has an IPv4 address left"])
        #expect(world.registry.services[AllocationCluster.key("d")]?.service.clusterIPs.count == 1, "it is served all the same")
        try world.apply(["b": nil])
        #expect(world.addresses["d"] == [], "b may come back")
        world.now = 600
        #expect(try world.apply([:])["d"] == ["192.0.2.9"])
        #expect(world.said(of: "d") == [])
        #expect(
            try world.apply(["c": Written(type: "ClusterIP"), "e": Written()]) == [
                "a": ["192.0.2.8"], "c": [], "d": ["192.0.2.9"], "e": ["192.0.2.10"],
            ])
    }

    @Test func anAddressStaysWhateverElseChangesAndAcrossRestarts() throws {
        var world = try World([("a", ["192.0.2.0/30"]), ("b", ["198.51.100.0/24"])])
        try world.apply(["x": Written(), "y": Written()])
        #expect(try world.apply(["x": Written(port: 81), "z": Written(["metallb.io/allow-shared-ip": "k"])])["x"] == ["192.0.2.0"])
        let before = world.addresses
        var after = try World([("b", ["198.51.100.0/24"]), ("a", ["192.0.2.0/30"])], restoring: world.kept)
        after.allocations.expect(after.kept.keys)
        #expect(
            try after.apply(["w": Written(), "x": Written(port: 81), "y": Written(), "z": Written(["metallb.io/allow-shared-ip": "k"])])
                .filter { $0.key != "w" } == before)
        // A pool that is no more takes its addresses with it.
        var last = try World([("b", ["198.51.100.0/24"])], restoring: world.kept)
        #expect(try last.apply(["x": Written()]) == ["x": ["198.51.100.0"]])
        var none = try World([], restoring: world.kept)
        #expect(try none.apply(["x": Written()]) == ["x": []])
        #expect(none.said(of: "x") == ["its EXTERNAL-IP is pending: there is no --load-balancer-pool to give it one from"])
    }

    @Test(
        arguments: [
            // Annotations, spec; the addresses, or what is said.
            (["metallb.io/loadBalancerIPs": "192.0.2.77"], "", ["192.0.2.77"], nil),
            (["metallb.universe.tf/loadBalancerIPs": "192.0.2.77"], "", ["192.0.2.77"], nil),
            ([:], "\"loadBalancerIP\":\"192.0.2.77\"", ["192.0.2.77"], nil),
            (["metallb.io/loadBalancerIPs": "192.0.2.77"], "\"loadBalancerIP\":\"192.0.2.77\"", ["192.0.2.77"], nil),
            (
                ["metallb.io/loadBalancerIPs": "192.0.2.77"], "\"loadBalancerIP\":\"192.0.2.78\"", [],
                "metallb.io/loadBalancerIPs: spec.loadBalancerIP names another address: remove one of the two"
            ),
            (["metallb.io/loadBalancerIPs": "nonsense"], "", [], "metallb.io/loadBalancerIPs: \"nonsense\" is no address"),
            (
                ["metallb.io/loadBalancerIPs": "192.0.2.7,192.0.2.8"], "", [],
                "metallb.io/loadBalancerIPs: one address of each family at most"
            ),
            (["metallb.io/loadBalancerIPs": "203.0.113.1"], "", [], "203.0.113.1 is in no --load-balancer-pool"),
            (["metallb.io/loadBalancerIPs": "2001:db8::7"], "", [], "2001:db8::7 is of a family that its ipFamilies don't name"),
            (["metallb.io/address-pool": "second"], "", ["198.51.100.0"], nil),
            (["metallb.universe.tf/address-pool": "second"], "", ["198.51.100.0"], nil),
            (["metallb.io/address-pool": "third"], "", [], "there is no --load-balancer-pool named \"third\""),
            (
                ["metallb.io/address-pool": "second", "metallb.io/loadBalancerIPs": "192.0.2.7"], "", [],
                "192.0.2.7 is in the pool \"first\", not in \"second\""
            ),
            (
                ["metallb.io/loadBalancerIPs": "192.0.2.0"], "", [],
                "Service default/other has 192.0.2.0, and the two don't have the same metallb.io/allow-shared-ip"
            ),
            ([:], "\"ipFamilies\":[\"IPv6\"]", ["2001:db8::"], nil),
            ([:], "\"ipFamilyPolicy\":\"RequireDualStack\"", ["192.0.2.1", "2001:db8::"], nil),
            ([:], "\"ipFamilyPolicy\":\"PreferDualStack\",\"ipFamilies\":[\"IPv6\",\"IPv4\"]", ["2001:db8::", "192.0.2.1"], nil),
            (
                ["metallb.io/loadBalancerIPs": "192.0.2.7, 2001:db8::7"], "\"ipFamilyPolicy\":\"RequireDualStack\"",
                ["192.0.2.7", "2001:db8::7"], nil
            ),
            (["metallb.io/loadBalancerIPs": "2001:db8::7"], "\"ipFamilyPolicy\":\"RequireDualStack\"", ["192.0.2.1", "2001:db8::7"], nil),
            (
                ["metallb.io/address-pool": "second"], "\"ipFamilyPolicy\":\"RequireDualStack\"", [],
                "the pool \"second\" has no IPv6 address left"
            ),
            (["metallb.io/address-pool": "second"], "\"ipFamilyPolicy\":\"PreferDualStack\"", ["198.51.100.0"], nil),
            ([:], "\"loadBalancerClass\":\"example.com/other\"", [], ""),
        ] as [([String: String], String, [String], String?)])
    func whatIsAskedForIsGivenOrTheReasonIsSaid(annotations: [String: String], spec: String, addresses: [String], problem: String?) throws {
        var world = try World([("first", ["192.0.2.0/24", "2001:db8::/64"]), ("second", ["198.51.100.0/24"])])
        try world.apply(["other": Written()])
        try world.apply(["a": Written(annotations, spec: spec)])
        #expect(world.addresses["a"] == addresses)
        let said = problem.map { $0.isEmpty ? [] : ["its EXTERNAL-IP is pending: \($0)"] } ?? []
        #expect(world.said(of: "a") == said)
        #expect(world.addresses["other"] == ["192.0.2.0"])
    }

    @Test func twoPoolsOfOneFamilyEachGiveOneOfEach() throws {
        var world = try World([("four", ["192.0.2.0/24"]), ("six", ["2001:db8::/64"])])
        #expect(try world.apply(["a": Written(spec: "\"ipFamilyPolicy\":\"RequireDualStack\"")]) == ["a": ["192.0.2.0", "2001:db8::"]])
    }

    @Test(arguments: [
        // What the first and the second have beside the same key; whether they may share.
        ("", "", 80, 81, true),
        ("", "", 80, 80, false),
        (
            "\"externalTrafficPolicy\":\"Local\",\"selector\":{\"app\":\"a\"}",
            "\"externalTrafficPolicy\":\"Local\",\"selector\":{\"app\":\"a\"}", 80, 81, true
        ),
        (
            "\"externalTrafficPolicy\":\"Local\",\"selector\":{\"app\":\"a\"}",
            "\"externalTrafficPolicy\":\"Local\",\"selector\":{\"app\":\"b\"}", 80, 81, false
        ),
        ("\"externalTrafficPolicy\":\"Local\",\"selector\":{\"app\":\"a\"}", "\"selector\":{\"app\":\"a\"}", 80, 81, false),
        ("\"selector\":{\"app\":\"a\"}", "\"selector\":{\"app\":\"b\"}", 80, 81, true),
    ])
    func addressesAreSharedByThoseWhoAgree(first: String, second: String, port: Int, other: Int, isShared: Bool) throws {
        var world = try World(Self.small)
        let key = ["metallb.io/allow-shared-ip": "web"]
        try world.apply(["a": Written(key, spec: first, port: port)])
        try world.apply(["b": Written(key, spec: second, port: other), "c": Written(["metallb.io/allow-shared-ip": "else"], port: 99)])
        #expect(world.addresses["a"] == ["192.0.2.8"])
        #expect((world.addresses["b"] == ["192.0.2.8"]) == isShared)
        #expect(world.addresses["c"] != ["192.0.2.8"])
        // The same by number.
        try world.apply([
            "b": nil, "d": Written(key.merging(["metallb.io/loadBalancerIPs": "192.0.2.8"]) { $1 }, spec: second, port: other),
        ])
        #expect((world.addresses["d"] == ["192.0.2.8"]) == isShared)
        #expect(world.said(of: "d").isEmpty == isShared)
        // After a restart, too, in whichever order they come.
        var after = try World(Self.small, restoring: world.kept)
        after.allocations.expect(after.kept.keys)
        after.written = world.written
        #expect(try after.apply([:]) == world.addresses)
    }

    @Test func aSharedAddressIsFreeOnceTheLastOfItsServicesHasGone() throws {
        var world = try World([("one", ["192.0.2.1/32"])])
        let key = ["metallb.io/allow-shared-ip": "web"]
        try world.apply(["a": Written(key, port: 80), "b": Written(key, port: 81), "z": Written()])
        #expect(world.addresses == ["a": ["192.0.2.1"], "b": ["192.0.2.1"], "z": []])
        world.now = 1000
        try world.apply(["a": nil])
        world.now = 1600
        #expect(try world.apply([:]) == ["b": ["192.0.2.1"], "z": []])
        try world.apply(["b": nil])
        world.now = 2200
        #expect(try world.apply([:]) == ["z": ["192.0.2.1"]])
        #expect(world.allocations.loadBalancer.count == 1)
        try world.apply(["z": nil])
        world.now = 2800
        try world.apply([:])
        #expect(world.allocations.loadBalancer.count == 0 && world.kept.values.allSatisfy { $0.allocation.isEmpty })
    }

    @Test func aServiceThatStopsAgreeingMovesAndTheOthersStay() throws {
        var world = try World(Self.small)
        let key = ["metallb.io/allow-shared-ip": "web"]
        try world.apply(["a": Written(key, port: 80)])
        try world.apply(["b": Written(key, port: 81)])
        #expect(try world.apply(["b": Written(key, port: 80)]) == ["a": ["192.0.2.8"], "b": ["192.0.2.9"]])
        #expect(try world.apply(["a": Written(port: 80)]) == ["a": ["192.0.2.8"], "b": ["192.0.2.9"]])
    }

    @Test func whatSomebodyElseHasLeftIsTakenByNumberAlone() throws {
        var world = try World([("one", ["192.0.2.1/32"])])
        try world.apply(["a": Written()])
        try world.apply(["a": nil, "b": Written()])
        #expect(world.addresses == ["b": []])
        try world.apply(["c": Written(["metallb.io/loadBalancerIPs": "192.0.2.1"])])
        #expect(world.addresses == ["b": [], "c": ["192.0.2.1"]])
        #expect(try world.apply(["a": Written()])["a"] == [])
        #expect(world.kept[AllocationCluster.key("a")]?.allocation.loadBalancerIPs == [])
    }

    @Test func anotherWishThatCannotBeHadLeavesTheAddressAsItWas() throws {
        var world = try World(Self.small)
        try world.apply(["a": Written()])
        try world.apply(["a": Written(["metallb.io/loadBalancerIPs": "203.0.113.1"])])
        #expect(world.addresses["a"] == ["192.0.2.8"])
        #expect(world.said(of: "a") == ["its EXTERNAL-IP stays as it was: 203.0.113.1 is in no --load-balancer-pool"])
        #expect(try world.apply(["a": Written(["metallb.io/loadBalancerIPs": "192.0.2.10"])])["a"] == ["192.0.2.10"])
    }

    @Test func anAddressInTheFileIsBelievedAndHeldWhereItIsOfAPool() throws {
        var world = try World(Self.small)
        try world.apply(["a": Written(ingress: ["203.0.113.1"]), "b": Written(ingress: ["192.0.2.8"]), "c": Written()])
        #expect(world.addresses == ["a": ["203.0.113.1"], "b": ["192.0.2.8"], "c": ["192.0.2.9"]])
        try world.apply(["d": Written(ingress: ["192.0.2.9"])])
        #expect(world.addresses["d"] == [] && world.said(of: "d").count == 1)
        var other = try World(Self.small, loadBalancerClass: "example.com/mine")
        try other.apply([
            "a": Written(ingress: ["203.0.113.1"]), "b": Written(), "c": Written(spec: "\"loadBalancerClass\":\"example.com/mine\""),
        ])
        #expect(other.addresses == ["a": ["203.0.113.1"], "b": [], "c": ["192.0.2.8"]] && other.said(of: "b") == [])
    }

    @Test func aFamilyThatIsNotAskedForByNumberKeepsItsAddress() throws {
        var world = try World([("both", ["192.0.2.0/24", "2001:db8::/64"])])
        let dual = "\"ipFamilyPolicy\":\"PreferDualStack\""
        try world.apply(["gone": Written(spec: dual), "a": Written(spec: "\"ipFamilies\":[\"IPv6\"]")])
        let before = try #require(world.addresses["a"]?.first)
        try world.apply(["a": Written(spec: "\"ipFamilies\":[\"IPv6\",\"IPv4\"],\(dual)")])
        #expect(world.addresses["a"]?.first == before && world.addresses["a"]?.count == 2, "it gains a family")
        try world.apply(["a": Written(spec: "\"loadBalancerIP\":\"192.0.2.99\",\"ipFamilies\":[\"IPv6\",\"IPv4\"],\(dual)")])
        #expect(Set(world.addresses["a"] ?? []) == [before, "192.0.2.99"])
    }

    @Test func whoAsksByNumberGoesFirst() throws {
        var world = try World(Self.small)
        #expect(
            try world.apply(["a": Written(), "z": Written(spec: "\"loadBalancerIP\":\"192.0.2.8\"")]) == [
                "a": ["192.0.2.9"], "z": ["192.0.2.8"],
            ])
    }

    @Test func tenThousandServicesHaveOneAddressEach() throws {
        var world = try World([("large", ["10.0.0.0/16"])])
        var written = Written([:], port: 80, type: "LoadBalancer")
        written.spec = "\"allocateLoadBalancerNodePorts\":false"
        // Read once: to read ten thousand is another test's.
        let one = try written.manifest("one")
        try world.apply(
            (0..<10_000).map { number in
                var manifest = one
                manifest.metadata.name = "s\(number)"
                manifest.metadata.annotations["metallb.io/allow-shared-ip"] = "k\(number % 5000)"
                manifest.ports[0].port = Int32(80 + number / 5000)
                return manifest
            })
        #expect(Set(world.addresses.values.flatMap(\.self)).count == 5000, "two share one")
        #expect(world.allocations.loadBalancer.count == 5000)
        #expect(world.addresses.values.allSatisfy { $0.count == 1 })
    }
}

extension String {
    fileprivate func replacingOccurrence(of prefix: String) -> String { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : self }
}
