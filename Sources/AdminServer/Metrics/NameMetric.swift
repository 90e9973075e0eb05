internal import Addressing
internal import Forwarding

/// What is said of the cluster's DNS: under CoreDNS's names where the meaning is the same.
struct NameMetric: Sendable {
    typealias Labels = [(String, String)]

    enum Content {
        case counts([(labels: Labels, value: UInt64)])
        case sizes(buckets: [UInt64], bytes: UInt64)
    }

    let metric: Metric
    private let content: @Sendable (NameReading) -> Content

    static let all: [NameMetric] = [
        NameMetric("coredns_dns_requests_total", .counter, "Queries that were answered.") { reading in
            .counts(
                ZoneKind.allCases.flatMap { zone in
                    QueryKind.allCases.compactMap { type in
                        count(
                            reading.requests(zone, type), reading,
                            [zoneLabel(zone, reading), ("view", ""), family(reading), ("type", type.name)])
                    }
                })
        },
        NameMetric("coredns_dns_responses_total", .counter, "Answers.") { reading in
            .counts(
                ZoneKind.allCases.flatMap { zone in
                    ResponseKind.allCases.compactMap { code in
                        let plugin = zone == .cluster ? "kubernetes" : ""
                        return count(
                            reading.responses(zone, code), reading,
                            [zoneLabel(zone, reading), ("view", ""), ("rcode", code.name), ("plugin", plugin)])
                    }
                })
        },
        NameMetric("coredns_dns_request_size_bytes", .histogram, "Bytes of queries.") {
            .sizes(buckets: $0.requestSizes.buckets, bytes: $0.requestSizes.bytes)
        },
        NameMetric("coredns_dns_response_size_bytes", .histogram, "Bytes of answers.") {
            .sizes(buckets: $0.responseSizes.buckets, bytes: $0.responseSizes.bytes)
        },
        NameMetric("ringway_dns_drops_total", .counter, "Queries that got no answer, or were told to ask by TCP, by reason.") { reading in
            .counts(QueryDrop.allCases.compactMap { count(reading.dropped($0), reading, [("reason", $0.name)]) })
        },
        NameMetric("ringway_dns_connections_total", .counter, "TCP connections for queries accepted.") { ofTCP($0, $0.connections) },
        NameMetric("ringway_dns_connections_active", .gauge, "TCP connections for queries open now.") { ofTCP($0, $0.connectionsActive) },
        NameMetric("ringway_dns_connection_closed_total", .counter, "TCP connections for queries that have ended, by reason.") { reading in
            .counts(reading.closed.compactMap { count($0.count, reading, [("reason", $0.reason)]) })
        },
    ]

    private init(_ name: String, _ kind: Metric.Kind, _ help: String, _ content: @escaping @Sendable (NameReading) -> Content) {
        metric = Metric(name, kind, help)
        self.content = content
    }

    private static func server(_ reading: NameReading) -> Labels {
        [("server", "dns://\(reading.address)"), ("proto", reading.transport.rawValue.lowercased())]
    }

    private static func zoneLabel(_ zone: ZoneKind, _ reading: NameReading) -> (String, String) {
        ("zone", zone == .cluster ? reading.domain : ".")
    }

    /// As IANA numbers them.
    private static func family(_ reading: NameReading) -> (String, String) {
        ("family", reading.address.address.family == .ipv4 ? "1" : "2")
    }

    /// What never happened is left out.
    private static func count(_ value: UInt64, _ reading: NameReading, _ labels: Labels) -> (labels: Labels, value: UInt64)? {
        value > 0 ? (server(reading) + labels, value) : nil
    }

    private static func ofTCP(_ reading: NameReading, _ value: UInt64) -> Content {
        .counts(reading.transport == .tcp ? [(server(reading), value)] : [])
    }

    func add(_ readings: [NameReading], to text: inout MetricText) {
        text.begin(metric)
        for reading in readings {
            switch content(reading) {
            case .counts(let counts): for (labels, value) in counts { text.add(metric.name, labels, value) }
            case .sizes(let buckets, let bytes):
                let histogram = Histogram.Reading(bounds: SizeBucket.bounds.map(Double.init), counts: buckets, sum: Double(bytes))
                text.add(metric.name, Self.server(reading), histogram)
            }
        }
    }
}
