/// The bugs of Tests/Mutants: patches that `Scripts/mutants` applies one by one, to show that the simulator finds each.
extension Rules {
    static let mutantsMin = 6

    /// What a patch leaves and what it removes must stand in today's sources, once: else nobody can plant its bug any more.
    static func patchesThatDoNotApply(_ files: [File]) -> [String] {
        var findings: [String] = []
        for patch in files where patch.path.hasPrefix("Tests/Mutants/") {
            var lines: [Substring]?
            var hunk: [Substring] = []
            var hunks = 0
            func check() {
                guard !hunk.isEmpty else { return }
                hunks += 1
                let count = lines.map { occurrences(of: hunk, in: $0) } ?? 0
                if count != 1 { findings.append("\(patch.path): \(count) places have its \"\(hunk[hunk.count / 2])\"") }
                hunk = []
            }
            for line in patch.lines {
                if line.hasPrefix("--- a/") {
                    check()
                    lines = files.first { $0.path == line.dropFirst(6) }?.lines
                } else if line.hasPrefix("@@ ") {
                    check()
                } else if lines != nil, line.first == " " || line.first == "-" {
                    hunk.append(line.dropFirst())
                }
            }
            check()
            if hunks == 0 { findings.append("\(patch.path): changes nothing") }
        }
        return findings
    }

    private static func occurrences(of part: [Substring], in lines: [Substring]) -> Int {
        guard lines.count >= part.count else { return 0 }
        return (0...lines.count - part.count).count { start in lines[start..<start + part.count].elementsEqual(part) }
    }
}
