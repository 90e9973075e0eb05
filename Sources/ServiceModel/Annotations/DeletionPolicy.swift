/// What becomes of a Service's connections when it is deleted, or a port of it.
package enum DeletionPolicy: Hashable, Sendable {
    /// They go on for as long as both sides like.
    case keep
    /// They have so long to end; what is left is reset.
    case drain(Duration)
    /// They are reset at once.
    case reset

    static let drainRange: ClosedRange<Duration> = .seconds(1)...(.seconds(24 * 3600))
}

extension AnnotationReader where Value == DeletionPolicy {
    /// `keep`, `reset` or `drain(10m)`.
    static var deletionPolicy: Self {
        Self { text, field, findings in
            let word = trimmed(text)
            switch word {
            case "keep": return .keep
            case "reset": return .reset
            default: break
            }
            guard word.hasPrefix("drain("), word.hasSuffix(")"), let time = DurationText.duration(word.dropFirst(6).dropLast()),
                DeletionPolicy.drainRange.contains(time)
            else {
                findings.invalid(field, string: text, "must be keep, reset, or drain(TIME) with a time from 1s to 24h, such as drain(10m)")
                return nil
            }
            return .drain(time)
        }
    }
}
