import Addressing
import Testing

@testable import ServiceModel

/// Nodes: where they are, and where their Pods are.
@Suite struct NodeTests {
    private static func document(_ spec: Tree = nil, status: Tree = nil, metadata: Tree = ["name": "node-1"]) -> DocumentNode {
        let tree: Tree = ["apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status]
        return tree.node
    }

    private static func node(_ document: DocumentNode) -> Node? {
        if case .node(let node)? = decoded(document)?.body { node } else { nil }
    }

    @Test func whatAClusterPrintsIsReadWithoutAWord() throws {
        let document = Self.document(
            [
                "podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:244::/64"], "providerID": "kind://node-1",
                "taints": [["key": "a", "effect": "NoSchedule"]],
            ],
            status: [
                "addresses": [
                    ["type": "InternalIP", "address": "192.0.2.7"], ["type": "InternalIP", "address": "fd00::7"],
                    ["type": "ExternalIP", "address": "198.51.100.7"], ["type": "Hostname", "address": "node-1"],
                ],
                "capacity": ["cpu": "2"], "conditions": [["type": "Ready", "status": "True"]],
                "images": [["names": ["a"], "sizeBytes": 1]],
                "nodeInfo": ["kernelVersion": "6.18"], "daemonEndpoints": ["kubeletEndpoint": ["Port": 10250]],
            ],
            metadata: ["name": "node-1", "labels": ["kubernetes.io/hostname": "node-1", "topology.kubernetes.io/zone": "one"]])
        let node = try #require(Self.node(document))
        #expect(node.internalAddresses.map(\.description) == ["192.0.2.7", "fd00::7"])
        #expect(node.podRanges.map(\.description) == ["10.244.1.0/24", "fd00:244::/64"])
        let object = try #require(decoded(document))
        #expect(object.key.description == "Node node-1" && object.metadata.labels["topology.kubernetes.io/zone"] == "one")
        #expect(errors(document) == [] && warnings(document) == [])
    }

    @Test func theSingleRangeCountsAloneAndWhereTheyDiffer() {
        func ranges(_ spec: Tree) -> [String]? { Self.node(Self.document(spec))?.podRanges.map(\.description) }
        #expect(ranges(["podCIDR": "10.244.1.0/24"]) == ["10.244.1.0/24"])
        #expect(ranges(["podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.2.0/24"]]) == ["10.244.1.0/24"])
        #expect(ranges(nil) == [])
    }

    @Test func isInvalidInTheWordsOfAnAPIServer() {
        let document = Self.document(
            ["podCIDRs": ["10.244.1.0/24", "10.244.2.0/24", "x"]], metadata: ["name": "node_1", "namespace": "default"])
        let found = errors(document)
        #expect(
            found.contains(
                "Node \"node_1\" is invalid: spec.podCIDRs[2]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or "
                    + "2001:db8::/64)"))
        #expect(
            found.contains(
                "Node \"node_1\" is invalid: spec.podCIDRs: Invalid value: [\"10.244.1.0/24\",\"10.244.2.0/24\",\"x\"]: may specify "
                    + "no more than one CIDR for each IP family"))
        #expect(found.contains("Node \"node_1\" is invalid: metadata.namespace: Forbidden: not allowed on this type"))
        #expect(found.contains { $0.contains("metadata.name: Invalid value: \"node_1\"") } && found.count == 4)
    }

    @Test func anUnknownFieldIsNamedAndAnAddressThatIsNoneIsIgnored() {
        #expect(errors(Self.document(["podCidr": "10.244.1.0/24"])).first?.contains("podCIDR") == true)
        let document = Self.document(status: ["addresses": [["type": "InternalIP", "address": "node-1"]]])
        #expect(Self.node(document)?.internalAddresses == [] && warnings(document).count == 1)
    }

    @Test func aListOfThemIsRead() {
        let tree: Tree = ["apiVersion": "v1", "kind": "NodeList", "items": [["metadata": ["name": "a"]], ["metadata": ["name": "b"]]]]
        #expect(ObjectDecoder.decode(tree.node).compactMap(\.object?.key.name) == ["a", "b"])
    }

    @Test func aNamespaceIsReadAsOneThatIsThere() {
        let tree: Tree = [
            "apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "prod", "labels": ["kubernetes.io/metadata.name": "prod"]],
            "spec": ["finalizers": ["kubernetes"]], "status": ["phase": "Active"],
        ]
        #expect(decoded(tree.node)?.key.description == "Namespace prod" && errors(tree.node) == [] && warnings(tree.node) == [])
        let misplaced: Tree = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "a.b", "namespace": "default"]]
        #expect(errors(misplaced.node).count == 2)
    }
}
