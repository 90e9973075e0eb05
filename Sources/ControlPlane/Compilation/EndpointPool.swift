internal import Addressing
internal import ServiceModel

/// The usable endpoints of one Service port for the frontends of one or both address families.
struct EndpointPool: Hashable {
    /// The families of the frontends that this pool serves, which need not be the family of its endpoints.
    var frontendFamilies: Set<IPAddress.Family>
    /// Sorted, each address once.
    var endpoints: [SocketAddress]

    static let bothFamilies: Set<IPAddress.Family> = [.ipv4, .ipv6]
}

/// Joins the endpoints of a Service's slices for one port and says which may be used.
struct EndpointJoin {
    /// One endpoint as its slices describe it, before any is chosen.
    private struct Candidate {
        var ready: Bool
        var serving: Bool
        var terminating: Bool

        /// One address in two slices: a pod's IP may be used again while the old pod still terminates, so the entry that
        /// does not terminate is the true one. Among equals the better condition, so that the order of slices is nothing.
        func isOutrankedBy(_ other: Candidate) -> Bool {
            if terminating != other.terminating { return terminating }
            if ready != other.ready { return other.ready }
            return !serving && other.serving
        }
    }

    /// One pool for each address family that the slices have, or one for both if they have one family or none.
    private(set) var pools: [EndpointPool] = []
    /// Endpoints that the slices list under this port, usable or not.
    private(set) var candidateCount = 0
    /// Whether any slice has a port of this name and protocol.
    private(set) var portFound = false

    /// - Parameter slices: all slices of the Service, `addressType: FQDN` among them (they are left out).
    init(slices: [EndpointSlice], portName: String, transport: TransportProtocol) {
        var byFamily: [IPAddress.Family: [SocketAddress: Candidate]] = [:]
        for slice in slices {
            guard let family = slice.addressFamily else { continue }
            // A slice of a family counts as "the Service has that family", endpoints or not: an IPv6 frontend whose IPv6
            // endpoints have all gone must not fall back to IPv4 behind the operator's back.
            if byFamily[family] == nil { byFamily[family] = [:] }
            for port in slice.ports where port.name == portName && port.transport == transport {
                portFound = true
                guard let number = port.port else { continue }
                for endpoint in slice.endpoints where endpoint.address.family == family {
                    let address = SocketAddress(endpoint.address, number)
                    let candidate = Candidate(ready: endpoint.ready, serving: endpoint.serving, terminating: endpoint.terminating)
                    if let known = byFamily[family]?[address], !known.isOutrankedBy(candidate) { continue }
                    byFamily[family]?[address] = candidate
                }
            }
        }
        candidateCount = byFamily.values.reduce(0) { $0 + $1.count }
        // kube-proxy forwards within one family (the kernel's NAT can't do otherwise). A connection of our own may be of the
        // other family, so a Service with slices of one family serves all its frontends from it.
        if byFamily.count < 2 {
            pools = [EndpointPool(frontendFamilies: EndpointPool.bothFamilies, endpoints: Self.usable(byFamily.first?.value ?? [:]))]
        } else {
            pools = byFamily.sorted { $0.key.rawValue < $1.key.rawValue }
                .map { EndpointPool(frontendFamilies: [$0.key], endpoints: Self.usable($0.value)) }
        }
    }

    /// The ready ones; if there is none, those that still serve while they terminate (KEP-1669), so that a rollout of a
    /// Service with one pod has no gap.
    private static func usable(_ candidates: [SocketAddress: Candidate]) -> [SocketAddress] {
        let ready = candidates.filter { $0.value.ready }
        let chosen = ready.isEmpty ? candidates.filter { $0.value.serving && $0.value.terminating } : ready
        return chosen.keys.sorted()
    }
}

extension Endpoints {
    /// The slices that the EndpointSlice mirroring controller would make of this object: one per subset and address family.
    func mirrored() -> [EndpointSlice] {
        subsets.flatMap { subset in
            [IPAddress.Family.ipv4, .ipv6].compactMap { family in
                var slice = EndpointSlice()
                slice.addressFamily = family
                slice.ports = subset.ports
                slice.endpoints =
                    subset.addresses.filter { $0.family == family }.map { EndpointSlice.Endpoint(address: $0) }
                    + subset.notReadyAddresses.filter { $0.family == family }.map { EndpointSlice.Endpoint(address: $0, ready: false) }
                return slice.endpoints.isEmpty ? nil : slice
            }
        }
    }
}
