internal import AdminServer

/// An explanation of a name, for people.
struct NameReport {
    let explanation: NameExplanation

    var text: String {
        var columns = ColumnWriter()
        var text = ""
        for attempt in explanation.attempts { text += "; \(attempt.name) \(explanation.type): \(attempt.code)\n" }
        if let reason = explanation.reason { text += "; \(reason)\n" }
        let rows = explanation.records.map { [$0.name, "\($0.ttl)", $0.type, $0.data, "; " + $0.from.joined(separator: ", ")] }
        return text + columns.text(rows)
    }
}
