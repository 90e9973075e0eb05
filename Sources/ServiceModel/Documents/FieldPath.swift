/// The path of a field as the API server writes it: `spec.ports[1].name`, `metadata.annotations[ringway.dev/endpoints]`.
///
/// A path is a chain that is only spelled out for an error, since nearly all of them are never printed.
indirect enum FieldPath: Sendable, CustomStringConvertible {
    case root
    case child(FieldPath, String)
    case index(FieldPath, Int)
    case key(FieldPath, String)

    func child(_ name: String) -> FieldPath { .child(self, name) }

    /// The path of that text: fields and indices, no keys of maps.
    init(_ text: String) {
        self = .root
        for part in text.split(separator: ".") {
            let pieces = part.split(separator: "[")
            self = child(String(pieces[0]))
            for piece in pieces.dropFirst() { self = index(Int(piece.dropLast()) ?? 0) }
        }
    }

    func index(_ index: Int) -> FieldPath { .index(self, index) }

    /// The field around it; nil for the root.
    var parent: FieldPath? {
        switch self {
        case .root: nil
        case .child(let parent, _), .index(let parent, _), .key(let parent, _): parent
        }
    }

    /// A hash of 64 bits, equal for a map's key and a field of that name (FNV-1a).
    var hash: UInt64 {
        func mixed(_ hash: UInt64, _ byte: UInt8) -> UInt64 { (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        switch self {
        case .root: return 0xcbf2_9ce4_8422_2325
        case .child(let parent, let name), .key(let parent, let name):
            return name.utf8.reduce(mixed(parent.hash, UInt8(ascii: "."))) { mixed($0, $1) }
        case .index(let parent, let index):
            return String(index).utf8.reduce(mixed(parent.hash, UInt8(ascii: "["))) { mixed($0, $1) }
        }
    }

    var description: String {
        switch self {
        case .root: return ""
        case .child(let parent, let name):
            let text = parent.description
            return text.isEmpty ? name : "\(text).\(name)"
        case .index(let parent, let index): return "\(parent)[\(index)]"
        case .key(let parent, let key): return "\(parent)[\(key)]"
        }
    }

    /// The path without indices, as Go's JSON decoder prints it: `spec.ports.port`.
    var withoutIndices: String {
        switch self {
        case .root: return ""
        case .child(let parent, let name):
            let text = parent.withoutIndices
            return text.isEmpty ? name : "\(text).\(name)"
        case .index(let parent, _), .key(let parent, _): return parent.withoutIndices
        }
    }
}

/// A field of the document being decoded: where it should stand, and what stands there.
///
/// Reading a field of the wrong type gives nil: the strict pass has said so already, and says it better.
struct Field {
    let path: FieldPath
    /// What stands there; nil where the field is missing or null.
    let node: DocumentNode?
    /// Where it stands, or where its parent does if it is missing.
    let location: SourceLocation

    init(path: FieldPath, node: DocumentNode?, parentLocation: SourceLocation) {
        self.path = path
        self.node = node.flatMap { $0.isNull ? nil : $0 }
        location = self.node?.location ?? parentLocation
    }

    var isPresent: Bool { node != nil }

    func child(_ name: String) -> Field {
        Field(path: path.child(name), node: node?[name], parentLocation: location)
    }

    /// The elements of a list; empty where it is missing or no list. Null elements count, as Go counts them.
    var elements: [Field] {
        guard case .sequence(let nodes)? = node?.content else { return [] }
        return nodes.enumerated().map { Field(path: .index(path, $0.offset), node: $0.element, parentLocation: $0.element.location) }
    }

    /// The entries of a map; empty where it is missing or no map.
    var entries: [DocumentNode.Entry] {
        guard case .mapping(let entries)? = node?.content else { return [] }
        return entries
    }

    var string: String? { node?.string }

    /// An integer of the 32 bits every number we read has.
    var int32: Int32? {
        guard case .scalar(let scalar)? = node?.content else { return nil }
        return scalar.integer.flatMap { Int32(exactly: $0) }
    }

    var boolean: Bool? {
        guard case .scalar(let scalar)? = node?.content else { return nil }
        return scalar.boolean
    }

    /// Missing, or the empty string: the same to Go.
    var isEmptyText: Bool { node == nil || string == "" }

    var isSequence: Bool {
        if case .sequence? = node?.content { true } else { false }
    }

    var isMapping: Bool {
        if case .mapping? = node?.content { true } else { false }
    }

    /// The strings of a list, each with its field; what is not a string is left out.
    var strings: [(text: String, field: Field)] {
        elements.compactMap { element in element.string.map { ($0, element) } }
    }
}
