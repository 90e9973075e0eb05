internal import Addressing

extension ServiceManifest {
    /// A Service in force, written down: what it was given and what was filled in.
    package init(_ metadata: ObjectMetadata, _ service: Service, location: SourceLocation) {
        self.init(
            metadata: metadata, location: location, places: Places(of: DocumentNode(.mapping([]), at: location)),
            subject: Subject(kind: "Service", name: metadata.name, location: location))
        type = service.type.rawValue
        ports = service.ports.map(Port.init)
        selector = service.selector
        clusterIPs = service.isHeadless ? [Self.none] : service.clusterIPs.map(\.description)
        clusterIP = clusterIPs.first ?? ""
        ipFamilies = service.ipFamilies.map(\.name)
        ipFamilyPolicy = service.ipFamilyPolicy?.rawValue
        externalIPs = service.externalIPs.map(\.description)
        sessionAffinity = service.affinity.rawValue
        affinityTimeout = service.affinity == .clientIP ? Int32(clamping: service.affinityTimeout) : nil
        externalName = service.externalName ?? ""
        externalTrafficPolicy = service.externalTrafficPolicy?.rawValue ?? ""
        internalTrafficPolicy = service.type == .externalName ? nil : service.internalTrafficPolicy.rawValue
        trafficDistribution = service.trafficDistribution?.rawValue
        publishNotReadyAddresses = service.publishNotReadyAddresses
        healthCheckNodePort = service.healthCheckNodePort.map { Int32($0.rawValue) } ?? 0
        loadBalancerIP = service.loadBalancerIP?.description ?? ""
        loadBalancerClass = service.loadBalancerClass
        loadBalancerSourceRanges = service.loadBalancerSourceRanges.map(\.description)
        allocateLoadBalancerNodePorts = service.allocateLoadBalancerNodePorts
        ingress = service.loadBalancerIPs.map { Ingress(ip: $0.description, ipMode: "VIP") }
    }
}

extension ServiceManifest.Port {
    fileprivate init(_ port: Service.Port) {
        name = port.name
        transport = port.transport.rawValue
        appProtocol = port.appProtocol
        self.port = Int32(port.port.rawValue)
        targetPort = port.targetPortName.map { .name($0) } ?? .number(Int32((port.targetPort ?? port.port).rawValue))
        nodePort = port.nodePort.map { Int32($0.rawValue) } ?? 0
    }
}
