internal import AdminServer
internal import Forwarding
internal import Routing

/// What readiness says of listeners and objects.
enum ReadinessReport {
    /// Of more than these only the count is told.
    static let namedMax = 10

    static func listeners(_ reports: [ListenerReport]) -> HealthCheck {
        var failed: [String] = []
        for case (let report, .failed(let reason)) in reports.map({ ($0, $0.state) }) {
            failed.append("\(report.key) of \(report.service): \(reason)")
        }
        guard !failed.isEmpty else { return HealthCheck("listeners") }
        let isOpen = reports.contains { $0.state == .listening }
        let more = failed.count > namedMax ? "; and \(failed.count - namedMax) more" : ""
        let text = "\(failed.count) of \(reports.count) not open: " + failed.prefix(namedMax).joined(separator: "; ") + more
        return HealthCheck("listeners", isOpen ? .degraded(text) : .failed(text))
    }

    static func configuration(_ configuration: AdminReport.Configuration) -> HealthCheck {
        let rejected = configuration.rejectedObjects
        return HealthCheck(
            "configuration",
            rejected == 0 ? .passed : .degraded("\(rejected) object\(rejected == 1 ? "" : "s") rejected, see the log"))
    }
}
