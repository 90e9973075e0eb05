internal import ServiceModel
internal import Yams

/// Reads one YAML document into a `DocumentNode`, with libyaml through Yams.
///
/// Yams composes recursively, as deep as libyaml lets it (1000 levels): run this on a thread with `stackBytes` of stack.
struct YAMLReading {
    /// Enough for libyaml's thousand levels in a debug build, several times over. Only what is used is ever backed by memory.
    static let stackBytes = 64 << 20

    /// Duplicate keys in a document of which each is reported at its place, and the bytes that finding them may read again.
    private static let duplicatesMax = 16
    private static let rereadBytesMax = 16 << 20

    /// Aliases that a document may use with keys that are aliases or collections; see `refuseKeyBomb`.
    private static let keyAliasesMax = 16

    private let text: DocumentText
    private let file: String
    private let limits: ManifestLimits
    private let isLast: Bool

    /// Characters of keys that were replaced to get past Yams' check for duplicates: where, and what the key is in truth.
    private var renamedKeys: [Place: String] = [:]
    private var nodeCount = 0

    /// A mark of libyaml: line and column from 1, in this document's text.
    private struct Place: Hashable {
        let line: Int
        let column: Int

        init(_ mark: Mark?) {
            line = mark?.line ?? 1
            column = mark?.column ?? 1
        }
    }

    /// `isLast`: nothing follows in the file, so a mistake at the very end may be a cut.
    init(_ text: DocumentText, file: String, limits: ManifestLimits, isLast: Bool) {
        self.text = text
        self.file = file
        self.limits = limits
        self.isLast = isLast
    }

    /// The document; nil for an empty one.
    mutating func read() throws(ReadingFault) -> DocumentNode? {
        var bytes = text.bytes
        try refuseKeyBomb(bytes)
        for _ in 0...Self.duplicatesMax {
            // The caller has checked that the bytes are UTF-8.
            let source = String(decoding: bytes, as: UTF8.self)
            let outcome: Result<Yams.Node?, any Error> = Result {
                try Parser(yaml: source, resolver: .basic, encoding: .utf8).singleRoot()
            }
            switch outcome {
            case .success(let node):
                guard let node else { return nil }
                return try convert(node, depth: 0)
            case .failure(YamlError.duplicatedKeysInMapping(let keys, let context)):
                guard let key = keys.first, renamedKeys.count < Self.duplicatesMax,
                    bytes.count * (renamedKeys.count + 1) < Self.rereadBytesMax,
                    rename(key, at: Place(context.mark), in: &bytes)
                else { throw duplicateFault(keys, at: context.mark) }
            case .failure(let error):
                throw fault(of: error)
            }
        }
        throw fault("too many duplicate keys", line: 1, column: 1)
    }

    // MARK: Conversion

    private mutating func convert(_ node: Yams.Node, depth: Int) throws(ReadingFault) -> DocumentNode {
        let place = Place(node.mark)
        nodeCount += 1
        // A node that is written out takes at least a byte; the empty value of a key takes the byte of its colon.
        guard nodeCount <= text.bytes.count + limits.aliasNodesMax else {
            throw fault(
                "aliases add more than \(limits.aliasNodesMax) nodes to the document", line: place.line, column: place.column, kind: .limit)
        }
        guard depth <= limits.nestingMax else {
            throw fault("nested deeper than \(limits.nestingMax) levels", line: place.line, column: place.column, kind: .limit)
        }
        let location = location(of: place)
        switch node {
        case .scalar(let scalar): return DocumentNode(.scalar(convert(scalar)), at: location)
        case .sequence(let sequence):
            var elements: [DocumentNode] = []
            elements.reserveCapacity(sequence.count)
            for element in sequence { elements.append(try convert(element, depth: depth + 1)) }
            return DocumentNode(.sequence(elements), at: location)
        case .mapping(let mapping): return DocumentNode(.mapping(try convert(mapping, depth: depth)), at: location)
        case .alias(let alias):
            throw fault("undefined alias *\(alias.anchor.rawValue)", line: place.line, column: place.column)
        }
    }

