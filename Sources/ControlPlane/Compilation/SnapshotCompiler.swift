internal import Addressing
package import Routing
package import ServiceModel

/// Turns the current set of Kubernetes objects into the routing snapshot of the workers.
///
/// Pure: no I/O, no clock, the same objects in any order give the same routing. It remembers the last result, so that a change of
/// one Service builds new groups for that Service only and all other groups are the same objects as before.
///
///     objects ─► ServiceTracker ─► ServicePlan per changed Service ─► claims (who gets which frontend)
///                                                                 └─► groups (endpoints less our own frontends) ─► snapshot
package struct SnapshotCompiler: Sendable {
    /// The snapshot published last, or the empty one with generation 0.
    package private(set) var snapshot = RoutingSnapshot.empty
    /// The Services that the last set of objects touched.
    package private(set) var servicesChanged: [ServiceKey] = []
    package private(set) var servicesRemoved: [ServiceKey] = []

    private var tracker = ServiceTracker()
    private var services: [ServiceKey: CompiledService] = [:]
    private var claims = FrontendClaims()
    private var notices: [Diagnostic] = []
    private var pods = PodIndex()
    private var probes: [EndpointKey: [Probe]] = [:]

    /// What this node is as far as it was told, and with what the objects say of it.
    private var given: LocalNode
    private var node: LocalNode

    private let proxyName: String?

    /// - Parameters:
    ///   - node: whose endpoints are local, and which hints are followed.
    ///   - proxyName: serve the Services that their label `service.kubernetes.io/service-proxy-name` leaves to this proxy; nil: those
    ///     without the label.
    package init(node: LocalNode = LocalNode(), proxyName: String? = nil) {
        given = node
        self.node = node
        self.proxyName = proxyName
    }

    /// Takes what this node is from the next set of objects on.
    package mutating func nodeChanged(to node: LocalNode) { given = node }

    /// Takes the complete current set of objects.
    package mutating func compile(_ objects: [KubernetesObject]) -> Compilation {
        let zones = NodeZones(objects, here: given)
        let before = node
        node = given.filled(from: zones)
        var change = tracker.objectsReplaced(by: objects, zones: zones)
        if node != before { change.changed = tracker.inputs.keys.sorted() }
        (servicesChanged, servicesRemoved) = (change.changed, change.removed)
        let podsBefore = pods
        pods = PodIndex(objects)
        guard !change.isEmpty else {
            if pods != podsBefore { probes = allProbes() }
            return unchanged()
        }

        var listensChanged = !change.removed.isEmpty
        for key in change.removed { services[key] = nil }
        for key in change.changed {
            guard let inputs = tracker.inputs[key] else { continue }
            let plan = ServicePlan(key: key, inputs: inputs, node: node, proxyName: proxyName)
            let before = services[key]
            listensChanged = listensChanged || before?.plan.ports.map(\.listens) != plan.ports.map(\.listens)
            services[key] = CompiledService(plan: plan, groups: before?.groups ?? [:], loopNotices: [])
        }

        // Which endpoints are our own frontends may change for any Service when the set of frontends does.
        var moved = FrontendAddresses()
        if listensChanged {
            let before = claims.addresses
            claims = FrontendClaims(services.mapValues(\.plan))
            moved = before.symmetricDifference(claims.addresses)
        }
        let changed = Set(change.changed)
        for (key, service) in services where changed.contains(key) || service.names(anyOf: moved) {
            services[key]?.buildGroups(key: key, frontends: claims.addresses)
        }

        var frontends: [FrontendKey: Frontend] = [:]
        frontends.reserveCapacity(claims.winners.count)
        let nearby = NearbyClients(pods: node.clusterRanges, node: node.addresses)
        for (key, claim) in claims.winners {
            guard let service = services[claim.service] else { continue }
            frontends[key] = service.frontend(key, claim, nearby: nearby)
        }

        probes = allProbes()
        notices = tracker.notices + claims.notices + services.values.flatMap { $0.plan.notices + $0.loopNotices }
        notices.sort { Self.order(of: $0) < Self.order(of: $1) }

        guard let changes = SnapshotChanges(from: snapshot.frontends, to: frontends) else { return unchanged() }
        snapshot = RoutingSnapshot(generation: snapshot.generation + 1, frontends: frontends)
        return Compilation(
            snapshot: snapshot, changes: changes, totals: SnapshotTotals(frontends), probes: probes, healthCheckPorts: healthCheckPorts,
            notices: notices)
    }

    private func unchanged() -> Compilation {
        Compilation(
            snapshot: nil, changes: SnapshotChanges(), totals: SnapshotTotals(snapshot.frontends), probes: probes,
            healthCheckPorts: healthCheckPorts, notices: notices)
    }

    private var healthCheckPorts: [HealthCheckPort] {
        services.values.compactMap(\.plan.healthCheckPort).sorted { ($0.port, $0.service) < ($1.port, $1.service) }
    }

    /// How the endpoints of all Services are asked, but for those that get no connections anyway.
    private func allProbes() -> [EndpointKey: [Probe]] {
        var all: [EndpointKey: [Probe]] = [:]
        for (key, service) in services {
            for group in service.groups.values {
                for endpoint in group.endpoints where endpoint.weight > 0 {
                    let probes = service.plan.health.probes(
                        of: endpoint.address, in: key.namespace, pods: pods, proxyProtocol: group.settings.proxyProtocol)
                    if !probes.isEmpty { all[EndpointKey(service: group.service, endpoint: endpoint.address)] = probes }
                }
            }
        }
        return all
    }

    private static func order(of notice: Diagnostic) -> (String, Int, Int, String) {
        (notice.location.file, notice.location.line, notice.location.column, notice.message)
    }
}

/// A Service's plan and the groups built from it.
private struct CompiledService {
    /// What a group is for: a port of the Service and a pool of it.
    struct GroupKey: Hashable {
        var port: ServicePortName
        var pool: Int
    }

    var plan: ServicePlan
    /// Groups of the plan; before `buildGroups`, those of the plan before.
    var groups: [GroupKey: EndpointGroup]
    var loopNotices: [Diagnostic]

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
        guard !frontends.isEmpty else { return false }
        return plan.ports.contains { port in
            port.pools.contains { $0.endpoints.contains { frontends.contains($0, port.name.transport) } }
        }
    }

    /// Builds the groups; one whose content is the same as before stays the same object.
    mutating func buildGroups(key: ServiceKey, frontends: FrontendAddresses) {
        var next: [GroupKey: EndpointGroup] = [:]
        loopNotices = []
        for port in plan.ports {
            var own: Set<SocketAddress> = []
            for (index, pool) in port.pools.enumerated() {
                let loops = frontends.isEmpty ? [] : pool.endpoints.filter { frontends.contains($0, port.name.transport) }
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
