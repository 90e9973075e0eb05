internal import Addressing
internal import ServiceModel

/// One label of a namespace's objects.
private struct Label: Hashable {
    let namespace: String
    let key: String
    let value: String
}

/// The Pods of the sources, found by name, by address and by label.
struct PodIndex {
    private var byName: [ObjectKey: KubernetesObject] = [:]
    private var byAddress: [IPAddress: Set<ObjectKey>] = [:]
    private var byLabel: [Label: Set<ObjectKey>] = [:]

    var keys: [ObjectKey] { Array(byName.keys) }

    /// - Returns: the Pod that it replaces.
    mutating func insert(_ object: KubernetesObject) -> KubernetesObject? {
        let key = object.key
        if let old = byName[key] {
            guard old != object else { return old }
            _ = remove(key)
            add(object, key)
            return old
        }
        add(object, key)
        return nil
    }

    private mutating func add(_ object: KubernetesObject, _ key: ObjectKey) {
        byName[key] = object
        for address in Self.pod(object)?.addresses ?? [] { byAddress[address, default: []].insert(key) }
        for label in Self.labels(object) { byLabel[label, default: []].insert(key) }
    }

    mutating func remove(_ key: ObjectKey) -> KubernetesObject? {
        guard let old = byName.removeValue(forKey: key) else { return nil }
        for address in Self.pod(old)?.addresses ?? [] {
            byAddress[address]?.remove(key)
            if byAddress[address]?.isEmpty == true { byAddress[address] = nil }
        }
        for label in Self.labels(old) {
            byLabel[label]?.remove(key)
            if byLabel[label]?.isEmpty == true { byLabel[label] = nil }
        }
        return old
    }

    private static func pod(_ object: KubernetesObject) -> Pod? { if case .pod(let pod) = object.body { pod } else { nil } }

    private static func labels(_ object: KubernetesObject) -> [Label] {
        object.metadata.labels.map { Label(namespace: object.metadata.namespace, key: $0.key, value: $0.value) }
    }

    /// The Pods of a namespace that have all of these labels, in the order of their names; none for none.
    func matching(_ selector: [String: String], in namespace: String) -> [KubernetesObject] {
        let candidates = selector.map { byLabel[Label(namespace: namespace, key: $0.key, value: $0.value)] ?? [] }
        guard let fewest = candidates.min(by: { $0.count < $1.count }) else { return [] }
        return fewest.sorted().compactMap { byName[$0] }.filter { $0.isSelected(by: selector) }
    }

    /// Whether a Pod at one of these addresses says how it is to be asked.
    func areProbed(at addresses: [IPAddress]) -> Bool {
        addresses.contains { (byAddress[$0] ?? []).contains { byName[$0].flatMap(Self.pod)?.probes.isEmpty == false } }
    }

    /// The Pod behind an endpoint: the one that its slice names, else the one at its address. Pods that share their host's address are
    /// told apart by the ports they declare.
    func pod(at endpoint: SocketAddress, named name: String?, in namespace: String) -> Pod? {
        if let name, let object = byName[ObjectKey(kind: .pod, namespace: namespace, name: name)] { return Self.pod(object) }
        let candidates = (byAddress[endpoint.address] ?? []).sorted().compactMap { byName[$0].flatMap(Self.pod) }
        return candidates.first { $0.ports.contains(endpoint.port) } ?? (candidates.count == 1 ? candidates[0] : nil)
    }
}

/// Services by one label of their selector, so that a Pod finds those that select it without asking all of them.
struct SelectorIndex {
    private var byLabel: [Label: [ServiceKey: [String: String]]] = [:]

    mutating func insert(_ service: KubernetesObject, _ key: ServiceKey) {
        guard let selector = Self.selector(service), let label = Self.label(selector, key) else { return }
        byLabel[label, default: [:]][key] = selector
    }

    mutating func remove(_ service: KubernetesObject, _ key: ServiceKey) {
        guard let selector = Self.selector(service), let label = Self.label(selector, key) else { return }
        byLabel[label]?[key] = nil
        if byLabel[label]?.isEmpty == true { byLabel[label] = nil }
    }

    func services(selecting pod: KubernetesObject) -> [ServiceKey] {
        pod.metadata.labels.flatMap { label in
            (byLabel[Label(namespace: pod.metadata.namespace, key: label.key, value: label.value)] ?? [:])
                .filter { pod.isSelected(by: $0.value) }.map(\.key)
        }
    }

    private static func selector(_ object: KubernetesObject) -> [String: String]? {
        if case .service(let service) = object.body { service.selector } else { nil }
    }

    /// The first by name stands for all.
    private static func label(_ selector: [String: String], _ key: ServiceKey) -> Label? {
        selector.min { $0.key < $1.key }.map { Label(namespace: key.namespace, key: $0.key, value: $0.value) }
    }
}

extension KubernetesObject {
    fileprivate func isSelected(by selector: [String: String]) -> Bool { selector.allSatisfy { metadata.labels[$0.key] == $0.value } }
}
