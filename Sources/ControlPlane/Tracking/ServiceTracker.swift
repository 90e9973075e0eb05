internal import ServiceModel

/// All objects that decide what one Service does: nothing outside this value (but a clash with another Service) does.
struct ServiceInputs: Hashable {
    var service: KubernetesObject
    /// The slices that carry the Service's name, sorted by their own name.
    var slices: [KubernetesObject] = []
    /// `v1/Endpoints` of the Service's name.
    var endpoints: KubernetesObject?
    /// The Pods that its selector matches, in the order of their names, where neither of those is there: in a cluster slices are made
    /// of these very Pods.
    var pods: [KubernetesObject] = []
    /// Zones of the nodes that these are on, where the Service goes by them.
    var zones: [String: String] = [:]
}

/// Keeps the objects of all sources by the Service they belong to, and tells which Services a change touches. A change costs what it
/// touches.
struct ServiceTracker {
    /// The Services that a change touches, each list in key order.
    struct Change {
        var changed: [ServiceKey] = []
        var removed: [ServiceKey] = []
        var noticesChanged = false
        /// Namespaces with Pods that changed and say, or said, how they are to be asked: endpoints of any Service there may be theirs.
        var probedNamespaces: Set<String> = []
        /// Namespaces that came or went, or whose Pods are elsewhere.
        var namespaces: Set<String> = []

        var isEmpty: Bool {
            changed.isEmpty && removed.isEmpty && !noticesChanged && probedNamespaces.isEmpty && namespaces.isEmpty
        }
    }

    private var services: [ServiceKey: KubernetesObject] = [:]
    private var endpoints: [ServiceKey: KubernetesObject] = [:]
    private var slices: [ServiceKey: [ObjectKey: KubernetesObject]] = [:]
    /// The Services that slices belong to by their label, whether or not they are there.
    private var sliceOwners: [ObjectKey: ServiceKey] = [:]
    private(set) var pods = PodIndex()
    private var selectors = SelectorIndex()
    private var nodes: [ObjectKey: KubernetesObject] = [:]
    private(set) var zones = NodeZones()
    /// Nodes have changed since.
    private var zonesAreOld = true
    /// What the zones were made with.
    private var here = LocalNode()
    private var declaredNamespaces: Set<String> = []
    /// Only where names are compiled.
    private(set) var namespaces: NamespaceIndex?
    /// Slices of no Service.
    private var orphans: [ObjectKey: Diagnostic] = [:]
    /// Objects given twice.
    private var duplicates: [Diagnostic] = []

    init(names: NameScope? = nil) { namespaces = names.map { NamespaceIndex(holdsPods: $0 == .servicesAndPods) } }

    /// What is wrong with the set as a whole: objects given twice, slices of no Service.
    var notices: [Diagnostic] { duplicates + orphans.values }

    /// Every Service that is there.
    var keys: some Collection<ServiceKey> { services.keys }

    /// nil where there is no such Service.
    func inputs(of key: ServiceKey) -> ServiceInputs? {
        guard let object = services[key] else { return nil }
        var inputs = ServiceInputs(service: object)
        inputs.slices = (slices[key] ?? [:]).values.sorted { $0.key < $1.key }
        // The controllers label the slices of headless Services; the Kubernetes proxy does not watch them.
        if case .service(let service) = object.body, !service.isHeadless {
            inputs.slices.removeAll { $0.metadata.labels["service.kubernetes.io/headless"] != nil }
        }
        inputs.endpoints = endpoints[key]
        if inputs.slices.isEmpty, inputs.endpoints == nil, case .service(let service) = object.body, let selector = service.selector {
            inputs.pods = pods.matching(selector, in: key.namespace)
            if service.trafficDistribution != nil { inputs.zones = zones.zones(of: inputs.pods.compactMap(\.nodeName)) }
        }
        return inputs
    }

    /// Takes the complete current set. An object that is not in it is gone, and of two with one key the first counts.
    mutating func objectsReplaced(by objects: [KubernetesObject], here: LocalNode = LocalNode()) -> Change {
        var seen: [ObjectKey: SourceLocation] = [:]
        var found: [Diagnostic] = []
        var unique: [KubernetesObject] = []
        for object in objects {
            guard let first = seen[object.key] else {
                seen[object.key] = object.location
                unique.append(object)
                continue
            }
            found.append(
                Diagnostic(
                    severity: .error, location: object.location, object: object.key,
                    message: "\(object.key) is also at \(first); the first one counts: remove or rename one of them"))
        }
        let duplicatesChanged = found != duplicates
        duplicates = found
        var result = objectsChanged(ObjectChange(from: known, to: unique), here: here)
        result.noticesChanged = result.noticesChanged || duplicatesChanged
        return result
    }

    private var known: [ObjectKey] {
        services.values.map(\.key) + endpoints.values.map(\.key) + Array(sliceOwners.keys) + pods.keys + Array(nodes.keys)
            + declaredNamespaces.map { ObjectKey(kind: .namespace, namespace: "", name: $0) }
    }

    /// What the objects of a change have to do with.
    private struct Touched {
        var services: Set<ServiceKey> = []
        /// Services that are no more.
        var gone: Set<ServiceKey> = []
        var probedNamespaces: Set<String> = []
    }

