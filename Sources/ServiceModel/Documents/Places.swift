/// Where the fields of a document stand, small enough to keep beside each of many thousands of objects: 16 bytes a field, found by
/// a hash of its path. What is missing stands where the nearest field around it does.
package struct Places: Hashable, Sendable {
    private struct Entry: Hashable, Sendable {
        let path: UInt64
        let line: UInt32
        let column: UInt32
    }

    private let file: String
    private var entries: [Entry] = []

    init(of document: DocumentNode) {
        file = document.location.file
        add(document, path: .root)
        entries.sort { $0.path < $1.path }
    }

    /// All fields stand where the object does: for objects that were not read from a text.
    init(_ location: SourceLocation) {
        file = location.file
        entries = [Entry(path: FieldPath.root.hash, line: UInt32(location.line), column: UInt32(location.column))]
    }

    func location(of path: FieldPath) -> SourceLocation {
        var next: FieldPath? = path
        while let path = next {
            if let entry = entry(of: path.hash) { return SourceLocation(file: file, line: Int(entry.line), column: Int(entry.column)) }
            next = path.parent
        }
        return SourceLocation(file: file)
    }

    /// True where the document says something there other than null.
    func contains(_ path: FieldPath) -> Bool { entry(of: path.hash) != nil }

    private func entry(of hash: UInt64) -> Entry? {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].path < hash { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].path == hash ? entries[low] : nil
    }

    private mutating func add(_ node: DocumentNode, path: FieldPath) {
        guard !node.isNull else { return }
        entries.append(Entry(path: path.hash, line: UInt32(node.location.line), column: UInt32(node.location.column)))
        switch node.content {
        case .scalar: break
        case .sequence(let nodes):
            for (index, node) in nodes.enumerated() { add(node, path: .index(path, index)) }
        case .mapping(let fields):
            // What a server noted about itself is long, and nothing is ever said of it.
            for field in fields where field.key != "managedFields" { add(field.value, path: path.child(field.key)) }
        }
    }
}
