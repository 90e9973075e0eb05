import Routing

/// Changes a text as somebody might who edits manifests: by lines, values, numbers and whole documents. Random bytes alone seldom get past
/// the reader.
struct LineMutation {
    private static let values = [
        "", "null", "[]", "{}", "\"\"", "true", "0", "-1", "65536", "None", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName",
        "Local",
        "Cluster", "ClientIP", "TCP", "UDP", "SCTP", "IPv4", "IPv6", "PreferDualStack", "RequireDualStack", "10.96.0.1",
        "\"fd00:10:96::1\"",
        "127.0.0.1", "web", "\"80\"", "30000",
    ]
    private static let numbers: [Int64] = [0, 1, 80, 30_000, 30_015, 30_016, 65_535, 65_536, 86_401, 2_147_483_648, -1]

    private var random: RandomSource
    private let lengthMax: Int

    init(seed: UInt64, lengthMax: Int) {
        random = RandomSource(seed: seed)
        self.lengthMax = lengthMax
    }

    /// The text with one to four changes; as it was where it would be too long.
    mutating func changed(_ bytes: [UInt8]) -> [UInt8] {
        var lines = Self.lines(of: bytes)
        for _ in 0..<Int.random(in: 1...4, using: &random) { change(&lines) }
        return fitting(lines, else: bytes)
    }

    /// Documents of both texts, of each about half.
    mutating func crossed(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
        let documents = Self.documents(of: left) + Self.documents(of: right)
        let kept = documents.filter { _ in Bool.random(using: &random) }
        return fitting(kept.shuffled(using: &random).flatMap(\.self), else: left)
    }

    private mutating func change(_ lines: inout [String]) {
        guard let at = lines.indices.randomElement(using: &random) else { return lines = ["kind: Service"] }
        let other = Int.random(in: lines.indices, using: &random)
        switch Int.random(in: 0..<9, using: &random) {
        case 0: lines.remove(at: at)
        case 1: lines.insert(lines[at], at: other)
        case 2: lines.swapAt(at, other)
        case 3: lines[at] = Self.key(of: lines[at]) + Self.value(of: lines[other])
        case 4: lines[at] = Self.key(of: lines[at]) + (Self.values.randomElement(using: &random) ?? "")
        case 5: changeNumber(&lines[at])
        case 6: lines[at] = Bool.random(using: &random) ? "  " + lines[at] : String(lines[at].dropFirst(2))
        // The next version begins as this one.
        case 7: lines += [ManifestFuzzing.nextVersion] + lines
        default:
            let block = lines[min(at, other)...max(at, other)]
            lines.insert(contentsOf: ["---"] + block, at: Bool.random(using: &random) ? 0 : lines.count)
        }
    }

    private mutating func changeNumber(_ line: inout String) {
        let numbers = line.split { !$0.isASCII || !$0.isNumber }
        guard let number = numbers.randomElement(using: &random), let value = Int64(number) else { return }
        let (near, overflow) = value.addingReportingOverflow(Bool.random(using: &random) ? 1 : -1)
        let next = Bool.random(using: &random) || overflow ? Self.numbers.randomElement(using: &random) ?? 0 : near
        line.replaceSubrange(number.startIndex..<number.endIndex, with: "\(next)")
    }

    // MARK: Parts

    private func fitting(_ lines: [String], else bytes: [UInt8]) -> [UInt8] {
        let text = Array(lines.joined(separator: "\n").utf8)
        return text.count <= lengthMax ? text : bytes
    }

    private static func lines(of bytes: [UInt8]) -> [String] {
        String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    private static func documents(of bytes: [UInt8]) -> [[String]] {
        var documents: [[String]] = [[]]
        for line in lines(of: bytes) {
            if line == "---" || line == ManifestFuzzing.nextVersion { documents.append([]) }
            documents[documents.count - 1].append(line)
        }
        return documents
    }

    private static func key(of line: String) -> String { String(line[..<valueStart(in: line)]) }

    private static func value(of line: String) -> String { String(line[valueStart(in: line)...]) }

    /// Behind the first colon with a space; the end of a line without one.
    private static func valueStart(in line: String) -> String.Index { line.firstRange(of: ": ")?.upperBound ?? line.endIndex }
}
