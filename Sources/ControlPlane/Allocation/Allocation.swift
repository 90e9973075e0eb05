package import Addressing
package import ServiceModel

/// What one Service holds of what can be held only once.
package struct Allocation: Hashable, Sendable {
    package var uid: String?
    package var clusterIPs: [IPAddress] = []
    /// By the name of the Service's port.
    package var nodePorts: [String: PortNumber] = [:]
    package var healthCheckNodePort: PortNumber?
    /// Of the pools of load balancers; others may have them, too.
    package var loadBalancerIPs: [IPAddress] = []

    package init() {}

    /// What an admitted Service holds.
    package init(of service: Service, uid: String? = nil) {
        self.uid = uid
        if service.type != .externalName { clusterIPs = service.clusterIPs }
        if service.usesNodePorts {
            for port in service.ports { nodePorts[port.name] = port.nodePort }
        }
        if service.needsHealthCheckNodePort { healthCheckNodePort = service.healthCheckNodePort }
    }

    package var isEmpty: Bool { clusterIPs.isEmpty && nodePorts.isEmpty && healthCheckNodePort == nil && loadBalancerIPs.isEmpty }

    /// One address or port that only one may have.
    enum Item: Hashable {
        case address(IPAddress)
        case port(PortNumber)
    }

    var items: Set<Item> {
        var items = Set(clusterIPs.map(Item.address))
        items.formUnion(nodePorts.values.map(Item.port))
        if let healthCheckNodePort { items.insert(.port(healthCheckNodePort)) }
        return items
    }

    mutating func remove(_ item: Item) {
        switch item {
        case .address(let address): clusterIPs.removeAll { $0 == address }
        case .port(let port):
            nodePorts = nodePorts.filter { $0.value != port }
            if healthCheckNodePort == port { healthCheckNodePort = nil }
        }
    }
}

/// What is known of one Service's allocation, as it is kept across restarts.
package struct AllocationRecord: Hashable, Sendable {
    package var allocation: Allocation
    /// When the Service went, in seconds since 1970; nil while it is there.
    package var goneSince: Int64?

    package init(allocation: Allocation, goneSince: Int64? = nil) {
        self.allocation = allocation
        self.goneSince = goneSince
    }
}

extension Service {
    var usesNodePorts: Bool { type == .nodePort || type == .loadBalancer }

    /// Ports that name no node port get one.
    var wantsNodePorts: Bool { type == .nodePort || type == .loadBalancer && allocateLoadBalancerNodePorts != false }

    /// The only case in which there is a server for load balancers to ask.
    package var needsHealthCheckNodePort: Bool { type == .loadBalancer && externalTrafficPolicy == .local }
}