    private mutating func convert(_ mapping: Yams.Node.Mapping, depth: Int) throws(ReadingFault) -> [DocumentNode.Entry] {
        var entries: [DocumentNode.Entry] = []
        entries.reserveCapacity(mapping.count)
        var merged: [DocumentNode] = []
        for (key, value) in mapping {
            let place = Place(key.mark)
            guard case .scalar(let scalar) = key else {
                throw fault("a key must be a plain word or string, not a collection", line: place.line, column: place.column)
            }
            let name = renamedKeys[place] ?? scalar.string
            let node = try convert(value, depth: depth + 1)
            if name == "<<", scalar.style == .plain {
                merged.append(node)
            } else {
                entries.append(.init(key: name, keyLocation: location(of: place), value: node))
            }
        }
        for node in merged { try merge(node, into: &entries) }
        return entries
    }

    /// `<<: *defaults`: the entries of another mapping, or of several, that are not given here (YAML 1.1, merge key).
    private mutating func merge(_ node: DocumentNode, into entries: inout [DocumentNode.Entry]) throws(ReadingFault) {
        switch node.content {
        case .mapping(let others):
            for other in others where !entries.contains(where: { $0.key == other.key }) { entries.append(other) }
        case .sequence(let nodes) where nodes.allSatisfy({ if case .mapping = $0.content { true } else { false } }):
            for node in nodes { try merge(node, into: &entries) }
        default:
            throw fault(
                "'<<' takes a mapping or a list of mappings", line: node.location.line - text.firstLine + 1,
                column: node.location.column)
        }
    }

    private func convert(_ scalar: Yams.Node.Scalar) -> DocumentNode.Scalar {
        switch scalar.tag.rawValue {
        case "tag:yaml.org,2002:int": .init(text: scalar.string, kind: .integer)
        case "tag:yaml.org,2002:float": .init(text: scalar.string, kind: .number)
        case "tag:yaml.org,2002:bool": .init(text: scalar.string, kind: .boolean)
        case "tag:yaml.org,2002:null": .init(text: scalar.string, kind: .null)
        case "" where scalar.style == .plain: .init(plain: scalar.string)
        default: .init(text: scalar.string, kind: .string)
        }
    }

    private func location(of place: Place) -> SourceLocation {
        SourceLocation(file: file, line: place.line + text.firstLine - 1, column: place.column)
    }

    // MARK: Duplicate keys

    /// Yams refuses a mapping with a key given twice and drops the document. To report the key where it stands, with the object it
    /// stands in, its first character becomes one of Unicode's private ones and the document is read again.
    private mutating func rename(_ key: String, at place: Place, in bytes: inout ArraySlice<UInt8>) -> Bool {
        guard var offset = offset(of: place, in: bytes) else { return false }
        let replacement = Array(String(Unicode.Scalar(UInt32(0xe000 + renamedKeys.count))!).utf8)
        if bytes[offset] == UInt8(ascii: "\"") || bytes[offset] == UInt8(ascii: "'") { offset += 1 }
        guard offset < bytes.endIndex, key.utf8.first == bytes[offset] else { return false }
        let end = bytes[(offset + 1)...].firstIndex { $0 & 0xc0 != 0x80 } ?? bytes.endIndex
        bytes.replaceSubrange(offset..<end, with: replacement)
        renamedKeys[place] = key
        return true
    }

    private func offset(of place: Place, in bytes: ArraySlice<UInt8>) -> Int? {
        var offset = bytes.startIndex
        for _ in 1..<max(1, place.line) {
            guard let newline = bytes[offset...].firstIndex(of: UInt8(ascii: "\n")) else { return nil }
            offset = newline + 1
        }
        for _ in 1..<max(1, place.column) {
            guard offset < bytes.endIndex else { return nil }
            offset = bytes[(offset + 1)...].firstIndex { $0 & 0xc0 != 0x80 } ?? bytes.endIndex
        }
        return offset < bytes.endIndex ? offset : nil
    }

    private func duplicateFault(_ keys: [String], at mark: Mark) -> ReadingFault {
        let names = keys.prefix(5).map { "\"\($0)\"" }.joined(separator: ", ")
        return fault("duplicate key \(names) in one mapping", line: mark.line, column: mark.column)
    }

