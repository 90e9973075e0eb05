internal import Addressing
internal import Routing
internal import ServiceModel

/// What one Service asks for, seen by itself: where it wants to listen and which endpoints it has. A pure function of its inputs;
/// what other Services claim comes later, in `SnapshotCompiler`.
struct ServicePlan: Equatable {
    struct Listen: Hashable {
        var key: FrontendKey
        var origin: Frontend.Origin
    }

    struct Port: Equatable {
        var name: ServicePortName
        var settings: EndpointGroup.Settings
        var weights: EndpointWeights
        var listens: [Listen]
        var pools: [EndpointPool]
        /// By `internalTrafficPolicy`, for clusterIPs, and by `externalTrafficPolicy`, for all others.
        var internalScope: EndpointScope
        var externalScope: EndpointScope
        /// Whose clients are taken, where the Service says so.
        var sources: SourceRanges
        /// Where the port stands in its source, for notices.
        var location: SourceLocation

        func scope(_ origin: Frontend.Origin) -> EndpointScope { origin == .clusterIP ? internalScope : externalScope }

        /// The pool for a frontend of that family: index into `pools`.
        func poolIndex(for family: IPAddress.Family, _ scope: EndpointScope) -> Int {
            guard let index = pools.firstIndex(where: { $0.frontendFamilies.contains(family) && $0.scopes.contains(scope) }) else {
                preconditionFailure("the pools of \(name) leave out \(family), \(scope)")
            }
            return index
        }
    }

    private(set) var ports: [Port] = []
    private(set) var health = HealthPlan()
    /// Where a load balancer asks whether this node has endpoints of the Service.
    private(set) var healthCheckPort: HealthCheckPort?
    private(set) var notices: [Diagnostic] = []

    private let key: ServiceKey
    private let object: ObjectKey
    private let node: LocalNode

    private static let proxyLabel = "service.kubernetes.io/service-proxy-name"

    /// - Parameter proxyName: which proxy this is: others' Services are left alone.
    init(key: ServiceKey, inputs: ServiceInputs, node: LocalNode, proxyName: String?) {
        self.key = key
        self.node = node
        object = inputs.service.key
        guard case .service(let service) = inputs.service.body else {
            preconditionFailure("the inputs of Service \(key) begin with a \(inputs.service.key.kind)")
        }
        let proxy = inputs.service.metadata.labels[Self.proxyLabel]
        guard proxy == proxyName else {
            // Whoever has named this proxy knows that it leaves the others.
            if let proxy {
                note(
                    .warning, inputs.service.location,
                    "Service \(key) is left to the proxy \"\(proxy)\", as its label \(Self.proxyLabel) asks")
            }
            return
        }
        // An ExternalName is a DNS alias and a headless Service has no virtual address: neither is proxied, on purpose.
        guard service.type != .externalName, !service.isHeadless else { return }

        let addresses = Self.addresses(of: service)
        let opensNodePorts = service.type == .nodePort || service.type == .loadBalancer
        var unforwarded = 0
        for port in service.ports {
            guard port.transport != .sctp else {
                unforwarded += 1
                note(
                    .warning, port.location,
                    "Service \(key): \(port.transport.rawValue) is not forwarded yet; port \(Self.label(port)) has no listener")
                continue
            }
            var listens = addresses.map { address in
                Listen(key: FrontendKey(SocketAddress(address.address, port.port), port.transport), origin: address.origin)
            }
            if opensNodePorts, let nodePort = port.nodePort {
                // The only field that listens on any address, because that is what a nodePort asks for: every address of the
                // node, in both families. They don't clash, as the data plane sets IPV6_V6ONLY.
                for address in node.nodePortAddresses ?? [.anyIPv4, .anyIPv6] {
                    listens.append(Listen(key: FrontendKey(SocketAddress(address, nodePort), port.transport), origin: .nodePort))
                }
            }
            guard !listens.isEmpty else { continue }
            ports.append(
                Port(
                    name: ServicePortName(namespace: key.namespace, name: key.name, port: port.name, transport: port.transport),
                    settings: EndpointGroup.Settings(service, port), weights: EndpointWeights(service.settings.weights ?? []),
                    listens: listens, pools: [], internalScope: EndpointScope(service.internalTrafficPolicy),
                    externalScope: EndpointScope(service.externalTrafficPolicy), sources: SourceRanges(service, node),
                    location: port.location))
        }
        if ports.isEmpty, unforwarded < service.ports.count {
            note(
                .warning, inputs.service.location,
                "Service \(key) has no address to listen on: give it externalIPs, a clusterIP, a nodePort or status.loadBalancer.ingress")
        }
        for family in SourceRanges(service, node).openFamilies(among: service.loadBalancerIPs) {
            note(
                .warning, inputs.service.location,
                "Service \(key): loadBalancerSourceRanges has no \(family.name) range, so everybody may use its \(family.name) addresses")
        }
        if service.type == .loadBalancer, service.externalTrafficPolicy == .local, let port = service.healthCheckNodePort {
            healthCheckPort = HealthCheckPort(service: key, port: port, location: inputs.service.location)
        }
        let (slices, source) = Self.slices(of: service, inputs)
        fillPools(service: service, inputs: inputs, slices: slices, source: source)
        health = HealthPlan(check: service.settings.healthCheck, settings: service.settings, podNames: Self.podNames(slices))
        noteIdlePools()
    }

