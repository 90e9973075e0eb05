/// Text between double quotes, with the escapes that Go's `%q`, JSON (RFC 8259, section 7) and YAML have in common.
///
/// - Parameters:
///   - escapesDelete: whether U+007F counts as a control character, which JSON leaves open.
///   - control: how another control character is escaped, by its number.
package func quoted(_ text: String, escapesDelete: Bool, control: (String) -> String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case _ where scalar.value < 0x20 || escapesDelete && scalar.value == 0x7f: result += control(String(scalar.value, radix: 16))
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

/// The text as Go's `%q` writes it.
func goQuoted(_ text: String) -> String { quoted(text, escapesDelete: true) { "\\x" + ($0.utf8.count < 2 ? "0" : "") + $0 } }

/// The text as a JSON string. A log escapes U+007F, too: a terminal might obey it.
package func jsonQuoted(_ text: String, escapesDelete: Bool = false) -> String {
    quoted(text, escapesDelete: escapesDelete) { "\\u" + String(repeating: "0", count: 4 - $0.utf8.count) + $0 }
}
