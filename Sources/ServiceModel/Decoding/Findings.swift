/// Gathers what is wrong with one object and words it as the API server does.
///
/// Every finding becomes one `Diagnostic`; an object with at least one error is not used.
struct Findings {
    /// `Service`, or with its group `EndpointSlice.discovery.k8s.io`, as `kubectl` prints it.
    let qualifiedKind: String
    let name: String
    let key: ObjectKey?
    private(set) var diagnostics: [Diagnostic] = []

    init(qualifiedKind: String, name: String, key: ObjectKey?) {
        self.qualifiedKind = qualifiedKind
        self.name = name
        self.key = key
    }

    var hasErrors: Bool { diagnostics.contains { $0.severity == .error } }

    // MARK: Decoding

    mutating func undecodable(kind: String, _ problem: String, at location: SourceLocation) {
        error("\(kind) in version \"v1\" cannot be handled as a \(kind): \(problem)", at: location)
    }

    // MARK: Validation: one function per error type of Kubernetes' field package

    mutating func required(_ field: Field, _ detail: String = "") {
        invalidObject("\(field.path): Required value\(detail.isEmpty ? "" : ": " + detail)", at: field.location)
    }

    mutating func invalid(_ field: Field, _ value: String, _ detail: String) {
        invalidObject("\(field.path): Invalid value: \(value): \(detail)", at: field.location)
    }

    mutating func invalid(_ field: Field, string: String, _ detail: String) {
        invalid(field, goQuoted(string), detail)
    }

    mutating func invalid(_ field: Field, string: String, _ details: [String]) {
        for detail in details { invalid(field, string: string, detail) }
    }

    mutating func duplicate(_ field: Field, _ value: String) {
        invalidObject("\(field.path): Duplicate value: \(value)", at: field.location)
    }

    mutating func forbidden(_ field: Field, _ detail: String) {
        invalidObject("\(field.path): Forbidden: \(detail)", at: field.location)
    }

    mutating func unsupported(_ field: Field, _ value: String, supported: [String]) {
        let list = supported.map(goQuoted).joined(separator: ", ")
        invalidObject("\(field.path): Unsupported value: \(goQuoted(value)): supported values: \(list)", at: field.location)
    }

    mutating func tooMany(_ field: Field, count: Int, max: Int) {
        invalidObject("\(field.path): Too many: \(count): must have at most \(max) items", at: field.location)
    }

    mutating func tooLong(_ field: Field, bytesMax: Int) {
        invalidObject("\(field.path): Too long: may not be more than \(bytesMax) bytes", at: field.location)
    }

    // MARK: Warnings

    mutating func warn(_ field: Field, _ detail: String) {
        diagnostics.append(
            Diagnostic(
                severity: .warning, location: field.location, object: key,
                message: "\(qualifiedKind) \(goQuoted(name)): \(field.path): \(detail)"))
    }

    private mutating func invalidObject(_ cause: String, at location: SourceLocation) {
        error("\(qualifiedKind) \(goQuoted(name)) is invalid: \(cause)", at: location)
    }

    private mutating func error(_ message: String, at location: SourceLocation) {
        diagnostics.append(Diagnostic(severity: .error, location: location, object: key, message: message))
    }
}

/// The text between double quotes as Go's `%q` writes it.
func goQuoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        default:
            if scalar.value < 0x20 || scalar.value == 0x7f {
                let hex = String(scalar.value, radix: 16)
                result += "\\x" + (hex.utf8.count < 2 ? "0" : "") + hex
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }
    return result + "\""
}

/// A list of strings as compact JSON, the way a field error shows a whole list.
func jsonList(_ strings: [String]) -> String {
    "[" + strings.map(goQuoted).joined(separator: ",") + "]"
}
