package import Addressing

/// How a connection's endpoint is chosen.
package enum Selection: String, Sendable {
    /// Uniformly at random per connection, as the Kubernetes proxy's iptables and nftables modes choose.
    case random
    /// By the client's address (`sessionAffinity: ClientIP`): a rendezvous hash, the same on every worker, node and restart.
    case clientIP
}

/// One backend address of a group.
package struct Endpoint: BitwiseCopyable, Hashable, Sendable {
    package let address: SocketAddress
    /// Hash of the address with a fixed key, so that rendezvous scores agree between processes.
    package let identity: UInt64

    package init(_ address: SocketAddress) {
        self.address = address
        identity = Mixer.hash(of: address)
    }
}

/// The endpoints that one Service port's connections may go to: immutable, built by the control plane, read by every worker.
package final class EndpointGroup: Sendable {
    package let service: ServicePortName
    package let selection: Selection
    /// Sorted by address, without duplicates: the order must not depend on the order of slices.
    package let endpoints: [Endpoint]
    /// Hash of the Service port's name, so that one client does not meet the same ordinal in every Service.
    package let identity: UInt64

    package init(service: ServicePortName, selection: Selection, endpoints: [SocketAddress]) {
        self.service = service
        self.selection = selection
        self.endpoints = Set(endpoints).sorted().map(Endpoint.init)
        identity = Mixer.hash(of: service.description + service.transport.rawValue)
    }

    package var isEmpty: Bool { endpoints.isEmpty }
}
