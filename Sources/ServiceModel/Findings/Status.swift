/// The answer of an API server to an object it refuses: `metav1.Status`.
package struct Status: Hashable, Sendable {
    package struct Cause: Hashable, Sendable {
        package let reason: String
        package let field: String
        package let message: String
        package let location: SourceLocation
    }

    package let code: Int
    package let reason: String
    package let message: String
    /// Empty for a document that could not be decoded, as in an API server's answer.
    package let causes: [Cause]
    package let subject: Subject

    /// The answer to an object with these errors; warnings among them are passed over. nil where there are no others.
    package init?(_ findings: [Finding], of subject: Subject) {
        let errors = findings.filter { $0.kind != .warning }
        guard !errors.isEmpty else { return nil }
        self.subject = subject
        if let message = Self.decodingMessage(errors, of: subject) {
            (code, reason) = (400, "BadRequest")
            self.message = message
            causes = []
        } else if let failure = errors.first(where: { $0.kind == .failure }) {
            (code, reason) = (500, "InternalError")
            message = "Internal error occurred: \(failure.detail)"
            causes = [Cause(reason: "", field: "", message: failure.detail, location: failure.location)]
        } else {
            (code, reason) = (422, "Invalid")
            let texts = errors.map(\.text)
            let list = texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]"
            message = "\(subject.qualifiedKind) \(goQuoted(subject.name)) is invalid: \(list)"
            causes = errors.map { Cause(reason: $0.kind.reason, field: $0.field, message: $0.body, location: $0.location) }
        }
    }

    /// The answers to all errors among the findings of many objects: one for each object that is refused, and one for each error that
    /// is about no field: a document that can't be read, an object that is given twice.
    package static func all(_ diagnostics: [Diagnostic]) -> [Status] {
        let errors = diagnostics.filter { $0.severity == .error }
        let findings = Dictionary(grouping: errors.compactMap(\.origin)) { $0.subject }
        var seen: Set<Subject> = []
        return errors.compactMap { error in
            guard let subject = error.origin?.subject else { return Status(withoutField: error) }
            guard seen.insert(subject).inserted else { return nil }
            return Status((findings[subject] ?? []).sorted { $0.index < $1.index }.map(\.finding), of: subject)
        }
    }

    /// Of an object that could be read it is others that are in its way.
    private init(withoutField error: Diagnostic) {
        (code, reason) = error.object == nil ? (400, "BadRequest") : (409, "Conflict")
        (message, causes) = (error.message, [])
        subject = Subject(key: error.object, location: error.location)
    }

    /// A value of the wrong type stops Go's decoder, so it is said alone; unknown and doubled fields are said together.
    private static func decodingMessage(_ errors: [Finding], of subject: Subject) -> String? {
        func details(isStrict: Bool) -> [String] {
            var details: [String] = []
            for error in errors where error.kind == .undecodable(isStrict: isStrict) && !details.contains(error.detail) {
                details.append(error.detail)
            }
            return details
        }
        let prefix = subject.kind.isEmpty ? "" : subject.undecodable
        if let fault = details(isStrict: false).first { return prefix + fault }
        let faults = details(isStrict: true)
        guard !faults.isEmpty else { return nil }
        let strict = "strict decoding error: "
        return prefix + strict + faults.map { $0.hasPrefix(strict) ? String($0.dropFirst(strict.count)) : $0 }.joined(separator: ", ")
    }

    /// As an API server sends it, and beside it, under `source`, where the object and each cause stand. Decoders of `metav1.Status`
    /// pass over a field they don't know, and its published schema permits one.
    package var json: JSONValue {
        var details: [(String, JSONValue)] = []
        if code == 422 {
            details = [("name", .string(subject.name)), ("kind", .string(subject.kind))]
            if !subject.group.isEmpty { details.insert(("group", .string(subject.group)), at: 1) }
        }
        if !causes.isEmpty { details.append(("causes", .array(causes.map(Self.json)))) }
        var fields: [(String, JSONValue)] = [
            ("kind", .string("Status")), ("apiVersion", .string("v1")), ("metadata", .object([])), ("status", .string("Failure")),
            ("message", .string(message)), ("reason", .string(reason)),
        ]
        if !details.isEmpty { fields.append(("details", .object(details))) }
        fields.append(("code", .integer(code)))
        var source = Self.place(subject.location)
        source.insert(("file", .string(subject.location.file)), at: 0)
        if !causes.isEmpty { source.append(("causes", .array(causes.map { .object(Self.place($0.location)) }))) }
        return .object(fields + [("source", .object(source))])
    }

    /// A Status of success with that message.
    package static func success(_ message: String) -> JSONValue {
        .object([
            ("kind", .string("Status")), ("apiVersion", .string("v1")), ("metadata", .object([])), ("status", .string("Success")),
            ("message", .string(message)), ("code", .integer(200)),
        ])
    }

    private static func json(_ cause: Cause) -> JSONValue {
        var fields: [(String, JSONValue)] = []
        if !cause.reason.isEmpty { fields.append(("reason", .string(cause.reason))) }
        fields.append(("message", .string(cause.message)))
        if !cause.field.isEmpty { fields.append(("field", .string(cause.field))) }
        return .object(fields)
    }

    private static func place(_ location: SourceLocation) -> [(String, JSONValue)] {
        location.line == 0 ? [] : [("line", .integer(location.line)), ("column", .integer(location.column))]
    }
}
