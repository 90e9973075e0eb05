internal import Forwarding

/// What is said of names that others are asked for: under CoreDNS's names where the meaning is the same, but for all addresses together.
struct ForwardingMetric: Sendable {
    let metric: Metric
    private let samples: [(type: String?, count: ForwardingCount)]

    private static let all: [ForwardingMetric] = [
        ForwardingMetric(
            "coredns_cache_hits_total", .counter, "Questions answered from what is known, by what that says.",
            [("success", .successHits), ("denial", .denialHits)]),
        ForwardingMetric("coredns_cache_misses_total", .counter, "Questions to which no answer was known.", [(nil, .misses)]),
        ForwardingMetric(
            "coredns_cache_served_stale_total", .counter,
            "Questions answered at once from what was known of late, as all upstreams were down.",
            [(nil, .staleHits)]),
        ForwardingMetric(
            "coredns_cache_entries", .gauge, "Answers that are kept, by what they say.",
            [("success", .successEntries), ("denial", .denialEntries)]),
        ForwardingMetric(
            "coredns_cache_evictions_total", .counter, "Answers that gave way to others before their time.", [(nil, .evictions)]),
        ForwardingMetric(
            "coredns_forward_max_concurrent_rejects_total", .counter, "Questions refused, as too many were under way.", [(nil, .rejects)]),
        ForwardingMetric("ringway_dns_upstream_queries_total", .counter, "Queries sent to upstreams.", [(nil, .attempts)]),
        ForwardingMetric(
            "ringway_dns_upstream_timeouts_total", .counter, "Queries to upstreams without a reply in time.", [(nil, .timeouts)]),
        ForwardingMetric(
            "ringway_dns_upstream_foreign_total", .counter, "Messages on upstreams' sockets that were no reply to what was asked.",
            [(nil, .foreign)]),
        ForwardingMetric(
            "ringway_dns_questions_joined_total", .counter, "Questions that waited for the answer to another one like them.",
            [(nil, .joined)]),
        ForwardingMetric("ringway_dns_questions_active", .gauge, "Questions that upstreams are asked now.", [(nil, .questionsActive)]),
    ]

    /// Without CoreDNS's label `rcode`: what it says is counted for the clients.
    private static let replyTimes = Metric(
        "coredns_proxy_request_duration_seconds", .histogram, "Seconds from a query to an upstream to its reply.")

    static func add(_ reading: ForwardingReading, to text: inout MetricText) {
        for metric in all { metric.add(reading, to: &text) }
        text.begin(replyTimes)
        for (server, buckets, nanoseconds) in reading.replyTimes {
            let histogram = Histogram.Reading(bounds: ReplyTime.bounds, counts: buckets, sum: Double(nanoseconds) / 1e9)
            text.add(replyTimes.name, [("proxy_name", "forward"), ("to", "\(server)")], histogram)
        }
    }

    private init(_ name: String, _ kind: Metric.Kind, _ help: String, _ samples: [(type: String?, count: ForwardingCount)]) {
        metric = Metric(name, kind, help)
        self.samples = samples
    }

    private func add(_ reading: ForwardingReading, to text: inout MetricText) {
        text.begin(metric)
        for sample in samples {
            text.add(metric.name, sample.type.map { [("type", $0)] } ?? [], reading[sample.count])
        }
    }
}
