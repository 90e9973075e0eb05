/// One node of a parsed document, whatever it was written in (YAML or JSON), with the place it stands.
///
/// A tree is never deeper than the reader's limit, so walking it may recurse.
package struct DocumentNode: Hashable, Sendable {
    /// What a node is. Mappings keep their order and their duplicate keys, so that the decoder can name each one.
    package enum Content: Hashable, Sendable {
        case scalar(Scalar)
        case mapping([Entry])
        case sequence([DocumentNode])
    }

    /// A value without parts: its text and what a JSON encoder would make of it.
    package struct Scalar: Hashable, Sendable {
        /// `"80"` is a string, `80` an integer: the commonest mistake in manifests is to mix them.
        package enum Kind: Hashable, Sendable {
            case string, integer, number, boolean, null
        }

        /// As it was written, escapes resolved.
        package let text: String
        /// What it counts as.
        package let kind: Kind

        package init(text: String, kind: Kind) {
            self.text = text
            self.kind = kind
        }

        /// A plain (unquoted, untagged) YAML scalar, resolved as Kubernetes' YAML library resolves it: YAML 1.1 words for
        /// booleans (`yes`, `on`), octal with a leading 0, `_` between digits; timestamps stay strings.
        package init(plain text: String) {
            self.init(text: text, kind: PlainScalar.kind(of: text))
        }
    }

    /// One key and its value.
    package struct Entry: Hashable, Sendable {
        /// The key's text, of whatever kind it was.
        package let key: String
        /// Where the key stands: the place of an unknown or doubled field.
        package let keyLocation: SourceLocation
        /// What it is a key of.
        package let value: DocumentNode

        package init(key: String, keyLocation: SourceLocation, value: DocumentNode) {
            self.key = key
            self.keyLocation = keyLocation
            self.value = value
        }
    }

    /// What it is.
    package let content: Content
    /// Where it begins.
    package let location: SourceLocation

    package init(_ content: Content, at location: SourceLocation) {
        self.content = content
        self.location = location
    }

    /// True for `null`, `~` and nothing at all: to Kubernetes the same as a field that is not there.
    package var isNull: Bool {
        if case .scalar(let scalar) = content { scalar.kind == .null } else { false }
    }

    /// The value of the last entry of that key, as a JSON decoder would take it; nil in anything but a mapping.
    package subscript(key: String) -> DocumentNode? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.last { $0.key == key }?.value
    }

    /// The text of a string scalar, else nil.
    package var string: String? {
        if case .scalar(let scalar) = content, scalar.kind == .string { scalar.text } else { nil }
    }

    /// The text as a value in a map of strings, where null is an empty one, as it is to Go; nil where it is neither.
    var textInMap: String? { isNull ? "" : string }

    /// The word Go's JSON decoder uses for the value it met.
    package var jsonTypeName: String {
        switch content {
        case .mapping: "object"
        case .sequence: "array"
        case .scalar(let scalar):
            switch scalar.kind {
            case .string: "string"
            case .integer, .number: "number"
            case .boolean: "bool"
            case .null: "null"
            }
        }
    }
}

extension DocumentNode.Scalar {
    /// The integer it writes, or nil where it is no integer or outside 64 bits.
    package var integer: Int64? { kind == .integer ? PlainScalar.integer(text) : nil }

    /// The boolean it writes, or nil.
    package var boolean: Bool? { kind == .boolean ? PlainScalar.boolean(text) : nil }
}

/// The implicit types of plain scalars.
enum PlainScalar {
    static func kind(of text: String) -> DocumentNode.Scalar.Kind {
        guard let first = text.utf8.first else { return .null }
        switch first {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            if isInteger(text) { return .integer }
            return isNumber(text) ? .number : .string
        default:
            switch text {
            case "~", "null", "Null", "NULL": return .null
            default: return boolean(text) == nil ? .string : .boolean
            }
        }
    }

    static func boolean(_ text: String) -> Bool? {
        switch text {
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y": true
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N": false
        default: nil
        }
    }

    static func integer(_ text: String) -> Int64? {
        guard let (negative, digits, radix) = integerParts(text) else { return nil }
        return Int64((negative ? "-" : "") + digits, radix: radix)
    }

    private static func isInteger(_ text: String) -> Bool {
        guard let (_, digits, radix) = integerParts(text) else { return false }
        return digits.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0")) < radix
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): radix == 16
            default: false
            }
        }
    }

    /// Sign, digits and radix; nil where there are no digits.
    private static func integerParts(_ text: String) -> (negative: Bool, digits: String, radix: Int)? {
        var rest = Substring(text)
        let negative = rest.first == "-"
        if negative || rest.first == "+" { rest = rest.dropFirst() }
        var radix = 10
        if rest.first == "0", rest.count > 1 {
            rest = rest.dropFirst()
            switch rest.first {
            case "x": (radix, rest) = (16, rest.dropFirst())
            case "b": (radix, rest) = (2, rest.dropFirst())
            case "o": (radix, rest) = (8, rest.dropFirst())
            default: radix = 8
            }
        }
        guard let first = rest.first, first != "_" else { return nil }
        return (negative, rest.filter { $0 != "_" }, radix)
    }

    /// `1.5`, `-1e3`, `.5`, `.inf`, `.nan`.
    private static func isNumber(_ text: String) -> Bool {
        var rest = Substring(text)
        if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
        switch rest {
        case ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN": return true
        default: break
        }
        let isDigit = { (character: Character) in character.isASCII && character.isWholeNumber }
        let whole = rest.prefix(while: isDigit)
        rest = rest.dropFirst(whole.count)
        var fraction: Substring = ""
        if rest.first == "." {
            fraction = rest.dropFirst().prefix(while: isDigit)
            rest = rest.dropFirst(1 + fraction.count)
        }
        guard !whole.isEmpty || !fraction.isEmpty else { return false }
        if rest.isEmpty { return true }
        guard rest.first == "e" || rest.first == "E" else { return false }
        rest = rest.dropFirst()
        if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
        return !rest.isEmpty && rest.allSatisfy(isDigit)
    }
}
