package import Addressing

/// A Service port as the Kubernetes proxy keys it: namespace, Service, port name, protocol.
package struct ServicePortName: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let namespace: String
    package let name: String
    /// The port's name; empty where the Service's only port has none.
    package let port: String
    package let transport: TransportProtocol

    package init(namespace: String, name: String, port: String, transport: TransportProtocol) {
        self.namespace = namespace
        self.name = name
        self.port = port
        self.transport = transport
    }

    /// `namespace/name`, with `:port` where the port has a name.
    package var description: String {
        port.isEmpty ? "\(namespace)/\(name)" : "\(namespace)/\(name):\(port)"
    }

    package static func < (left: ServicePortName, right: ServicePortName) -> Bool {
        (left.namespace, left.name, left.port, left.transport.rawValue)
            < (right.namespace, right.name, right.port, right.transport.rawValue)
    }
}

/// The virtual IP:port that clients connect to. TCP and UDP on one number are two frontends.
package struct FrontendKey: Hashable, Sendable, CustomStringConvertible {
    package let address: SocketAddress
    package let transport: TransportProtocol

    package init(_ address: SocketAddress, _ transport: TransportProtocol) {
        self.address = address
        self.transport = transport
    }

    package var description: String { "\(transport.rawValue.lowercased()) \(address)" }
}

/// The one value that crosses from the control plane to the workers: what to listen on, where each connection may go, and
/// what has a name.
///
/// Immutable. A change of one Service builds new groups for that Service only; the others are the same objects as in the
/// snapshot before, which is how a worker's delta is found (by identity).
package struct RoutingSnapshot: Sendable {
    /// Rises by one with each published change; acknowledged by every worker.
    package let generation: UInt64
    package let frontends: PersistentDictionary<FrontendKey, Frontend>
    /// The frontends that are new, other or gone since the generation before, so that whoever has that one looks at no others; nil where
    /// any may be.
    package let touched: Set<FrontendKey>?
    /// What the cluster's DNS is to say; empty where nobody has asked for names.
    package let names: NameTable

    package init(
        generation: UInt64, frontends: PersistentDictionary<FrontendKey, Frontend>, touched: Set<FrontendKey>? = nil,
        names: NameTable = .empty
    ) {
        self.generation = generation
        self.frontends = frontends
        self.touched = touched
        self.names = names
    }

    package static let empty = RoutingSnapshot(generation: 0, frontends: [:])
}
