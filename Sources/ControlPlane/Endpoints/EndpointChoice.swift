internal import Addressing
internal import ServiceModel

/// One endpoint as its slices describe it, before any is chosen.
struct EndpointCandidate: Hashable {
    var ready: Bool
    var serving: Bool
    var terminating: Bool
    var nodeName: String?
    var zoneHints: [String] = []
    var nodeHints: [String] = []

    init(_ endpoint: EndpointSlice.Endpoint) {
        (ready, serving, terminating) = (endpoint.ready, endpoint.serving, endpoint.terminating)
        nodeName = endpoint.nodeName
        zoneHints = endpoint.zoneHints
        nodeHints = endpoint.nodeHints
    }

    /// One without a node is on none.
    func isLocal(to node: LocalNode) -> Bool { nodeName != nil && nodeName == node.name }

    /// One address in two slices: a Pod's IP may be used again while the old Pod still terminates, so the entry that
    /// does not terminate is the true one. Among equals the better condition, so that the order of slices is nothing.
    func isOutrankedBy(_ other: EndpointCandidate) -> Bool {
        if terminating != other.terminating { return terminating }
        if ready != other.ready { return other.ready }
        return !serving && other.serving
    }
}

/// The endpoints of one Service port that may be used from one node, as the Kubernetes proxy chooses them (`CategorizeEndpoints`).
struct EndpointChoice: Equatable {
    /// For the policy Cluster: the ready ones that hints lead to; with none ready, those that still serve while they terminate
    /// (KEP-1669), so that a rollout of a Service with one Pod has no gap. Sorted.
    private(set) var cluster: [SocketAddress]
    /// For the policy Local: the same among those of this node, whatever the hints.
    private(set) var local: [SocketAddress]
    /// Whether any node has one. Where the list that is asked for is empty, clients are refused without, and hear nothing with.
    private(set) var hasAny: Bool

    init(_ candidates: [SocketAddress: EndpointCandidate], on node: LocalNode) {
        let ready = candidates.filter { $0.value.ready }
        let leaving = candidates.filter { $0.value.serving && $0.value.terminating }
        let preferred = Self.preferred(ready, on: node)
        cluster = (preferred.isEmpty ? leaving : preferred).keys.sorted()
        let localReady = ready.filter { $0.value.isLocal(to: node) }
        local = (localReady.isEmpty ? leaving.filter { $0.value.isLocal(to: node) } : localReady).keys.sorted()
        hasAny = !ready.isEmpty || !leaving.isEmpty
    }

    /// Hints count only where every ready endpoint has them, and at least one names this node, or its zone.
    private static func preferred(_ ready: [SocketAddress: EndpointCandidate], on node: LocalNode) -> [SocketAddress: EndpointCandidate] {
        if let name = node.name, ready.values.allSatisfy({ !$0.nodeHints.isEmpty }) {
            let here = ready.filter { $0.value.nodeHints.contains(name) }
            if !here.isEmpty { return here }
        }
        if let zone = node.zone, ready.values.allSatisfy({ !$0.zoneHints.isEmpty }) {
            let near = ready.filter { $0.value.zoneHints.contains(zone) }
            if !near.isEmpty { return near }
        }
        return ready
    }
}
