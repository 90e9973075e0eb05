@testable import ServiceModel

/// A document written as a Swift literal. Every node gets a line of its own, counted in the order in which the tree is walked,
/// so that a test can tell locations apart.
indirect enum Tree: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    case string(String)
    case integer(Int64)
    case number(Double)
    case boolean(Bool)
    case null
    case list([Tree])
    case map([(String, Tree)])

    init(stringLiteral value: String) { self = .string(value) }
    init(integerLiteral value: Int64) { self = .integer(value) }
    init(floatLiteral value: Double) { self = .number(value) }
    init(booleanLiteral value: Bool) { self = .boolean(value) }
    init(nilLiteral: ()) { self = .null }
    init(arrayLiteral elements: Tree...) { self = .list(elements) }
    init(dictionaryLiteral elements: (String, Tree)...) { self = .map(elements) }

    var node: DocumentNode {
        var line = 0
        return node(line: &line)
    }

    private func node(line: inout Int) -> DocumentNode {
        line += 1
        let location = SourceLocation(file: "test", line: line, column: 1)
        func scalar(_ text: String, _ kind: DocumentNode.Scalar.Kind) -> DocumentNode {
            DocumentNode(.scalar(.init(text: text, kind: kind)), at: location)
        }
        switch self {
        case .string(let text): return scalar(text, .string)
        case .integer(let value): return scalar(String(value), .integer)
        case .number(let value): return scalar(String(value), .number)
        case .boolean(let value): return scalar(String(value), .boolean)
        case .null: return scalar("null", .null)
        case .list(let elements):
            var nodes: [DocumentNode] = []
            for element in elements { nodes.append(element.node(line: &line)) }
            return DocumentNode(.sequence(nodes), at: location)
        case .map(let fields):
            var entries: [DocumentNode.Entry] = []
            for (key, value) in fields {
                let keyLocation = SourceLocation(file: "test", line: line + 1, column: 0)
                entries.append(.init(key: key, keyLocation: keyLocation, value: value.node(line: &line)))
            }
            return DocumentNode(.mapping(entries), at: location)
        }
    }
}

/// A Service named `web` with that spec.
func service(_ spec: Tree, annotations: Tree = nil, status: Tree = nil) -> DocumentNode {
    let tree: Tree = [
        "apiVersion": "v1", "kind": "Service", "metadata": ["name": "web", "annotations": annotations], "spec": spec, "status": status,
    ]
    return tree.node
}

/// An IPv4 EndpointSlice of the Service `web`.
func slice(endpoints: Tree, ports: Tree = [["port": 80]], addressType: Tree = "IPv4") -> DocumentNode {
    let tree: Tree = [
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": ["name": "web-1", "labels": ["kubernetes.io/service-name": "web"]], "addressType": addressType,
        "endpoints": endpoints, "ports": ports,
    ]
    return tree.node
}

/// The error messages of the only object in a document.
func errors(_ node: DocumentNode) -> [String] { messages(node, .error) }

func warnings(_ node: DocumentNode) -> [String] { messages(node, .warning) }

private func messages(_ node: DocumentNode, _ severity: Diagnostic.Severity) -> [String] {
    ObjectDecoder.decode(node).flatMap(\.diagnostics).filter { $0.severity == severity }.map(\.message)
}

/// The only object of a document, decoded.
func decoded(_ node: DocumentNode) -> KubernetesObject? {
    let objects = ObjectDecoder.decode(node)
    return objects.count == 1 ? objects[0].object : nil
}

func decodedService(_ node: DocumentNode) -> Service? {
    if case .service(let service)? = decoded(node)?.body { service } else { nil }
}

func decodedSlice(_ node: DocumentNode) -> EndpointSlice? {
    if case .endpointSlice(let slice)? = decoded(node)?.body { slice } else { nil }
}
