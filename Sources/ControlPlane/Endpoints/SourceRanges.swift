internal import Addressing
internal import Routing
internal import ServiceModel

/// Whose clients a Service takes, as the Kubernetes proxy reads `loadBalancerSourceRanges`: at load balancer addresses only, each family
/// by its own ranges, and by those of our annotation at node ports.
struct SourceRanges: Equatable {
    private let loadBalancer: [IPRange]
    private let nodePorts: [IPRange]?
    private let nodeAddresses: Set<IPAddress>

    init(_ service: Service, _ node: LocalNode) {
        loadBalancer = service.loadBalancerSourceRanges
        nodePorts = service.settings.nodePortSourceRanges
        // They matter to nobody else, and a plan is to stay equal where they change.
        nodeAddresses = loadBalancer.isEmpty ? [] : node.addresses
    }

    /// nil: everybody's.
    func permitted(at address: IPAddress, _ origin: Frontend.Origin) -> [IPRange]? {
        switch origin {
        case .clusterIP, .externalIP: return nil
        case .nodePort: return nodePorts
        case .loadBalancerIP:
            let ranges = loadBalancer.filter { $0.address.family == address.family }
            guard !ranges.isEmpty, !ranges.contains(where: { $0.prefix == 0 }) else { return nil }
            // A client on this node comes from the very address it asks: it is taken where it would be from the node's own.
            let takesNode = nodeAddresses.contains { node in ranges.contains { $0.contains(node) } }
            return takesNode ? ranges + [IPRange(address)] : ranges
        }
    }

    /// The families of these load balancer addresses that everybody may use, though there are ranges for the other family.
    func openFamilies(among addresses: [IPAddress]) -> [IPAddress.Family] {
        guard !loadBalancer.isEmpty else { return [] }
        let named = Set(loadBalancer.map(\.address.family))
        return Set(addresses.map(\.family)).subtracting(named).sorted { $0.rawValue < $1.rawValue }
    }
}
