package import Addressing
package import DNS
package import Engine
import Routing

/// What the data plane is told of the cluster's DNS.
package struct NameSettings: Sendable {
    /// Where each worker answers, over UDP and TCP; at most `Limits.nameAddressesMax`, each once.
    package var addresses: [SocketAddress]
    package var responder: Responder.Settings
    /// Answers that one network of clients (/24, or /56 of IPv6) gets by UDP in a second; nil: any number. Not held against loopback,
    /// private and link-local addresses.
    package var responsesPerSourceMax: Int?
    /// Names that are not the cluster's.
    package var forwarding = ForwardingSettings()

    package init(addresses: [SocketAddress], responder: Responder.Settings, responsesPerSourceMax: Int? = nil) {
        self.addresses = addresses
        self.responder = responder
        self.responsesPerSourceMax = responsesPerSourceMax
    }
}

/// What a worker is told of it at birth, where it answers queries.
package struct WorkerNames: Sendable {
    let settings: NameSettings
    /// TCP connections for queries that may be open.
    let connectionsMax: Int
    package let counters: CounterTable
    /// By `ReplyColumn`.
    package let replyCounters: CounterTable

    package init(_ settings: NameSettings, connectionsMax: Int = Limits.nameConnectionsMax) {
        self.settings = settings
        self.connectionsMax = connectionsMax
        counters = CounterTable(rows: 2 * settings.addresses.count, columns: NameColumn.count)
        replyCounters = CounterTable(rows: max(1, settings.forwarding.upstreams.addresses.count), columns: ReplyColumn.count)
    }
}

/// An address at which names can't be asked for.
package struct NameFailure: Sendable, Equatable {
    package let address: SocketAddress
    package let transport: TransportProtocol
    /// Why, and what to do.
    package let reason: String
}
