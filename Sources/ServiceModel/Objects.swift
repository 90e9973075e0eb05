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
        case node = "Node"
        case namespace = "Namespace"
    }

    package let kind: Kind
    package let namespace: String
    package let name: String

    package init(kind: Kind, namespace: String, name: String) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
    }

    /// A Node and a Namespace are in no namespace.
    package var description: String { "\(kind.rawValue) \(namespace.isEmpty ? "" : namespace + "/")\(name)" }

    package static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        (left.kind.rawValue, left.namespace, left.name) < (right.kind.rawValue, right.namespace, right.name)
    }
}

/// One decoded, valid object of a kind we honour, with the place its document begins.
package struct KubernetesObject: Hashable, Sendable {
    package enum Body: Hashable, Sendable {
        /// Apart, for it is ten times the size of the others, which are many.
        indirect case service(Service)
        case endpointSlice(EndpointSlice)
        case endpoints(Endpoints)
        case pod(Pod)
        case node(Node)
        /// Nothing of it is read but that it is there.
        case namespace
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
            case .node: .node
            case .namespace: .namespace
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
    /// nil where the document names none.
    package var uid: String?
    package var creationTimestamp: Timestamp?

    package init(
        name: String, namespace: String = "default", labels: [String: String] = [:], annotations: [String: String] = [:],
        uid: String? = nil
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.labels = labels
        self.annotations = annotations
    }
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
        /// Where it is; nil is no node's.
        package var nodeName: String?
        /// Its own name within the Service, for DNS.
        package var hostname: String?
        /// Zones and nodes that are to use it (`hints.forZones`, `forNodes`).
        package var zoneHints: [String]
        package var nodeHints: [String]

        package init(
            address: IPAddress, ready: Bool = true, serving: Bool = true, terminating: Bool = false, pod: String? = nil,
            nodeName: String? = nil, hostname: String? = nil, zoneHints: [String] = [], nodeHints: [String] = []
        ) {
            self.address = address
            self.pod = pod
            self.nodeName = nodeName
            self.hostname = hostname
            self.zoneHints = zoneHints
            self.nodeHints = nodeHints
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
    package struct Address: Hashable, Sendable {
        package var address: IPAddress
        /// As an EndpointSlice's endpoints have them.
        package var hostname: String?
        package var nodeName: String?
        package var pod: String?

        package init(_ address: IPAddress) { self.address = address }
    }

    package struct Subset: Hashable, Sendable {
        package var addresses: [Address] = []
        package var notReadyAddresses: [Address] = []
        package var ports: [EndpointSlice.Port] = []

        package init() {}
    }

    package var subsets: [Subset] = []

    package init() {}
}
