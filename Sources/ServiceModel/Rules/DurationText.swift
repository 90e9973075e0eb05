/// Lengths of time as Go and Kubernetes write them: `90s`, `1h30m`, `1.5s`, `250ms`.
package enum DurationText {
    private static let nanosecondsMax = Int64(365) * 24 * 3_600_000_000_000

    /// The length of time; nil where the text is none, is negative, or is more than a year: that is "for ever" to anybody who
    /// asks for it, and within a year every sum stays in range.
    package static func duration(_ text: some StringProtocol) -> Duration? {
        var rest = Substring(text)
        // Go's one length that needs no unit.
        if rest == "0" { return .zero }
        guard !rest.isEmpty else { return nil }
        var total: Int64 = 0
        while !rest.isEmpty {
            let whole = rest.prefix(while: isDigit)
            rest = rest.dropFirst(whole.count)
            var fraction = rest.prefix(0)
            if rest.first == "." {
                fraction = rest.dropFirst().prefix(while: isDigit)
                rest = rest.dropFirst(fraction.count + 1)
            }
            let name = rest.prefix { !isDigit($0) && $0 != "." }
            rest = rest.dropFirst(name.count)
            guard !whole.isEmpty || !fraction.isEmpty, let unit = nanoseconds(of: name), let number = whole.isEmpty ? 0 : Int64(whole),
                number <= nanosecondsMax / unit
            else { return nil }
            total += number * unit + part(fraction, of: unit)
            guard total <= nanosecondsMax else { return nil }
        }
        return .nanoseconds(total)
    }

    /// The same, and `off` for zero: of a timeout that may be switched off.
    package static func durationOrOff(_ text: some StringProtocol) -> Duration? { text == "off" ? .zero : duration(text) }

    /// The shortest of the forms that `duration` reads, without a fraction: `1h30m`, `2m`, `1500ms`.
    package static func text(of duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let below = attoseconds / 1_000_000_000
        if below % 1_000_000 != 0 { return "\(seconds * 1_000_000_000 + below)ns" }
        if below != 0 { return "\(seconds * 1000 + below / 1_000_000)ms" }
        let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")].filter { $0.0 != 0 }
        return parts.isEmpty ? "0s" : parts.map { "\($0.0)\($0.1)" }.joined()
    }

    private static func isDigit(_ character: Character) -> Bool { character.isASCII && character.isNumber }

    private static func nanoseconds(of unit: Substring) -> Int64? {
        switch unit {
        case "ns": 1
        case "us", "\u{b5}s", "\u{3bc}s": 1000
        case "ms": 1_000_000
        case "s": 1_000_000_000
        case "m": 60_000_000_000
        case "h": 3_600_000_000_000
        default: nil
        }
    }

    /// The decimal fraction of a unit, rounded down to the nanosecond.
    private static func part(_ digits: Substring, of unit: Int64) -> Int64 {
        var result: Int64 = 0
        var scale: Int64 = 1
        // A thousandth of a nanosecond of an hour is as far as it makes a difference.
        for digit in digits.prefix(13) {
            result = result * 10 + Int64(digit.wholeNumberValue ?? 0)
            scale *= 10
        }
        let (high, low) = result.multipliedFullWidth(by: unit)
        return scale.dividingFullWidth((high, low)).quotient
    }
}
