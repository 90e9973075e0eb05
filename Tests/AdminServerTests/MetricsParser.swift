/// Reads Prometheus' text format by its rules, as strictly as they are written: a reader of our own, so that the page is not judged by its
/// writer.
struct MetricsParser {
    struct Sample: Hashable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    struct Family {
        var help = ""
        var type = ""
        var samples: [Sample] = []
    }

    private(set) var families: [String: Family] = [:]
    private(set) var problems: [String] = []
    private var current = ""

    init(_ text: String) {
        if !text.hasSuffix("\n") { problems.append("the page does not end with a line end") }
        for line in text.split(separator: "\n") { read(line) }
        for (name, family) in families { check(name, family) }
    }

    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        let base = families[name] ?? families.first { name.hasPrefix($0.key + "_") && $0.value.type == "histogram" }?.value
        return base?.samples.first { sample in
            sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
        }?.value
    }

    private mutating func read(_ line: Substring) {
        if line.hasPrefix("# ") {
            let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
            guard words.count == 4 else { return problems.append("comment: \(line)") }
            let name = String(words[2])
            switch words[1] {
            case "HELP":
                if families[name] != nil { problems.append("\(name) stands twice") }
                families[name] = Family(help: String(words[3]))
                current = name
            case "TYPE":
                if name != current || families[name]?.samples.isEmpty == false { problems.append("TYPE of \(name) is out of place") }
                families[name]?.type = String(words[3])
            default: problems.append("comment: \(line)")
            }
            return
        }
        guard let sample = Self.sample(line) else { return problems.append("sample: \(line)") }
        let suffixes = families[current]?.type == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
        guard suffixes.contains(where: { current + $0 == sample.name }) else {
            return problems.append("\(sample.name) stands among those of \(current)")
        }
        families[current]?.samples.append(sample)
    }

    /// `name{label="value",…} value`
    private static func sample(_ line: Substring) -> Sample? {
        var rest = line
        func isNameCharacter(_ character: Character) -> Bool {
            character.isASCII && (character.isLetter || character.isNumber || character == "_")
        }
        let name = rest.prefix(while: isNameCharacter)
        rest = rest.dropFirst(name.count)
        guard let first = name.first, !first.isNumber else { return nil }
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while rest.first != "}" {
                let label = rest.prefix(while: isNameCharacter)
                rest = rest.dropFirst(label.count)
                guard !label.isEmpty, rest.hasPrefix("=\"") else { return nil }
                rest = rest.dropFirst(2)
                var value = ""
                while let character = rest.popFirst(), character != "\"" {
                    guard character == "\\" else {
                        value.append(character)
                        continue
                    }
                    switch rest.popFirst() {
                    case "n": value.append("\n")
                    case "\\": value.append("\\")
                    case "\"": value.append("\"")
                    default: return nil
                    }
                }
                guard labels.updateValue(value, forKey: String(label)) == nil else { return nil }
                if rest.first == "," { rest = rest.dropFirst() } else if rest.first != "}" { return nil }
            }
            rest = rest.dropFirst()
        }
        guard rest.first == " " else { return nil }
        let number = String(rest.dropFirst()).replacing("Inf", with: "inf")
        guard let value = Double(number) else { return nil }
        return Sample(name: String(name), labels: labels, value: value)
    }

    private mutating func check(_ name: String, _ family: Family) {
        if family.help.isEmpty { problems.append("\(name) has no HELP") }
        if !["counter", "gauge", "histogram"].contains(family.type) { problems.append("\(name) is a \(family.type)") }
        if (family.type == "counter") != name.hasSuffix("_total") { problems.append("\(name) is a \(family.type)") }
        let keys = family.samples.map { "\($0.name) \($0.labels.sorted { $0.key < $1.key })" }
        if Set(keys).count != keys.count { problems.append("\(name) has a sample twice") }
        guard family.type == "histogram" else { return }
        let buckets = family.samples.filter { $0.name == name + "_bucket" }
        let bounds = buckets.compactMap { Double(($0.labels["le"] ?? "").replacing("Inf", with: "inf")) }
        let counts = buckets.map(\.value)
        if bounds != bounds.sorted() || bounds.last != .infinity || bounds.count != counts.count {
            problems.append("\(name): bounds \(bounds)")
        }
        if counts != counts.sorted() || counts.last != value(name + "_count") { problems.append("\(name): counts \(counts)") }
    }
}
