internal import Logging

/// Makes each log message one line, as text or JSON.
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info
    var metadataProvider: Logger.MetadataProvider?
    private let sink: LogSink

    init(sink: LogSink) { self.sink = sink }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error { all["error"] = "\(error)" }
        sink.write(
            LogLine(
                microseconds: Host.wallClockMicroseconds, level: event.level.rawValue, message: event.message.description,
                fields: all.map { ($0.key, $0.value.description) }.sorted { $0.0 < $1.0 }))
    }
}

/// One message and how it is spelled.
struct LogLine {
    var microseconds: Int64
    var level: String
    var message: String
    var fields: [(key: String, value: String)]
    /// Further ones, which JSON has as numbers.
    var numbers: [(key: String, value: String)] = []

    func text(as format: LogFormat) -> String {
        switch format {
        case .text:
            ([timestamp, level, Self.oneLine(message)] + (fields + numbers).map { "\($0.key)=\(Self.quotedIfNeeded($0.value))" })
                .joined(separator: " ")
        case .json:
            "{"
                + (([("time", timestamp), ("level", level), ("message", message)] + fields)
                .map { "\(Self.json($0.0)):\(Self.json($0.1))" } + numbers.map { "\(Self.json($0.key)):\($0.value)" })
                .joined(separator: ",") + "}"
        }
    }

    /// RFC 3339, UTC, milliseconds.
    private var timestamp: String {
        let milliseconds = microseconds / 1000
        let (days, time) = (milliseconds / 86_400_000, milliseconds % 86_400_000)
        let (year, month, day) = Self.civil(daysSince1970: days)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        func three(_ value: Int64) -> String { value < 100 ? "0" + two(value) : "\(value)" }
        let seconds = time / 1000
        let clock = "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
        return "\(year)-\(two(month))-\(two(day))T\(clock).\(three(time % 1000))Z"
    }

    /// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`; for days from 1970 on.
    private static func civil(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private static func quotedIfNeeded(_ text: String) -> String {
        let plain = !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3d && $0 != 0x7f }
        return plain ? text : json(text)
    }

    /// A message spelled by a file's content must not forge a second line.
    private static func oneLine(_ text: String) -> String {
        text.utf8.contains { $0 < 0x20 } ? String(json(text).dropFirst().dropLast()) : text
    }

    /// A JSON string (RFC 8259, section 7).
    static func json(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
