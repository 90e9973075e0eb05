package import Addressing

/// One listening virtual IP:port, the group its connections go to, and why it listens there.
package struct Frontend: Sendable {
    /// Which field of the Service asked for the address; said in logs and statistics.
    package enum Origin: String, Sendable {
        case clusterIP, externalIP, loadBalancerIP, nodePort
    }

    package let key: FrontendKey
    package let origin: Origin
    package let group: EndpointGroup
    /// Whether clients that have nowhere to go hear nothing, in place of a refusal: there are endpoints, but on other nodes only, and
    /// whoever balances between the nodes is to try another one.
    package let isSilent: Bool
    /// nil where all clients are served alike.
    package let rules: ClientRules?

    package init(key: FrontendKey, origin: Origin, group: EndpointGroup, isSilent: Bool = false, rules: ClientRules? = nil) {
        self.key = key
        self.origin = origin
        self.group = group
        self.isSilent = isSilent
        self.rules = rules
    }

    /// The groups that its connections may go to.
    package var groups: [EndpointGroup] { [group] + (rules?.shortCircuit.map { [$0.group] } ?? []) }

    /// Whether anything is to listen here. Where nothing does, the kernel refuses.
    package var isOpen: Bool { isSilent || !group.isEmpty || rules?.shortCircuit?.group.isEmpty == false }

    /// Whether what becomes of a client depends on its address.
    package var tellsClientsApart: Bool { isSilent || rules != nil }

    /// Whether both treat all clients alike: groups are compared by identity.
    package func routes(as other: Frontend) -> Bool {
        group === other.group && isSilent == other.isSilent && rules == other.rules
    }
}

/// How clients of a frontend differ by their address.
package struct ClientRules: Sendable, Equatable {
    /// Whose connections are taken at all (`loadBalancerSourceRanges`); nil: everybody's. Others hear nothing.
    package let permitted: [IPRange]?
    /// Clients that are led elsewhere; nil: none.
    package let shortCircuit: ShortCircuit?

    package init(permitted: [IPRange]? = nil, shortCircuit: ShortCircuit? = nil) {
        self.permitted = permitted
        self.shortCircuit = shortCircuit
    }

    fileprivate func permits(_ client: IPAddress) -> Bool {
        guard let permitted else { return true }
        for index in permitted.indices where permitted[index].contains(client) { return true }
        return false
    }
}

/// Clients near by go to all endpoints of the Service, whatever its external policy.
package struct ShortCircuit: Sendable, Equatable {
    package let clients: NearbyClients
    package let group: EndpointGroup

    package init(clients: NearbyClients, group: EndpointGroup) {
        self.clients = clients
        self.group = group
    }

    package static func == (left: ShortCircuit, right: ShortCircuit) -> Bool {
        left.group === right.group && left.clients == right.clients
    }
}

/// The clients that need not come in from outside: Pods, and this node itself.
package struct NearbyClients: Hashable, Sendable {
    /// The cluster's Pods.
    package var pods: [IPRange]
    /// This node's addresses.
    package var node: Set<IPAddress>

    package init(pods: [IPRange] = [], node: Set<IPAddress> = []) {
        self.pods = pods
        self.node = node
    }

    /// A client on this node that asks one of its virtual addresses comes from that very address, for so the kernel chooses.
    fileprivate func contains(_ client: IPAddress, asking destination: IPAddress) -> Bool {
        if client == destination || client.isLoopback || node.contains(client) { return true }
        for index in pods.indices where pods[index].contains(client) { return true }
        return false
    }

    fileprivate func ranges(asking destination: IPAddress) -> [IPRange] {
        pods + node.sorted().map(IPRange.init) + [IPRange(destination)] + IPRange.loopback
    }
}

extension Frontend {
    /// What becomes of a client's connection or datagram.
    package enum Verdict: Sendable {
        /// One of the group's endpoints gets it.
        case forwarded(EndpointGroup)
        /// The client is told that nobody listens: there are no endpoints anywhere.
        case refused
        /// The client hears nothing.
        case dropped
    }

    /// What becomes of a client, by its address.
    package func verdict(of client: IPAddress) -> Verdict {
        guard isOpen else { return .refused }
        guard let rules else { return verdict(group) }
        let client = client.unmapped
        guard rules.permits(client) else { return .dropped }
        if let other = rules.shortCircuit, other.clients.contains(client, asking: key.address.address) { return verdict(other.group) }
        return verdict(group)
    }

    private func verdict(_ group: EndpointGroup) -> Verdict {
        group.isEmpty ? isSilent ? .dropped : .refused : .forwarded(group)
    }

    /// Whose connections are taken: clients that are in each of these lists. All others are dropped.
    package var admitted: [[IPRange]] {
        var lists: [[IPRange]] = []
        if let permitted = rules?.permitted { lists.append(permitted) }
        if isSilent { lists.append(rules?.shortCircuit?.clients.ranges(asking: key.address.address) ?? []) }
        return lists
    }
}
