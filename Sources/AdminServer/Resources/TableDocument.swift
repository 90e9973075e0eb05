internal import ControlPlane

/// `meta.k8s.io/v1/Table`: what an API server answers to whoever wants to print.
package struct TableDocument: Codable, Sendable {
    package struct Column: Codable, Sendable {
        package var name: String
        package var type = "string"
        /// 0 is always shown, 1 only in the wide table.
        package var priority: Int
    }

    package struct Row: Codable, Sendable {
        package struct Object: Codable, Sendable {
            package struct Metadata: Codable, Sendable {
                package var name: String
                package var namespace: String
            }

            package var kind = "PartialObjectMetadata"
            package var apiVersion = "meta.k8s.io/v1"
            package var metadata: Metadata
        }

        package var cells: [String]
        package var object: Object
    }

    package struct Metadata: Codable, Sendable {
        package var resourceVersion: String
    }

    package var kind = "Table"
    package var apiVersion = "meta.k8s.io/v1"
    package var metadata: Metadata
    package var columnDefinitions: [Column]
    package var rows: [Row]

    init(_ kind: ResourceKind, _ rows: [ResourceTable.Row], version: UInt64, now: Int64) {
        metadata = Metadata(resourceVersion: "\(version)")
        columnDefinitions = kind.columns.map { Column(name: $0.name, priority: $0.isWide ? 1 : 0) }
        self.rows = rows.map { row in
            Row(cells: row.cells(of: kind, now: now), object: .init(metadata: .init(name: row.name, namespace: row.namespace)))
        }
    }
}

/// One line of a watch.
package struct WatchEvent: Codable, Sendable {
    package enum Kind: String, Codable, Sendable {
        case added = "ADDED"
        case modified = "MODIFIED"
        case deleted = "DELETED"
        /// No news: the first one says that what was there at the beginning has been told, further ones that somebody is still there.
        case bookmark = "BOOKMARK"
    }

    package var type: Kind
    package var object: TableDocument
}

/// `v1/Status`: why something is not answered.
package struct StatusDocument: Codable, Sendable {
    package var kind = "Status"
    package var apiVersion = "v1"
    package var status = "Failure"
    package var message: String
    package var reason: String
    package var code: Int

    static func notFound(_ kind: ResourceKind, _ name: String) -> StatusDocument {
        StatusDocument(message: "\(kind.qualified) \"\(name)\" not found", reason: "NotFound", code: 404)
    }

    static let isEnding = StatusDocument(message: "the process is ending", reason: "ServiceUnavailable", code: 503)
    static let tooManyPreviews = StatusDocument(
        message: "another change is being looked at, try again", reason: "TooManyRequests", code: 429)
    static func tooLarge(_ max: Int) -> StatusDocument {
        StatusDocument(message: "the manifests are larger than \(max) bytes", reason: "RequestEntityTooLarge", code: 413)
    }
    static let unreadable = StatusDocument(message: "this is no request for a preview", reason: "BadRequest", code: 400)

    static let onlyTables = StatusDocument(
        message: "of these only tables are served: ask for application/json;as=Table;v=v1;g=meta.k8s.io", reason: "NotAcceptable", code: 406
    )
    static let tooManyWatch = StatusDocument(message: "too many watch already, try again later", reason: "TooManyRequests", code: 429)
}
