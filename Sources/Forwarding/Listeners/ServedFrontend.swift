package import Addressing
package import Routing

/// A frontend as the workers serve it: the routing value and the rows its connections are counted in.
package final class ServedFrontend: Sendable {
    package let frontend: Frontend
    let serviceRow: Int
    /// One row for each of the group's endpoints, in its order.
    let endpointRows: [Int]
    /// Whether clients' addresses are told to endpoints, or told to us: one look for each connection of the Services that don't.
    let usesProxyProtocol: Bool
    /// Whether a client that begins with a header though none is due is reset.
    let refusesHeaders: Bool
    /// The header for endpoints, where one is asked for.
    let proxyProtocol: ProxyProtocolVersion?
    /// Where the listener is that it has with others; nil for one of its own.
    let sharedAt: SocketAddress?

    package init(frontend: Frontend, serviceRow: Int, endpointRows: [Int], sharedAt: SocketAddress? = nil) {
        precondition(endpointRows.count == frontend.group.endpoints.count, "one row for each endpoint")
        self.frontend = frontend
        self.serviceRow = serviceRow
        self.sharedAt = sharedAt
        self.endpointRows = endpointRows
        let settings = frontend.group.settings
        proxyProtocol = settings.proxyProtocol
        refusesHeaders = settings.refusesUnexpectedHeaders
        usesProxyProtocol = settings.proxyProtocol != nil || !settings.acceptsHeadersFrom.isEmpty
    }
}
