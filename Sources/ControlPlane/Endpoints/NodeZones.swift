internal import ServiceModel

/// The zones of nodes, as the sources' Nodes have them.
struct NodeZones: Equatable {
    private var byNode: [String: String] = [:]

    /// Of two objects of one name the first counts, and before both what this node was told of itself.
    init(_ objects: [KubernetesObject] = [], here: LocalNode = LocalNode()) {
        if let name = here.name { byNode[name] = here.zone }
        for object in objects {
            guard case .node = object.body, let zone = object.metadata.labels[LocalNode.zoneLabel], !zone.isEmpty else { continue }
            if byNode[object.metadata.name] == nil { byNode[object.metadata.name] = zone }
        }
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
        return node
    }
}
