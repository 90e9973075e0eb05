internal import Addressing
internal import ServiceModel

/// Whose endpoints a frontend leads to, by its traffic policy.
enum EndpointScope: Hashable {
    case cluster, local

    init(_ policy: TrafficPolicy?) { self = policy == .local ? .local : .cluster }
}

/// The usable endpoints of one Service port for the frontends of one or both address families.
struct EndpointPool: Hashable {
    /// The families of the frontends that this pool serves, which need not be the family of its endpoints.
    var frontendFamilies: Set<IPAddress.Family>
    var scopes: Set<EndpointScope>
    /// Sorted, each address once.
    var endpoints: [SocketAddress]
    /// Whether it is empty though there are endpoints on other nodes.
    var isEmptyHere = false

    static let bothFamilies: Set<IPAddress.Family> = [.ipv4, .ipv6]
}

/// Joins the endpoints of a Service's slices for one port and says which may be used.
struct EndpointJoin {
    /// One pool for each scope and address family that the slices have, or one for both families if they have one or none.
    private(set) var pools: [EndpointPool] = []
    /// Endpoints that the slices list under this port, usable or not.
    private(set) var candidateCount = 0
    /// Where those are that are ready on this node.
    private(set) var readyHere: Set<IPAddress> = []
    /// Whether any slice has a port of this name and protocol.
    private(set) var portFound = false

    /// - Parameter slices: all slices of the Service, `addressType: FQDN` among them (they are left out).
    init(slices: [EndpointSlice], portName: String, transport: TransportProtocol, scopes: Set<EndpointScope>, node: LocalNode) {
        var byFamily: [IPAddress.Family: [SocketAddress: EndpointCandidate]] = [:]
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
                    let candidate = EndpointCandidate(endpoint)
                    if let known = byFamily[family]?[address], !known.isOutrankedBy(candidate) { continue }
                    byFamily[family]?[address] = candidate
                }
            }
        }
        for candidates in byFamily.values {
            readyHere.formUnion(candidates.lazy.filter { $0.value.ready && $0.value.isLocal(to: node) }.map(\.key.address))
        }
        candidateCount = byFamily.values.reduce(0) { $0 + $1.count }
        // kube-proxy forwards within one family (the kernel's NAT can't do otherwise). A connection of our own may be of the
        // other family, so a Service with slices of one family serves all its frontends from it.
        let families = byFamily.count < 2 ? nil : byFamily.keys.sorted { $0.rawValue < $1.rawValue }
        for family in families ?? [byFamily.keys.first ?? .ipv4] {
            let choice = EndpointChoice(byFamily[family] ?? [:], on: node)
            for scope in [EndpointScope.cluster, .local] where scopes.contains(scope) {
                let endpoints = scope == .local ? choice.local : choice.cluster
                pools.append(
                    EndpointPool(
                        frontendFamilies: families == nil ? EndpointPool.bothFamilies : [family], scopes: [scope], endpoints: endpoints,
                        isEmptyHere: endpoints.isEmpty && choice.hasAny))
            }
        }
    }
}

extension Endpoints {
    /// What tells the EndpointSlice mirroring controller to leave an object alone.
    static func isMirrored(_ metadata: ObjectMetadata) -> Bool {
        metadata.labels["endpointslice.kubernetes.io/skip-mirror"] != "true"
            && metadata.annotations["control-plane.alpha.kubernetes.io/leader"] == nil
    }

    /// The slices that the EndpointSlice mirroring controller would make of this object: one per subset and address family.
    func mirrored() -> [EndpointSlice] {
        subsets.flatMap { subset in
            [IPAddress.Family.ipv4, .ipv6].compactMap { family in
                var slice = EndpointSlice()
                slice.addressFamily = family
                slice.ports = subset.ports
                func endpoints(_ addresses: [Address], ready: Bool) -> [EndpointSlice.Endpoint] {
                    addresses.filter { $0.address.family == family }.map {
                        EndpointSlice.Endpoint(address: $0.address, ready: ready, pod: $0.pod, nodeName: $0.nodeName, hostname: $0.hostname)
                    }
                }
                slice.endpoints = endpoints(subset.addresses, ready: true) + endpoints(subset.notReadyAddresses, ready: false)
                return slice.endpoints.isEmpty ? nil : slice
            }
        }
    }
}
