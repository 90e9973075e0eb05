/// The first pass over an object: every field known, given once, and of the right type. Says all that is wrong, in the words of
/// an API server with `fieldValidation=Strict`.
struct StrictPass {
    /// Its `reported` are the fields an unknown one was most likely meant to be and those of the wrong type.
    private(set) var findings: Findings
    /// Fields an unknown one was most likely meant to be, so that their absence is not a second error for the same cause.
    private(set) var suggestedPaths: Set<String> = []

    init(findings: Findings) {
        self.findings = findings
    }

    mutating func check(_ node: DocumentNode, against shape: ObjectShape) {
        check(node, shape: .object(shape), path: .root, holder: shape.name)
    }

    private mutating func check(_ node: DocumentNode, shape: FieldShape, path: FieldPath, holder: String) {
        guard !node.isNull else { return }
        switch (shape, node.content) {
        case (.opaque, _): break
        case (.object(let shape), .mapping(let entries)):
            checkFields(entries, of: shape, path: path)
        case (.list(let element), .sequence(let nodes)):
            for (index, node) in nodes.enumerated() {
                check(node, shape: element, path: .index(path, index), holder: holder)
            }
        case (.stringMap, .mapping(let entries)):
            checkDuplicates(entries, path: path)
            for entry in entries { check(entry.value, shape: .string, path: .key(path, entry.key), holder: holder) }
        case (.string, .scalar(let scalar)) where scalar.kind == .string: break
        case (.bool, .scalar(let scalar)) where scalar.kind == .boolean: break
        case (.intOrString, .scalar(let scalar)) where scalar.kind == .string: break
        case (.intOrString, .scalar(let scalar)) where scalar.integer.map(isInt32) ?? false: break
        case (.int32, .scalar(let scalar)) where scalar.integer.map(isInt32) ?? false: break
        case (.int64, .scalar(let scalar)) where scalar.integer != nil: break
        default: reportType(of: node, expected: shape, path: path, holder: holder)
        }
    }

    private func isInt32(_ value: Int64) -> Bool { Int32(exactly: value) != nil }

    private mutating func checkFields(_ entries: [DocumentNode.Entry], of shape: ObjectShape, path: FieldPath) {
        checkDuplicates(entries, path: path)
        for entry in entries {
            let fieldPath = path.child(entry.key)
            guard let fieldShape = shape.fields[entry.key] else {
                reportUnknown(entry, path: fieldPath, among: shape, beside: entries, parent: path)
                continue
            }
            check(entry.value, shape: fieldShape, path: fieldPath, holder: shape.name)
        }
    }

    private mutating func checkDuplicates(_ entries: [DocumentNode.Entry], path: FieldPath) {
        var seen: Set<String> = []
        for entry in entries where !seen.insert(entry.key).inserted {
            findings.undecodable(
                "strict decoding error: duplicate field \"\(path.child(entry.key))\"", isStrict: true, at: entry.keyLocation)
        }
    }

    private mutating func reportUnknown(
        _ entry: DocumentNode.Entry, path: FieldPath, among shape: ObjectShape, beside entries: [DocumentNode.Entry], parent: FieldPath
    ) {
        var hint = ""
        if let nearest = Suggestion.nearest(to: entry.key, among: shape.fields.keys) {
            hint = " (did you mean \"\(nearest)\"?)"
            if !entries.contains(where: { $0.key == nearest }) {
                let meant = parent.child(nearest).description
                suggestedPaths.insert(meant)
                findings.reported.insert(meant)
            }
        }
        findings.undecodable("strict decoding error: unknown field \"\(path)\"", isStrict: true, hint: hint, at: entry.keyLocation)
    }

    private mutating func reportType(of node: DocumentNode, expected: FieldShape, path: FieldPath, holder: String) {
        var value = node.jsonTypeName
        if case .scalar(let scalar) = node.content, value == "number", !isText(expected) {
            value += " \(scalar.text)"
        }
        let target =
            switch expected {
            // IntOrString decodes itself, and so knows of no struct around it.
            case .intOrString: "Go value of type int32"
            default:
                path.withoutIndices.isEmpty
                    ? "Go value of type \(expected.goType)"
                    : "Go struct field \(holder).\(path.withoutIndices) of type \(expected.goType)"
            }
        findings.undecodable("json: cannot unmarshal \(value) into \(target)", isStrict: false, at: node.location)
        if !path.description.isEmpty { findings.reported.insert(path.description) }
    }

    private func isText(_ shape: FieldShape) -> Bool {
        switch shape {
        case .string, .list, .object, .stringMap: true
        default: false
        }
    }
}
