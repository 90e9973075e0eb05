/// Writes Prometheus' text format, version 0.0.4.
struct MetricText {
    private(set) var text = ""

    mutating func begin(_ metric: Metric) {
        text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.kind.rawValue)\n"
    }

    mutating func add(_ name: String, _ labels: [(String, String)] = [], _ value: some MetricValue) {
        text += name
        if !labels.isEmpty {
            text += "{"
            for (index, (label, value)) in labels.enumerated() {
                text += index == 0 ? label : ",\(label)"
                text += "=\""
                Self.escape(value, into: &text)
                text += "\""
            }
            text += "}"
        }
        text += " \(value.metricText)\n"
    }

    /// Cumulative buckets, their sum and count.
    mutating func add(_ name: String, _ labels: [(String, String)], _ histogram: Histogram.Reading) {
        var count: UInt64 = 0
        for (bound, bucket) in zip(histogram.bounds, histogram.buckets) {
            count += bucket
            add("\(name)_bucket", labels + [("le", bound.metricText)], count)
        }
        add("\(name)_bucket", labels + [("le", "+Inf")], histogram.count)
        add("\(name)_sum", labels, histogram.sum)
        add("\(name)_count", labels, histogram.count)
    }

    /// Hands over what is written so far.
    mutating func take() -> String {
        defer { text = "" }
        return text
    }

    private static func escape(_ value: String, into text: inout String) {
        guard value.utf8.contains(where: { $0 == 0x5c || $0 == 0x22 || $0 == 0x0a }) else { return text += value }
        for character in value.unicodeScalars {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(character)
            }
        }
    }
}

protocol MetricValue {
    var metricText: String { get }
}

extension UInt64: MetricValue {
    var metricText: String { description }
}

extension Int: MetricValue {
    var metricText: String { description }
}

extension Double: MetricValue {
    /// `0.25`, `1` and not `1.0`, `+Inf`.
    var metricText: String {
        if isInfinite { return self > 0 ? "+Inf" : "-Inf" }
        if isNaN { return "NaN" }
        let text = description
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
