package import Addressing

/// Namespace and name of a Service.
package struct ServiceName: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let namespace: String
    package let name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// `namespace/name`.
    package var description: String { "\(namespace)/\(name)" }

    package static func < (left: ServiceName, right: ServiceName) -> Bool { (left.namespace, left.name) < (right.namespace, right.name) }
}

/// What the cluster's DNS says of one Service, in plain values: immutable, built by the control plane, compared by identity.
package final class ServiceNames: Sendable {
    /// What the Service's own name stands for.
    package enum Kind: Hashable, Sendable {
        /// Virtual addresses, at most one of each family, and the ports served there.
        case cluster(addresses: [IPAddress], ports: [Port])
        /// The endpoints themselves (`clusterIP: None`).
        case headless
        /// Another name, a final dot or none: `spec.externalName`.
        case externalName(String)
    }

    package struct Port: Hashable, Sendable {
        /// Empty where it has none: then it has no name in DNS either.
        package let name: String
        package let transport: TransportProtocol
        package let number: PortNumber

        package init(name: String, transport: TransportProtocol, number: PortNumber) {
            self.name = name
            self.transport = transport
            self.number = number
        }
    }

    package struct Endpoint: Hashable, Sendable {
        /// A label of its own within the Service; nil: one made of its address.
        package let hostname: String?
        package let address: IPAddress

        package init(hostname: String? = nil, address: IPAddress) {
            self.hostname = hostname
            self.address = address
        }
    }

    /// Endpoints that have the same ports, as those of one EndpointSlice.
    package struct EndpointSet: Hashable, Sendable {
        /// None is allowed: then its endpoints have addresses and no SRV records.
        package let ports: [Port]
        package let endpoints: [Endpoint]

        package init(ports: [Port], endpoints: [Endpoint]) {
            self.ports = ports
            self.endpoints = endpoints
        }
    }

    package let service: ServiceName
    package let kind: Kind
    /// Those that are ready, or all where the Service publishes those that are not. Of a Service with virtual addresses, too.
    package let endpointSets: [EndpointSet]

    package init(service: ServiceName, kind: Kind, endpointSets: [EndpointSet] = []) {
        self.service = service
        self.kind = kind
        self.endpointSets = endpointSets
    }

    /// Whether DNS would say the same.
    package func says(as other: ServiceNames) -> Bool {
        self === other || service == other.service && kind == other.kind && endpointSets == other.endpointSets
    }
}

/// A namespace that exists, since an object stands in it: immutable, compared by identity.
package final class NamespaceNames: Sendable {
    package let name: String
    /// Where its Pods are, sorted, each once; empty where nobody has asked for them.
    package let podAddresses: [IPAddress]

    package init(name: String, podAddresses: [IPAddress] = []) {
        self.name = name
        self.podAddresses = podAddresses
    }
}

/// Everything that has a name in the cluster's DNS. No domain, no TTL, no wire format: these are settings of whoever answers.
package struct NameTable: Sendable {
    /// What is new, other or gone.
    package struct Touched: Sendable {
        package var services: Set<ServiceName>
        package var namespaces: Set<String>

        package init(services: Set<ServiceName> = [], namespaces: Set<String> = []) {
            self.services = services
            self.namespaces = namespaces
        }

        package var isEmpty: Bool { services.isEmpty && namespaces.isEmpty }
    }

    package let services: PersistentDictionary<ServiceName, ServiceNames>
    package let namespaces: [String: NamespaceNames]
    /// Against the snapshot of the generation before, so that whoever has that one looks at no others; nil where any may be.
    package let touched: Touched?
    /// Whether a name that isn't here is nobody's; not, as long as a source could never be read.
    package let isComplete: Bool

    package init(
        services: PersistentDictionary<ServiceName, ServiceNames>, namespaces: [String: NamespaceNames], touched: Touched? = nil,
        isComplete: Bool = true
    ) {
        self.isComplete = isComplete
        self.services = services
        self.namespaces = namespaces
        self.touched = touched
    }

    package static let empty = NameTable(services: [:], namespaces: [:], touched: Touched())
}
