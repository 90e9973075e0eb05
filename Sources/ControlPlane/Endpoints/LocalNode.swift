package import Addressing

/// This node, as far as the choice of endpoints goes by it.
package struct LocalNode: Hashable, Sendable {
    package static let zoneLabel = "topology.kubernetes.io/zone"

    /// As `nodeName` of endpoints has it.
    package var name: String?
    /// The value of the label `topology.kubernetes.io/zone`.
    package var zone: String?
    /// Its own addresses. Clients from there are near by.
    package var addresses: Set<IPAddress> = []
    /// Where the cluster's Pods are; where that isn't told, those of this node, which its object knows (`spec.podCIDRs`). Clients from
    /// there are near by.
    package var clusterRanges: [IPRange] = []
    /// Where node ports are served; nil: on any address.
    package var nodePortAddresses: [IPAddress]?

    package init(name: String? = nil, zone: String? = nil) {
        self.name = name
        self.zone = zone
    }
}
