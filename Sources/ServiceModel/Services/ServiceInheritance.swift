/// What a new version of a Service takes over from the one it replaces, so that the same text applied again changes nothing.
extension ServiceManifest {
    /// On create: who gives `clusterIP` alone means `clusterIPs` too.
    mutating func normaliseClusterIPs() {
        if !clusterIP.isEmpty, clusterIPs.isEmpty { clusterIPs = [clusterIP] }
    }

    /// On update: a field that follows another follows its change, where it was not changed itself.
    mutating func normaliseClusterIPs(old: ServiceManifest) {
        if clusterIPs.isEmpty, clusterIP == old.clusterIP { clusterIPs = old.clusterIPs }
        guard clusterIP != old.clusterIP, clusterIPs == old.clusterIPs else { return }
        clusterIPs = clusterIP.isEmpty ? [] : [clusterIP]
    }

    /// Values that were allocated and are not given now are kept. Node ports are known by the name of their port.
    mutating func keepAllocatedValues(of old: ServiceManifest) {
        if needsClusterIP, old.needsClusterIP {
            if clusterIP.isEmpty { clusterIP = old.clusterIP }
            if clusterIPs.isEmpty { clusterIPs = old.clusterIPs }
        }
        if needsNodePort, old.needsNodePort { keepNodePorts(of: old) }
        if needsHealthCheckNodePort, old.needsHealthCheckNodePort, healthCheckNodePort == 0 {
            healthCheckNodePort = old.healthCheckNodePort
        }
    }

    /// A number that another port now asks for itself can't be kept.
    private mutating func keepNodePorts(of old: ServiceManifest) {
        let asked = Set(ports.map(\.nodePort))
        let known = Dictionary(old.ports.map { ($0.name, $0.nodePort) }) { $1 }
        for index in ports.indices where ports[index].nodePort == 0 {
            if let number = known[ports[index].name], !asked.contains(number) { ports[index].nodePort = number }
        }
    }

    /// Wipes what the new type has no use for, where it was left as it was: to change it as well is a mistake, and validation says so.
    mutating func dropWhatTheTypeDoesNotUse(old: ServiceManifest) {
        if old.needsClusterIP, !needsClusterIP {
            if clusterIP == old.clusterIP, clusterIPs == old.clusterIPs { (clusterIP, clusterIPs) = ("", []) }
            if ipFamilies == old.ipFamilies { ipFamilies = [] }
            if ipFamilyPolicy == old.ipFamilyPolicy { ipFamilyPolicy = nil }
        }
        if old.needsNodePort, !needsNodePort, Set(ports.map(\.nodePort)).isSubset(of: Set(old.ports.map(\.nodePort) + [0])) {
            for index in ports.indices { ports[index].nodePort = 0 }
        }
        if old.needsHealthCheckNodePort, !needsHealthCheckNodePort, healthCheckNodePort == old.healthCheckNodePort {
            healthCheckNodePort = 0
        }
        if old.isType(.loadBalancer), !isType(.loadBalancer) {
            if allocateLoadBalancerNodePorts == old.allocateLoadBalancerNodePorts { allocateLoadBalancerNodePorts = nil }
            if loadBalancerClass == old.loadBalancerClass { loadBalancerClass = nil }
        }
        if old.isExternallyAccessible, !isExternallyAccessible, externalTrafficPolicy == old.externalTrafficPolicy {
            externalTrafficPolicy = ""
        }
        if !isType(.loadBalancer) { ingress = [] }
    }
}
