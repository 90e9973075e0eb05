/// A JSON value whose objects keep the order of their fields.
package indirect enum JSONValue: Sendable {
    case string(String)
    case integer(Int)
    case boolean(Bool)
    case array([JSONValue])
    case object([(String, JSONValue)])

    /// On one line, without spaces.
    package var text: String {
        switch self {
        case .string(let text): jsonQuoted(text)
        case .integer(let number): String(number)
        case .boolean(let value): value ? "true" : "false"
        case .array(let values): "[\(values.map(\.text).joined(separator: ","))]"
        case .object(let fields): "{\(fields.map { "\(jsonQuoted($0.0)):\($0.1.text)" }.joined(separator: ","))}"
        }
    }
}
