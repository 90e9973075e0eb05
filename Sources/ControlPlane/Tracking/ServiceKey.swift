package import ServiceModel

/// Namespace and name of a Service.
package struct ServiceKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let namespace: String
    package let name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// `namespace/name`.
    package var description: String { "\(namespace)/\(name)" }

    package static func < (left: ServiceKey, right: ServiceKey) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}

extension ObjectMetadata {
    /// The Service of the object's own name.
    package var serviceKey: ServiceKey { ServiceKey(namespace: namespace, name: name) }
}