    /// The addresses at which a Service's ports are served under their own number, each once: the first field that names one
    /// gives it its origin.
    private static func addresses(of service: Service) -> [(address: IPAddress, origin: Frontend.Origin)] {
        var seen: Set<IPAddress> = []
        let all: [(IPAddress, Frontend.Origin)] =
            service.clusterIPs.map { ($0, .clusterIP) } + service.externalIPs.map { ($0, .externalIP) }
            + service.loadBalancerIPs.map { ($0, .loadBalancerIP) }
        return all.filter { seen.insert($0.0).inserted }.map { (address: $0.0, origin: $0.1) }
    }

    private static func podNames(_ slices: [EndpointSlice]) -> [SocketAddress: String] {
        var names: [SocketAddress: String] = [:]
        for slice in slices {
            for endpoint in slice.endpoints {
                guard let pod = endpoint.pod else { continue }
                for port in slice.ports.compactMap(\.port) { names[SocketAddress(endpoint.address, port)] = pod }
            }
        }
        return names
    }

    /// The Service's endpoints as slices, and the kind of object that they come from.
    static func slices(of service: Service, _ inputs: ServiceInputs) -> (slices: [EndpointSlice], source: String) {
        if !inputs.pods.isEmpty {
            let name = inputs.service.metadata.name
            return (PodSlices(of: service, named: name, objects: inputs.pods, zones: inputs.zones).slices, "Pod")
        }
        if inputs.slices.isEmpty, let object = inputs.endpoints, case .endpoints(let endpoints) = object.body {
            return (endpoints.mirrored(), "Endpoints")
        }
        let slices = inputs.slices.compactMap { object -> EndpointSlice? in
            if case .endpointSlice(let slice) = object.body { slice } else { nil }
        }
        return (slices, "EndpointSlice")
    }

    private mutating func fillPools(service: Service, inputs: ServiceInputs, slices: [EndpointSlice], source: String) {
        guard !ports.isEmpty else { return }
        if let inline = service.inlineEndpoints {
            let pool = EndpointPool(
                frontendFamilies: EndpointPool.bothFamilies, scopes: [.cluster, .local], endpoints: Set(inline).sorted())
            for index in ports.indices { ports[index].pools = [pool] }
            healthCheckPort?.endpointsHere = Set(inline.map(\.address)).count
            return
        }
        if inputs.slices.isEmpty, inputs.endpoints == nil, inputs.pods.isEmpty {
            let selected = service.selector?.isEmpty == false ? ", no Pod that its selector matches" : ""
            note(
                .warning, inputs.service.location,
                "Service \(key) has no endpoints: there is no EndpointSlice with the label kubernetes.io/service-name: \(key.name), "
                    + "no Endpoints \(key)\(selected) and no annotation ringway.dev/endpoints")
        }
        var readyHere: Set<IPAddress> = []
        defer { healthCheckPort?.endpointsHere = readyHere.count }
        for index in ports.indices {
            let port = ports[index]
            // Clients near by go to all endpoints from outside, too.
            let scopes = Set(port.listens.flatMap { $0.origin == .clusterIP ? [port.internalScope] : [port.externalScope, .cluster] })
            let join = EndpointJoin(
                slices: slices, portName: port.name.port, transport: port.name.transport, scopes: scopes, node: node)
            ports[index].pools = join.pools
            readyHere.formUnion(join.readyHere)
            if !join.portFound, !slices.isEmpty {
                let transport = port.name.transport
                let names = Set(slices.flatMap(\.ports).filter { $0.transport == transport }.map { "\"\($0.name)\"" }).sorted()
                let has =
                    names.isEmpty
                    ? "none of its ports is \(transport.rawValue)" : "\(transport.rawValue) ports there: \(names.joined(separator: ", "))"
                note(
                    .warning, port.location,
                    "Service \(port.name) has no endpoints: no \(source) of it has a \(transport.rawValue) port named "
                        + "\"\(port.name.port)\" (\(has))")
            } else if join.pools.contains(where: \.isEmptyHere) {
                note(
                    .warning, port.location,
                    "Service \(port.name): its traffic policy is Local, and no endpoint is on this node "
                        + "(\(node.name.map { "\"\($0)\"" } ?? "which has no name"); nodeName of endpoints says where they are)")
            } else if join.candidateCount > 0, join.pools.allSatisfy(\.endpoints.isEmpty) {
                note(.warning, port.location, "Service \(port.name): no endpoint is ready (of \(join.candidateCount))")
            }
        }
    }

    /// Weight 0 for all endpoints is refusing every client, which may be meant.
    private mutating func noteIdlePools() {
        for port in ports {
            let endpoints = port.pools.flatMap(\.endpoints)
            guard !endpoints.isEmpty, endpoints.allSatisfy({ port.weights.weight(of: $0) == 0 }) else { continue }
            let refused = port.name.transport == .udp ? "clients" : "new connections"
            note(.warning, port.location, "Service \(port.name): every endpoint has weight 0, so \(refused) are refused")
        }
    }

    private mutating func note(_ severity: Diagnostic.Severity, _ location: SourceLocation, _ message: String) {
        notices.append(Diagnostic(severity: severity, location: location, object: object, message: message))
    }

    /// `80` or `80 (http)`.
    private static func label(_ port: Service.Port) -> String {
        port.name.isEmpty ? "\(port.port)" : "\(port.port) (\(port.name))"
    }
}
