/// A place in a document: the path an API server would name, and where that stands.
protocol Located {
    var path: FieldPath { get }
    var location: SourceLocation { get }
}

extension Field: Located {}

/// A place by itself, for values that were taken out of their document. Where it stands is only looked up for an error.
struct Place: Located {
    let path: FieldPath
    let places: Places
    /// The path of what stands for it: where the value was taken from, or what an API server prints under another name.
    var origin: FieldPath?

    var location: SourceLocation { places.location(of: origin ?? path) }
}

/// What an object is held to.
package enum Strictness: Sendable {
    /// What a cluster asks, but loopback addresses are accepted: before servers of the same machine they are the ordinary case.
    case ringway
    /// All that a cluster asks, and all that it warns of.
    case kubernetes
}

/// Gathers what is wrong with one object, in the order in which an API server would say it; identical errors count once.
package struct Findings: Sendable {
    let subject: Subject
    let strictness: Strictness
    /// Fields that are reported already, as misspelled or of the wrong type: what is missing for that cause is no second error.
    var reported: Set<String> = []
    private(set) var all: [Finding] = []

    package init(subject: Subject, strictness: Strictness = .ringway) {
        self.subject = subject
        self.strictness = strictness
    }

    package var hasErrors: Bool { all.contains { $0.kind != .warning } }

    package var diagnostics: [Diagnostic] { all.enumerated().map { Diagnostic($0.element, of: subject, index: $0.offset) } }

    package mutating func append(_ finding: Finding) {
        // A field that is unknown or doubled in two places is two mistakes.
        let isRepeated = all.contains {
            $0.kind == finding.kind && $0.text == finding.text && ($0.location == finding.location || !finding.isUndecodable)
        }
        if !isRepeated { all.append(finding) }
    }

    package mutating func append(_ findings: [Finding]) {
        for finding in findings { append(finding) }
    }

    // MARK: Decoding

    mutating func undecodable(_ problem: String, isStrict: Bool, hint: String = "", at location: SourceLocation) {
        append(Finding(.undecodable(isStrict: isStrict), detail: problem, hint: hint, location: location))
    }

    // MARK: Validation: one function per error type of Kubernetes' field package

    mutating func required(_ place: some Located, _ detail: String = "") {
        add(.required, place, detail: detail)
    }

    mutating func invalid(_ place: some Located, _ value: String, _ detail: String) {
        add(.invalid, place, value: value, detail: detail)
    }

    mutating func invalid(_ place: some Located, string: String, _ detail: String) {
        invalid(place, goQuoted(string), detail)
    }

    mutating func invalid(_ place: some Located, string: String, _ details: [String]) {
        for detail in details { invalid(place, string: string, detail) }
    }

    mutating func duplicate(_ place: some Located, _ value: String) {
        add(.duplicate, place, value: value, detail: "")
    }

    mutating func forbidden(_ place: some Located, _ detail: String) {
        add(.forbidden, place, detail: detail)
    }

    mutating func unsupported(_ place: some Located, _ value: String, supported: [String]) {
        let list = supported.map(goQuoted).joined(separator: ", ")
        add(.unsupported, place, value: goQuoted(value), detail: "supported values: \(list)")
    }

    mutating func tooMany(_ place: some Located, count: Int, max: Int) {
        add(.tooMany, place, value: String(count), detail: "must have at most \(max) items")
    }

    mutating func tooLong(_ place: some Located, bytesMax: Int) {
        add(.tooLong, place, detail: "may not be more than \(bytesMax) bytes")
    }

    // MARK: Warnings

    mutating func warn(_ place: some Located, _ detail: String) {
        append(Finding(.warning, field: place.path.description, detail: detail, location: place.location))
    }

    /// A warning that names its field itself, as an API server's do.
    mutating func warn(at place: some Located, _ text: String) {
        append(Finding(.warning, detail: text, location: place.location))
    }

    private mutating func add(_ kind: Finding.Kind, _ place: some Located, value: String = "", detail: String) {
        guard !isReported(place.path) else { return }
        append(Finding(kind, field: place.path.description, value: value, detail: detail, location: place.location))
    }

    /// The field or one around it is reported already.
    func isReported(_ path: FieldPath) -> Bool {
        guard !reported.isEmpty else { return false }
        var next: FieldPath? = path
        while let path = next {
            if reported.contains(path.description) { return true }
            next = path.parent
        }
        return false
    }
}

/// A list of strings as compact JSON, the way a field error shows a whole list.
func jsonList(_ strings: [String]) -> String {
    "[" + strings.map(goQuoted).joined(separator: ",") + "]"
}
