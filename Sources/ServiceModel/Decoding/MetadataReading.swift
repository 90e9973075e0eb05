/// Reads and validates `metadata`, the same for every kind but for the rule of its name.
struct MetadataReading {
    enum NameRule {
        case label, subdomain
    }

    private static let annotationBytesMax = 262_144

    let nameRule: NameRule
    let isService: Bool

    func read(_ field: Field, suggestedPaths: Set<String>, into findings: inout Findings) -> ObjectMetadata {
        let name = field.child("name")
        validateName(name, generateName: field.child("generateName"), suggestedPaths: suggestedPaths, into: &findings)
        let namespace = field.child("namespace")
        if let text = namespace.string, !text.isEmpty {
            findings.invalid(namespace, string: text, NameRules.dns1123Label(text))
        }
        let labels = field.child("labels")
        validateLabelMap(labels, into: &findings)
        let annotations = field.child("annotations")
        validateAnnotations(annotations, into: &findings)
        var metadata = ObjectMetadata(
            name: name.string ?? "", namespace: Self.namespace(of: field), labels: Self.strings(of: labels),
            annotations: Self.strings(of: annotations), uid: field.child("uid").string.flatMap { $0.isEmpty ? nil : $0 })
        metadata.creationTimestamp = field.child("creationTimestamp").string.flatMap { Timestamp($0) }
        return metadata
    }

    /// `default` where the document names none.
    static func namespace(of metadata: Field) -> String {
        guard let text = metadata.child("namespace").string, !text.isEmpty else { return "default" }
        return text
    }

    private func validateName(
        _ name: Field, generateName: Field, suggestedPaths: Set<String>, into findings: inout Findings
    ) {
        if let text = name.string, !text.isEmpty { findings.invalid(name, string: text, problems(ofName: text)) }
        if let text = generateName.string, !text.isEmpty {
            // A prefix may end in a dash: more will follow.
            let prefix = text.hasSuffix("-") && text.utf8.count > 1 ? text.dropLast(2) + "a" : text
            findings.invalid(generateName, string: text, problems(ofName: prefix))
        }
        if name.isEmptyText, suggestedPaths.isDisjoint(with: ["metadata.name", "metadata"]) {
            findings.required(name, "name or generateName is required")
        }
    }

    private func problems(ofName text: String) -> [String] {
        switch nameRule {
        case .label: text.contains(".") ? ["must not contain dots"] : NameRules.dns1123Label(text)
        case .subdomain: NameRules.dns1123Subdomain(text)
        }
    }

    private func validateAnnotations(_ annotations: Field, into findings: inout Findings) {
        var bytes = 0
        for entry in annotations.entries {
            let keyField = Field(path: annotations.path, node: nil, parentLocation: entry.keyLocation)
            findings.invalid(keyField, string: entry.key, NameRules.qualifiedName(entry.key.lowercased()))
            bytes += entry.key.utf8.count + (entry.value.string?.utf8.count ?? 0)
            if entry.key.hasPrefix(RingwayAnnotation.prefix) { validateOwn(entry, in: annotations, into: &findings) }
        }
        if bytes > Self.annotationBytesMax { findings.tooLong(annotations, bytesMax: Self.annotationBytesMax) }
    }

    private func validateOwn(_ entry: DocumentNode.Entry, in annotations: Field, into findings: inout Findings) {
        let field = Field(path: .key(annotations.path, entry.key), node: nil, parentLocation: entry.keyLocation)
        if !RingwayAnnotation.names.contains(entry.key) {
            findings.forbidden(
                field, "unknown annotation\(hint(entry.key)); Ringway knows \(RingwayAnnotation.names.joined(separator: ", "))")
        } else if !isService {
            findings.forbidden(field, "may only be used on a Service")
        }
    }

    /// What was meant, by the part after the prefix: with it every two names would be near.
    private func hint(_ key: String) -> String {
        let names = RingwayAnnotation.names.map { $0.dropFirst(RingwayAnnotation.prefix.count) }
        let word = String(key.dropFirst(RingwayAnnotation.prefix.count))
        guard let near = Suggestion.nearest(to: word, among: names.map(String.init)) else { return "" }
        return " (did you mean \(goQuoted(RingwayAnnotation.prefix + near))?)"
    }

    static func strings(of map: Field) -> [String: String] {
        var result: [String: String] = [:]
        for entry in map.entries { result[entry.key] = entry.value.textInMap }
        return result
    }
}

/// Labels and selectors: keys are qualified names, values label values. Errors carry the path of the map, as Kubernetes' do.
func validateLabelMap(_ map: Field, into findings: inout Findings) {
    for entry in map.entries {
        let keyField = Field(path: map.path, node: nil, parentLocation: entry.keyLocation)
        findings.invalid(keyField, string: entry.key, NameRules.qualifiedName(entry.key))
        guard let value = entry.value.string else { continue }
        let valueField = Field(path: map.path, node: entry.value, parentLocation: entry.keyLocation)
        findings.invalid(valueField, string: value, NameRules.labelValue(value))
    }
}
