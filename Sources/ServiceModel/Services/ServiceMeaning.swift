package import Addressing

extension ServiceManifest {
    /// The Service it means. What is invalid is left out, so only a validated manifest means what it says.
    package var service: Service {
        var service = Service()
        service.type = Service.ServiceType(rawValue: type) ?? .clusterIP
        service.ports = ports.indices.compactMap(port)
        service.selector = selector
        service.isHeadless = needsClusterIP && clusterIPs.first == Self.none
        service.clusterIPs = needsClusterIP ? addresses(clusterIPs) : []
        service.ipFamilies = ipFamilies.compactMap(IPAddress.Family.init(name:))
        service.ipFamilyPolicy = ipFamilyPolicy.flatMap(IPFamilyPolicy.init)
        service.externalIPs = addresses(externalIPs)
        service.affinity = Service.Affinity(rawValue: sessionAffinity) ?? .none
        service.affinityTimeout = affinityTimeout.map(Int.init) ?? 10_800
        service.internalTrafficPolicy = internalTrafficPolicy.flatMap(TrafficPolicy.init) ?? .cluster
        service.externalTrafficPolicy = TrafficPolicy(rawValue: externalTrafficPolicy)
        service.trafficDistribution = trafficDistribution.flatMap(TrafficDistribution.init)
        service.publishNotReadyAddresses = publishNotReadyAddresses
        service.externalName = isType(.externalName) ? externalName : nil
        service.healthCheckNodePort = PortNumber(healthCheckNodePort)
        service.loadBalancerClass = loadBalancerClass
        service.loadBalancerIP = IPAddress(loadBalancerIP)
        service.loadBalancerSourceRanges = sourceRanges.compactMap { IPRange(trimmed($0)) }
        service.allocateLoadBalancerNodePorts = allocateLoadBalancerNodePorts
        if isType(.loadBalancer) {
            service.loadBalancerIPs = addresses(ingress.filter { ($0.ipMode ?? "VIP") == "VIP" }.map(\.ip))
        }
        service.inlineEndpoints = inlineEndpoints
        service.settings = settings
        return service
    }

    private func port(_ index: Int) -> Service.Port? {
        let written = ports[index]
        guard let transport = TransportProtocol(rawValue: written.transport), let number = PortNumber(written.port) else { return nil }
        var port = Service.Port(
            name: written.name, transport: transport, port: number, nodePort: needsNodePort ? PortNumber(written.nodePort) : nil,
            appProtocol: written.appProtocol, location: at(port: index).location)
        switch written.targetPort {
        case .number(let target): port.targetPort = PortNumber(target)
        case .name(let name): port.targetPortName = name
        }
        return port
    }

    /// The annotation is older than the field, and still what some providers read: it counts where the field is empty.
    private var sourceRanges: [String] {
        guard loadBalancerSourceRanges.isEmpty, isType(.loadBalancer) else { return loadBalancerSourceRanges }
        return metadata.annotations[ServiceRules.sourceRangesAnnotation]?.split(separator: ",").map(String.init) ?? []
    }

    private func addresses(_ texts: [String]) -> [IPAddress] {
        texts.compactMap { AddressRules.address($0).address }
    }

    /// The object it means; see `service`.
    package var object: KubernetesObject {
        KubernetesObject(metadata: metadata, body: .service(service), location: location)
    }
}

extension IPAddress.Family {
    /// `IPv4` or `IPv6`.
    package init?(name: String) {
        switch name {
        case "IPv4": self = .ipv4
        case "IPv6": self = .ipv6
        default: return nil
        }
    }

    /// As `ipFamilies` and `addressType` name it.
    package var name: String {
        switch self {
        case .ipv4: "IPv4"
        case .ipv6: "IPv6"
        }
    }
}
