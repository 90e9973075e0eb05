internal import Addressing
internal import Routing
internal import ServiceModel

/// Addresses and ports that a Service would be given and has not asked for. Which ones is for the allocator to say when the time has
/// come: it draws by lot, and others may come first. So they are shown as `<allocated>`.
struct FreshNumbers {
    static let text = "<allocated>"

    private var addresses: Set<IPAddress> = []
    private var ports: Set<PortNumber> = []

    /// - Parameters:
    ///   - before: what the Service held already, or would get again.
    ///   - written: what it asks for.
    init(_ after: Allocation, before: Allocation?, written: ServiceManifest) {
        let asked = Set((written.clusterIPs + [written.clusterIP] + written.ingress.map(\.ip)).compactMap { IPAddress($0) })
            .union((try? LoadBalancerRequest(written).addresses) ?? [])
        addresses = Set(after.clusterIPs + after.loadBalancerIPs)
            .subtracting((before?.clusterIPs ?? []) + (before?.loadBalancerIPs ?? [])).subtracting(asked)
        let numbers = after.nodePorts.values + [after.healthCheckNodePort].compactMap { $0 }
        let held = (before?.nodePorts.values).map(Array.init) ?? []
        ports = Set(numbers).subtracting(held + [before?.healthCheckNodePort].compactMap { $0 })
            .subtracting((written.ports.map(\.nodePort) + [written.healthCheckNodePort]).compactMap { PortNumber($0) })
    }

    init() {}

    /// The Service without them.
    func hidden(in value: JSONValue, field: String = "") -> JSONValue {
        switch value {
        case .object(let fields):
            .object(
                fields.map { name, value in
                    // What users name themselves is not ours.
                    (name, name == "metadata" || name == "selector" ? value : hidden(in: value, field: name))
                })
        case .array(let values): .array(values.map { hidden(in: $0, field: field) })
        case .string(let text) where ["clusterIP", "clusterIPs", "ip"].contains(field):
            IPAddress(text).map(addresses.contains) == true ? .string(Self.text) : value
        case .integer(let number) where field == "nodePort" || field == "healthCheckNodePort":
            PortNumber(number).map(ports.contains) == true ? .string(Self.text) : value
        default: value
        }
    }

    /// A frontend's name without them.
    func name(of frontend: FrontendKey, _ origin: Frontend.Origin) -> String {
        let (address, port) = (frontend.address.address, frontend.address.port)
        let isFresh: (address: Bool, port: Bool) =
            origin == .nodePort ? (false, ports.contains(port)) : (origin != .externalIP && addresses.contains(address), false)
        guard isFresh.address || isFresh.port else { return frontend.description }
        let host = isFresh.address ? Self.text : address.family == .ipv6 ? "[\(address)]" : address.description
        return "\(frontend.transport.rawValue.lowercased()) \(host):\(isFresh.port ? Self.text : port.description)"
    }

    func name(ofPort port: PortNumber) -> String { ports.contains(port) ? Self.text : port.description }
}
