internal import Addressing
internal import Routing

extension SnapshotTotals {
    init(_ frontends: [FrontendKey: Frontend]) {
        var groups: [ServicePortName: [ObjectIdentifier: EndpointGroup]] = [:]
        for group in frontends.values.lazy.flatMap(\.groups) { groups[group.service, default: [:]][ObjectIdentifier(group)] = group }
        services = Set(groups.keys.map { ServiceKey(namespace: $0.namespace, name: $0.name) }).count
        listeners = frontends.count
        // Groups of one port share endpoints where its policies differ.
        endpoints = groups.values.reduce(0) { sum, groups in
            let one = groups.count == 1 ? groups.values.first : nil
            return sum + (one?.endpoints.count ?? Set(groups.values.flatMap(\.endpoints).map(\.address)).count)
        }
    }
}

extension SnapshotTotals {
    /// Some Services are served otherwise.
    mutating func replace(_ former: SnapshotTotals, with next: SnapshotTotals) {
        services += next.services - former.services
        listeners += next.listeners - former.listeners
        endpoints += next.endpoints - former.endpoints
    }
}

extension SnapshotChanges {
    /// Nil where both sets route alike.
    init?(from old: [FrontendKey: Frontend], to new: [FrontendKey: Frontend]) {
        var touched: Set<ServicePortName> = []
        for (key, frontend) in new {
            guard let before = old[key] else {
                listenersAdded += 1
                touched.insert(frontend.group.service)
                continue
            }
            if !before.routes(as: frontend) || before.origin != frontend.origin {
                touched.insert(before.group.service)
                touched.insert(frontend.group.service)
            }
        }
        for (key, frontend) in old where new[key] == nil {
            listenersRemoved += 1
            touched.insert(frontend.group.service)
        }
        if touched.isEmpty { return nil }

        let before = Self.endpoints(of: touched, in: old)
        let after = Self.endpoints(of: touched, in: new)
        for port in touched {
            let was = before[port] ?? []
            let now = after[port] ?? []
            endpointsAdded += now.subtracting(was).count
            endpointsRemoved += was.subtracting(now).count
        }
        let servicesBefore = Self.services(of: touched, in: old)
        let servicesAfter = Self.services(of: touched, in: new)
        servicesAdded = servicesAfter.subtracting(servicesBefore).count
        servicesRemoved = servicesBefore.subtracting(servicesAfter).count
        servicesChanged = servicesAfter.intersection(servicesBefore).count
    }

    private static func endpoints(
        of ports: Set<ServicePortName>, in frontends: [FrontendKey: Frontend]
    ) -> [ServicePortName: Set<SocketAddress>] {
        var seen: Set<ObjectIdentifier> = []
        var result: [ServicePortName: Set<SocketAddress>] = [:]
        for frontend in frontends.values where ports.contains(frontend.group.service) {
            for group in frontend.groups where seen.insert(ObjectIdentifier(group)).inserted {
                result[group.service, default: []].formUnion(group.endpoints.lazy.map(\.address))
            }
        }
        return result
    }

    /// The Services of `ports` that have a listener on any of their ports, touched or not.
    private static func services(of ports: Set<ServicePortName>, in frontends: [FrontendKey: Frontend]) -> Set<ServiceKey> {
        let touched = Set(ports.map { ServiceKey(namespace: $0.namespace, name: $0.name) })
        var result: Set<ServiceKey> = []
        for frontend in frontends.values {
            let key = ServiceKey(namespace: frontend.group.service.namespace, name: frontend.group.service.name)
            if touched.contains(key) { result.insert(key) }
        }
        return result
    }
}
