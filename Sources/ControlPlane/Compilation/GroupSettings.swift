internal import Addressing
internal import Routing
internal import ServiceModel

extension EndpointGroup.Settings {
    /// What a Service asks for at one of its ports, defaults filled in. What is for another protocol is left out: a change of it is
    /// none of this port.
    init(_ service: Service, _ port: Service.Port) {
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
        if service.affinity == .clientIP { affinityTimeout = UInt32(service.affinityTimeout) }
        if let failures = service.settings.ejectAfter { ejectAfter = UInt8(clamping: failures) }
        if port.transport == .udp {
            datagrams = DatagramSettings(service.settings, port)
            return
        }
        proxyProtocol =
            switch service.settings.proxyProtocol {
            case .v1: .v1
            case .v2: .v2
            case nil: nil
            }
        acceptsHeadersFrom = service.settings.acceptProxyProtocolFrom ?? []
        refusesUnexpectedHeaders = service.settings.unexpectedProxyHeader == .close
        timeouts = Timeouts(
            idle: service.settings.idleTimeout, halfClose: service.settings.halfCloseTimeout, keepalive: service.settings.keepalive,
            userTimeout: service.settings.userTimeout)
        resetsAfterDeletion =
            switch service.settings.onDelete {
            case .keep, nil: nil
            case .reset: .zero
            case .drain(let time): time
            }
        timeouts.connect = service.settings.connectTimeout
        timeouts.connectAttempt = service.settings.connectAttemptTimeout
    }
}

extension DatagramSettings {
    init(_ settings: Service.Settings, _ port: Service.Port) {
        self.init()
        udpClass =
            switch settings.udpClass {
            case .session: .session
            case .oneReply: .oneReply
            case .oneWay: .oneWay
            case .perDatagram: .perDatagram
            case nil: UDPClass(usualFor: port)
            }
        unansweredTimeout = settings.udpTimeout ?? unansweredTimeout
        answeredTimeout = settings.udpStreamTimeout ?? answeredTimeout
        replyRatioMax = settings.udpReplyRatioMax
        datagramsPerSourceMax = settings.udpRatePerSource
    }
}

extension UDPClass {
    /// What suits the protocol that a port names; where it names none, the one that its number stands for.
    fileprivate init(usualFor port: Service.Port) {
        // A prefix says who defined the name: `example.com/dns` is spoken as `dns` is.
        let name = port.appProtocol?.split(separator: "/").last?.lowercased()
        self =
            switch name ?? Self.usualName(of: port.port) {
            case "dns", "domain", "ntp": .oneReply
            case "syslog", "statsd": .oneWay
            default: .session
            }
    }

    private static func usualName(of port: PortNumber) -> String? {
        switch port.rawValue {
        case 53: "dns"
        case 123: "ntp"
        case 514: "syslog"
        case 8125: "statsd"
        default: nil
        }
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