    /// Takes what has changed. Objects that are as they were change nothing.
    mutating func objectsChanged(_ change: ObjectChange, here: LocalNode = LocalNode()) -> Change {
        let orphansBefore = orphans
        var touched = Touched()
        for key in change.removed { remove(key, &touched) }
        for object in change.changed { take(object, &touched) }
        if zonesAreOld || here != self.here {
            let before = zones
            zones = NodeZones(nodes.values.sorted { $0.key < $1.key }, here: here)
            (zonesAreOld, self.here) = (false, here)
            if zones != before { touched.services.formUnion(services.filter { $0.value.goesByZones }.keys) }
        }

        var result = Change()
        for key in touched.services {
            if services[key] != nil { result.changed.append(key) } else if touched.gone.contains(key) { result.removed.append(key) }
            for slice in (slices[key] ?? [:]).values { orphans[slice.key] = services[key] == nil ? Self.orphan(slice, key) : nil }
        }
        result.probedNamespaces = touched.probedNamespaces
        result.namespaces = namespaces?.takeTouched() ?? []
        result.changed.sort()
        result.removed.sort()
        result.noticesChanged = orphans != orphansBefore
        return result
    }

    private mutating func remove(_ key: ObjectKey, _ touched: inout Touched) {
        let owner = ServiceKey(namespace: key.namespace, name: key.name)
        switch key.kind {
        case .service:
            guard let old = services.removeValue(forKey: owner) else { return }
            selectors.remove(old, owner)
            namespaces?.left(owner.namespace)
            touched.gone.insert(owner)
            touched.services.insert(owner)
        case .endpoints:
            if endpoints.removeValue(forKey: owner) != nil { touched.services.insert(owner) }
        case .endpointSlice:
            guard let owner = sliceOwners.removeValue(forKey: key) else { return }
            slices[owner]?[key] = nil
            if slices[owner]?.isEmpty == true { slices[owner] = nil }
            orphans[key] = nil
            touched.services.insert(owner)
        case .pod:
            guard let old = pods.remove(key) else { return }
            namespaces?.podLeft(old)
            podChanged(old, &touched)
        case .node:
            if nodes.removeValue(forKey: key) != nil { zonesAreOld = true }
        case .namespace:
            if declaredNamespaces.remove(key.name) != nil { namespaces?.left(key.name) }
        }
    }

    private mutating func take(_ object: KubernetesObject, _ touched: inout Touched) {
        let key = object.key
        switch object.body {
        case .service:
            let owner = object.metadata.serviceKey
            let old = services.updateValue(object, forKey: owner)
            guard old != object else { return }
            if let old { selectors.remove(old, owner) } else { namespaces?.entered(owner.namespace) }
            selectors.insert(object, owner)
            touched.gone.remove(owner)
            touched.services.insert(owner)
        case .endpoints:
            // Endpoints of no Service are common in a real cluster (leader election once used them): no notice.
            guard Endpoints.isMirrored(object.metadata) else { return remove(key, &touched) }
            let owner = object.metadata.serviceKey
            if endpoints.updateValue(object, forKey: owner) != object { touched.services.insert(owner) }
        case .endpointSlice(let slice):
            guard let name = slice.serviceName else { return remove(key, &touched) }
            let owner = ServiceKey(namespace: key.namespace, name: name)
            if let old = sliceOwners[key], old != owner { remove(key, &touched) }
            sliceOwners[key] = owner
            if slices[owner, default: [:]].updateValue(object, forKey: key) != object { touched.services.insert(owner) }
        case .pod:
            let old = pods.insert(object)
            guard old != object else { return }
            // In this order, or its namespace would be gone for a moment.
            namespaces?.podEntered(object)
            if let old {
                namespaces?.podLeft(old)
                podChanged(old, &touched)
            }
            podChanged(object, &touched)
        case .node:
            if nodes.updateValue(object, forKey: key) != object { zonesAreOld = true }
        case .namespace:
            if declaredNamespaces.insert(key.name).inserted { namespaces?.entered(key.name) }
        }
    }

    private mutating func podChanged(_ object: KubernetesObject, _ touched: inout Touched) {
        touched.services.formUnion(selectors.services(selecting: object))
        // A Pod without may stand in the way of another's at the same address.
        if case .pod(let pod) = object.body, !pod.probes.isEmpty || pods.areProbed(at: pod.addresses) {
            touched.probedNamespaces.insert(object.metadata.namespace)
        }
    }

    private static func orphan(_ slice: KubernetesObject, _ key: ServiceKey) -> Diagnostic {
        Diagnostic(
            severity: .warning, location: slice.location, object: slice.key,
            message: "\(slice.key) belongs to Service \(key) by its label, but there is no such Service")
    }
}

extension KubernetesObject {
    /// The node that a Pod is on.
    fileprivate var nodeName: String? { if case .pod(let pod) = body { pod.nodeName } else { nil } }

    /// A Service whose Pods' hints are made of zones.
    fileprivate var goesByZones: Bool { if case .service(let service) = body { service.trafficDistribution != nil } else { false } }
}
