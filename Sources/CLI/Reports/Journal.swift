internal import Addressing
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
    private var endpointsUnwell: [EndpointKey: EndpointReport.State] = [:]
    private var servicesUnwell: Set<ServicePortName> = []

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
    mutating func applied(_ compilation: Compilation, listeners: ListenerChanges, rejectedObjects: Int) -> [Entry] {
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
        return entries + listenersReported(listeners)
    }

    /// Takes what became of listeners; also used alone at start, where the state is shown in full elsewhere.
    mutating func listenersReported(_ changes: ListenerChanges) -> [Entry] {
        var entries: [Entry] = []
        for key in changes.gone { listenerStates[key] = nil }
        for report in changes.reports {
            let before = listenerStates.updateValue(report.state, forKey: report.key)
            guard before != report.state else { continue }
            let fields = ["listener": report.key.description, "service": report.service.description]
            switch report.state {
            case .failed(let reason):
                entries.append(
                    Entry(level: .error, message: "can't listen", fields: fields.merging(["reason": reason]) { first, _ in first }))
            case .noEndpoints:
                entries.append(Entry(level: .warning, message: "no endpoints: clients are refused", fields: fields))
            case .noEndpointsHere:
                entries.append(Entry(level: .warning, message: "no endpoints on this node: clients hear nothing", fields: fields))
            case .listening:
                // A new listener is counted in the line of the change; one that recovered is news.
                if before != nil { entries.append(Entry(level: .info, message: "listening", fields: fields)) }
            }
        }
        return entries
    }

    /// Takes how all endpoints are: one line for each that was ejected or is back, and one for a Service that has none left. An
    /// endpoint that is tried in vain again and again is said once.
    mutating func endpointsReported(_ reports: [EndpointReport]) -> [Entry] {
        var entries: [Entry] = []
        var unwell: [EndpointKey: EndpointReport.State] = [:]
        let reports = reports.sorted { ($0.key.service, $0.key.endpoint) < ($1.key.service, $1.key.endpoint) }
        for report in reports {
            let before = endpointsUnwell[report.key]
            if report.state != .well { unwell[report.key] = report.state }
            guard report.state != before ?? .well else { continue }
            var fields = ["service": report.key.service.description, "endpoint": report.key.endpoint.description]
            fields["because"] = report.reason
            switch report.state {
            case .well: entries.append(Entry(level: .info, message: "endpoint is back", fields: fields))
            case .ejected: entries.append(Entry(level: .warning, message: "endpoint ejected", fields: fields))
            case .down: entries.append(Entry(level: .warning, message: "endpoint is down", fields: fields))
            }
        }
        endpointsUnwell = unwell
        let weighted = reports.filter { $0.weight > 0 }
        let without = Set(weighted.map(\.key.service)).subtracting(weighted.filter { $0.state == .well }.map(\.key.service))
        entries += without.subtracting(servicesUnwell).sorted().map {
            Entry(level: .error, message: "no endpoint is well: all of them are used", fields: ["service": $0.description])
        }
        servicesUnwell = without
        return entries
    }
}
