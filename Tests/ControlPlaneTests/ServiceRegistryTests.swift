import Addressing
import ServiceModel
import Testing

@testable import ControlPlane

/// Create and update, as one API server answers them.
struct ServiceRegistryTests {
    private static let single = "10.96.0.0/12, nodePort 30000-32767"
    private static let dual = "10.96.0.0/12,fd00:10:96::/112"

    /// A Service `web` with this JSON as its spec.
    private static func service(_ spec: String, name: String = "web") throws -> JSONTree {
        try JSONTree("{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"\(name)\"},\"spec\":\(spec)}")
    }

    struct Update: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let old: String
        let new: String
        let errors: [String]
        var cluster = ServiceRegistryTests.single

        init(_ name: String, _ old: String, _ new: String, _ errors: String..., dual: Bool = false) {
            (testDescription, self.old, self.new, self.errors) = (name, old, new, errors)
            if dual { cluster = ServiceRegistryTests.dual }
        }
    }

    private static let ports = "\"ports\":[{\"port\":80}]"
    private static let local = "\"type\":\"LoadBalancer\",\"externalTrafficPolicy\":\"Local\""
    private static let both = "\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"10.96.0.10\",\"fd00:10:96::10\"]"

    static let updates = [
        Update(
            "another address", "{\(ports),\"clusterIP\":\"10.96.0.10\"}", "{\(ports),\"clusterIP\":\"10.96.0.11\"}",
            "spec.clusterIPs[0]: Invalid value: [\"10.96.0.11\"]: may not change once set"),
        Update(
            "an address taken away", "{\(ports),\"clusterIP\":\"10.96.0.10\"}", "{\(ports),\"clusterIP\":\"None\"}",
            "spec.clusterIPs[0]: Invalid value: [\"None\"]: may not change once set"),
        Update(
            "another health check port", "{\(ports),\(local),\"healthCheckNodePort\":31100}",
            "{\(ports),\(local),\"healthCheckNodePort\":31101}", "spec.healthCheckNodePort: Forbidden: field is immutable"),
        Update(
            "a health check port that is none", "{\(ports),\(local),\"healthCheckNodePort\":31100}",
            "{\(ports),\(local),\"healthCheckNodePort\":-1}", "spec.healthCheckNodePort: Forbidden: field is immutable",
            "spec.healthCheckNodePort: Invalid value: -1: must be between 1 and 65535, inclusive"),
        Update(
            "a class added", "{\(ports),\"type\":\"LoadBalancer\"}",
            "{\(ports),\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"a.com/y\"}",
            "spec.loadBalancerClass: Invalid value: \"a.com/y\": may not change once set"),
        Update(
            "a class taken away", "{\(ports),\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"a.com/y\"}",
            "{\(ports),\"type\":\"LoadBalancer\"}", "spec.loadBalancerClass: Invalid value: null: may not change once set"),
        Update(
            "a node port changed while the type loses it", "{\(ports),\"type\":\"NodePort\"}",
            "{\"ports\":[{\"port\":80,\"nodePort\":31000}]}",
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        Update(
            "an address changed on the way to ExternalName", "{\(ports),\"clusterIP\":\"10.96.0.10\"}",
            "{\"type\":\"ExternalName\",\"externalName\":\"example.com\",\"clusterIP\":\"10.96.0.11\","
                + "\"clusterIPs\":[\"10.96.0.11\"]}",
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services"),
        Update(
            "the second address given up without a word", "{\(ports),\"ipFamilyPolicy\":\"RequireDualStack\",\(both)}",
            "{\(ports),\"ipFamilyPolicy\":\"RequireDualStack\",\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"10.96.0.10\"]}",
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary cluster IP",
            dual: true),
        Update(
            "families exchanged", "{\(ports),\"ipFamilyPolicy\":\"RequireDualStack\",\(both)}",
            "{\(ports),\"ipFamilyPolicy\":\"RequireDualStack\",\"clusterIP\":\"fd00:10:96::10\","
                + "\"clusterIPs\":[\"fd00:10:96::10\",\"10.96.0.10\"]}",
            "spec.clusterIPs[0]: Invalid value: [\"fd00:10:96::10\",\"10.96.0.10\"]: may not change once set",
            "spec.clusterIPs[1]: Invalid value: [\"fd00:10:96::10\",\"10.96.0.10\"]: may not change once set",
            "spec.ipFamilies[0]: Invalid value: [\"IPv6\",\"IPv4\"]: may not change once set", dual: true),
        Update(
            "an allocation error alone", "{\(ports)}", "{\"type\":\"NodePort\",\"ports\":[{\"port\":80,\"nodePort\":80,\"name\":\"A\"}]}",
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ]

    @Test(arguments: updates)
    func anUpdateThatBreaksARuleIsRefusedAndTheOldVersionStays(_ update: Update) throws {
        var cluster = try Cluster(update.cluster)
        guard case .admitted(let old, _) = cluster.apply(try Self.service(update.old)) else {
            Issue.record("the old version is refused")
            return
        }
        let addresses = cluster.allocations.addressCount
        let ports = cluster.allocations.portCount
        guard case .refused(let found) = cluster.apply(try Self.service(update.new)) else {
            Issue.record("it is accepted")
            return
        }
        #expect(found.compactMap(\.origin?.finding.text) == update.errors)
        #expect(cluster.registry.services.values.map(\.self) == [old])
        #expect(cluster.allocations.addressCount == addresses && cluster.allocations.portCount == ports)
    }

    struct Kept: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let versions: [String]
        var cluster = ServiceRegistryTests.single

        init(_ name: String, _ versions: String..., dual: Bool = false) {
            (testDescription, self.versions) = (name, versions)
            if dual { cluster = ServiceRegistryTests.dual }
        }
    }

    static let kept = [
        Kept("an address", "{\(ports)}", "{\(ports)}", "{\"ports\":[{\"port\":81}],\"selector\":{\"a\":\"b\"}}"),
        Kept(
            "node ports of one number",
            "{\"type\":\"NodePort\",\"ports\":[{\"name\":\"a\",\"port\":53},"
                + "{\"name\":\"b\",\"port\":53,\"protocol\":\"UDP\"}]}",
            "{\"type\":\"NodePort\",\"ports\":[{\"name\":\"a\",\"port\":53},{\"name\":\"b\",\"port\":53,\"protocol\":\"UDP\"}]}"),
        Kept("a load balancer's all", "{\(ports),\(local)}", "{\(ports),\(local)}"),
        Kept(
            "two addresses", "{\(ports),\"ipFamilyPolicy\":\"PreferDualStack\"}", "{\(ports),\"ipFamilyPolicy\":\"PreferDualStack\"}",
            "{\(ports)}", dual: true),
        Kept("none", "{\"clusterIP\":\"None\"}", "{}"),
    ]

    @Test(arguments: kept)
    func whatWasAllocatedIsKeptWhereItIsLeftOpen(_ kept: Kept) throws {
        var cluster = try Cluster(kept.cluster)
        var seen: Set<[String]> = []
        for version in kept.versions {
            guard case .admitted(let manifest, _) = cluster.apply(try Self.service(version)) else {
                Issue.record("\(version) is refused")
                return
            }
            seen.insert(
                [manifest.clusterIP] + manifest.clusterIPs + manifest.ports.map { "\($0.nodePort)" } + ["\(manifest.healthCheckNodePort)"])
            #expect(!manifest.clusterIP.isEmpty && manifest.clusterIPs.first == manifest.clusterIP)
        }
        #expect(seen.count == 1)
    }

    @Test func oneFamilyIsReleasedByItsPolicyAndGainedByAnother() throws {
        var cluster = try Cluster(Self.dual)
        var found: [[String]] = []
        for policy in ["RequireDualStack", "SingleStack", "PreferDualStack"] {
            guard case .admitted(let new, _) = cluster.apply(try Self.service("{\(Self.ports),\"ipFamilyPolicy\":\"\(policy)\"}")) else {
                Issue.record("\(policy) is refused")
                return
            }
            found.append(new.ipFamilies)
            #expect(new.clusterIPs.count == new.ipFamilies.count && cluster.allocations.addressCount == new.ipFamilies.count)
        }
        #expect(found == [["IPv4", "IPv6"], ["IPv4"], ["IPv4", "IPv6"]])
    }

    @Test func typesComeAndGoAndLeaveNothingBehind() throws {
        var cluster = try Cluster(Self.single)
        let versions = [
            "{\(Self.ports),\(Self.local)}", "{\(Self.ports),\"type\":\"NodePort\"}", "{\(Self.ports)}",
            "{\"type\":\"ExternalName\",\"externalName\":\"example.com.\"}", "{\(Self.ports)}",
        ]
        var held: [[Int]] = []
        for version in versions {
            guard case .admitted = cluster.apply(try Self.service(version)) else {
                Issue.record("\(version) is refused")
                return
            }
            held.append([cluster.allocations.addressCount, cluster.allocations.portCount])
        }
        #expect(held == [[1, 2], [1, 1], [1, 0], [0, 0], [1, 0]])
    }

    @Test func whatIsRefusedLeavesNoTrace() throws {
        var cluster = try Cluster(Self.single)
        guard case .refused(let found) = cluster.apply(try Self.service("{\(Self.local),\"ports\":[{\"port\":80,\"name\":\"A\"}]}")) else {
            Issue.record("it is accepted")
            return
        }
        #expect(found.count == 1 && cluster.registry.services.isEmpty)
        #expect(cluster.allocations.addressCount == 0 && cluster.allocations.portCount == 0)
    }

    @Test func aRemovedServiceIsNewTheNextTime() throws {
        var cluster = try Cluster(Self.single)
        let key = ServiceKey(namespace: "default", name: "web")
        _ = cluster.apply(try Self.service("{\(Self.ports),\"clusterIP\":\"10.96.0.10\"}"))
        #expect(cluster.registry.remove(key)?.clusterIP == "10.96.0.10")
        cluster.allocations.gone(key, at: 0)
        guard case .admitted(let new, _) = cluster.apply(try Self.service("{\(Self.ports),\"clusterIP\":\"10.96.0.11\"}")) else {
            Issue.record("it is refused")
            return
        }
        #expect(new.clusterIP == "10.96.0.11")
    }

    static let warned: [(spec: String, warnings: [String])] = [
        (
            "{\(ports),\"externalName\":\"example.com\",\"trafficDistribution\":\"PreferClose\"}",
            [
                "spec.externalName is ignored when spec.type is not \"ExternalName\"",
                "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
            ]
        ),
        (
            "{\"clusterIP\":\"None\",\"externalIPs\":[\"192.0.2.1\"],\"sessionAffinity\":\"ClientIP\",\"loadBalancerIP\":\"192.0.2.2\"}",
            [
                "spec.loadBalancerIP is ignored for headless services", "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ]
        ),
        (
            "{\"type\":\"ExternalName\",\"externalName\":\"example.com\",\"externalIPs\":[\"2001:DB8::1\"]}",
            [
                "spec.externalIPs[0]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")",
                "spec.externalIPs is ignored when spec.type is \"ExternalName\"",
            ]
        ),
    ]

    @Test(arguments: warned)
    func whatHasNoEffectIsWarnedOf(_ spec: String, _ warnings: [String]) throws {
        var cluster = try Cluster(Self.single)
        guard case .admitted(_, let found) = cluster.apply(try Self.service(spec)) else {
            Issue.record("it is refused")
            return
        }
        #expect(found.compactMap(\.origin?.finding.text) == warnings)
    }
}
