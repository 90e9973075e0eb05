internal import Addressing
internal import DNS
internal import Forwarding
internal import Routing

/// The lines that `ringway run` greets with: which engine, how many connections, who listens where, and with which backends.
struct StartReport {
    /// Service ports shown one by one; of more only the count is told.
    static let servicePortsMax = 20
    /// Backends named on one line.
    static let backendsMax = 8

    var engine: EngineReport
    var limits: LimitsReport
    var snapshot: RoutingSnapshot
    var reports: [ListenerReport]
    /// Files, directories and shorthands, as given.
    var sources: [String]
    /// Nil where the admin socket is off.
    var adminSocket: String?
    /// Whether `ringway stats` finds the socket without being told.
    var adminSocketIsDefault: Bool
    /// Where `/metrics` is; nil where it is off.
    var adminAddress: String?
    /// Nil where nobody answers queries.
    var names: NameSettings?

    var lines: [String] {
        // epoll is the second choice (or was asked for), so what follows it is a reason and not a list of features.
        var lines = [engine.name == "epoll" ? "engine   epoll: \(engine.reason)" : "engine   \(engine.name) (\(engine.reason))"]
        lines.append("limits   \(limits.text)")
        let byPort = Dictionary(grouping: reports, by: \.service)
        for (service, reports) in byPort.sorted(by: { $0.key < $1.key }).prefix(Self.servicePortsMax) {
            lines += reports.map(line(for:))
            if let backends = backends(of: reports) { lines.append(backends) }
            _ = service
        }
        if byPort.count > Self.servicePortsMax {
            let failed = reports.count(where: \.isFailed)
            lines.append(
                "listen   … and \(byPort.count - Self.servicePortsMax) more Service ports (\(reports.count) listeners in all, "
                    + "\(failed) failed); see them all with `ringway stats`")
        }
        if reports.isEmpty {
            let places = sources.joined(separator: " ")
            lines.append("listen   nothing yet: no Service with an address and a port in \(places); watching for changes")
        }
        if let names {
            let places = names.places.joined(separator: " ")
            lines.append("dns      udp+tcp \(places)  \(String(names.responder.domain.description.dropLast()))")
            let upstreams = names.forwarding.upstreams
            let others = upstreams.defaults.isEmpty ? "refused" : upstreams.defaults.map(\.description).joined(separator: " ")
            let stubs = upstreams.stubDomains.map { stub in
                "; \(String(stub.domain.description.dropLast())): \(stub.servers.map(\.description).joined(separator: " "))"
            }
            lines.append("         other names: \(others)\(stubs.joined())")
        }
        if let adminSocket {
            lines.append("admin    \(adminSocketIsDefault ? "ringway stats" : "ringway stats --admin-socket \(adminSocket)")")
        }
        if let adminAddress { lines.append("metrics  http://\(adminAddress)/metrics") }
        return lines
    }

    private func line(for report: ListenerReport) -> String {
        let start = "listen   \(report.key)  service \(report.service)"
        switch report.state {
        case .listening: return start
        case .noEndpoints: return start + "  not open: the Service has no endpoints, so clients are refused"
        case .noEndpointsHere: return start + "  silent: its endpoints are on other nodes, so clients hear nothing"
        case .failed(let reason): return start + "  failed: \(reason)"
        }
    }

    private func backends(of reports: [ListenerReport]) -> String? {
        var addresses: Set<SocketAddress> = []
        for report in reports { addresses.formUnion(snapshot.frontends[report.key]?.groups.flatMap(\.endpoints).map(\.address) ?? []) }
        guard !addresses.isEmpty else { return nil }
        let shown = addresses.sorted().prefix(Self.backendsMax).map(\.description).joined(separator: "   ")
        let more = addresses.count > Self.backendsMax ? "   … \(addresses.count) in all" : ""
        return "backends " + shown + more
    }
}
