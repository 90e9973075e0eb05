internal import ControlPlane
internal import ServiceModel

/// What `ringway diff` says.
struct PreviewReport {
    private let preview: ChangePreview

    init(_ preview: ChangePreview) { self.preview = preview }

    var text: String {
        guard preview.hasChanges else {
            guard !preview.hasErrors else { return "" }
            return "no change: \(Self.count(preview.unchanged, "object")) as in force\n"
        }
        let lines = preview.objects.flatMap(Self.lines) + listeners + endpoints + connections
        return lines.joined(separator: "\n") + "\n"
    }

    // MARK: Objects

    private static func lines(of object: ChangePreview.Object) -> [String] {
        let name = "\(object.kind) \(object.namespace.isEmpty ? "" : object.namespace + "/")\(object.name)"
        let head =
            switch object.verdict {
            case .added: "+ \(name)"
            case .changed: "~ \(name)"
            case .removed: "- \(name)"
            case .refused: "! \(name): refused" + (object.isInForce ? ", it stays as it is" : "")
            }
        let aside = object.isNamed || object.verdict == .removed ? "" : " (not in the files, but it depends on them)"
        return [head + aside] + object.fields.map { "    \(text(of: $0))" }
    }

    private static func text(of field: FieldChange) -> String {
        switch (field.old, field.new) {
        case (nil, let new?): "\(field.path): \(text(of: new))"
        case (let old?, nil): "\(field.path): \(text(of: old)) → (none)"
        case (let old?, let new?): "\(field.path): \(text(of: old)) → \(text(of: new))"
        case (nil, nil): field.path
        }
    }

    /// Words stand for themselves; what a terminal might obey, or a reader take for something else, is in quotes.
    private static func text(of value: JSONValue) -> String {
        guard case .string(let text) = value else { return value.text }
        let isPlain = !text.isEmpty && text.utf8.allSatisfy { 0x21 <= $0 && $0 < 0x7f && $0 != UInt8(ascii: "\"") }
        return isPlain ? text : jsonQuoted(text, escapesDelete: true)
    }

    // MARK: What they mean

    private var listeners: [String] {
        guard !preview.listeners.isEmpty else { return [] }
        let rows = preview.listeners.map { listener -> [String] in
            let sign =
                switch listener.change {
                case .opened: "+"
                case .closed: "-"
                case .moved: "~"
                case .unserved: "!"
                }
            var what = "\(listener.service) (\(listener.origin))"
            if listener.change == .moved { what = "leads to \(what)" }
            if let reason = listener.reason { what += listener.change == .closed ? ": \(reason)" : ": not listened on, \(reason)" }
            return ["\(sign) \(listener.frontend)", what]
        }
        return ["listeners"] + Self.columns(rows)
    }

    private var endpoints: [String] {
        guard !preview.servicePorts.isEmpty else { return [] }
        var lines = ["endpoints"]
        for port in preview.servicePorts {
            let left = port.change == .removed ? "served no more" : port.endpoints == 0 ? "none" : Self.count(port.endpoints, "endpoint")
            lines.append("    \(port.service) \(port.transport): \(left)")
            if port.settingsChange { lines.append("        new connections go by other settings or weights") }
            lines += port.endpointsAdded.map { "        + \($0.address)" }
            lines += port.endpointsRemoved.map { endpoint in
                let open = endpoint.connections > 0 ? ", \(Self.open(Int(endpoint.connections), port.transport)) now" : ""
                return "        - \(endpoint.address)\(open)"
            }
        }
        return lines
    }

    private var connections: [String] {
        var lines = ["connections"]
        for part in preview.connections.parts {
            let whose = part.endpoint.map { "\($0) of \(part.service)" } ?? part.service
            lines.append("    \(Self.open(Int(part.count), part.transport)) of \(whose): \(Self.fate(of: part))")
        }
        let touched = preview.connections.touched
        lines.append("    " + (touched == 0 ? "no connection is touched" : "\(Self.count(Int(touched), "connection")) touched"))
        return lines
    }

    private static func fate(of part: ChangePreview.Connections.Part) -> String {
        switch part.fate {
        case .goOn: "not touched, open until one side ends it"
        case .drain: "\(DurationText.text(of: .milliseconds(Int64((part.seconds ?? 0) * 1000)))) to end, what is left is reset"
        case .reset: "reset"
        case .rebind: "to another endpoint with the next datagram"
        case .end: "ended"
        }
    }

    private static func open(_ number: Int, _ transport: String) -> String {
        count(number, transport == "UDP" ? "session" : "connection")
    }

    private static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    private static func columns(_ rows: [[String]]) -> [String] {
        let width = rows.map(\.[0].count).max() ?? 0
        return rows.map { row in "    " + row[0] + String(repeating: " ", count: width - row[0].count + 3) + row[1] }
    }
}
