internal import ArgumentParser
internal import ServiceModel

/// A timeout that may be switched off: a length of time, or `off` (or 0).
struct TimeoutArgument: ExpressibleByArgument, Equatable {
    /// Zero for off.
    let duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    init?(argument: String) {
        guard let duration = DurationText.durationOrOff(argument) else { return nil }
        self.duration = duration
    }

    var defaultValueDescription: String { duration == .zero ? "off" : DurationText.text(of: duration) }

    /// What is wrong with it as the value of an option; nil if nothing is.
    func problem(of option: String, _ range: ClosedRange<Duration>) -> String? {
        if duration == .zero || range.contains(duration) { return nil }
        let bounds = "\(DurationText.text(of: range.lowerBound)) and \(DurationText.text(of: range.upperBound))"
        return "\(option) must be between \(bounds), or off."
    }
}

/// A length of time with its unit, as annotations have it: `30s`, `500ms`, `1h30m`, `1.5s`.
struct DurationArgument: ExpressibleByArgument, Equatable {
    let duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    init?(argument: String) {
        guard let duration = DurationText.duration(argument) else { return nil }
        self.duration = duration
    }

    /// The shortest of the forms that `init` reads.
    var defaultValueDescription: String { DurationText.text(of: duration) }
}
