internal import Addressing
internal import Routing
internal import ServiceModel

/// A Service's plan and the groups built from it.
struct CompiledService {
    /// What a group is for: a port of the Service and a pool of it.
    struct GroupKey: Hashable {
        var port: ServicePortName
        var pool: Int
    }

    private(set) var plan: ServicePlan
    /// Groups of the plan; before `buildGroups`, those of the plan before.
    private var groups: [GroupKey: EndpointGroup]
    private var loopNotices: [Diagnostic] = []

    /// - Parameter former: the same Service as it was, whose groups are kept where they stay as they are.
    init(plan: ServicePlan, former: CompiledService?) {
        self.plan = plan
        groups = former?.groups ?? [:]
    }

    var notices: [Diagnostic] { plan.notices + loopNotices }

    /// How its endpoints are asked, but for those that get no connections anyway.
    func probes(in namespace: String, pods: PodIndex) -> [EndpointKey: [Probe]] {
        var all: [EndpointKey: [Probe]] = [:]
        for group in groups.values {
            for endpoint in group.endpoints where endpoint.weight > 0 {
                let probes = plan.health.probes(
                    of: endpoint.address, in: namespace, pods: pods, proxyProtocol: group.settings.proxyProtocol)
                if !probes.isEmpty { all[EndpointKey(service: group.service, endpoint: endpoint.address)] = probes }
            }
        }
        return all
    }

    func frontend(_ key: FrontendKey, _ claim: FrontendClaims.Claim, nearby: NearbyClients) -> Frontend {
        let port = plan.ports[claim.port]
        let address = key.address.address
        let (group, isSilent) = group(of: port, for: address.family, port.scope(claim.origin))
        var shortCircuit: ShortCircuit?
        if claim.origin != .clusterIP, port.externalScope == .local {
            let (all, _) = self.group(of: port, for: address.family, .cluster)
            if all.endpoints != group.endpoints { shortCircuit = ShortCircuit(clients: nearby, group: all) }
        }
        let rules = ClientRules(permitted: port.sources.permitted(at: address, claim.origin), shortCircuit: shortCircuit)
        return Frontend(
            key: key, origin: claim.origin, group: group, isSilent: isSilent, rules: rules == ClientRules() ? nil : rules)
    }

    private func group(
        of port: ServicePlan.Port, for family: IPAddress.Family, _ scope: EndpointScope
    ) -> (group: EndpointGroup, isSilent: Bool) {
        let index = port.poolIndex(for: family, scope)
        guard let group = groups[GroupKey(port: port.name, pool: index)] else { preconditionFailure("no group was built for \(port.name)") }
        return (group, port.pools[index].isEmptyHere)
    }

    func names(anyOf frontends: FrontendAddresses) -> Bool {
        plan.ports.contains { port in
            port.pools.contains { $0.endpoints.contains { frontends.catches($0, port.name.transport) } }
        }
    }

    /// Builds the groups; one whose content is the same as before stays the same object.
    mutating func buildGroups(key: ServiceKey, claims: FrontendClaims) {
        var next: [GroupKey: EndpointGroup] = [:]
        loopNotices = []
        for port in plan.ports {
            var own: Set<SocketAddress> = []
            for (index, pool) in port.pools.enumerated() {
                let loops = pool.endpoints.filter { claims.catches($0, port.name.transport) }
                own.formUnion(loops)
                let addresses = loops.isEmpty ? pool.endpoints : pool.endpoints.filter { !loops.contains($0) }
                let endpoints = addresses.map { Endpoint($0, weight: port.weights.weight(of: $0)) }
                let groupKey = GroupKey(port: port.name, pool: index)
                if let before = groups[groupKey], before.settings == port.settings, before.endpoints == endpoints {
                    next[groupKey] = before
                } else {
                    next[groupKey] = EndpointGroup(service: port.name, settings: port.settings, endpoints: endpoints)
                }
            }
            for loop in own.sorted() {
                loopNotices.append(
                    Diagnostic(
                        severity: .warning, location: port.location,
                        object: ObjectKey(kind: .service, namespace: key.namespace, name: key.name),
                        message: "Service \(port.name): endpoint \(loop) is left out: it is one of our own listeners, "
                            + "and what is sent to it would come back for ever"))
            }
        }
        groups = next
    }
}
