internal import Addressing
internal import Routing
internal import ServiceModel

/// What is to have a name in DNS.
package enum NameScope: Sendable {
    case services
    /// Pods by their addresses, too: for names of Pods that are verified.
    case servicesAndPods
}

/// Makes the table of names, of which a change replaces what it touches.
struct NameCompiler {
    private(set) var table = NameTable.empty
    private var services = PersistentDictionary<ServiceName, ServiceNames>()
    private var namespaces: [String: NamespaceNames] = [:]
    private var touched = NameTable.Touched()
    /// See `SnapshotCompiler`.
    var missesSources = false

    /// Whether the table doesn't say what the next one would, though no name has changed.
    var isOld: Bool { table.isComplete == missesSources }

    mutating func serviceChanged(_ key: ServiceKey, _ inputs: ServiceInputs) {
        let names = ServiceNames(key, inputs)
        if let old = services[names.service], old.says(as: names) { return }
        services[names.service] = names
        touched.services.insert(names.service)
    }

    mutating func serviceRemoved(_ key: ServiceKey) {
        let name = ServiceName(namespace: key.namespace, name: key.name)
        guard services[name] != nil else { return }
        services[name] = nil
        touched.services.insert(name)
    }

    mutating func namespacesChanged(_ changed: Set<String>, _ index: NamespaceIndex) {
        for namespace in changed {
            let names = index.names(of: namespace)
            let old = namespaces[namespace]
            if let old, let names, old.podAddresses == names.podAddresses { continue }
            if old == nil, names == nil { continue }
            namespaces[namespace] = names
            touched.namespaces.insert(namespace)
        }
    }

    /// Makes the table of the next snapshot, with what was touched since the last one was made.
    ///
    /// - Returns: whether it says anything else.
    mutating func publish() -> Bool {
        defer { touched = NameTable.Touched() }
        let isOther = !touched.isEmpty || isOld
        if isOther || table.touched?.isEmpty == false {
            table = NameTable(services: services, namespaces: namespaces, touched: touched, isComplete: !missesSources)
        }
        return isOther
    }
}

extension ServiceNames {
    convenience init(_ key: ServiceKey, _ inputs: ServiceInputs) {
        let name = ServiceName(namespace: key.namespace, name: key.name)
        guard case .service(let service) = inputs.service.body else {
            preconditionFailure("the inputs of Service \(key) begin with a \(inputs.service.key.kind)")
        }
        if service.type == .externalName {
            self.init(service: name, kind: .externalName(service.externalName ?? ""))
            return
        }
        let ports = service.ports.map { Port(name: $0.name, transport: $0.transport, number: $0.port) }
        self.init(
            service: name, kind: service.isHeadless ? .headless : .cluster(addresses: service.clusterIPs, ports: ports),
            endpointSets: service.inlineEndpoints.map { Self.sets($0, ports) } ?? Self.sets(service, inputs))
    }

    /// Inline endpoints serve all ports of the Service, each under its own number.
    private static func sets(_ endpoints: [SocketAddress], _ ports: [Port]) -> [EndpointSet] {
        let byPort = Dictionary(grouping: Set(endpoints), by: \.port).sorted { $0.key < $1.key }
        return byPort.map { number, endpoints in
            EndpointSet(
                ports: ports.map { Port(name: $0.name, transport: $0.transport, number: number) },
                endpoints: endpoints.map(\.address).sorted().map { Endpoint(address: $0) })
        }
    }

    private static func sets(_ service: Service, _ inputs: ServiceInputs) -> [EndpointSet] {
        ServicePlan.slices(of: service, inputs).slices.compactMap { slice in
            // Those of a cluster's controller say of themselves whether they are to be published; handwritten ones need not.
            let endpoints = slice.endpoints.filter { $0.ready || service.publishNotReadyAddresses }
            guard slice.addressFamily != nil, !endpoints.isEmpty else { return nil }
            return EndpointSet(
                ports: slice.ports.compactMap { port in
                    port.port.map { Port(name: port.name, transport: port.transport, number: $0) }
                },
                endpoints: endpoints.map { Endpoint(hostname: $0.hostname, address: $0.address) })
        }
    }
}
