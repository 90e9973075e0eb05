internal import ArgumentParser
internal import ServiceModel

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
