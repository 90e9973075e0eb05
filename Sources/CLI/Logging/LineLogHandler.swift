internal import Logging
internal import ServiceModel

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
        let milliseconds = microseconds / 1000 % 1000
        let padding = milliseconds < 10 ? "00" : milliseconds < 100 ? "0" : ""
        return "\(Timestamp(seconds: microseconds / 1_000_000).description.dropLast()).\(padding)\(milliseconds)Z"
    }

    private static func quotedIfNeeded(_ text: String) -> String {
        let plain = !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3d && $0 != 0x7f }
        return plain ? text : json(text)
    }

    /// A message spelled by a file's content must not forge a second line.
    private static func oneLine(_ text: String) -> String {
        text.utf8.contains { $0 < 0x20 } ? String(json(text).dropFirst().dropLast()) : text
    }

    private static func json(_ text: String) -> String { jsonQuoted(text, escapesDelete: true) }
}
