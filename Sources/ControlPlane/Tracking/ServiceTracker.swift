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

extension KubernetesObject {
    /// The node that a Pod is on.
    fileprivate var nodeName: String? { if case .pod(let pod) = body { pod.nodeName } else { nil } }
}

/// Sorts the objects of a source by the Service they belong to and tells which Services changed since the last time.
struct ServiceTracker {
    private(set) var inputs: [ServiceKey: ServiceInputs] = [:]
    /// What is wrong with the set as a whole: objects given twice, slices of no Service.
    private(set) var notices: [Diagnostic] = []

    /// The Services that a new set of objects touches, each list in key order.
    struct Change {
        var changed: [ServiceKey] = []
        var removed: [ServiceKey] = []
        var noticesChanged = false

        var isEmpty: Bool { changed.isEmpty && removed.isEmpty && !noticesChanged }
    }

    /// Takes the complete current set. An object that is not in it is gone.
    mutating func objectsReplaced(by objects: [KubernetesObject], zones: NodeZones = NodeZones()) -> Change {
        var next: [ServiceKey: ServiceInputs] = [:]
        var seen: [ObjectKey: SourceLocation] = [:]
        var found: [Diagnostic] = []
        var dependents: [KubernetesObject] = []

        for object in objects {
            if let first = seen[object.key] {
                found.append(
                    Diagnostic(
                        severity: .error, location: object.location, object: object.key,
                        message: "\(object.key) is also at \(first); the first one counts: remove or rename one of them"))
                continue
            }
            seen[object.key] = object.location
            if case .service = object.body {
                next[object.metadata.serviceKey] = ServiceInputs(service: object)
            } else {
                dependents.append(object)
            }
        }

        for object in dependents {
            switch object.body {
            case .service, .pod, .node:
                continue
            case .endpoints:
                guard Endpoints.isMirrored(object.metadata) else { continue }
                // Endpoints of no Service are common in a real cluster (leader election once used them): no notice.
                next[object.metadata.serviceKey]?.endpoints = object
            case .endpointSlice(let slice):
                // The controllers label the slices of headless Services; the Kubernetes proxy does not watch them.
                guard let serviceName = slice.serviceName, object.metadata.labels["service.kubernetes.io/headless"] == nil else { continue }
                let key = ServiceKey(namespace: object.metadata.namespace, name: serviceName)
                if next[key]?.slices.append(object) == nil {
                    found.append(
                        Diagnostic(
                            severity: .warning, location: object.location, object: object.key,
                            message: "\(object.key) belongs to Service \(key) by its label, but there is no such Service"))
                }
            }
        }
        let pods = PodsByLabel(dependents.filter { $0.key.kind == .pod })
        for (key, inputs) in next {
            next[key]?.slices.sort { $0.key < $1.key }
            if inputs.slices.isEmpty, inputs.endpoints == nil, case .service(let service) = inputs.service.body,
                let selector = service.selector
            {
                let selected = pods.matching(selector, in: key.namespace)
                next[key]?.pods = selected
                if service.trafficDistribution != nil { next[key]?.zones = zones.zones(of: selected.compactMap(\.nodeName)) }
            }
        }

        var change = Change()
        change.changed = next.compactMap { inputs[$0.key] == $0.value ? nil : $0.key }.sorted()
        change.removed = inputs.keys.filter { next[$0] == nil }.sorted()
        change.noticesChanged = found != notices
        inputs = next
        notices = found
        return change
    }
}
