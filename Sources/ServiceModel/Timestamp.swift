/// A moment, to the second, as Kubernetes writes it: `2026-11-25T07:30:00Z`.
package struct Timestamp: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Since 1970, UTC.
    package let seconds: Int64

    package init(seconds: Int64) { self.seconds = seconds }

    /// Reads RFC 3339; fractions of a second are dropped. Nil for anything else.
    package init?(_ text: String) {
        var rest = text.utf8[...]
        func number(_ digits: Int, after separator: String = "") -> Int64? {
            guard rest.starts(with: separator.utf8) else { return nil }
            let field = rest.dropFirst(separator.utf8.count).prefix(digits)
            guard field.count == digits, field.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            rest = rest.dropFirst(separator.utf8.count + digits)
            return field.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }
        guard let year = number(4), let month = number(2, after: "-"), let day = number(2, after: "-"),
            let hour = number(2, after: "T"), let minute = number(2, after: ":"), let second = number(2, after: ":"),
            (1...12).contains(month), (1...Self.days(of: month, in: year)).contains(day), hour < 24, minute < 60, second < 60
        else { return nil }
        if rest.first == 0x2e {
            let fraction = rest.dropFirst().prefix { (0x30...0x39).contains($0) }
            guard !fraction.isEmpty else { return nil }
            rest = rest.dropFirst(1 + fraction.count)
        }
        var offset: Int64 = 0
        if rest.elementsEqual("Z".utf8) {
            rest = rest.dropFirst()
        } else {
            let sign: Int64 = rest.first == 0x2b ? 1 : -1
            guard rest.first == 0x2b || rest.first == 0x2d else { return nil }
            rest = rest.dropFirst()
            guard let hours = number(2), let minutes = number(2, after: ":"), hours < 24, minutes < 60 else { return nil }
            offset = sign * (hours * 3600 + minutes * 60)
        }
        guard rest.isEmpty else { return nil }
        seconds = Self.days(toYear: year, month: month, day: day) * 86_400 + hour * 3600 + minute * 60 + second - offset
    }

    package var description: String {
        let (day, time) = (seconds.flooredQuotient(86_400), seconds - seconds.flooredQuotient(86_400) * 86_400)
        let (year, month, date) = Self.civil(daysSince1970: day)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year)-\(two(month))-\(two(date))T\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))Z"
    }

    package static func < (left: Timestamp, right: Timestamp) -> Bool { left.seconds < right.seconds }

    /// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    private static func civil(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted.flooredQuotient(146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    private static func isLeap(_ year: Int64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func days(of month: Int64, in year: Int64) -> Int64 {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days from 1970-01-01 to a date.
    private static func days(toYear year: Int64, month: Int64, day: Int64) -> Int64 {
        let before = year - 1
        let leaps = before.flooredQuotient(4) - before.flooredQuotient(100) + before.flooredQuotient(400)
        // 719,162 days lie between the first year and 1970.
        var days = before * 365 + leaps - 719_162
        for earlier in 1..<13 where Int64(earlier) < month { days += Self.days(of: Int64(earlier), in: year) }
        return days + day - 1
    }
}

extension Int64 {
    fileprivate func flooredQuotient(_ divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