    // MARK: Alias bombs

    /// Values that are aliases cost nothing until `convert` counts them. Keys do: Yams hashes every key, all that its aliases stand
    /// for included. No manifest needs such keys, so a text that could hold many of them is refused before it is composed. The scan
    /// knows no quotes and no block scalars: it may count too many, never too few.
    private func refuseKeyBomb(_ bytes: ArraySlice<UInt8>) throws(ReadingFault) {
        guard bytes.contains(UInt8(ascii: "&")), bytes.contains(UInt8(ascii: "*")) else { return }
        var aliases = 0
        var collectionKey: Int?
        var previous = UInt8(ascii: "\n")
        var offset = bytes.startIndex
        while offset < bytes.endIndex {
            let byte = bytes[offset]
            var next = offset + 1
            switch byte {
            case UInt8(ascii: "*") where !isWord(previous) && next < bytes.endIndex && isWord(bytes[next]):
                aliases += 1
                while next < bytes.endIndex, isWord(bytes[next]) { next += 1 }
                if isFollowedByColon(next, in: bytes) { collectionKey = offset }
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                if isFollowedByColon(next, in: bytes) { collectionKey = offset }
            case UInt8(ascii: "?") where !isWord(previous):
                if next == bytes.endIndex || isSpace(bytes[next]) { collectionKey = offset }
            default: break
            }
            previous = bytes[next - 1]
            offset = next
        }
        guard aliases > Self.keyAliasesMax, let collectionKey else { return }
        var lines = LineCounter(text)
        let (line, column) = lines.position(of: collectionKey)
        throw ReadingFault(
            kind: .limit, line: line, column: column,
            message: "a key that is an alias or a collection is not accepted in a document with more than \(Self.keyAliasesMax) aliases")
    }

    private func isFollowedByColon(_ offset: Int, in bytes: ArraySlice<UInt8>) -> Bool {
        bytes[offset...].first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") } == UInt8(ascii: ":")
    }

    private func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }

    private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d }

    // MARK: Faults

    private func fault(of error: any Error) -> ReadingFault {
        switch error {
        case YamlError.scanner(let context, let problem, let mark, _), YamlError.parser(let context, let problem, let mark, _),
            YamlError.composer(let context, let problem, let mark, _):
            return fault(problem: problem, context: context, at: mark)
        case YamlError.reader(let problem, _, _, _):
            return fault(problem, line: 1, column: 1)
        default:
            return fault("it can't be read", line: 1, column: 1)
        }
    }

    private func fault(problem: String, context: YamlError.Context?, at mark: Mark) -> ReadingFault {
        let place = Place(mark)
        if problem.hasPrefix("Maximum nesting level reached") {
            return fault("nested deeper than \(limits.nestingMax) levels", line: mark.line, column: mark.column, kind: .limit)
        }
        if let offset = offset(of: place, in: text.bytes), text.bytes[offset] == UInt8(ascii: "\t") {
            return fault("a tab is used for indentation; YAML allows only spaces there", line: mark.line, column: mark.column)
        }
        var message = problem
        if let context {
            message += " \(context.text)"
            if context.mark.line != mark.line { message += " that begins on line \(context.mark.line + text.firstLine - 1)" }
        }
        if isLast, isAtEnd(place) { message += "; the text ends here: is the file truncated?" }
        return fault(message, line: mark.line, column: mark.column)
    }

    private func isAtEnd(_ place: Place) -> Bool {
        guard let offset = offset(of: place, in: text.bytes) else { return true }
        return text.bytes[offset...].allSatisfy(isSpace)
    }

    /// `line` counts from the beginning of this document's text. libyaml ends a last line that has no end, and may mean the line behind
    /// it, which isn't there.
    private func fault(_ message: String, line: Int, column: Int, kind: ReadingFault.Kind = .syntax) -> ReadingFault {
        var counter = LineCounter(text)
        let end = counter.position(of: text.bytes.endIndex)
        let line = line + text.firstLine - 1
        let place = (line, column) < end ? (line, column) : end
        return ReadingFault(
            kind: kind, line: place.0, column: place.1, message: kind == .limit ? message : "invalid YAML: \(message)")
    }
}
