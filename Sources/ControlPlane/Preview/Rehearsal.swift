package import Addressing
package import Routing
package import ServiceModel

/// Plays a change of the manifests on copies of what is in force, to see what would become of it. Nothing that it is made of is changed
/// for anybody else.
package struct Rehearsal: Sendable {
    private let registry: ServiceRegistry
    private let allocations: Allocations
    private let compiler: SnapshotCompiler
    private let inventory: Inventory

    /// Objects that the command line gives, which no file can change.
    package var commandLine: [ObjectKey: SourceLocation] = [:]
    /// Ranges of addresses to be given that are not this host's own: nobody listens there.
    package var unreachableRanges: [IPRange] = []
    /// Frontends that could not be opened.
    package var failedListeners: Set<FrontendKey> = []

    package init(registry: ServiceRegistry, allocations: Allocations, compiler: SnapshotCompiler, inventory: Inventory) {
        self.registry = registry
        self.allocations = allocations
        self.compiler = compiler
        self.inventory = inventory
    }

    /// What files say.
    package struct Proposal: Sendable {
        /// Services as they are written.
        package var services: [ServiceManifest] = []
        /// Valid objects of all other kinds.
        package var objects: [KubernetesObject] = []
        /// Every identity in the files, those of refused objects among them.
        package var named: Set<ObjectKey> = []
        /// What is wrong with the files and their objects.
        package var diagnostics: [Diagnostic] = []
        /// Whether all of it could be read. Where it couldn't, what the files don't name may be in there.
        package var isWhole = true

        package init() {}
    }

    /// - Parameters:
    ///   - prunes: what the files don't name is to go, but for what the command line gives.
    ///   - now: seconds of the clock that allocations are kept by.
    ///   - node: what this node is once these objects are in force.
    ///   - open: the connections of some Service ports.
    package func preview(
        _ proposal: Proposal, prunes: Bool, at now: Int64, node: (ObjectChange) -> LocalNode? = { _ in nil },
        open: (Set<ServicePortName>) -> [ServicePortName: OpenConnections] = { _ in [:] }
    ) -> ChangePreview {
        var (registry, allocations, compiler) = (registry, allocations, compiler)
        var refusals: [Diagnostic] = []
        var objects: [KubernetesObject] = []
        for object in proposal.objects {
            if let refusal = object.refusal(replacing: inventory[object.key]) { refusals.append(refusal) } else { objects.append(object) }
        }
        let removed = prunes && proposal.isWhole ? missing(in: proposal.named) : []

        // As when the files change: judge, then compile what is admitted.
        let isAnythingReleased = allocations.expire(at: now)
        let judged = registry.update(
            proposal.services, removed: removed.filter { $0.kind == .service }.map { ServiceKey(namespace: $0.namespace, name: $0.name) },
            retriesRefused: isAnythingReleased, allocations: &allocations, at: now)
        var change = ObjectChange(changed: objects, removed: removed.filter { $0.kind != .service })
        change.changed += judged.changed.compactMap { registry.services[$0]?.object }
        change.removed += judged.removed.map { ObjectKey(kind: .service, namespace: $0.namespace, name: $0.name) }
        refusals += change.changed.compactMap(onCommandLine)
        change.changed.removeAll { commandLine[$0.key] != nil }
        change.removed.removeAll { commandLine[$0] != nil }

        let (before, stateBefore) = (compiler.snapshot, compiler.compile(ObjectChange()))
        if let node = node(change) { compiler.nodeChanged(to: node) }
        let compilation = compiler.compile(change)

        var fresh: [ServiceKey: FreshNumbers] = [:]
        for key in judged.changed {
            guard let after = allocations.allocation(of: key), let written = registry.written[key] else { continue }
            fresh[key] = FreshNumbers(after, before: self.allocations.allocation(of: key), written: written)
        }
        var preview = ChangePreview()
        preview.generation = before.generation
        let accepted = Set(proposal.services.map(\.key) + objects.map(\.key)).subtracting(refusals.compactMap(\.object))
            .subtracting(registry.refused.map { ObjectKey(kind: .service, namespace: $0.namespace, name: $0.name) })
        // Of what the files name all is said that holds of it, of the rest what did not hold before.
        let said = Set(self.registry.diagnostics + stateBefore.notices)
        let found =
            proposal.diagnostics + refusals
            + registry.diagnostics.filter { $0.object.map(proposal.named.contains) == true || !said.contains($0) }
            + compilation.notices.filter { $0.object.map(accepted.contains) == true || !said.contains($0) }
        let sorted = found.sorted {
            ($0.location.file, $0.location.line, $0.location.column) < ($1.location.file, $1.location.line, $1.location.column)
        }
        preview.findings = sorted.map(ChangePreview.Finding.init)
        preview.statuses = Status.all(sorted).map(\.json)
        describe(change, proposal.named, refused: proposal.named.subtracting(accepted), registry, fresh, &preview)
        if let snapshot = compilation.snapshot {
            let difference = RoutingDifference(
                from: side(before, self.registry, failed: failedListeners), to: side(snapshot, registry),
                touched: snapshot.touched ?? Set(before.frontends.keys).union(snapshot.frontends.keys),
                name: { key, frontend in (fresh[ServiceKey(of: frontend)] ?? FreshNumbers()).name(of: key, frontend.origin) }, open: open)
            preview.listeners = difference.listeners
            preview.servicePorts = difference.ports
            preview.connections = difference.connections
        }
        preview.listeners += Self.healthChecks(from: stateBefore.healthCheckPorts, to: compilation.healthCheckPorts) {
            (fresh[$0.service] ?? FreshNumbers()).name(ofPort: $0.port)
        }
        preview.hasChanges =
            preview.objects.contains { $0.verdict != .refused } || !preview.listeners.isEmpty || !preview.servicePorts.isEmpty
        return preview
    }

    /// What is known and not named, but for what the command line gives.
    private func missing(in named: Set<ObjectKey>) -> [ObjectKey] {
        Set(inventory.keys).union(registry.written.values.map(\.key)).subtracting(named).filter { commandLine[$0] == nil }.sorted()
    }

    private func onCommandLine(_ object: KubernetesObject) -> Diagnostic? {
        commandLine[object.key].map { location in
            Diagnostic(
                severity: .error, location: object.location, object: object.key,
                message: "\(object.key) is also on the command line, \(location), which counts: rename one of them")
        }
    }

    // MARK: Objects

    private func describe(
        _ change: ObjectChange, _ named: Set<ObjectKey>, refused: Set<ObjectKey>, _ registry: ServiceRegistry,
        _ fresh: [ServiceKey: FreshNumbers], _ preview: inout ChangePreview
    ) {
        func add(_ key: ObjectKey, _ verdict: ChangePreview.Object.Verdict, _ fields: [FieldChange] = []) {
            preview.objects.append(
                .init(
                    kind: key.kind.rawValue, namespace: key.namespace, name: key.name, verdict: verdict,
                    isNamed: named.contains(key), isInForce: inventory[key] != nil, fields: fields))
        }
        var changed: Set<ObjectKey> = []
        for object in change.changed {
            let numbers = fresh[object.metadata.serviceKey] ?? FreshNumbers()
            var new = object.json
            if case .service = object.body { new = numbers.hidden(in: new) }
            guard let old = inventory[object.key] else {
                changed.insert(object.key)
                add(object.key, .added, registry.written[object.metadata.serviceKey].map { Self.given(in: new, written: $0, object) } ?? [])
                continue
            }
            let fields = FieldChange.all(from: old.json, to: new)
            guard !fields.isEmpty else { continue }
            changed.insert(object.key)
            add(object.key, .changed, fields)
        }
        for key in change.removed where inventory[key] != nil {
            changed.insert(key)
            add(key, .removed)
        }
        for key in refused.subtracting(changed) { add(key, .refused) }
        preview.unchanged = named.subtracting(changed).subtracting(refused).filter { inventory[$0] != nil }.count
        preview.objects.sort { ($0.kind, $0.namespace, $0.name) < ($1.kind, $1.namespace, $1.name) }
    }

    /// What a new Service would be given: addresses and ports that it doesn't write down.
    private static func given(in new: JSONValue, written: ServiceManifest, _ object: KubernetesObject) -> [FieldChange] {
        guard case .service = object.body else { return [] }
        var manifest = written
        manifest.metadata.creationTimestamp = nil
        return FieldChange.all(from: manifest.json, to: new).filter { field in
            let name = field.path.split(separator: ".").last.map(String.init) ?? ""
            return name == "clusterIP" || name == "nodePort" || name == "healthCheckNodePort" || field.path.hasPrefix("status.")
                || name == "clusterIPs" && object.secondAddress != nil
        }
    }

    // MARK: Routing

    private func side(_ snapshot: RoutingSnapshot, _ registry: ServiceRegistry, failed: Set<FrontendKey> = []) -> RoutingDifference.Side {
        var side = RoutingDifference.Side(frontends: snapshot.frontends, failed: failed)
        guard !unreachableRanges.isEmpty else { return side }
        for (key, frontend) in snapshot.frontends where frontend.origin == .clusterIP {
            let isGiven = registry.written[ServiceKey(of: frontend)]?.clusterIP.isEmpty == true
            if isGiven, unreachableRanges.contains(where: { $0.contains(key.address.address) }) { side.unreachable.insert(key) }
        }
        return side
    }

    private static func healthChecks(
        from before: [HealthCheckPort], to after: [HealthCheckPort], name: (HealthCheckPort) -> String
    ) -> [ChangePreview.Listener] {
        func listener(_ port: HealthCheckPort, _ change: ChangePreview.Listener.Change) -> ChangePreview.Listener {
            .init(
                frontend: "tcp *:\(name(port))", change: change, service: port.service.description, origin: "healthCheckNodePort")
        }
        let (former, next) = (Set(before.map(\.port)), Set(after.map(\.port)))
        return before.filter { !next.contains($0.port) }.map { listener($0, .closed) }
            + after.filter { !former.contains($0.port) }.map { listener($0, .opened) }
    }
}

extension KubernetesObject {
    fileprivate var secondAddress: IPAddress? {
        if case .service(let service) = body { service.clusterIPs.dropFirst().first } else { nil }
    }
}
