internal import Addressing
package import Routing
package import ServiceModel

/// Turns the current set of Kubernetes objects into the routing snapshot of the workers.
///
/// Pure: no I/O, no clock, the same objects in any order give the same routing. It remembers the last result, so that a change of
/// one Service builds new groups for that Service only and all other groups are the same objects as before. A change costs what it
/// touches, but that all endpoints are looked at where frontends come or go.
///
///     objects ─► ServiceTracker ─► ServicePlan per changed Service ─► claims (who gets which frontend)
///                                                                 └─► groups (endpoints less our own frontends) ─► snapshot
package struct SnapshotCompiler: Sendable {
    /// The snapshot published last, or the empty one with generation 0.
    package private(set) var snapshot = RoutingSnapshot.empty
    /// The Services that the last set of objects touched.
    package private(set) var servicesChanged: [ServiceKey] = []
    package private(set) var servicesRemoved: [ServiceKey] = []

    private var tracker: ServiceTracker
    /// Only where names are asked for.
    private var names: NameCompiler?
    private var services: [ServiceKey: CompiledService] = [:]
    private var claims = FrontendClaims()
    private var totals = SnapshotTotals()
    /// Of each Service that has any.
    private var noticesByService: [ServiceKey: [Diagnostic]] = [:]
    private var probesByService: [ServiceKey: [EndpointKey: [Probe]]] = [:]
    private var healthCheckPortsByService: [ServiceKey: HealthCheckPort] = [:]
    private var notices: [Diagnostic] = []
    private var probes: [EndpointKey: [Probe]] = [:]
    private var probesChanged = false
    private var healthCheckPorts: [HealthCheckPort] = []

    /// What this node is as far as it was told, and with what the objects say of it.
    private var given: LocalNode
    private var node: LocalNode

    private let proxyName: String?

    /// - Parameters:
    ///   - node: whose endpoints are local, and which hints are followed.
    ///   - proxyName: serve the Services that their label `service.kubernetes.io/service-proxy-name` leaves to this proxy; nil: those
    ///     without the label.
    ///   - names: what is to have a name in DNS; nil: nothing, and nothing is spent on it.
    package init(node: LocalNode = LocalNode(), proxyName: String? = nil, names: NameScope? = nil) {
        tracker = ServiceTracker(names: names)
        self.names = names.map { _ in NameCompiler() }
        given = node
        self.node = node
        self.proxyName = proxyName
    }

    /// Takes what this node is from the next objects on.
    package mutating func nodeChanged(to node: LocalNode) { given = node }

    /// Whether there is a source that nobody could read so far: a name that isn't there may yet come, and is not denied. Counts from the
    /// next objects on.
    package var missesSources: Bool {
        get { names?.missesSources ?? false }
        set { names?.missesSources = newValue }
    }

    /// Takes the complete current set of objects.
    package mutating func compile(_ objects: [KubernetesObject]) -> Compilation {
        compile(tracker.objectsReplaced(by: objects, here: given))
    }

    /// Takes what has changed of the objects since the last time.
    package mutating func compile(_ change: ObjectChange) -> Compilation {
        compile(tracker.objectsChanged(change, here: given))
    }

    private mutating func compile(_ change: ServiceTracker.Change) -> Compilation {
        var change = change
        let nodeBefore = node
        node = given.filled(from: tracker.zones)
        if node != nodeBefore { change.changed = tracker.keys.sorted() }
        (servicesChanged, servicesRemoved) = (change.changed, change.removed)
        probesChanged = false
        guard !change.isEmpty || names?.isOld == true else { return compilation(of: nil) }

        var touched = replacePlans(change)
        if let namespaces = tracker.namespaces { names?.namespacesChanged(change.namespaces, namespaces) }
        for key in change.changed { services[key]?.buildGroups(key: key, claims: claims) }
        var regrouped = Set(change.changed)
        // Which endpoints are our own frontends may change for any Service when the set of frontends does.
        var moved = FrontendAddresses()
        for key in touched where (claims.winner(of: key) == nil) != (snapshot.frontends[key] == nil) { moved.insert(key) }
        if !moved.isEmpty {
            for (key, service) in services where !regrouped.contains(key) && service.names(anyOf: moved) {
                services[key]?.buildGroups(key: key, claims: claims)
                regrouped.insert(key)
                touched.formUnion(service.plan.frontendKeys)
            }
        }
        if !change.probedNamespaces.isEmpty {
            regrouped.formUnion(services.keys.filter { change.probedNamespaces.contains($0.namespace) })
        }
        takeAsides(of: regrouped.union(change.removed))
        return publish(touched)
    }

    /// - Returns: the frontends that may be other than they were.
    private mutating func replacePlans(_ change: ServiceTracker.Change) -> Set<FrontendKey> {
        var touched: Set<FrontendKey> = []
        for key in change.removed {
            names?.serviceRemoved(key)
            let former = services.removeValue(forKey: key)
            touched.formUnion(claims.replace(key, former?.plan, with: nil))
        }
        for key in change.changed {
            guard let inputs = tracker.inputs(of: key) else { continue }
            names?.serviceChanged(key, inputs)
            let plan = ServicePlan(key: key, inputs: inputs, node: node, proxyName: proxyName)
            let former = services[key]
            touched.formUnion(claims.replace(key, former?.plan, with: plan))
            services[key] = CompiledService(plan: plan, former: former)
        }
        return touched
    }

    /// What is not routing: notices, probes, ports for load balancers.
    private mutating func takeAsides(of keys: Set<ServiceKey>) {
        var portsChanged = false
        for key in keys {
            let service = services[key]
            let notices = service?.notices ?? []
            noticesByService[key] = notices.isEmpty ? nil : notices
            let probes = service?.probes(in: key.namespace, pods: tracker.pods) ?? [:]
            let probesBefore = probes.isEmpty ? probesByService.removeValue(forKey: key) : probesByService.updateValue(probes, forKey: key)
            probesChanged = probesChanged || probesBefore ?? [:] != probes
            let port = service?.plan.healthCheckPort
            portsChanged = portsChanged || healthCheckPortsByService[key] != port
            healthCheckPortsByService[key] = port
        }
        if probesChanged { probes = probesByService.values.reduce(into: [:]) { $0.merge($1) { $1 } } }
        if portsChanged { healthCheckPorts = healthCheckPortsByService.values.sorted { ($0.port, $0.service) < ($1.port, $1.service) } }
        notices = tracker.notices + claims.notices { services[$0]?.plan } + noticesByService.values.joined()
        notices.sort { Self.order(of: $0) < Self.order(of: $1) }
    }

    /// Makes the next snapshot, if the frontends that were touched are other ones, or anything has another name.
    private mutating func publish(_ touched: Set<FrontendKey>) -> Compilation {
        let before = snapshot.frontends
        let nearby = NearbyClients(pods: node.clusterRanges, node: node.addresses)
        var changed: [FrontendKey: Frontend?] = [:]
        for key in touched {
            let frontend = claims.winner(of: key).flatMap { claim in services[claim.service]?.frontend(key, claim, nearby: nearby) }
            if let old = before[key], let frontend, old.routes(as: frontend), old.origin == frontend.origin { continue }
            if before[key] == nil, frontend == nil { continue }
            changed[key] = .some(frontend)
        }
        let namesChanged = names?.publish() ?? false
        guard !changed.isEmpty || namesChanged else { return compilation(of: nil) }
        var frontends = before
        for (key, frontend) in changed { frontends[key] = frontend }

        // In numbers: all frontends of the Services that these belong to or belonged to, before and after.
        let owners = Set(changed.keys.flatMap { [before[$0], frontends[$0]] }.compactMap { $0.map { ServiceKey(of: $0) } })
        let former = before.owned(by: owners, besides: changed.keys) { services[$0]?.plan }
        let next = frontends.owned(by: owners, besides: changed.keys) { services[$0]?.plan }
        totals.replace(SnapshotTotals(former), with: SnapshotTotals(next))
        snapshot = RoutingSnapshot(
            generation: snapshot.generation + 1, frontends: frontends, touched: Set(changed.keys), names: names?.table ?? .empty)
        return compilation(of: SnapshotChanges(from: former, to: next) ?? SnapshotChanges())
    }

    /// - Parameter changes: against the snapshot before; nil where it is still the same.
    private func compilation(of changes: SnapshotChanges?) -> Compilation {
        Compilation(
            snapshot: changes == nil ? nil : snapshot, changes: changes ?? SnapshotChanges(), totals: totals, probes: probes,
            probesChanged: probesChanged,
            healthCheckPorts: healthCheckPorts, notices: notices)
    }

    private static func order(of notice: Diagnostic) -> (String, Int, Int, String) {
        (notice.location.file, notice.location.line, notice.location.column, notice.message)
    }
}

extension ServiceKey {
    init(of frontend: Frontend) { self.init(namespace: frontend.group.service.namespace, name: frontend.group.service.name) }
}

extension ServicePlan {
    var frontendKeys: Set<FrontendKey> { Set(ports.lazy.flatMap(\.listens).map(\.key)) }
}

extension PersistentDictionary<FrontendKey, Frontend> {
    /// Those that belong to one of the Services, whether they ask for them or are among `others`.
    fileprivate func owned(
        by services: Set<ServiceKey>, besides others: some Sequence<FrontendKey>, _ plan: (ServiceKey) -> ServicePlan?
    ) -> [FrontendKey: Frontend] {
        var result: [FrontendKey: Frontend] = [:]
        for key in services.reduce(into: Set(others), { $0.formUnion(plan($1)?.frontendKeys ?? []) }) {
            if let frontend = self[key], services.contains(ServiceKey(of: frontend)) { result[key] = frontend }
        }
        return result
    }
}
