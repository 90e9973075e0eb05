internal import Addressing
internal import Routing
internal import ServiceModel

/// The namespaces that exist: those in which a Service or a Pod stands, and those that are declared; if it is asked for, with where
/// their Pods are. Kept only where names are compiled.
struct NamespaceIndex {
    private struct Members {
        var objects = 0
        /// How many Pods are at an address: those of a host share its own.
        var pods: [IPAddress: Int] = [:]
    }

    private let holdsPods: Bool
    private var members: [String: Members] = [:]
    /// Those that are new, gone, or have other Pods since they were taken.
    private var touched: Set<String> = []

    init(holdsPods: Bool) { self.holdsPods = holdsPods }

    mutating func entered(_ namespace: String) {
        if members[namespace] == nil { touched.insert(namespace) }
        members[namespace, default: Members()].objects += 1
    }

    mutating func left(_ namespace: String) {
        members[namespace]?.objects -= 1
        guard members[namespace]?.objects == 0 else { return }
        members[namespace] = nil
        touched.insert(namespace)
    }

    mutating func podEntered(_ object: KubernetesObject) {
        let namespace = object.metadata.namespace
        entered(namespace)
        for address in addresses(of: object) {
            members[namespace]?.pods[address, default: 0] += 1
            touched.insert(namespace)
        }
    }

    mutating func podLeft(_ object: KubernetesObject) {
        let namespace = object.metadata.namespace
        for address in addresses(of: object) {
            touched.insert(namespace)
            guard let count = members[namespace]?.pods[address] else { continue }
            members[namespace]?.pods[address] = count > 1 ? count - 1 : nil
        }
        left(namespace)
    }

    /// None of a Pod that is over or on its way out.
    private func addresses(of object: KubernetesObject) -> [IPAddress] {
        guard holdsPods, case .pod(let pod) = object.body, !pod.isOver, !pod.isTerminating else { return [] }
        return pod.addresses
    }

    mutating func takeTouched() -> Set<String> {
        defer { touched = [] }
        return touched
    }

    /// nil where it does not exist.
    func names(of namespace: String) -> NamespaceNames? {
        members[namespace].map { NamespaceNames(name: namespace, podAddresses: $0.pods.keys.sorted()) }
    }
}
