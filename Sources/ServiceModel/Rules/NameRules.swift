/// Kubernetes' rules for names, with the words `k8s.io/apimachinery/pkg/util/validation` has for a breach. Each function gives all
/// breaches; none means valid.
enum NameRules {
    /// RFC 1123 label: a Service's or a port's name, a namespace.
    static func dns1123Label(_ text: String) -> [String] {
        var problems = lengthProblem(text, max: 63)
        if !isDNS1123Label(text[...]) { problems.append(dns1123LabelMessage) }
        return problems
    }

    /// RFC 1123 subdomain: labels joined by dots.
    static func dns1123Subdomain(_ text: String) -> [String] {
        var problems = lengthProblem(text, max: 253)
        if !text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isDNS1123Label) {
            problems.append(dns1123SubdomainMessage)
        }
        return problems
    }

    /// `example.com/name` or `name`: keys of labels and annotations, `appProtocol`.
    static func qualifiedName(_ text: String) -> [String] {
        var problems: [String] = []
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let name: Substring
        switch parts.count {
        case 1: name = parts[0]
        case 2:
            name = parts[1]
            if parts[0].isEmpty {
                problems.append("prefix part must be non-empty")
            } else {
                problems += dns1123Subdomain(String(parts[0])).map { "prefix part \($0)" }
            }
        default:
            return [
                "a qualified name \(qualifiedNameMessage) with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ]
        }
        if name.isEmpty {
            problems.append("name part must be non-empty")
        } else if name.utf8.count > 63 {
            problems.append("name part must be no more than 63 characters")
        }
        if !isQualifiedNamePart(name) { problems.append("name part \(qualifiedNameMessage)") }
        return problems
    }

    /// The value of a label.
    static func labelValue(_ text: String) -> [String] {
        var problems = lengthProblem(text, max: 63)
        if !text.isEmpty, !isQualifiedNamePart(text[...]) { problems.append(labelValueMessage) }
        return problems
    }

    /// An IANA service name: a named `targetPort`.
    static func portName(_ text: String) -> [String] {
        var problems = lengthProblem(text, max: 15)
        let bytes = Array(text.utf8)
        let hyphen = UInt8(ascii: "-")
        if bytes.isEmpty || !bytes.allSatisfy({ isLower($0) || isDigit($0) || $0 == hyphen }) {
            problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
        }
        if !bytes.contains(where: isLower) { problems.append("must contain at least one letter (a-z)") }
        if zip(bytes, bytes.dropFirst()).contains(where: { $0 == hyphen && $1 == hyphen }) {
            problems.append("must not contain consecutive hyphens")
        }
        if bytes.first == hyphen || bytes.last == hyphen { problems.append("must not begin or end with a hyphen") }
        return problems
    }

    private static func lengthProblem(_ text: String, max: Int) -> [String] {
        text.utf8.count > max ? ["must be no more than \(max) characters"] : []
    }

    private static func isDNS1123Label(_ text: Substring) -> Bool {
        isFramed(text, edge: { isLower($0) || isDigit($0) }, middle: { $0 == UInt8(ascii: "-") })
    }

    private static func isQualifiedNamePart(_ text: Substring) -> Bool {
        isFramed(
            text, edge: { isLower($0) || isDigit($0) || isUpper($0) },
            middle: { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") })
    }

    /// Non-empty, of edge and middle bytes, with an edge byte at both ends.
    private static func isFramed(_ text: Substring, edge: (UInt8) -> Bool, middle: (UInt8) -> Bool) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, edge(first), edge(last) else { return false }
        return text.utf8.allSatisfy { edge($0) || middle($0) }
    }

    private static func isLower(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
    private static func isUpper(_ byte: UInt8) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static let dns1123LabelMessage =
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
        + "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

    private static let dns1123SubdomainMessage =
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with "
        + "an alphanumeric character (e.g. 'example.com', regex used for validation is "
        + #"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#

    private static let qualifiedNameMessage =
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
        + "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

    private static let labelValueMessage =
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        + "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        + "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
}
