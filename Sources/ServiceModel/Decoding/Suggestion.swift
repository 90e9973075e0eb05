/// Finds what the writer most likely meant.
enum Suggestion {
    /// The candidate nearest to `word`: one that differs only by case, else one within a third of its length in edits (two for
    /// short words); nil where none is near.
    static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let lowered = word.lowercased()
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let other = candidate.lowercased()
            if other == lowered { return candidate }
            let limit = min(Swift.max(2, other.utf8.count / 3), 4, other.utf8.count - 1)
            guard abs(other.utf8.count - lowered.utf8.count) <= limit else { continue }
            let distance = editDistance(Array(lowered.utf8), Array(other.utf8))
            guard distance <= limit else { continue }
            if let current = best, (current.distance, current.candidate) <= (distance, candidate) { continue }
            best = (candidate, distance)
        }
        return best?.candidate
    }

    /// Insertions, deletions, substitutions and swaps of neighbours.
    private static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        guard left.count <= 64, right.count <= 64 else { return Int.max }
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var cost = Swift.min(previous[column + 1], current[column]) + 1
                cost = Swift.min(cost, previous[column] + (byte == other ? 0 : 1))
                if row > 0, column > 0, byte == right[column - 1], left[row - 1] == other {
                    cost = Swift.min(cost, beforePrevious[column - 1] + 1)
                }
                current.append(cost)
            }
            (beforePrevious, previous) = (previous, current)
        }
        return previous[right.count]
    }

    /// ` (did you mean "x"?)`, or nothing.
    static func phrase(for word: String, among candidates: some Sequence<String>) -> String {
        nearest(to: word, among: candidates).map { " (did you mean \(goQuoted($0))?)" } ?? ""
    }
}
