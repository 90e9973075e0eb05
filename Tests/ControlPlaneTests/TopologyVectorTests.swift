import Addressing
import Foundation
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// Which endpoints a Kubernetes proxy chose on one node.
struct TopologyVector: Decodable, Sendable, CustomTestStringConvertible {
    struct Node: Decodable, Sendable {
        let name: String
        let labels: [String: String]
    }

    struct Flow: Decodable, Sendable {
        let endpoints: [String]
        let verdict: String?
    }

    struct Expectation: Decodable, Sendable {
        let clusterEndpoints: [String]?
        let localEndpoints: [String]?
        let allReachable: [String]
        let hasAnyEndpoints: Bool
        let podToClusterIP: Flow?
        let externalToNodePort: Flow?
    }

    let name: String
    let preferSameEnabled: Bool
    let node: Node
    let service: JSONTree
    let endpointSlice: JSONTree
    let expect: Expectation

    var testDescription: String { name }

    private struct Suite: Decodable { let cases: [TopologyVector] }

    static let file = vectorFile("topology.json")
    static let isPresent = FileManager.default.isReadableFile(atPath: file.path)

    /// Without those of a proxy that does not know hints by node.
    static let all: [TopologyVector] = {
        guard let data = try? Data(contentsOf: file), let suite = try? JSONDecoder().decode(Suite.self, from: data) else { return [] }
        return suite.cases.filter { $0.preferSameEnabled || !"\($0.endpointSlice)".contains("forNodes") }
    }()
}

@Suite(.enabled(if: TopologyVector.isPresent, "topology.json is not there: set RINGWAY_VECTORS"))
struct TopologyVectorTests {
    @Test func mostOfThemCount() { #expect(TopologyVector.all.count >= 28) }

    @Test(arguments: TopologyVector.all)
    func theChoiceIsAProxys(_ vector: TopologyVector) throws {
        let objects = [vector.service, vector.endpointSlice].flatMap { ObjectDecoder.decode($0.node, strictness: .kubernetes) }
            .compactMap(\.object)
        #expect(objects.count == 2)
        let node = LocalNode(name: vector.node.name, zone: vector.node.labels[LocalNode.zoneLabel])
        let slices = objects.compactMap { object -> EndpointSlice? in
            if case .endpointSlice(let slice) = object.body { slice } else { nil }
        }
        var candidates: [SocketAddress: EndpointCandidate] = [:]
        for slice in slices {
            let port = try #require(slice.ports.first?.port)
            for endpoint in slice.endpoints { candidates[SocketAddress(endpoint.address, port)] = EndpointCandidate(endpoint) }
        }
        let choice = EndpointChoice(candidates, on: node)
        if let expected = vector.expect.clusterEndpoints { #expect(choice.cluster.map(\.description) == expected.sorted()) }
        if let expected = vector.expect.localEndpoints { #expect(choice.local.map(\.description) == expected.sorted()) }
        #expect(choice.hasAny == vector.expect.hasAnyEndpoints)
        let used = (vector.expect.clusterEndpoints == nil ? [] : choice.cluster) + (vector.expect.localEndpoints == nil ? [] : choice.local)
        #expect(Set(used.map(\.description)) == Set(vector.expect.allReachable))

        var compiler = SnapshotCompiler(node: node)
        _ = compiler.compile(objects)
        for (origin, flow) in [(Frontend.Origin.clusterIP, vector.expect.podToClusterIP), (.nodePort, vector.expect.externalToNodePort)] {
            guard let flow else { continue }
            let frontend = try #require(
                compiler.snapshot.frontends.values.first { $0.origin == origin && $0.key.address.address.family == .ipv4 })
            #expect(frontend.group.endpoints.map(\.address.description) == flow.endpoints.sorted())
        }
    }
}
