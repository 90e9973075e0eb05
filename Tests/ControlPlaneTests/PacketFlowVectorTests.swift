import Addressing
import Foundation
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// Services, slices and clients, and what a Kubernetes proxy made of them.
struct PacketFlowVector: Decodable, Sendable, CustomTestStringConvertible {
    struct Options: Decodable, Sendable {
        let nodeName: String
        let nodeIPs: [String]
        let clusterCIDR: String
        let localhostNodePorts: Bool
        let nodePortAddresses: [String]?
    }

    struct Flow: Decodable, Sendable {
        let name: String
        let `protocol`: String
        let sourceIP: String
        let destIP: String
        let destPort: Int
        let verdict: String
        let endpoints: [String]
    }

    let test: String
    let options: Options
    let services: [JSONTree]
    let endpointSlices: [JSONTree]?
    let flows: [Flow]

    var testDescription: String { "\(test): \(flows.first?.name ?? "")" }

    /// Some Services name a port for health checks though their policy has none: a proxy doesn't look, where an API server refuses.
    var objects: [KubernetesObject] {
        let services = services.map { service in
            service["spec"]?["externalTrafficPolicy"] == .string("Local") ? service : service.without("spec", "healthCheckNodePort")
        }
        return (services + (endpointSlices ?? [])).flatMap { ObjectDecoder.decode($0.node) }.compactMap(\.object)
    }

    private struct Suite: Decodable { let scenarios: [PacketFlowVector] }

    static let file = vectorFile("packet_flow.json")
    static let isPresent = FileManager.default.isReadableFile(atPath: file.path)

    static let all: [PacketFlowVector] = {
        guard let data = try? Data(contentsOf: file), let suite = try? JSONDecoder().decode(Suite.self, from: data) else { return [] }
        return suite.scenarios
    }()

    /// The node, with node ports where the proxy's options put them: on loopback only where it is told so.
    var node: LocalNode {
        var node = LocalNode(name: options.nodeName)
        node.addresses = Set(options.nodeIPs.map(Objects.ip))
        node.clusterRanges = options.clusterCIDR.split(separator: ",").compactMap { IPRange($0) }
        let served = options.nodePortAddresses?.compactMap { IPRange($0) }
        if served != nil || !options.localhostNodePorts {
            let loopback: [IPAddress] = options.localhostNodePorts ? [.loopbackIPv4, .loopbackIPv6] : []
            node.nodePortAddresses = (node.addresses.sorted() + loopback).filter { address in
                served?.contains { $0.contains(address) } ?? true
            }
        }
        return node
    }
}

@Suite(.enabled(if: PacketFlowVector.isPresent, "packet_flow.json is not there: set RINGWAY_VECTORS"))
struct PacketFlowVectorTests {
    @Test func allOfThemAreRead() {
        #expect(PacketFlowVector.all.count == 22)
        #expect(PacketFlowVector.all.flatMap(\.flows).count == 105)
    }

    @Test(arguments: PacketFlowVector.all)
    func verdictsAreAProxys(in vector: PacketFlowVector) throws {
        let objects = vector.objects
        #expect(objects.count == vector.services.count + (vector.endpointSlices ?? []).count)
        var compiler = SnapshotCompiler(node: vector.node)
        let compilation = compiler.compile(objects)
        for flow in vector.flows {
            let destination = SocketAddress(Objects.ip(flow.destIP), try #require(PortNumber(flow.destPort)))
            let prefix = flow.protocol == "UDP" ? "udp " : ""
            let verdict = compiler.snapshot.verdict(client: flow.sourceIP, to: "\(prefix)\(destination)")
            switch flow.verdict {
            case "DNAT":
                let endpoints = flow.endpoints.compactMap { SocketAddress($0) }.sorted().map(\.description)
                #expect(verdict == .reaches(endpoints), "\(flow.name)")
            case "REJECT": #expect(verdict == .refused, "\(flow.name)")
            case "DROP": #expect(verdict == .silence, "\(flow.name)")
            case "NOT-HANDLED": #expect(verdict == .notHandled, "\(flow.name)")
            case "ACCEPT": #expect(compilation.healthCheckPorts.contains { $0.port == destination.port }, "\(flow.name)")
            default: Issue.record("\(flow.verdict) is no verdict")
            }
        }
    }
}

extension JSONTree {
    fileprivate subscript(key: String) -> JSONTree? {
        if case .map(let fields) = self { fields[key] } else { nil }
    }

    /// The same without a field of a part of it.
    fileprivate func without(_ part: String, _ field: String) -> JSONTree {
        guard case .map(var fields) = self, case .map(var inner) = fields[part] else { return self }
        inner[field] = nil
        fields[part] = .map(inner)
        return .map(fields)
    }
}
