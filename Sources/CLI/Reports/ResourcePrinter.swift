internal import AdminServer
internal import ControlPlane

/// Tables of objects as kubectl prints them.
struct ResourcePrinter {
    let kind: ResourceKind
    let output: ResourceOutput
    /// Whether a column tells each object's namespace.
    let showsNamespace: Bool
    private var columns = ColumnWriter()
    private var hasHeader = false

    init(kind: ResourceKind, output: ResourceOutput, showsNamespace: Bool) {
        self.kind = kind
        self.output = output
        self.showsNamespace = showsNamespace
    }

    /// The rows of all tables, below a header if it is the first time that there are any.
    mutating func text(_ tables: [TableDocument]) -> String {
        let rows = tables.flatMap(\.rows)
        guard output != .name else { return rows.map { "\(kind.singular)/\($0.object.metadata.name)\n" }.joined() }
        guard let definitions = tables.first?.columnDefinitions, !rows.isEmpty else { return "" }
        let shown = definitions.indices.filter { output == .wide || definitions[$0].priority == 0 }
        var lines: [[String]] = []
        if !hasHeader { lines.append((showsNamespace ? ["NAMESPACE"] : []) + shown.map { definitions[$0].name.uppercased() }) }
        hasHeader = true
        for row in rows {
            lines.append((showsNamespace ? [row.object.metadata.namespace] : []) + shown.map { $0 < row.cells.count ? row.cells[$0] : "" })
        }
        return columns.text(lines)
    }
}
