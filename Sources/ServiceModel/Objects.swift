package import Addressing

/// Where a value stands in its source: file (or `-` for standard input), line and column, both from 1.
///
/// Line 0 is the source as a whole: what is said of a file that can't be read has no better place.
package struct SourceLocation: Hashable, Sendable, CustomStringConvertible {
    package let file: String
    package let line: Int
    package let column: Int

    package init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// The source as a whole.
    package init(file: String) {
        self.init(file: file, line: 0, column: 0)
    }

    package var description: String { line == 0 ? file : "\(file):\(line):\(column)" }
}

/// The identity of an object: kind, namespace and name, as one API server would know it.
package struct ObjectKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        case service = "Service"
        case endpointSlice = "EndpointSlice"
        case endpoints = "Endpoints"
        case pod = "Pod"
    }

    package let kind: Kind
    package let namespace: String
    package let name: String

    package init(kind: Kind, namespace: String, name: String) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
    }

    package var description: String { "\(kind.rawValue) \(namespace)/\(name)" }

    package static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        (left.kind.rawValue, left.namespace, left.name) < (right.kind.rawValue, right.namespace, right.name)
    }
}

/// One decoded, valid object of a kind we honour, with the place its document begins.
package struct KubernetesObject: Hashable, Sendable {
    package enum Body: Hashable, Sendable {
        case service(Service)
        case endpointSlice(EndpointSlice)
        case endpoints(Endpoints)
        case pod(Pod)
    }

    package let metadata: ObjectMetadata
    package let body: Body
    package let location: SourceLocation

    package init(metadata: ObjectMetadata, body: Body, location: SourceLocation) {
        self.metadata = metadata
        self.body = body
        self.location = location
    }

    package var key: ObjectKey {
        let kind: ObjectKey.Kind =
            switch body {
            case .service: .service
            case .endpointSlice: .endpointSlice
            case .endpoints: .endpoints
            case .pod: .pod
            }
        return ObjectKey(kind: kind, namespace: metadata.namespace, name: metadata.name)
    }
}

/// The part of `metadata` that reaches the data path. `namespace` is `default` where the document names none.
package struct ObjectMetadata: Hashable, Sendable {
    package var name: String
    package var namespace: String
    package var labels: [String: String]
    package var annotations: [String: String]

    package init(name: String, namespace: String = "default", labels: [String: String] = [:], annotations: [String: String] = [:]) {
        self.name = name
        self.namespace = namespace
        self.labels = labels
        self.annotations = annotations
    }
}

/// `v1/Service`, cut down to the fields Ringway uses, defaults filled in.
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
        package var healthCheck: HealthCheck?
        package var healthCheckInterval: Duration?
        package var healthCheckTimeout: Duration?
        package var healthCheckRise: Int?
        package var healthCheckFall: Int?
        package var proxyProtocol: ProxyProtocol?
        /// Whose connections begin with a header that is believed.
        package var acceptProxyProtocolFrom: [IPRange]?
        package var unexpectedProxyHeader: UnexpectedProxyHeader?
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
        /// `targetPort` as a number; nil where it is a name (which slices have already resolved). Defaults to `port`.
        package var targetPort: PortNumber?
        package var nodePort: PortNumber?
        /// What is spoken there: `dns`, `example.com/telemetry`.
        package var appProtocol: String?
        package var location: SourceLocation

        package init(
            name: String = "", transport: TransportProtocol = .tcp, port: PortNumber, targetPort: PortNumber? = nil,
            nodePort: PortNumber? = nil, appProtocol: String? = nil, location: SourceLocation
        ) {
            self.name = name
            self.transport = transport
            self.port = port
            self.targetPort = targetPort
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
    /// `sessionAffinityConfig.clientIP.timeoutSeconds`: seconds, 1 to 86,400.
    package var affinityTimeout = 10_800
    /// Inline endpoints of the annotation `ringway.dev/endpoints`; nil without the annotation. They replace slices.
    package var inlineEndpoints: [SocketAddress]?
    package var settings = Settings()

    package init() {}
}

/// `discovery.k8s.io/v1/EndpointSlice`, cut down.
package struct EndpointSlice: Hashable, Sendable {
    package struct Endpoint: Hashable, Sendable {
        /// `addresses[0]`, the only one a proxy may use.
        package var address: IPAddress
        /// `conditions`: nil is true for ready and serving, false for terminating.
        package var ready: Bool
        package var serving: Bool
        package var terminating: Bool
        /// The Pod that `targetRef` names, in the slice's namespace.
        package var pod: String?

        package init(address: IPAddress, ready: Bool = true, serving: Bool = true, terminating: Bool = false, pod: String? = nil) {
            self.address = address
            self.pod = pod
            self.ready = ready
            self.serving = serving
            self.terminating = terminating
        }
    }

    package struct Port: Hashable, Sendable {
        package var name: String
        package var transport: TransportProtocol
        /// nil or 0 in the document means "all ports", which no proxy implements: such a port is ignored.
        package var port: PortNumber?

        package init(name: String = "", transport: TransportProtocol = .tcp, port: PortNumber?) {
            self.name = name
            self.transport = transport
            self.port = port
        }
    }

    /// Label `kubernetes.io/service-name`; nil where it is missing, and then the slice belongs to no Service.
    package var serviceName: String?
    /// nil for `addressType: FQDN`, which no proxy uses.
    package var addressFamily: IPAddress.Family?
    package var endpoints: [Endpoint] = []
    package var ports: [Port] = []

    package init() {}
}

/// Classic `v1/Endpoints` of the Service with the same name; read as the mirroring controller would mirror them.
package struct Endpoints: Hashable, Sendable {
    package struct Subset: Hashable, Sendable {
        package var addresses: [IPAddress] = []
        package var notReadyAddresses: [IPAddress] = []
        package var ports: [EndpointSlice.Port] = []

        package init() {}
    }

    package var subsets: [Subset] = []

    package init() {}
}

/// One finding about one place in a source.
package struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
    package enum Severity: String, Hashable, Sendable {
        case error, warning
    }

    package let severity: Severity
    package let location: SourceLocation
    /// The object it speaks of, where one could be read.
    package let object: ObjectKey?
    /// The finding, in the API server's words where it has any: `Service "web" is invalid: spec.ports[1].name: Required value`.
    package let message: String

    package init(severity: Severity, location: SourceLocation, object: ObjectKey? = nil, message: String) {
        self.severity = severity
        self.location = location
        self.object = object
        self.message = message
    }

    /// `file:line:column: message`, with `warning: ` before the message of a warning.
    package var description: String {
        severity == .warning ? "\(location): warning: \(message)" : "\(location): \(message)"
    }
}
