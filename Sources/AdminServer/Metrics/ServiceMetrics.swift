internal import Addressing
internal import Forwarding
internal import Routing

/// What is said of each Service port, one sample a line. About a dozen series each, and one for each reason that has occurred: labels name
/// Services and never clients.
struct ServiceMetric: Sendable {
    typealias Sample = (label: (String, String)?, value: UInt64)

    let metric: Metric
    let samples: @Sendable (ServiceReading) -> [Sample]

    static let all: [ServiceMetric] = [
        one("ringway_connections_total", .counter, "TCP connections accepted.", .tcp, Column.connections),
        one("ringway_connections_active", .gauge, "TCP connections open now.", .tcp, Column.connectionsActive),
        ServiceMetric("ringway_connection_closed_total", .counter, "Connections and UDP sessions that have ended, by reason.") { reading in
            CloseReason.allCases.compactMap { sample("reason", $0.name, reading.closed($0)) }
        },
        ServiceMetric("ringway_bytes_total", .counter, "Bytes passed on, from clients (in) and to them (out).") { reading in
            [
                (("direction", "in"), reading.counters[Column.bytesFromClients]),
                (("direction", "out"), reading.counters[Column.bytesToClients]),
            ]
        },
        one("ringway_retries_total", .counter, "Connect attempts after the first one of a connection.", .tcp, Column.retries),
        ServiceMetric("ringway_connect_failures_total", .counter, "Endpoints that refused or did not answer.") {
            [(nil, $0.connectFailures)]
        },
        ServiceMetric("ringway_endpoints", .gauge, "Endpoints by state.") { reading in
            ServiceReading.EndpointState.allCases.map { (("state", $0.rawValue), UInt64(reading.endpoints[$0] ?? 0)) }
        },
        ServiceMetric("ringway_endpoint_ejections_total", .counter, "Times that an endpoint was ejected.") { [(nil, $0.ejections)] },
        one("ringway_udp_sessions_total", .counter, "UDP sessions begun.", .udp, Column.connections),
        one("ringway_udp_sessions_active", .gauge, "UDP sessions open now.", .udp, Column.connectionsActive),
        ServiceMetric("ringway_udp_datagrams_total", .counter, "Datagrams from clients (in) and to them (out).") { reading in
            guard reading.service.transport == .udp else { return [] }
            return [
                (("direction", "in"), reading.counters[Column.datagramsFromClients]),
                (("direction", "out"), reading.counters[Column.datagramsToClients]),
            ]
        },
        ServiceMetric("ringway_udp_drops_total", .counter, "Datagrams that were not passed on, by reason.") { reading in
            DatagramDrop.allCases.compactMap { sample("reason", $0.name, reading.dropped($0)) }
        },
        one("ringway_udp_rebinds_total", .counter, "UDP sessions that went on with another endpoint.", .udp, Column.rebinds),
    ]

    private init(_ name: String, _ kind: Metric.Kind, _ help: String, _ samples: @escaping @Sendable (ServiceReading) -> [Sample]) {
        metric = Metric(name, kind, help)
        self.samples = samples
    }

    private enum Transport { case tcp, udp }

    private static func one(
        _ name: String, _ kind: Metric.Kind, _ help: String, _ transport: Transport, _ column: Int
    ) -> ServiceMetric {
        ServiceMetric(name, kind, help) { reading in
            (reading.service.transport == .udp) == (transport == .udp) ? [(nil, reading.counters[column])] : []
        }
    }

    /// Reasons that never occurred are left out: thousands of Services would have dozens of them each.
    private static func sample(_ label: String, _ value: String, _ count: UInt64) -> Sample? {
        count > 0 ? ((label, value), count) : nil
    }
}
