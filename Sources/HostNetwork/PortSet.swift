/// A set of port numbers as the kernel's settings write it: `22,80,30000-32767`.
package struct PortSet: Hashable, Sendable, CustomStringConvertible {
    /// In order, none touching the next.
    package private(set) var ranges: [ClosedRange<UInt16>] = []

    package init(_ ranges: [ClosedRange<UInt16>] = []) {
        for range in ranges { insert(range) }
    }

    /// nil for anything that is no such list; white space around it doesn't matter.
    package init?(_ text: some StringProtocol) {
        for item in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let ends = item.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
            guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1], first <= last else { return nil }
            insert(first...last)
        }
    }

    package mutating func insert(_ range: ClosedRange<UInt16>) {
        // Neighbours are one range.
        let touching = ranges.filter { Int($0.lowerBound) <= Int(range.upperBound) + 1 && Int(range.lowerBound) <= Int($0.upperBound) + 1 }
        let first = min(range.lowerBound, touching.first?.lowerBound ?? range.lowerBound)
        let last = max(range.upperBound, touching.last?.upperBound ?? range.upperBound)
        ranges.removeAll(where: touching.contains)
        ranges.insert(first...last, at: ranges.firstIndex { $0.lowerBound > last } ?? ranges.count)
    }

    package mutating func remove(_ range: ClosedRange<UInt16>) {
        ranges = ranges.flatMap { old -> [ClosedRange<UInt16>] in
            guard old.overlaps(range) else { return [old] }
            var rest: [ClosedRange<UInt16>] = []
            if old.lowerBound < range.lowerBound { rest.append(old.lowerBound...(range.lowerBound - 1)) }
            if old.upperBound > range.upperBound { rest.append((range.upperBound + 1)...old.upperBound) }
            return rest
        }
    }

    package func contains(_ range: ClosedRange<UInt16>) -> Bool {
        ranges.contains { $0.lowerBound <= range.lowerBound && $0.upperBound >= range.upperBound }
    }

    package var description: String {
        ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }
}
