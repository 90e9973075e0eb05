package import Addressing

/// How a connection's endpoint is chosen. Of endpoints tried in vain for the connection, none is chosen again.
package enum Selection: String, Sendable, CaseIterable {
    /// At random per connection, as the Kubernetes proxy's iptables and nftables modes choose.
    case random
    /// By turns: every worker goes round by itself, beginning at a place of its own. A further attempt is at random.
    case roundRobin = "round-robin"
    /// Of two endpoints drawn at random the one with fewer open connections, over all workers; the first of them if they are even.
    case leastConnections = "least-connections"
    /// By the client's address: a rendezvous hash, the same on every worker, node and restart.
    case clientIP = "consistent-hash"
}

/// How endpoints are told the client's address: the version of the PROXY protocol's header that every connection begins with.
package enum ProxyProtocolVersion: UInt8, BitwiseCopyable, Hashable, Sendable, CaseIterable {
    case v1 = 1
    case v2 = 2
}

/// One backend address of a group.
package struct Endpoint: BitwiseCopyable, Hashable, Sendable {
    package let address: SocketAddress
    /// Hash of the address with a fixed key, so that rendezvous scores agree between processes.
    package let identity: UInt64
    /// Its share of new connections against the weights of the others; 0 gets none.
    package let weight: UInt16

    package init(_ address: SocketAddress, weight: Int = 1) {
        self.address = address
        self.weight = UInt16(clamping: weight)
        identity = Mixer.hash(of: address)
    }
}

/// The endpoints that one Service port's connections may go to: immutable, built by the control plane, read by every worker.
package final class EndpointGroup: Sendable {
    /// How the group's connections are to be treated. A part of what a group is: other settings make another group.
    package struct Settings: Hashable, Sendable {
        package var selection = Selection.random
        /// For how many seconds after its last connection a client is led to the same endpoint; 0: no longer than its hash does.
        package var affinityTimeout: UInt32 = 0
        /// Where they differ from the process's own.
        package var timeouts = Timeouts()
        /// Connections that may be open at once, in the whole process; one beyond it is reset.
        package var connectionsMax: Int?
        /// The same for each client's address.
        package var connectionsPerSourceMax: Int?
        /// nil: connections to endpoints begin with the client's bytes.
        package var proxyProtocol: ProxyProtocolVersion?
        /// Clients whose connections begin with a header of the PROXY protocol, which is believed; bytes of others are their own.
        package var acceptsHeadersFrom: [IPRange] = []
        /// Whether a client that begins with such a header though none is due is reset.
        package var refusesUnexpectedHeaders = false
        /// Failures in a row after which an endpoint gets no connections for a while; 0: never.
        package var ejectAfter: UInt8 = 5
        /// How long its connections may go on once its Service port is no more; nil: for as long as they like.
        package var resetsAfterDeletion: Duration?
        /// Of UDP only.
        package var datagrams = DatagramSettings()

        package init() {}
    }

    package let service: ServicePortName
    package let settings: Settings
    /// Sorted by address, without duplicates: the order must not depend on the order of slices.
    package let endpoints: [Endpoint]
    /// Hash of the Service port's name, so that one client does not meet the same ordinal in every Service.
    package let identity: UInt64
    /// nil where all endpoints have the same weight, and it is not 0.
    let weights: WeightTable?

    package init(service: ServicePortName, settings: Settings, endpoints: [Endpoint]) {
        self.service = service
        self.settings = settings
        var seen: Set<SocketAddress> = []
        self.endpoints = endpoints.filter { seen.insert($0.address).inserted }.sorted { $0.address < $1.address }
        weights = WeightTable(self.endpoints.map(\.weight))
        identity = Mixer.hash(of: service.description + service.transport.rawValue)
    }

    /// A group with no settings but how it chooses.
    package convenience init(service: ServicePortName, selection: Selection, endpoints: [SocketAddress]) {
        var settings = Settings()
        settings.selection = selection
        self.init(service: service, settings: settings, endpoints: endpoints.map { Endpoint($0) })
    }

    package var selection: Selection { settings.selection }

    /// The place of an endpoint in `endpoints`; nil when it is not in the group any more.
    package func place(of identity: UInt64) -> Int? { endpoints.firstIndex { $0.identity == identity } }

    /// Whether a client's connection must begin with a header of the PROXY protocol.
    package func expectsHeader(from client: IPAddress) -> Bool {
        for index in settings.acceptsHeadersFrom.indices where settings.acceptsHeadersFrom[index].contains(client.unmapped) { return true }
        return false
    }

    /// Whether no new connection has anywhere to go.
    package var isEmpty: Bool { endpoints.isEmpty || weights?.total == 0 }
}
