package import Addressing
import Engine
package import Routing

/// A frontend as the workers serve it: the routing value and the rows its connections are counted in.
package final class ServedFrontend: Sendable {
    package let frontend: Frontend
    let serviceRow: Int
    /// One row for each of the group's endpoints, in its order.
    let endpointRows: [Int]
    /// What serves clients near by, where they are led elsewhere: the same with another group.
    let shortCircuit: ServedFrontend?
    /// Whether clients are told apart by their address: one look for each connection of the frontends that don't.
    let looksAtClients: Bool
    /// Whose connections the listener takes; of those that come all the same each is looked at.
    let arrivals: ArrivalFilter
    /// Whether clients' addresses are told to endpoints, or told to us: one look for each connection of the Services that don't.
    let usesProxyProtocol: Bool
    /// Whether a client that begins with a header though none is due is reset.
    let refusesHeaders: Bool
    /// The header for endpoints, where one is asked for.
    let proxyProtocol: ProxyProtocolVersion?
    /// Where the listener is that it has with others; nil for one of its own.
    let sharedAt: SocketAddress?

    /// - Parameters:
    ///   - shortCircuitRows: the rows of the endpoints for clients near by, where these are led elsewhere.
    ///   - sharedAt: the address of the listener that it has with others.
    package init(
        frontend: Frontend, serviceRow: Int, endpointRows: [Int], shortCircuitRows: [Int] = [], sharedAt: SocketAddress? = nil
    ) {
        precondition(endpointRows.count == frontend.group.endpoints.count, "one row for each endpoint")
        self.frontend = frontend
        self.serviceRow = serviceRow
        self.sharedAt = sharedAt
        self.endpointRows = endpointRows
        looksAtClients = frontend.tellsClientsApart
        arrivals = ArrivalFilter(frontend.admitted, of: frontend.key.address.address.family)
        shortCircuit = frontend.rules?.shortCircuit.map {
            ServedFrontend(
                frontend: Frontend(key: frontend.key, origin: frontend.origin, group: $0.group), serviceRow: serviceRow,
                endpointRows: shortCircuitRows)
        }
        let settings = frontend.group.settings
        proxyProtocol = settings.proxyProtocol
        refusesHeaders = settings.refusesUnexpectedHeaders
        usesProxyProtocol = settings.proxyProtocol != nil || !settings.acceptsHeadersFrom.isEmpty
    }

    /// What serves a client.
    enum Route {
        case served(ServedFrontend)
        case refused
        case dropped
    }

    func route(of client: IPAddress) -> Route {
        switch frontend.verdict(of: client) {
        case .forwarded(let group): .served(group === frontend.group ? self : shortCircuit ?? self)
        case .refused: .refused
        case .dropped: .dropped
        }
    }
}
