internal import Addressing
internal import Routing
internal import ServiceModel

extension EndpointGroup.Settings {
    /// What a Service asks for, defaults filled in.
    init(_ service: Service) {
        self.init()
        connectionsMax = service.settings.connectionsMax
        connectionsPerSourceMax = service.settings.connectionsPerSourceMax
        selection =
            switch service.settings.algorithm {
            case .random: .random
            case .roundRobin: .roundRobin
            case .leastConnections: .leastConnections
            case .consistentHash: .clientIP
            case nil: service.affinity == .clientIP ? .clientIP : .random
            }
        proxyProtocol =
            switch service.settings.proxyProtocol {
            case .v1: .v1
            case .v2: .v2
            case nil: nil
            }
        if let failures = service.settings.ejectAfter { ejectAfter = UInt8(clamping: failures) }
        acceptsHeadersFrom = service.settings.acceptProxyProtocolFrom ?? []
        refusesUnexpectedHeaders = service.settings.unexpectedProxyHeader == .close
        timeouts = Timeouts(
            idle: service.settings.idleTimeout, halfClose: service.settings.halfCloseTimeout, keepalive: service.settings.keepalive,
            userTimeout: service.settings.userTimeout)
        timeouts.connect = service.settings.connectTimeout
        timeouts.connectAttempt = service.settings.connectAttemptTimeout
    }
}

/// The weights that a Service gives its endpoints, found by address.
struct EndpointWeights: Equatable {
    private var byAddress: [IPAddress: Int] = [:]
    private var byEndpoint: [SocketAddress: Int] = [:]

    init(_ weights: [EndpointWeight]) {
        for weight in weights {
            if let port = weight.port {
                byEndpoint[SocketAddress(weight.address, port)] = weight.weight
            } else {
                byAddress[weight.address] = weight.weight
            }
        }
    }

    /// What names address and port counts before what names the address.
    func weight(of endpoint: SocketAddress) -> Int {
        byEndpoint[endpoint] ?? byAddress[endpoint.address] ?? EndpointWeight.unnamed
    }
}
