package import Addressing

/// `v1/Service` as an API server holds it before it is valid: every field with the text or number that stands there, right or wrong.
///
/// It is what defaults are filled into, what an update takes from its old version, and what allocation and validation look at. Once
/// they are content, `service` is what it means.
package struct ServiceManifest: Hashable, Sendable {
    package enum TargetPort: Hashable, Sendable {
        case number(Int32)
        case name(String)
    }

    package struct Port: Hashable, Sendable {
        package var name = ""
        package var transport = ""
        package var appProtocol: String?
        package var port: Int32 = 0
        package var targetPort = TargetPort.number(0)
        /// 0: none.
        package var nodePort: Int32 = 0
    }

    package struct Ingress: Hashable, Sendable {
        package var ip = ""
        package var hostname = ""
        package var ipMode: String?
    }

    package static let none = "None"

    package var metadata: ObjectMetadata
    package var type = ""
    package var ports: [Port] = []
    package var selector: [String: String]?
    package var clusterIP = ""
    package var clusterIPs: [String] = []
    package var ipFamilies: [String] = []
    package var ipFamilyPolicy: String?
    package var externalIPs: [String] = []
    package var sessionAffinity = ""
    /// nil where there is no `sessionAffinityConfig`, or no time in it.
    package var affinityTimeout: Int32?
    package var externalName = ""
    package var externalTrafficPolicy = ""
    package var internalTrafficPolicy: String?
    package var trafficDistribution: String?
    package var publishNotReadyAddresses = false
    package var healthCheckNodePort: Int32 = 0
    package var loadBalancerIP = ""
    package var loadBalancerClass: String?
    package var loadBalancerSourceRanges: [String] = []
    package var allocateLoadBalancerNodePorts: Bool?
    /// `status.loadBalancer.ingress`. A cluster takes none of it from a manifest; where nobody else would write it, it is believed.
    package var ingress: [Ingress] = []

    /// What Ringway's annotations mean, and what is wrong with them.
    package var settings = Service.Settings()
    package var inlineEndpoints: [SocketAddress]?
    package var annotationFindings: [Finding] = []
    /// What is wrong with `metadata`, which nothing that happens to the rest can change.
    package var metadataFindings: [Finding] = []

    package let location: SourceLocation
    package var places: Places
    package let subject: Subject

    package var key: ObjectKey { ObjectKey(kind: .service, namespace: metadata.namespace, name: metadata.name) }
}

// MARK: What the type and its companions imply

extension ServiceManifest {
    func isType(_ type: Service.ServiceType) -> Bool { self.type == type.rawValue }

    package var needsClusterIP: Bool { !isType(.externalName) }
    package var isHeadless: Bool { clusterIPs == [Self.none] }
    package var needsNodePort: Bool { isType(.nodePort) || isType(.loadBalancer) }
    package var needsHealthCheckNodePort: Bool { isType(.loadBalancer) && externalTrafficPolicy == TrafficPolicy.local.rawValue }
    package var isExternallyAccessible: Bool { needsNodePort || (isType(.clusterIP) && !externalIPs.isEmpty) }

    /// Fills in what `v1` defaults: the part of an object's life that needs no cluster and no older version.
    package mutating func fillDefaults() {
        if sessionAffinity.isEmpty { sessionAffinity = Service.Affinity.none.rawValue }
        if sessionAffinity == Service.Affinity.none.rawValue { affinityTimeout = nil }
        if sessionAffinity == Service.Affinity.clientIP.rawValue, affinityTimeout == nil { affinityTimeout = 10_800 }
        if type.isEmpty { type = Service.ServiceType.clusterIP.rawValue }
        for index in ports.indices {
            if ports[index].transport.isEmpty { ports[index].transport = TransportProtocol.tcp.rawValue }
            if ports[index].targetPort == .number(0) || ports[index].targetPort == .name("") {
                ports[index].targetPort = .number(ports[index].port)
            }
        }
        if isExternallyAccessible, externalTrafficPolicy.isEmpty { externalTrafficPolicy = TrafficPolicy.cluster.rawValue }
        if internalTrafficPolicy == nil, isType(.clusterIP) || needsNodePort { internalTrafficPolicy = TrafficPolicy.cluster.rawValue }
        if isType(.loadBalancer), allocateLoadBalancerNodePorts == nil { allocateLoadBalancerNodePorts = true }
    }
}

// MARK: Places

extension ServiceManifest {
    static let spec = FieldPath.root.child("spec")

    func at(_ path: FieldPath) -> Place { Place(path: path, places: places) }

    func at(_ field: String) -> Place { at(Self.spec.child(field)) }

    func at(port index: Int) -> Place { at(Self.spec.child("ports").index(index)) }

    func at(port index: Int, _ field: String) -> Place { at(Self.spec.child("ports").index(index).child(field)) }

    /// `clusterIPs`, or what stands for it where only `clusterIP` is written.
    var atClusterIPs: Place { at(inClusterIPs: Self.spec.child("clusterIPs")) }

    func at(clusterIP index: Int) -> Place { at(inClusterIPs: Self.spec.child("clusterIPs").index(index)) }

    private func at(inClusterIPs path: FieldPath) -> Place {
        let isWritten = places.contains(Self.spec.child("clusterIPs"))
        return Place(path: path, places: places, origin: isWritten ? nil : Self.spec.child("clusterIP"))
    }

    func at(annotation name: String) -> Place { at(.key(FieldPath.root.child("metadata").child("annotations"), name)) }
}
