import Addressing
import Foundation
import ServiceModel

@testable import ControlPlane

/// A JSON value, to be compared, and to be read as a document.
enum JSONTree: Decodable, Hashable, Sendable {
    case string(String)
    case integer(Int64)
    case boolean(Bool)
    case null
    case list([JSONTree])
    case map([String: JSONTree])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONTree].self) {
            self = .list(value)
        } else {
            self = .map(try container.decode([String: JSONTree].self))
        }
    }

    init(_ text: String) throws {
        self = try JSONDecoder().decode(JSONTree.self, from: Data(text.utf8))
    }

    var node: DocumentNode {
        let location = SourceLocation(file: "vector", line: 1, column: 1)
        func scalar(_ text: String, _ kind: DocumentNode.Scalar.Kind) -> DocumentNode {
            DocumentNode(.scalar(.init(text: text, kind: kind)), at: location)
        }
        switch self {
        case .string(let text): return scalar(text, .string)
        case .integer(let value): return scalar(String(value), .integer)
        case .boolean(let value): return scalar(String(value), .boolean)
        case .null: return scalar("null", .null)
        case .list(let values): return DocumentNode(.sequence(values.map(\.node)), at: location)
        case .map(let fields):
            let entries = fields.sorted { $0.key < $1.key }.map {
                DocumentNode.Entry(key: $0.key, keyLocation: location, value: $0.value.node)
            }
            return DocumentNode(.mapping(entries), at: location)
        }
    }
}

/// A file of cases that real programs have answered: in the folder that RINGWAY_VECTORS names, or beside the project.
func vectorFile(_ name: String) -> URL {
    let folder =
        ProcessInfo.processInfo.environment["RINGWAY_VECTORS"].map { URL(filePath: $0) }
        ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "shared/vectors")
    return folder.appending(path: name)
}

/// What a real API server answered to one Service.
struct ServiceVector: Decodable, Sendable {
    struct Expectation: Decodable, Sendable {
        struct Cause: Decodable, Hashable, Sendable {
            let reason: String
            let field: String
        }

        let accepted: Bool
        let code: Int
        let reason: String?
        let message: String?
        let causes: [Cause]?
        let object: JSONTree?
        let warnings: [String]?
    }

    let name: String
    /// The ranges, in prose: `10.96.0.0/12,fd00:10:96::/112`, `10.96.0.0/30, nodePort 30000-30001`.
    let cluster: String
    let existing: [JSONTree]?
    let old: JSONTree?
    let service: JSONTree
    let expect: Expectation

    private struct Suite: Decodable { let cases: [ServiceVector] }

    static let file = vectorFile("service_validation.json")
    static let isPresent = FileManager.default.isReadableFile(atPath: file.path)

    static let all: [ServiceVector] = {
        guard let data = try? Data(contentsOf: file), let suite = try? JSONDecoder().decode(Suite.self, from: data) else { return [] }
        return suite.cases
    }()

    /// What Ringway answers: the verdict, and the Status where it is a refusal.
    func answer() throws -> (verdict: ServiceVerdict, status: Status?) {
        var cluster = try Cluster(self.cluster)
        for tree in (existing ?? []) + (old.map { [$0] } ?? []) {
            guard case .admitted = cluster.apply(tree) else { throw Unusable(what: "an object that is to be there is refused") }
        }
        let verdict = cluster.apply(service)
        guard case .refused(let diagnostics) = verdict, let subject = diagnostics.first?.origin?.subject else { return (verdict, nil) }
        return (verdict, Status(diagnostics.compactMap(\.origin?.finding), of: subject))
    }

    struct Unusable: Error { let what: String }
}

/// A registry and its allocations, as one API server.
struct Cluster {
    var registry = ServiceRegistry(strictness: .kubernetes)
    var allocations: Allocations

    init(_ description: String) throws {
        let words = description.split { " ,()".contains($0) }
        let ranges = words.compactMap { IPRange($0) }
        let ports = words.compactMap { word -> ClosedRange<PortNumber>? in
            let ends = word.split(separator: "-").compactMap { PortNumber($0) }
            return ends.count == 2 ? ends[0]...ends[1] : nil
        }
        guard let lowest = PortNumber(30_000), let highest = PortNumber(32_767) else { throw ServiceVector.Unusable(what: "ports") }
        allocations = try Allocations(.init(serviceRanges: ranges, nodePorts: ports.first ?? lowest...highest), seed: 1)
    }

    mutating func apply(_ tree: JSONTree) -> ServiceVerdict {
        let decoded = ObjectDecoder.decode(tree.node, strictness: .kubernetes)
        guard let manifest = decoded.first?.manifest else { return .refused(decoded.flatMap(\.diagnostics)) }
        return registry.apply(manifest, allocations: &allocations)
    }
}
