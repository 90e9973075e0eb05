package import Addressing

/// `v1/Service`, its fields as values that can be used: defaults filled in, nothing invalid.
package struct Service: Hashable, Sendable {
    package enum ServiceType: String, Hashable, Sendable, CaseIterable {
        case clusterIP = "ClusterIP"
        case nodePort = "NodePort"
        case loadBalancer = "LoadBalancer"
        case externalName = "ExternalName"
    }

    package enum Affinity: String, Hashable, Sendable, CaseIterable {
        case none = "None"
        case clientIP = "ClientIP"
    }

    /// How connections are spread, by annotation.
    package enum Algorithm: String, Hashable, Sendable, CaseIterable {
        case random
        case roundRobin = "round-robin"
        case leastConnections = "least-connections"
        case consistentHash = "consistent-hash"
    }

    /// The header that tells endpoints the client's address, by annotation.
    package enum ProxyProtocol: String, Hashable, Sendable, CaseIterable {
        case v1, v2
    }

    /// What becomes of a client that begins with such a header though none is due, by annotation.
    package enum UnexpectedProxyHeader: String, Hashable, Sendable, CaseIterable {
        case pass, close
    }

    /// What a client's datagrams have to do with each other, by annotation.
    package enum UDPClass: String, Hashable, Sendable, CaseIterable {
        case session
        case oneReply = "one-reply"
        case oneWay = "one-way"
        case perDatagram = "per-datagram"
    }

    /// What Ringway's own annotations set, for all ports alike; nil where the annotation is not there.
    package struct Settings: Hashable, Sendable {
        package var algorithm: Algorithm?
        package var weights: [EndpointWeight]?
        // Zero where it is switched off.
        package var idleTimeout: Duration?
        package var halfCloseTimeout: Duration?
        package var keepalive: Duration?
        package var userTimeout: Duration?
        package var connectTimeout: Duration?
        package var connectAttemptTimeout: Duration?
        /// Per port of the Service, and per port and client's address.
        package var connectionsMax: Int?
        package var connectionsPerSourceMax: Int?
        /// Failures in a row that eject an endpoint; 0 where it is switched off.
        package var ejectAfter: Int?
        /// What becomes of connections when the Service is deleted.
        package var onDelete: DeletionPolicy?
        package var healthCheck: HealthCheck?
        package var healthCheckInterval: Duration?
        package var healthCheckTimeout: Duration?
        package var healthCheckRise: Int?
        package var healthCheckFall: Int?
        package var proxyProtocol: ProxyProtocol?
        /// Whose connections begin with a header that is believed.
        package var acceptProxyProtocolFrom: [IPRange]?
        package var unexpectedProxyHeader: UnexpectedProxyHeader?
        /// Whose clients may use node ports.
        package var nodePortSourceRanges: [IPRange]?
        package var udpClass: UDPClass?
        package var udpTimeout: Duration?
        package var udpStreamTimeout: Duration?
        package var udpReplyRatioMax: Int?
        /// Datagrams per second.
        package var udpRatePerSource: Int?

        package init() {}
    }

    package struct Port: Hashable, Sendable {
        /// Empty where the Service's only port has no name.
        package var name: String
        package var transport: TransportProtocol
        package var port: PortNumber
        /// `targetPort` as a number; nil where it is a name. Defaults to `port`.
        package var targetPort: PortNumber?
        /// `targetPort` as a name, which slices have already resolved, and each Pod resolves for itself.
        package var targetPortName: String?
        package var nodePort: PortNumber?
        /// What is spoken there: `dns`, `example.com/telemetry`.
        package var appProtocol: String?
        package var location: SourceLocation

        package init(
            name: String = "", transport: TransportProtocol = .tcp, port: PortNumber, targetPort: PortNumber? = nil,
            targetPortName: String? = nil, nodePort: PortNumber? = nil, appProtocol: String? = nil, location: SourceLocation
        ) {
            self.name = name
            self.transport = transport
            self.port = port
            self.targetPort = targetPort
            self.targetPortName = targetPortName
            self.nodePort = nodePort
            self.appProtocol = appProtocol
            self.location = location
        }
    }

    package var type: ServiceType = .clusterIP
    package var ports: [Port] = []
    /// Addresses in `clusterIP` and `clusterIPs`, in order, without `None`.
    package var clusterIPs: [IPAddress] = []
    /// `clusterIP: None`.
    package var isHeadless = false
    package var externalIPs: [IPAddress] = []
    /// `status.loadBalancer.ingress` addresses of `ipMode` VIP (the default); `Proxy` ones and host names are left out.
    package var loadBalancerIPs: [IPAddress] = []
    package var affinity: Affinity = .none
    /// Seconds a client stays with its endpoint after its last connection.
    package var affinityTimeout = 10_800
    /// nil or empty: none, and the Service's endpoints are given otherwise.
    package var selector: [String: String]?
    package var internalTrafficPolicy: TrafficPolicy = .cluster
    package var externalTrafficPolicy: TrafficPolicy?
    package var trafficDistribution: TrafficDistribution?
    package var publishNotReadyAddresses = false
    package var ipFamilies: [IPAddress.Family] = []
    package var ipFamilyPolicy: IPFamilyPolicy?
    package var externalName: String?
    package var healthCheckNodePort: PortNumber?
    package var loadBalancerClass: String?
    package var loadBalancerIP: IPAddress?
    package var loadBalancerSourceRanges: [IPRange] = []
    /// Defaults to true where the type is LoadBalancer.
    package var allocateLoadBalancerNodePorts: Bool?
    /// Inline endpoints of the annotation `ringway.dev/endpoints`; nil without the annotation. They replace slices.
    package var inlineEndpoints: [SocketAddress]?
    package var settings = Settings()

    package init() {}
}
