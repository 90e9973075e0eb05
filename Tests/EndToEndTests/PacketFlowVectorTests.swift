import Foundation
import Testing

/// Services, slices and clients, and what a Kubernetes proxy made of them: played with real packets.
///
/// The cases come from real program output and are not part of this repository: RINGWAY_VECTORS names their folder.
struct PacketFlowScenarios {
    struct Options: Decodable {
        let nodeName: String
        let nodeIPs: [String]
        let clusterCIDR: String
        let localhostNodePorts: Bool
        let nodePortAddresses: [String]?
        let ipv6: Bool

        /// Whether node ports are served on loopback is an option of its own there.
        var nodePorts: [String] {
            let all = localhostNodePorts ? nil : nodeIPs.map { $0 + ($0.contains(":") ? "/128" : "/32") }
            let ranges = (nodePortAddresses ?? all ?? []).filter { localhostNodePorts || !$0.hasPrefix("127.") }
            return ranges.isEmpty ? [] : ["--nodeport-addresses", ranges.joined(separator: ",")]
        }
    }

    struct VectorFlow: Decodable {
        let name: String
        let `protocol`: String
        let sourceIP: String
        let destIP: String
        let destPort: Int
        let verdict: String
        let endpoints: [String]
    }

    struct Scenario {
        let test: String
        let options: Options
        let flows: [VectorFlow]
        /// The Services and slices, as a List.
        let manifest: Data
        let virtualAddresses: [String]
        let endpoints: [(address: String, port: Int)]
    }

    static let file: URL = {
        let folder =
            ProcessInfo.processInfo.environment["RINGWAY_VECTORS"].map { URL(filePath: $0) }
            ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "shared/vectors")
        return folder.appending(path: "packet_flow.json")
    }()
    static let isPresent = FileManager.default.isReadableFile(atPath: file.path)

    let all: [Scenario]

    init() throws {
        struct Unreadable: Error {}
        let root = try JSONSerialization.jsonObject(with: Data(contentsOf: Self.file)) as? [String: Any]
        guard let scenarios = root?["scenarios"] as? [[String: Any]] else { throw Unreadable() }
        all = try scenarios.map { scenario in
            func decode<Value: Decodable>(_ type: Value.Type, _ key: String) throws -> Value {
                try JSONDecoder().decode(
                    type, from: JSONSerialization.data(withJSONObject: scenario[key] ?? [:], options: .fragmentsAllowed))
            }
            let services = (scenario["services"] as? [[String: Any]] ?? []).map(Self.admissible)
            let slices = scenario["endpointSlices"] as? [[String: Any]] ?? []
            let list: [String: Any] = ["apiVersion": "v1", "kind": "List", "items": services + slices]
            let options = try decode(Options.self, "options")
            return Scenario(
                test: scenario["test"] as? String ?? "", options: options, flows: try decode([VectorFlow].self, "flows"),
                manifest: try JSONSerialization.data(withJSONObject: list),
                virtualAddresses: services.flatMap { Self.virtualAddresses($0, withClusterIP: options.ipv6) },
                endpoints: slices.flatMap(Self.endpoints))
        }
    }

    /// Some name a port for health checks though their policy has none: a proxy doesn't look, where an API server refuses.
    private static func admissible(_ service: [String: Any]) -> [String: Any] {
        var service = service
        guard var spec = service["spec"] as? [String: Any], spec["externalTrafficPolicy"] as? String != "Local" else { return service }
        spec["healthCheckNodePort"] = nil
        service["spec"] = spec
        return service
    }

    private static func virtualAddresses(_ service: [String: Any], withClusterIP: Bool) -> [String] {
        let spec = service["spec"] as? [String: Any] ?? [:]
        let balancer = (service["status"] as? [String: Any])?["loadBalancer"] as? [String: Any]
        let ingress = (balancer?["ingress"] as? [[String: Any]] ?? []).compactMap { $0["ip"] as? String }
        let own = withClusterIP ? [spec["clusterIP"] as? String].compactMap { $0 } : []
        return ingress + (spec["externalIPs"] as? [String] ?? []) + own
    }

    private static func endpoints(_ slice: [String: Any]) -> [(address: String, port: Int)] {
        let addresses = (slice["endpoints"] as? [[String: Any]] ?? []).compactMap { ($0["addresses"] as? [String])?.first }
        let ports = (slice["ports"] as? [[String: Any]] ?? []).compactMap { $0["port"] as? Int }
        return addresses.flatMap { address in ports.map { (address, $0) } }
    }
}

extension PacketFlowScenarios.VectorFlow {
    func flow(of test: String) throws -> Flow {
        struct UnknownVerdict: Error { let verdict: String }
        let outcome: Flow.Outcome =
            switch verdict {
            case "DNAT": .reaches(endpoints)
            case "REJECT", "NOT-HANDLED": .refused
            case "DROP": .silence
            // Its one endpoint is on no node, so none is here.
            case "ACCEPT": .health(503, endpoints: 0)
            default: throw UnknownVerdict(verdict: verdict)
            }
        return Flow(
            name: "\(test): \(name)", from: sourceIP, to: destIP, port: destPort, isUDP: `protocol` == "UDP", outcome: outcome)
    }
}

extension EndToEndTests {
    @Suite(
        .enabled(if: PacketFlowScenarios.isPresent, "packet_flow.json is not there: set RINGWAY_VECTORS"),
        .enabled(if: Namespace.canBeMade, "network namespaces with nftables can't be made here"))
    struct PacketFlowVectorTests {
        @Test(arguments: Engines.available)
        func packetsGoWhereAProxySendsThem(engine: String) throws {
            let scenarios = try PacketFlowScenarios().all
            #expect(scenarios.count == 22 && scenarios.flatMap(\.flows).count == 105)
            func unique(_ texts: [String]) -> [String] { Set(texts).sorted() }
            let endpoints = scenarios.flatMap(\.endpoints)
            let hosts = try FlowHosts(
                node: unique(scenarios.flatMap(\.options.nodeIPs)), virtual: unique(scenarios.flatMap(\.virtualAddresses)),
                clients: unique(scenarios.flatMap(\.flows).map(\.sourceIP)),
                endpoints: Dictionary(grouping: endpoints) { "\($0.address) \($0.port)" }.values.map { $0[0] })
            for scenario in scenarios {
                let file = try hosts.directory.write(String(decoding: scenario.manifest, as: UTF8.self), to: "scenario.json")
                let cidr = scenario.options.ipv6 ? "fd00:172:30::/64" : "172.30.0.0/16"
                var options = ["--node-name", scenario.options.nodeName, "--service-cidr", cidr, "--node-port-range", "3000-31000"]
                if scenario.options.clusterCIDR != "none" { options += ["--cluster-cidr", scenario.options.clusterCIDR] }
                options += scenario.options.nodePorts
                if !scenario.options.ipv6 { options += ["--host-network", "auto"] }
                try withRingway(engine, [file], options: options, prefix: hosts.node.enter, directory: hosts.directory) { _ in
                    try hosts.expect(scenario.flows.map { try $0.flow(of: scenario.test) })
                }
            }
        }
    }
}
