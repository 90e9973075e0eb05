import Addressing
import ServiceModel
import Testing

@testable import ControlPlane

/// Complete sets of Services, one after the other, as files give them.
struct ServiceBatchTests {
    private struct World {
        var cluster: Cluster
        var now: Int64 = 0

        init() throws { cluster = try Cluster("10.96.0.0/12, nodePort 30000-30001") }

        /// Names with the rest of their specs, as JSON.
        mutating func apply(_ specs: [String: String]) throws -> ServiceRegistry.Change {
            let manifests = try specs.map { name, spec in
                let tree = try JSONTree(
                    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"\(name)\"},\"spec\":{\"ports\":[\(spec)}}")
                guard let manifest = ObjectDecoder.decode(tree.node).first?.manifest else { throw ServiceVector.Unusable(what: spec) }
                return manifest
            }
            return cluster.registry.replaceAll(with: manifests, allocations: &cluster.allocations, at: now)
        }

        var refused: Int { cluster.registry.refused.count }
        var messages: [String] { cluster.registry.diagnostics.map(\.message) }

        func nodePort(of name: String) -> Int32? {
            cluster.registry.services[ServiceKey(namespace: "default", name: name)]?.ports.first?.nodePort
        }
    }

    private static let plain = "{\"port\":80}]"
    private static let wishing = "{\"port\":80,\"nodePort\":30000}],\"type\":\"NodePort\""
    private static let any = "{\"port\":80}],\"type\":\"NodePort\""

    @Test func onlyWhatChangedIsTouched() throws {
        var world = try World()
        #expect(try world.apply(["a": Self.plain, "b": Self.plain]).changed.map(\.name) == ["a", "b"])
        #expect(try world.apply(["a": Self.plain, "b": Self.plain]).changed == [])
        let outcome = try world.apply(["a": "{\"port\":81}]", "c": Self.plain])
        #expect(outcome.changed.map(\.name) == ["a", "c"] && outcome.removed.map(\.name) == ["b"])
        #expect(world.refused == 0 && world.messages == [])
    }

    @Test func whatAsksForANumberGetsItBeforeAnyoneTakesOne() throws {
        var world = try World()
        _ = try world.apply(["a": Self.any, "z": Self.wishing])
        #expect(world.refused == 0)
        #expect(world.nodePort(of: "z") == 30_000 && world.nodePort(of: "a") == 30_001)
    }

    @Test func whatIsRefusedIsSaidUntilItIsNotAndThenTakenIn() throws {
        var world = try World()
        let both = ["a": Self.wishing, "b": Self.wishing]
        for _ in 0..<2 {
            _ = try world.apply(both)
            #expect(world.refused == 1)
            #expect(
                world.messages == [
                    "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated"
                ])
        }
        let outcome = try world.apply(["b": Self.wishing])
        #expect(outcome.changed.map(\.name) == ["b"] && outcome.removed.map(\.name) == ["a"] && world.refused == 0)
        #expect(world.nodePort(of: "b") == 30_000)
    }

    @Test func oneMayTakeWhatAnotherGivesUpAtTheSameTime() throws {
        var world = try World()
        _ = try world.apply(["a": Self.plain, "b": Self.wishing])
        let outcome = try world.apply(["a": Self.wishing, "b": "{\"port\":80,\"nodePort\":30001}],\"type\":\"NodePort\""])
        #expect(world.refused == 0 && outcome.changed.map(\.name) == ["a", "b"])
        #expect(world.nodePort(of: "a") == 30_000 && world.nodePort(of: "b") == 30_001)
    }

    @Test func aRefusedUpdateLeavesTheLastGoodVersionInForce() throws {
        var world = try World()
        _ = try world.apply(["a": Self.wishing])
        let outcome = try world.apply(["a": "{\"port\":0,\"nodePort\":30000}],\"type\":\"NodePort\""])
        #expect(outcome.isEmpty && world.refused == 1 && world.messages.count == 2)
        #expect(world.cluster.registry.services.values.first?.ports.first?.port == 80)
        _ = try world.apply(["a": Self.wishing])
        #expect(world.refused == 0 && world.messages == [])
    }

    @Test func aServiceThatComesBackHasWhatItHad() throws {
        var world = try World()
        _ = try world.apply(["a": Self.any])
        let port = world.nodePort(of: "a")
        _ = try world.apply([:])
        #expect(world.nodePort(of: "a") == nil)
        _ = try world.apply(["a": Self.any])
        #expect(world.nodePort(of: "a") == port && port != nil)
    }
}
