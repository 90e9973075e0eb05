/// A set of port numbers as the kernel's settings write it: `22,80,30000-32767`.
package struct PortSet: Hashable, Sendable, CustomStringConvertible {
    /// In order, none touching the next.
    package private(set) var ranges: [ClosedRange<UInt16>] = []

    /// In any order, overlapping or not; neighbours become one.
    package init(_ ranges: [ClosedRange<UInt16>] = []) {
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = self.ranges.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
                self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                self.ranges.append(range)
            }
        }
    }

    package init(_ ports: Set<UInt16>) { self.init(ports.map { $0...$0 }) }

    /// nil for anything that is no such list; white space around it doesn't matter.
    package init?(_ text: some StringProtocol) {
        var ranges: [ClosedRange<UInt16>] = []
        for item in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let ends = item.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
            guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1], first <= last else { return nil }
            ranges.append(first...last)
        }
        self.init(ranges)
    }

    package func union(_ other: PortSet) -> PortSet { PortSet(ranges + other.ranges) }

    package func subtracting(_ other: PortSet) -> PortSet {
        var rest = PortSet()
        var taken = other.ranges[...]
        for range in ranges {
            while let next = taken.first, next.upperBound < range.lowerBound { taken = taken.dropFirst() }
            // The first number that may be left.
            var first = Int(range.lowerBound)
            for next in taken {
                guard next.lowerBound <= range.upperBound else { break }
                if first < next.lowerBound { rest.ranges.append(UInt16(first)...(next.lowerBound - 1)) }
                first = Int(next.upperBound) + 1
            }
            if first <= range.upperBound { rest.ranges.append(UInt16(first)...range.upperBound) }
        }
        return rest
    }

    /// The list, or of a long one how many they are.
    package var summary: String {
        ranges.count > 8 ? "\(ranges.reduce(0) { $0 + $1.count }) of them" : description
    }

    package var description: String {
        ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }
}
