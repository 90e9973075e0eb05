package import Addressing

/// One endpoint of a Service port.
package struct EndpointKey: Hashable, Sendable {
    package let service: ServicePortName
    package let endpoint: SocketAddress

    package init(service: ServicePortName, endpoint: SocketAddress) {
        self.service = service
        self.endpoint = endpoint
    }
}

/// What is asked of a server, where, and how often: those that are alike are asked once, whoever wants to know.
package struct Probe: Hashable, Sendable {
    package enum Action: Hashable, Sendable {
        /// A connect says enough.
        case tcp
        /// GET; a status from 200 to 399 says that all is well. The request's bytes, whole.
        case http(request: String)
    }

    package var action: Action
    package var destination: SocketAddress
    /// The version of the PROXY header that the server expects first.
    package var proxyProtocol: ProxyProtocolVersion?
    package var initialDelay: Duration = .zero
    package var period: Duration = .seconds(10)
    /// For connect and answer together.
    package var timeout: Duration = .seconds(1)
    /// Successes, or failures, in a row that turn the verdict.
    package var rise = 1
    package var fall = 3

    package init(_ action: Action, at destination: SocketAddress) {
        self.action = action
        self.destination = destination
    }
}
