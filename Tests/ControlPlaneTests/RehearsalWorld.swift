import Addressing
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// A process without sockets: what is in force, and what a change would make of it.
struct RehearsalWorld {
    private(set) var registry = ServiceRegistry()
    private(set) var allocations: Allocations
    private(set) var compiler = SnapshotCompiler(node: LocalNode(name: "here"))
    private(set) var inventory = Inventory()
    var open: [ServicePortName: OpenConnections] = [:]
    var commandLine: [ObjectKey: ServiceModel.SourceLocation] = [:]
    var unreachableRanges: [IPRange] = []
    var now: Int64 = 1000

    init(serviceCIDR: String = "10.96.0.0/24", pools: [LoadBalancerPool] = []) throws {
        let range = try #require(IPRange(serviceCIDR))
        let (first, last) = (try #require(PortNumber(30_000)), try #require(PortNumber(30_009)))
        allocations = try Allocations(.init(serviceRanges: [range], nodePorts: first...last, loadBalancerPools: pools), seed: 1)
    }

    /// A Service by its spec in JSON, without the braces.
    static func service(
        _ name: String, _ spec: String, _ annotations: [String: String] = [:], file: String = "new.yaml"
    ) throws -> ServiceManifest {
        let more = annotations.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\"\($0.value)\"" }.joined(separator: ",")
        let tree = try JSONTree(
            "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"\(name)\",\"annotations\":{\(more)}},\"spec\":{\(spec)}}")
        let decoded = ObjectDecoder.decode(tree.node, strictness: .ringway, judgesServices: false)
        return try #require(decoded.first?.manifest, "\(decoded.flatMap(\.diagnostics))")
    }

    /// One on an external address, with endpoints by annotation.
    static func echo(
        _ name: String, _ port: Int = 80, endpoints: [String], _ annotations: [String: String] = [:], transport: String = "TCP",
        on address: String = "203.0.113.1"
    ) throws -> ServiceManifest {
        var annotations = annotations
        annotations["ringway.dev/endpoints"] = endpoints.joined(separator: ", ")
        return try service(
            name,
            "\"clusterIP\":\"10.96.0.\(name.utf8.reduce(1) { ($0 + Int($1)) % 200 + 1 })\",\"externalIPs\":[\"\(address)\"],"
                + "\"ports\":[{\"port\":\(port),\"protocol\":\"\(transport)\"}]",
            annotations)
    }

    // MARK: What is in force

    /// Puts objects in force, as the control loop does, and takes others out of it.
    mutating func apply(_ services: [ServiceManifest], objects: [KubernetesObject] = [], removed: [ObjectKey] = []) {
        allocations.expire(at: now)
        let judged = registry.update(
            services, removed: removed.filter { $0.kind == .service }.map { ServiceKey(namespace: $0.namespace, name: $0.name) },
            allocations: &allocations, at: now)
        var change = ObjectChange(changed: objects, removed: removed.filter { $0.kind != .service })
        change.changed += judged.changed.compactMap { registry.services[$0]?.object }
        change.removed += judged.removed.map { ObjectKey(kind: .service, namespace: $0.namespace, name: $0.name) }
        _ = compiler.compile(change)
        inventory.update(change, changed: compiler.servicesChanged, removed: compiler.servicesRemoved, now: now)
    }

    // MARK: What would be

    func preview(
        _ services: [ServiceManifest], objects: [KubernetesObject] = [], prunes: Bool = false, isWhole: Bool = true
    ) -> ChangePreview {
        var proposal = Rehearsal.Proposal()
        proposal.services = services
        proposal.objects = objects
        proposal.named = Set(services.map(\.key) + objects.map(\.key))
        proposal.isWhole = isWhole
        var rehearsal = Rehearsal(registry: registry, allocations: allocations, compiler: compiler, inventory: inventory)
        rehearsal.commandLine = commandLine
        rehearsal.unreachableRanges = unreachableRanges
        return rehearsal.preview(proposal, prunes: prunes, at: now, open: { ports in open.filter { ports.contains($0.key) } })
    }

    mutating func connect(_ service: String, _ count: UInt64, to endpoints: [String: UInt64] = [:], _ transport: TransportProtocol = .tcp) {
        let name = ServicePortName(namespace: "default", name: service, port: "", transport: transport)
        var byEndpoint: [SocketAddress: UInt64] = [:]
        for (endpoint, count) in endpoints { byEndpoint[Objects.socket(endpoint)] = count }
        open[name] = OpenConnections(total: count, byEndpoint: byEndpoint)
    }
}

extension ChangePreview {
    /// `+ Service web`, one for each.
    var verdicts: [String] {
        objects.map { object in
            let sign =
                switch object.verdict {
                case .added: "+"
                case .changed: "~"
                case .removed: "-"
                case .refused: "!"
                }
            return "\(sign) \(object.kind) \(object.name)" + (object.isNamed ? "" : " unnamed")
        }
    }

    /// `spec.ports[0].port: 80 > 81`, of all objects.
    var fields: [String] {
        objects.flatMap(\.fields).map { "\($0.path): \($0.old?.text ?? "-") > \($0.new?.text ?? "-")" }
    }

    /// `opened tcp 203.0.113.1:80`.
    var listening: [String] { listeners.map { "\($0.change) \($0.frontend)" } }

    /// `default/web +10.0.0.2:1 -10.0.0.1:1`.
    var endpoints: [String] {
        servicePorts.map { port in
            ([port.service] + port.endpointsAdded.map { "+" + $0.address } + port.endpointsRemoved.map { "-" + $0.address })
                .joined(separator: " ")
        }
    }

    /// `goOn 3 of 10.0.0.1:1`.
    var fates: [String] {
        connections.parts.map { part in
            "\(part.fate) \(part.count)" + (part.endpoint.map { " of \($0)" } ?? "") + (part.seconds.map { " in \(Int($0))" } ?? "")
        }
    }
}
