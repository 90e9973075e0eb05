/// Why a Service gets no addresses or ports, in the API server's words.
package enum AllocationError: Error, Hashable, Sendable {
    /// 422: something the Service asks for can't be had. Seldom more than one.
    case invalid([InvalidValue])
    /// 500: there is nothing left, or a health-check port can't be had. The text follows "Internal error occurred: ".
    case `internal`(String)

    /// An `Invalid value` error of one field.
    package struct InvalidValue: Hashable, Sendable {
        /// `spec.ports[0].nodePort`.
        package let path: String
        /// As an API server prints it: `30080`, `"SingleStack"`, `["10.96.0.10"]`.
        package let value: String
        package let detail: String

        package init(path: String, value: String, detail: String) {
            self.path = path
            self.value = value
            self.detail = detail
        }

        package var description: String { "\(path): Invalid value: \(value): \(detail)" }
    }

    static func invalid(_ path: String, _ value: String, _ detail: String) -> AllocationError {
        .invalid([InvalidValue(path: path, value: value, detail: detail)])
    }

    package var code: Int {
        switch self {
        case .invalid: 422
        case .internal: 500
        }
    }

    /// The `message` of the `Status` that an API server answers for the Service of that name.
    package func message(ofService name: String) -> String {
        switch self {
        case .internal(let text): return "Internal error occurred: \(text)"
        case .invalid(let values):
            let list = values.map(\.description).joined(separator: ", ")
            return "Service \"\(name)\" is invalid: " + (values.count == 1 ? list : "[\(list)]")
        }
    }
}

/// Why one number can't be had.
enum Refusal {
    case taken
    case outOfRange
}
