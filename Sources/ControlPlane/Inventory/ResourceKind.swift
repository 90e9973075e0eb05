/// What can be listed, as an API server would list it.
package enum ResourceKind: String, Sendable, CaseIterable {
    case services, endpoints, endpointslices

    /// The resource under any of the names that kubectl takes.
    package init?(named name: String) {
        switch name.lowercased() {
        case "services", "service", "svc": self = .services
        case "endpoints", "endpoint", "ep": self = .endpoints
        case "endpointslices", "endpointslice": self = .endpointslices
        default: return nil
        }
    }

    /// `service`: what stands before the name in `-o name`.
    package var singular: String {
        switch self {
        case .services: "service"
        case .endpoints: "endpoints"
        case .endpointslices: "endpointslice" + group
        }
    }

    /// `endpointslices.discovery.k8s.io`: what errors call it.
    package var qualified: String { rawValue + group }

    private var group: String { self == .endpointslices ? ".discovery.k8s.io" : "" }

    package var columns: [ResourceTable.Column] {
        switch self {
        case .services:
            [
                .init("Name"), .init("Type"), .init("Cluster-IP"), .init("External-IP"), .init("Port(s)"), .init("Age"),
                .init("Selector", isWide: true),
            ]
        case .endpoints: [.init("Name"), .init("Endpoints"), .init("Age")]
        case .endpointslices: [.init("Name"), .init("AddressType"), .init("Ports"), .init("Endpoints"), .init("Age")]
        }
    }
}

/// Objects as the lines of a table.
package struct ResourceTable: Hashable, Sendable {
    package struct Column: Hashable, Sendable {
        package let name: String
        /// Only shown where all is asked for.
        package let isWide: Bool

        init(_ name: String, isWide: Bool = false) {
            self.name = name
            self.isWide = isWide
        }
    }

    package struct Row: Hashable, Sendable {
        package let namespace: String
        package let name: String
        /// One for each column but the age, which is another at each look.
        let fixed: [String]
        /// Seconds since 1970; nil where nobody knows.
        package let created: Int64?

        /// One for each column of the kind.
        package func cells(of kind: ResourceKind, now: Int64) -> [String] {
            var rest = fixed[...]
            return kind.columns.map { column in
                guard column.name == "Age" else { return rest.popFirst() ?? "" }
                return created.map { ageText(seconds: now - $0) } ?? "<unknown>"
            }
        }
    }
}
