internal import Addressing
internal import ServiceModel

/// Which addresses and ports a version of a Service needs, and the API server's words where it can't have them.
extension Allocations {
    mutating func allocateClusterIPs(
        of service: inout Service, old: Service?, in transaction: inout Transaction
    ) throws(AllocationError) {
        guard service.type != .externalName, !service.isHeadless else { return }
        guard let old, old.type != .externalName else {
            for index in service.ipFamilies.indices { try allocateClusterIP(index, of: &service, in: &transaction) }
            return
        }
        // An update may only gain a second address; whether it may change the first is for validation to say.
        guard !old.isHeadless, old.ipFamilies.count == 1, service.ipFamilies.count == 2 else { return }
        try allocateClusterIP(1, of: &service, in: &transaction)
    }

    private mutating func allocateClusterIP(
        _ index: Int, of service: inout Service, in transaction: inout Transaction
    ) throws(AllocationError) {
        guard index < service.clusterIPs.count else {
            if let address = usualAddress(of: transaction.key, service.ipFamilies[index]), claim(.address(address), in: &transaction) == nil
            {
                service.clusterIPs.append(address)
                return
            }
            guard let address = takeAnyAddress(of: service.ipFamilies[index], in: &transaction) else {
                throw .internal("failed to allocate a serviceIP for Service \"\(transaction.key.name)\": range is full")
            }
            service.clusterIPs.append(address)
            return
        }
        let address = service.clusterIPs[index]
        guard let refusal = claim(.address(address), in: &transaction) else { return }
        if refusal == .outOfRange, acceptsLoopback, address.isLoopback { return }
        let reason =
            switch refusal {
            case .taken: "provided IP is already allocated"
            case .outOfRange:
                "the provided IP (\(address)) is not in the valid range. The range of valid IPs is "
                    + (addressPools.first { $0.range.address.family == address.family }?.range.description ?? "")
            }
        throw .invalid(
            "spec.clusterIPs", jsonList(service.clusterIPs, count: service.ipFamilies.count),
            "failed to allocate IP \(address): \(reason)")
    }

    /// Where hosts expect the cluster's DNS: the tenth address of the range.
    private func usualAddress(of key: ServiceKey, _ family: IPAddress.Family) -> IPAddress? {
        guard key == ServiceKey(namespace: "kube-system", name: "kube-dns") else { return nil }
        return addressPools.first { $0.range.address.family == family }?.address(behind: 10)
    }

    /// Takes ports: what is asked for by number first, so that what is not never gets in its way.
    mutating func allocatePorts(
        of service: inout Service, old: Service?, in transaction: inout Transaction
    ) throws(AllocationError) {
        let gainsHealthCheck = service.needsHealthCheckNodePort && old?.needsHealthCheckNodePort != true
        if service.usesNodePorts {
            if old == nil {
                try claimNodePortsOfNew(&service, in: &transaction)
            } else {
                try claimNodePorts(of: service, in: &transaction)
            }
        }
        if gainsHealthCheck { try claimHealthCheckNodePort(of: service, in: &transaction) }
        if service.wantsNodePorts {
            for index in service.ports.indices where service.ports[index].nodePort == nil {
                service.ports[index].nodePort = try anyNodePort(for: index, of: service, isNew: old == nil, in: &transaction)
            }
        }
        if gainsHealthCheck, service.healthCheckNodePort == nil {
            guard let port = takeAnyPort(in: &transaction) else {
                throw .internal("failed to allocate a HealthCheck NodePort 0: range is full")
            }
            service.healthCheckNodePort = port
        }
    }

    /// Of a new Service, entries of one `port` share one number (53 on TCP and UDP), and no other entry may have it, whatever its protocol.
    private mutating func claimNodePortsOfNew(_ service: inout Service, in transaction: inout Transaction) throws(AllocationError) {
        var shared: [PortNumber: PortNumber] = [:]
        var claimed: Set<PortNumber> = []
        for (index, port) in service.ports.enumerated() where port.nodePort != nil || service.wantsNodePorts {
            let known = shared[port.port]
            // Of entries that share, the first one with a wish decides, wherever it stands.
            let wish = known == nil ? service.ports.first { $0.port == port.port && $0.nodePort != nil }?.nodePort : port.nodePort
            guard let number = wish ?? known else { continue }
            if number != known {
                guard claimed.insert(number).inserted else { throw invalidNodePort(index, number, .taken) }
                if let refusal = claim(.port(number), in: &transaction) { throw invalidNodePort(index, number, refusal) }
            }
            service.ports[index].nodePort = number
            if known == nil { shared[port.port] = number }
        }
    }

    /// Of a Service that has been there, one number may serve several protocols.
    private mutating func claimNodePorts(of service: Service, in transaction: inout Transaction) throws(AllocationError) {
        var seen: [PortNumber: Set<TransportProtocol>] = [:]
        for (index, port) in service.ports.enumerated() {
            guard let number = port.nodePort else { continue }
            if let refusal = claim(.port(number), in: &transaction) { throw invalidNodePort(index, number, refusal) }
            guard seen[number, default: []].insert(port.transport).inserted else {
                throw .internal("duplicate nodePort: {\(port.transport.rawValue) \(number)}")
            }
        }
    }

    private mutating func anyNodePort(
        for index: Int, of service: Service, isNew: Bool, in transaction: inout Transaction
    ) throws(AllocationError) -> PortNumber {
        let port = service.ports[index].port
        if isNew, let shared = service.ports.first(where: { $0.port == port && $0.nodePort != nil })?.nodePort { return shared }
        guard let number = takeAnyPort(in: &transaction) else { throw .internal("failed to allocate a nodePort: range is full") }
        return number
    }

    private mutating func claimHealthCheckNodePort(of service: Service, in transaction: inout Transaction) throws(AllocationError) {
        guard let wished = service.healthCheckNodePort else { return }
        let isNodePort = service.ports.contains { $0.nodePort == wished }
        guard let refusal = isNodePort ? .taken : claim(.port(wished), in: &transaction) else { return }
        throw .internal("failed to allocate requested HealthCheck NodePort \(wished): \(detail(of: refusal))")
    }

    private func invalidNodePort(_ index: Int, _ number: PortNumber, _ refusal: Refusal) -> AllocationError {
        .invalid("spec.ports[\(index)].nodePort", number.description, detail(of: refusal))
    }

    private func detail(of refusal: Refusal) -> String {
        refusal == .taken ? "provided port is already allocated" : portRangeDetail
    }
}
