/// One thing that is wrong with an object, or worth a warning, in the parts an API server tells it by.
package struct Finding: Hashable, Sendable {
    /// The error types of Kubernetes' field package, and what is no error of a field.
    package enum Kind: Hashable, Sendable {
        case required, invalid, unsupported, duplicate, forbidden, tooLong, tooMany
        /// The document is no object of its kind: a field unknown or doubled (`isStrict`), or a value of the wrong type.
        case undecodable(isStrict: Bool)
        /// What a cluster fails to do, through no fault of the object: no address is left.
        case failure
        case warning

        /// The reason in `details.causes` of a Status; empty for what is no error of a field.
        package var reason: String {
            switch self {
            case .required: "FieldValueRequired"
            case .invalid: "FieldValueInvalid"
            case .unsupported: "FieldValueNotSupported"
            case .duplicate: "FieldValueDuplicate"
            case .forbidden: "FieldValueForbidden"
            case .tooLong: "FieldValueTooLong"
            case .tooMany: "FieldValueTooMany"
            case .undecodable, .failure, .warning: ""
            }
        }

        fileprivate var title: String {
            switch self {
            case .required: "Required value"
            case .invalid: "Invalid value"
            case .unsupported: "Unsupported value"
            case .duplicate: "Duplicate value"
            case .forbidden: "Forbidden"
            case .tooLong: "Too long"
            case .tooMany: "Too many"
            case .undecodable, .failure, .warning: ""
            }
        }
    }

    package let kind: Kind
    /// `spec.ports[1].name`; empty where it is about no field.
    package let field: String
    /// The bad value as it is printed: strings quoted, lists as JSON. Empty where none is shown.
    package let value: String
    package let detail: String
    /// What may have been meant. People are told; an API server says no such thing, so a Status does not either.
    package let hint: String
    package let location: SourceLocation

    package init(_ kind: Kind, field: String = "", value: String = "", detail: String, hint: String = "", location: SourceLocation) {
        self.kind = kind
        self.field = field
        self.value = value
        self.detail = detail
        self.hint = hint
        self.location = location
    }

    var isUndecodable: Bool {
        if case .undecodable = kind { true } else { false }
    }

    /// Without the field: `Invalid value: "x": must be ...`.
    package var body: String { [kind.title, value, detail].filter { !$0.isEmpty }.joined(separator: ": ") }

    /// With the field: `spec.ports[0].port: Invalid value: 0: must be ...`.
    package var text: String { field.isEmpty ? body : "\(field): \(body)" }
}

/// The object that findings are about, as an API server names it.
package struct Subject: Hashable, Sendable {
    /// `Service`, and for an EndpointSlice `discovery.k8s.io` beside it; empty where the kind could not be read.
    package let kind: String
    package let group: String
    package let name: String
    /// Its identity, where kind and name could be read.
    package let key: ObjectKey?
    /// Where its document begins.
    package let location: SourceLocation

    package init(kind: String = "", group: String = "", name: String = "", key: ObjectKey? = nil, location: SourceLocation) {
        self.kind = kind
        self.group = group
        self.name = name
        self.key = key
        self.location = location
    }

    /// `EndpointSlice.discovery.k8s.io`, as errors write it.
    package var qualifiedKind: String { group.isEmpty ? kind : "\(kind).\(group)" }

    /// A finding as one line for people.
    func message(of finding: Finding) -> String {
        switch finding.kind {
        case .undecodable: kind.isEmpty ? finding.detail : "\(undecodable)\(finding.detail)\(finding.hint)"
        case .failure: "\(qualifiedKind) \(goQuoted(name)): \(finding.detail)"
        case .warning: "\(qualifiedKind) \(goQuoted(name)): \(finding.text)"
        default: "\(qualifiedKind) \(goQuoted(name)) is invalid: \(finding.text)\(finding.hint)"
        }
    }

    var undecodable: String { "\(kind) in version \"v1\" cannot be handled as a \(kind): " }
}
