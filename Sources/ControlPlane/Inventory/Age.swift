/// A length of time as kubectl writes an age: two units at most, and only one once it is long.
func ageText(seconds: Int64) -> String {
    // Clocks of two hosts differ.
    guard seconds >= -1 else { return "<invalid>" }
    guard seconds >= 120 else { return "\(max(0, seconds))s" }
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400)
    func pair(_ large: Int64, _ largeUnit: String, _ small: Int64, _ smallUnit: String) -> String {
        small == 0 ? "\(large)\(largeUnit)" : "\(large)\(largeUnit)\(small)\(smallUnit)"
    }
    return switch hours {
    case ..<3: minutes < 10 ? pair(minutes, "m", seconds % 60, "s") : "\(minutes)m"
    case ..<8: pair(hours, "h", minutes % 60, "m")
    case ..<48: "\(hours)h"
    case ..<(8 * 24): pair(days, "d", hours % 24, "h")
    case ..<(2 * 365 * 24): "\(days)d"
    case ..<(8 * 365 * 24): pair(days / 365, "y", days % 365, "d")
    default: "\(days / 365)y"
    }
}
