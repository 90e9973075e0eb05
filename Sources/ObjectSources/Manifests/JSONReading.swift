internal import ServiceModel

/// Why a text could not be made into documents.
struct ReadingFault: Error {
    enum Kind {
        case syntax, limit
    }

    let kind: Kind
    let line: Int
    let column: Int
    let message: String
}

/// A strict JSON reader (RFC 8259) with a place for every node: values one after the other, as `kubectl` accepts them.
///
/// JSON is nearly YAML, but not to libyaml, which knows no surrogate pairs and bounds the length of keys.
struct JSONReading {
    private let file: String
    private let bytes: ArraySlice<UInt8>
    private let nestingMax: Int
    private var offset: Int
    private var lines: LineCounter

    init(_ text: DocumentText, file: String, nestingMax: Int) {
        self.file = file
        bytes = text.bytes
        self.nestingMax = nestingMax
        offset = bytes.startIndex
        lines = LineCounter(text)
    }

    /// The next value; nil at the end of the text.
    mutating func next() throws(ReadingFault) -> DocumentNode? {
        skipSpace()
        guard offset < bytes.endIndex else { return nil }
        return try value(depth: 0)
    }

    private mutating func value(depth: Int) throws(ReadingFault) -> DocumentNode {
        skipSpace()
        guard let byte = peek else { throw fault("the text ends where a value is expected: is the file truncated?") }
        let location = here()
        switch byte {
        case UInt8(ascii: "{"): return DocumentNode(.mapping(try mapping(depth: depth)), at: location)
        case UInt8(ascii: "["): return DocumentNode(.sequence(try sequence(depth: depth)), at: location)
        case UInt8(ascii: "\""): return DocumentNode(.scalar(.init(text: try string(), kind: .string)), at: location)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            return DocumentNode(.scalar(try number()), at: location)
        case UInt8(ascii: "a")...UInt8(ascii: "z"):
            let start = offset
            while let byte = peek, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) { offset += 1 }
            switch String(decoding: bytes[start..<offset], as: UTF8.self) {
            case "true": return DocumentNode(.scalar(.init(text: "true", kind: .boolean)), at: location)
            case "false": return DocumentNode(.scalar(.init(text: "false", kind: .boolean)), at: location)
            case "null": return DocumentNode(.scalar(.init(text: "null", kind: .null)), at: location)
            default:
                offset = start
                throw fault("a value is expected here")
            }
        default: throw fault("a value is expected here")
        }
    }

    private mutating func mapping(depth: Int) throws(ReadingFault) -> [DocumentNode.Entry] {
        try enter(depth)
        var entries: [DocumentNode.Entry] = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return entries }
        while true {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw fault("a key in double quotes is expected here") }
            let keyLocation = here()
            let key = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw fault("':' is expected after a key") }
            entries.append(.init(key: key, keyLocation: keyLocation, value: try value(depth: depth + 1)))
            skipSpace()
            if take(UInt8(ascii: "}")) { return entries }
            guard take(UInt8(ascii: ",")) else { throw fault("',' or '}' is expected here") }
        }
    }

    private mutating func sequence(depth: Int) throws(ReadingFault) -> [DocumentNode] {
        try enter(depth)
        var elements: [DocumentNode] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return elements }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: "]")) { return elements }
            guard take(UInt8(ascii: ",")) else { throw fault("',' or ']' is expected here") }
        }
    }

    private mutating func enter(_ depth: Int) throws(ReadingFault) {
        guard depth < nestingMax else { throw fault("nested deeper than \(nestingMax) levels", .limit) }
        offset += 1
    }

    private mutating func number() throws(ReadingFault) -> DocumentNode.Scalar {
        let start = offset
        var isInteger = true
        _ = take(UInt8(ascii: "-"))
        if take(UInt8(ascii: "0")) {
            // A second digit after a leading zero is no JSON.
        } else {
            try digits()
        }
        if take(UInt8(ascii: ".")) {
            isInteger = false
            try digits()
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            isInteger = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        if let byte = peek, isDigit(byte) { throw fault("a number may not begin with 0") }
        return .init(text: String(decoding: bytes[start..<offset], as: UTF8.self), kind: isInteger ? .integer : .number)
    }

    private mutating func digits() throws(ReadingFault) {
        guard let byte = peek, isDigit(byte) else { throw fault("a digit is expected here") }
        while let byte = peek, isDigit(byte) { offset += 1 }
    }

    private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private mutating func string() throws(ReadingFault) -> String {
        offset += 1
        var text: [UInt8] = []
        while let byte = peek {
            offset += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20:
                offset -= 1
                throw fault("a control character inside a string")
            default: text.append(byte)
            }
        }
        throw fault("the text ends inside a string: is the file truncated?")
    }

    private mutating func escape(into text: inout [UInt8]) throws(ReadingFault) {
        guard let byte = peek else { throw fault("the text ends inside a string: is the file truncated?") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "n"): text.append(10)
        case UInt8(ascii: "r"): text.append(13)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "u"):
            var units = [try hexUnit()]
            if UTF16.isLeadSurrogate(units[0]), bytes[offset...].starts(with: Array(#"\u"#.utf8)) {
                let start = offset
                offset += 2
                let trail = try hexUnit()
                if UTF16.isTrailSurrogate(trail) { units.append(trail) } else { offset = start }
            }
            // A lone surrogate becomes U+FFFD, as Go's decoder makes it.
            text += Array(String(decoding: units, as: UTF16.self).utf8)
        default:
            offset -= 1
            throw fault("unknown escape in a string")
        }
    }

    private mutating func hexUnit() throws(ReadingFault) -> UInt16 {
        let digits = bytes[offset...].prefix(4)
        guard digits.count == 4, let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16),
            digits.first != UInt8(ascii: "+")
        else { throw fault("four hexadecimal digits are expected after \\u") }
        offset += 4
        return unit
    }

    private var peek: UInt8? { offset < bytes.endIndex ? bytes[offset] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        offset += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { offset += 1 }
    }

    private mutating func here() -> SourceLocation {
        let (line, column) = lines.position(of: offset)
        return SourceLocation(file: file, line: line, column: column)
    }

    private mutating func fault(_ message: String, _ kind: ReadingFault.Kind = .syntax) -> ReadingFault {
        let (line, column) = lines.position(of: offset)
        return ReadingFault(kind: kind, line: line, column: column, message: kind == .limit ? message : "invalid JSON: \(message)")
    }
}
