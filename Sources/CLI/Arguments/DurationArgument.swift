internal import ArgumentParser

/// A length of time with its unit: `30s`, `500ms`, `2m`, `1h`, `1.5s`.
struct DurationArgument: ExpressibleByArgument, Equatable {
    let duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber || $0 == "." }
        guard let number = Double(digits), number.isFinite else { return nil }
        let milliseconds: Double
        switch argument[digits.endIndex...] {
        case "ms": milliseconds = number
        case "s": milliseconds = number * 1000
        case "m": milliseconds = number * 60_000
        case "h": milliseconds = number * 3_600_000
        default: return nil
        }
        // A year is "for ever" to anybody who asks for it, and keeps every sum in range.
        guard milliseconds <= 365 * 24 * 3_600_000 else { return nil }
        duration = .milliseconds(Int64(milliseconds.rounded()))
    }

    /// The shortest of the forms that `init` reads.
    var defaultValueDescription: String { Self.text(of: duration) }

    static func text(of duration: Duration) -> String {
        let milliseconds = duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
        if milliseconds % 1000 != 0 { return "\(milliseconds)ms" }
        let seconds = milliseconds / 1000
        if seconds > 0, seconds % 3600 == 0 { return "\(seconds / 3600)h" }
        if seconds > 0, seconds % 60 == 0 { return "\(seconds / 60)m" }
        return "\(seconds)s"
    }
}
