internal import Addressing
internal import ServiceModel

/// The zones of nodes, as the sources' Nodes have them, and where this one's Pods are.
struct NodeZones: Equatable {
    private var byNode: [String: String] = [:]
    fileprivate private(set) var podRanges: [IPRange] = []

    /// Of two objects of one name the first counts, and before both what this node was told of itself.
    init(_ objects: [KubernetesObject] = [], here: LocalNode = LocalNode()) {
        if let name = here.name { byNode[name] = here.zone }
        var own: Node?
        for object in objects {
            guard case .node(let node) = object.body else { continue }
            let name = object.metadata.name
            if name == here.name { own = own ?? node }
            if byNode[name] == nil, let zone = object.metadata.labels[LocalNode.zoneLabel], !zone.isEmpty { byNode[name] = zone }
        }
        podRanges = own?.podRanges ?? []
    }

    /// Those of some nodes.
    func zones(of names: some Sequence<String>) -> [String: String] {
        var zones: [String: String] = [:]
        for name in names { zones[name] = byNode[name] }
        return zones
    }

    fileprivate subscript(name: String) -> String? { byNode[name] }
}

extension LocalNode {
    /// Its own object fills what it was not told.
    func filled(from zones: NodeZones) -> LocalNode {
        var node = self
        node.zone = zone ?? name.flatMap { zones[$0] }
        if clusterRanges.isEmpty { node.clusterRanges = zones.podRanges }
        return node
    }
}
