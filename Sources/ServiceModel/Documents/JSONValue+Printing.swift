/// As kubectl prints objects.
extension JSONValue {
    /// JSON, a field a line, four spaces deeper each time.
    package var prettyText: String { pretty("") }

    private func pretty(_ indent: String) -> String {
        let deeper = indent + "    "
        func block(_ lines: [String], _ open: String, _ close: String) -> String {
            lines.isEmpty ? open + close : "\(open)\n" + lines.map { deeper + $0 }.joined(separator: ",\n") + "\n\(indent)\(close)"
        }
        return switch self {
        case .array(let values): block(values.map { $0.pretty(deeper) }, "[", "]")
        case .object(let fields): block(fields.map { "\(jsonQuoted($0.0)): \($0.1.pretty(deeper))" }, "{", "}")
        default: text
        }
    }

    /// YAML: two spaces deeper each time, lists as deep as their name.
    package var yamlText: String { yamlLines.joined(separator: "\n") + "\n" }

    private var yamlLines: [String] {
        switch self {
        case .array(let values) where !values.isEmpty:
            values.flatMap { value in
                value.yamlLines.enumerated().map { $0 == 0 ? "- \($1)" : "  \($1)" }
            }
        case .object(let fields) where !fields.isEmpty:
            fields.flatMap { name, value in
                let name = Self.yamlScalar(name)
                return switch value {
                case .array(let values) where !values.isEmpty: ["\(name):"] + value.yamlLines
                case .object(let fields) where !fields.isEmpty: ["\(name):"] + value.yamlLines.map { "  \($0)" }
                default: ["\(name): \(value.yamlLines[0])"]
                }
            }
        case .string(let text): [Self.yamlScalar(text)]
        default: [text]
        }
    }

    /// Plain where nobody could take it for anything but this text; else in quotes, whose escapes are JSON's.
    private static func yamlScalar(_ text: String) -> String {
        func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }
        func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
        // No number of any YAML has three dots.
        let isAddress = text.utf8.count { $0 == 0x2e } == 3 && text.utf8.allSatisfy { isDigit($0) || "./".utf8.contains($0) }
        let isWord =
            text.utf8.first.map(isLetter) == true && text.utf8.allSatisfy { isLetter($0) || isDigit($0) || "-_./".utf8.contains($0) }
        let isPlain =
            (isWord || isAddress && text.utf8.first.map(isDigit) == true)
            && PlainScalar.kind(of: text) == .string
        return isPlain ? text : jsonQuoted(text)
    }
}
