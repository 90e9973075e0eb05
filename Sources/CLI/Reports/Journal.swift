internal import ControlPlane
internal import Forwarding
internal import Routing
internal import ServiceModel

/// Decides what is logged when the configuration changes: everything once, nothing again while it stays the same.
struct Journal {
    struct Entry: Equatable {
        enum Level: String {
            case info, warning, error
        }

        var level: Level
        var message: String
        var fields: [String: String] = [:]
    }

    private var diagnosticsSaid: Set<Diagnostic> = []
    private var listenerStates: [FrontendKey: ListenerReport.State] = [:]

    /// Takes all findings that hold now. Those that no longer hold are forgotten, so that they are said again if they return.
    mutating func found(_ diagnostics: [Diagnostic]) -> [Entry] {
        let entries = diagnostics.filter { !diagnosticsSaid.contains($0) }.map { diagnostic in
            Entry(
                level: diagnostic.severity == .error ? .error : .warning,
                message: "\(diagnostic.location): \(diagnostic.message)",
                fields: diagnostic.object.map { ["object": $0.description] } ?? [:])
        }
        diagnosticsSaid = Set(diagnostics)
        return entries
    }

    /// One line for the change, and one for each listener whose state changed for the worse or back.
    mutating func applied(_ compilation: Compilation, reports: [ListenerReport], rejectedObjects: Int) -> [Entry] {
        var entries: [Entry] = []
        if let snapshot = compilation.snapshot {
            let (totals, changes) = (compilation.totals, compilation.changes)
            entries.append(
                Entry(
                    level: .info, message: "configuration applied",
                    fields: [
                        "generation": "\(snapshot.generation)",
                        "services": "\(totals.services)",
                        "servicesAdded": "\(changes.servicesAdded)",
                        "servicesChanged": "\(changes.servicesChanged)",
                        "servicesRemoved": "\(changes.servicesRemoved)",
                        "listeners": "\(totals.listeners)",
                        "listenersAdded": "\(changes.listenersAdded)",
                        "listenersRemoved": "\(changes.listenersRemoved)",
                        "endpoints": "\(totals.endpoints)",
                        "endpointsAdded": "\(changes.endpointsAdded)",
                        "endpointsRemoved": "\(changes.endpointsRemoved)",
                        "rejectedObjects": "\(rejectedObjects)",
                    ]))
        }
        return entries + listenersReported(reports)
    }

    /// Takes the state of all listeners; also used alone at start, where the state is shown in full elsewhere.
    mutating func listenersReported(_ reports: [ListenerReport]) -> [Entry] {
        var next: [FrontendKey: ListenerReport.State] = [:]
        var entries: [Entry] = []
        for report in reports {
            next[report.key] = report.state
            let before = listenerStates[report.key]
            guard before != report.state else { continue }
            let fields = ["listener": report.key.description, "service": report.service.description]
            switch report.state {
            case .failed(let reason):
                entries.append(
                    Entry(level: .error, message: "can't listen", fields: fields.merging(["reason": reason]) { first, _ in first }))
            case .noEndpoints:
                entries.append(Entry(level: .warning, message: "no endpoints: clients are refused", fields: fields))
            case .listening:
                // A new listener is counted in the line of the change; one that recovered is news.
                if before != nil { entries.append(Entry(level: .info, message: "listening", fields: fields)) }
            }
        }
        listenerStates = next
        return entries
    }
}
