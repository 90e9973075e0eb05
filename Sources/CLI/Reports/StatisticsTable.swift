internal import AdminServer
internal import Forwarding

/// `ringway stats` for people: the process, its Services with their endpoints, listeners that are not open, workers.
struct StatisticsTable {
    var report: AdminReport

    var text: String {
        let data = report.dataPlane
        var blocks = [process]
        if !data.services.isEmpty { blocks.append(Self.columns(services)) }
        if let names = data.names {
            blocks.append(Self.columns([["DNS", "ANSWERS", "DROPPED BECAUSE", "TCP", "TCP ACTIVE"]] + [Self.cells(names)], leftColumns: 3))
        }
        let datagrams = data.services.filter { $0.transport == "UDP" }
        if !datagrams.isEmpty {
            let rows = datagrams.map { service in
                [
                    Self.name(service), Self.counts(service.dropped), "\(service.datagramsFromClients)", "\(service.datagramsToClients)",
                    "\(service.rebinds)",
                ]
            }
            blocks.append(Self.columns([["UDP", "DROPPED BECAUSE", "DATAGRAMS IN", "OUT", "REBINDS"]] + rows))
        }
        let closed = data.services.filter { !$0.closed.isEmpty }
        if !closed.isEmpty {
            let rows = closed.map { [Self.name($0), Self.counts($0.closed)] }
            blocks.append(Self.columns([["SERVICE", "CLOSED BECAUSE"]] + rows, leftColumns: 2))
        }
        let closedListeners = data.listeners.filter { $0.state != "listening" }
        if !closedListeners.isEmpty {
            let rows = closedListeners.map { [$0.frontend, $0.service, $0.state, $0.message ?? ""] }
            blocks.append(Self.columns([["NOT LISTENING", "SERVICE", "STATE", "WHY"]] + rows, leftColumns: 4))
        }
        if !data.workers.isEmpty { blocks.append(Self.columns(workers)) }
        return blocks.joined(separator: "\n\n")
    }

    private var process: String {
        let data = report.dataPlane
        let configuration = report.configuration
        let active = data.workers.reduce(0) { $0 + $1.connectionsActive }
        let sessions =
            data.services.contains { $0.transport == "UDP" }
            ? "  udp sessions \(data.workers.reduce(0) { $0 + $1.sessionsActive })" : ""
        return """
            ringway \(report.version)  engine \(data.engine) (\(data.engineReason))  pid \(report.pid)  \
            up \(Self.uptime(report.uptimeSeconds))
            objects \(configuration.objects) (\(configuration.rejectedObjects) rejected)  generation \(data.generation) of \
            \(configuration.generation)  listeners \(data.listeners.count)  connections \(active) of \(data.connectionsMax)\(sessions)
            """
    }

    private var services: [[String]] {
        var rows = [["SERVICE", "ENDPOINT", "ACTIVE", "TOTAL", "FAILED", "RETRIES", "IN", "OUT"]]
        for service in report.dataPlane.services {
            rows.append([
                Self.name(service), "", "\(service.connectionsActive)" + (service.connectionsMax.map { "/\($0)" } ?? ""),
                "\(service.connections)", "", "\(service.retries)",
                Self.bytes(service.bytesFromClients), Self.bytes(service.bytesToClients),
            ])
            for endpoint in service.endpoints {
                let note = Self.note(endpoint).isEmpty ? "" : " (\(Self.note(endpoint)))"
                rows.append([
                    "", endpoint.address + note, "\(endpoint.connectionsActive)", "\(endpoint.connections)", "\(endpoint.connectFailures)",
                    "", "", "",
                ])
            }
        }
        return rows
    }

    private var workers: [[String]] {
        var rows = [
            [
                "WORKER", "CPU", "ACTIVE", "ACCEPTED", "TICKS", "SYSCALLS", "ALLOCATIONS", "PAUSES", "NO BUFFER", "NO PORT", "BULK",
                "NO BULK",
                "PIPES",
            ]
        ]
        for worker in report.dataPlane.workers {
            rows.append([
                "\(worker.index)", worker.cpu.map { "\($0)" } ?? "-", "\(worker.connectionsActive)", "\(worker.connectionsAccepted)",
                "\(worker.ticks)", "\(worker.systemCalls)", worker.allocations.map { "\($0)" } ?? "-", "\(worker.acceptPauses)",
                "\(worker.buffersExhausted)", "\(worker.portsExhausted)", "\(worker.bulkDirections)", "\(worker.transfersRefused)",
                "\(worker.pipesOpen)",
            ])
        }
        return rows
    }

    /// `weight 3`, `ejected 12s: connect-refused`.
    private static func note(_ endpoint: DataPlaneStatistics.Endpoint) -> String {
        var state = endpoint.state == "active" ? "" : endpoint.state
        if let seconds = endpoint.ejectedForSeconds { state += " \(uptime(seconds.rounded(.up)))" }
        if let reason = endpoint.because { state += ": \(reason)" }
        let weight = endpoint.weight == 1 || endpoint.state == "removed" ? "" : "weight \(endpoint.weight)"
        return [weight, state].filter { !$0.isEmpty }.joined(separator: ", ")
    }

    private static func cells(_ names: DataPlaneStatistics.Names) -> [String] {
        [
            names.domain, counts(names.responses), counts(names.dropped), "\(names.connections)", "\(names.connectionsActive)",
        ]
    }

    private static func name(_ service: DataPlaneStatistics.Service) -> String {
        let port = service.port.isEmpty ? "" : ":\(service.port)"
        return "\(service.namespace)/\(service.name)\(port)\(service.transport == "UDP" ? " udp" : "")"
    }

    /// `limit-rate 12, not-sent 3`, the most frequent first.
    private static func counts(_ counts: [String: UInt64]) -> String {
        counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }

    /// Lines up cells: the first columns to the left, the others, which are numbers, to the right.
    static func columns(_ rows: [[String]], leftColumns: Int = 2) -> String {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += (column == 0 ? "" : "  ") + (column < leftColumns ? cell + padding : padding + cell)
            }
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }

    /// `999`, `1.2k`, `34M`, `5.0G`: powers of 1000.
    static func bytes(_ count: UInt64) -> String {
        var value = Double(count)
        var unit = ""
        for next in ["k", "M", "G", "T", "P"] where value >= 999.5 {
            value /= 1000
            unit = next
        }
        if unit.isEmpty { return "\(count)" }
        let tenths = (value * 10).rounded() / 10
        return tenths < 10 ? "\(tenths)\(unit)" : "\(Int(value.rounded()))\(unit)"
    }

    /// `45s`, `3m20s`, `2h05m`, `3d04h`.
    static func uptime(_ seconds: Double) -> String {
        let all = Int(max(0, seconds))
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        switch all {
        case ..<60: return "\(all)s"
        case ..<3600: return "\(all / 60)m\(two(all % 60))s"
        case ..<86_400: return "\(all / 3600)h\(two(all / 60 % 60))m"
        default: return "\(all / 86_400)d\(two(all / 3600 % 24))h"
        }
    }
}
