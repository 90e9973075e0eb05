/// A piece of a file: one document's bytes and where they begin.
struct DocumentText: Sendable {
    let bytes: ArraySlice<UInt8>
    let firstLine: Int
}

/// Turns offsets into lines and columns. Columns count Unicode scalars, as libyaml's marks and most editors do.
///
/// Offsets must be asked for in rising order: then the whole walk costs one pass over the bytes, even if they are all one line.
struct LineCounter {
    private let bytes: ArraySlice<UInt8>
    private var offset: Int
    private var line: Int
    private var column = 1

    init(_ text: DocumentText) {
        bytes = text.bytes
        offset = bytes.startIndex
        line = text.firstLine
    }

    mutating func position(of target: Int) -> (line: Int, column: Int) {
        while offset < target, offset < bytes.endIndex {
            let byte = bytes[offset]
            offset += 1
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xc0 != 0x80 {
                column += 1
            }
        }
        return (line, column)
    }
}

/// Cuts a file into its YAML documents at the markers, so that a mistake in one does not cost the others.
///
/// A line that begins with `---` and ends or goes on with white space is a marker wherever it stands, in block scalars too
/// (YAML 1.2.2, 6.6 and 9.1.2), so this needs no parser. `...` ends a document. Directives (`%YAML`) stay with the document they precede.
enum DocumentSplitter {
    static func split(_ bytes: [UInt8]) -> [DocumentText] {
        var pieces: [DocumentText] = []
        var start = 0
        var startLine = 1
        var line = 1
        var offset = 0
        var content = Content.nothing

        func cut(before end: Int, nextStart: Int, nextLine: Int) {
            if content != .nothing { pieces.append(DocumentText(bytes: bytes[start..<end], firstLine: startLine)) }
            (start, startLine, content) = (nextStart, nextLine, .nothing)
        }

        while offset < bytes.count {
            let end = bytes[offset...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            let next = min(end + 1, bytes.count)
            let text = bytes[offset..<end]
            if isMarker(text, UInt8(ascii: "-")) {
                // Directives belong to the document that this marker begins.
                if content != .directives { cut(before: offset, nextStart: offset, nextLine: line) }
                content = isBlank(text.dropFirst(3)) ? .nothing : .document
            } else if isMarker(text, UInt8(ascii: ".")) {
                cut(before: offset, nextStart: next, nextLine: line + 1)
            } else if content != .document, !isBlank(text) {
                content = content == .nothing && text.first == UInt8(ascii: "%") ? .directives : .document
            }
            offset = next
            line += 1
        }
        cut(before: bytes.count, nextStart: bytes.count, nextLine: line)
        return pieces
    }

    private enum Content {
        case nothing, directives, document
    }

    private static func isMarker(_ line: ArraySlice<UInt8>, _ byte: UInt8) -> Bool {
        guard line.count >= 3, line.prefix(3).allSatisfy({ $0 == byte }) else { return false }
        return line.count == 3 || isSpace(line[line.startIndex + 3])
    }

    /// Nothing but white space, or a comment.
    private static func isBlank(_ line: ArraySlice<UInt8>) -> Bool {
        guard let first = line.first(where: { !isSpace($0) }) else { return true }
        return first == UInt8(ascii: "#")
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    }
}
