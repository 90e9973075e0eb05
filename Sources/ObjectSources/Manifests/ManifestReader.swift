package import ServiceModel

/// What a text holds: its documents, and what keeps others from being documents.
package struct ManifestText: Sendable {
    /// The documents that could be read, in order.
    package var documents: [DocumentNode] = []
    /// What is wrong with the others, or with all.
    package var diagnostics: [Diagnostic] = []
    /// Documents that could not be read. What they held is unknown.
    package var unreadableDocuments = 0
    /// Not even white space: what a file is while somebody is writing it.
    package var isEmpty = false
}

/// Turns the bytes of a file (YAML or JSON, any number of documents) into document trees.
///
/// Pure but for the thread it works on. A mistake in one document costs that document; the limits hold for all.
package struct ManifestReader: Sendable {
    private let limits: ManifestLimits

    package init(limits: ManifestLimits = ManifestLimits()) {
        self.limits = limits
    }

    /// Reads a text; `file` is what diagnostics call it.
    package func read(_ bytes: [UInt8], file: String) -> ManifestText {
        DedicatedThread.run(stackBytes: YAMLReading.stackBytes) { text(of: bytes, file: file) }
    }

    /// The same on this thread, which must have `YAMLReading.stackBytes` of stack.
    func text(of bytes: [UInt8], file: String) -> ManifestText {
        guard bytes.contains(where: { $0 > 0x20 }) || bytes.contains(0) else {
            var text = ManifestText()
            text.isEmpty = true
            text.diagnostics = [error(file, 1, 1, "no objects: the file is empty")]
            return text
        }
        if let refusal = refusal(of: bytes, file: file) {
            return ManifestText(diagnostics: [refusal], unreadableDocuments: 1)
        }
        return read(DocumentSplitter.split(withoutMark(bytes)), file: file)
    }

    private func read(_ pieces: [DocumentText], file: String) -> ManifestText {
        var text = ManifestText()
        for (index, piece) in pieces.enumerated() {
            guard text.documents.count + text.unreadableDocuments < limits.documentsMax else {
                text.diagnostics.append(
                    error(file, piece.firstLine, 1, "more than \(limits.documentsMax) documents in one file; split it"))
                text.unreadableDocuments += 1
                break
            }
            do throws(ReadingFault) {
                try read(piece, file: file, isLast: index == pieces.count - 1, into: &text)
            } catch {
                text.unreadableDocuments += 1
                text.diagnostics.append(self.error(file, error.line, error.column, error.message))
            }
        }
        if text.documents.isEmpty, text.diagnostics.isEmpty {
            text.diagnostics.append(
                Diagnostic(severity: .warning, location: SourceLocation(file: file, line: 1, column: 1), message: "no objects in the file"))
        }
        return text
    }

    private func read(_ piece: DocumentText, file: String, isLast: Bool, into text: inout ManifestText) throws(ReadingFault) {
        try refuseUnreadable(piece)
        try refuseTooManyValues(piece)
        let content = firstContent(of: piece)
        guard let first = content.first, first == UInt8(ascii: "{") || first == UInt8(ascii: "[") else {
            try readYAML(piece, file: file, isLast: isLast, into: &text)
            return
        }
        // What begins as JSON is JSON, unless it is no valid JSON and valid YAML: a flow collection.
        let line = piece.firstLine + piece.bytes[..<content.startIndex].count { $0 == UInt8(ascii: "\n") }
        var reading = JSONReading(DocumentText(bytes: content, firstLine: line), file: file, nestingMax: limits.nestingMax)
        var documents: [DocumentNode] = []
        do throws(ReadingFault) {
            while let document = try reading.next() {
                guard text.documents.count + documents.count < limits.documentsMax else {
                    throw ReadingFault(
                        kind: .limit, line: document.location.line, column: document.location.column,
                        message: "more than \(limits.documentsMax) documents in one file; split it")
                }
                documents.append(document)
            }
        } catch {
            guard documents.isEmpty, error.kind == .syntax else {
                text.documents += documents
                throw error
            }
            let jsonFault = error
            do throws(ReadingFault) {
                try readYAML(piece, file: file, isLast: isLast, into: &text)
                return
            } catch {
                throw looksLikeJSON(content) ? jsonFault : error
            }
        }
        text.documents += documents
    }

    private func readYAML(_ piece: DocumentText, file: String, isLast: Bool, into text: inout ManifestText) throws(ReadingFault) {
        var reading = YAMLReading(piece, file: file, limits: limits, isLast: isLast)
        if let document = try reading.read() { text.documents.append(document) }
    }

    /// The text behind the document marker, white space and comments.
    private func firstContent(of piece: DocumentText) -> ArraySlice<UInt8> {
        var rest = piece.bytes
        if rest.starts(with: Array("---".utf8)) { rest = rest.dropFirst(3) }
        while let byte = rest.first {
            if byte == UInt8(ascii: "#") {
                rest = rest.drop { $0 != UInt8(ascii: "\n") }
            } else if byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d {
                rest = rest.dropFirst()
            } else {
                break
            }
        }
        return rest
    }

    private func looksLikeJSON(_ content: ArraySlice<UInt8>) -> Bool {
        let second = content.dropFirst().first { $0 != 0x20 && $0 != 0x09 && $0 != 0x0a && $0 != 0x0d }
        return second == UInt8(ascii: "\"") || second == UInt8(ascii: "{") || second == UInt8(ascii: "[")
    }

    // MARK: Bytes that are no text

    private func refusal(of bytes: [UInt8], file: String) -> Diagnostic? {
        if bytes.count > limits.fileBytesMax {
            return error(file, 1, 1, "\(bytes.count) bytes are more than the limit of \(limits.fileBytesMax)")
        }
        if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
            return error(file, 1, 1, "the file is UTF-16; save it as UTF-8")
        }
        guard let zero = bytes.firstIndex(of: 0) else { return nil }
        var lines = LineCounter(DocumentText(bytes: bytes[...], firstLine: 1))
        let (line, column) = lines.position(of: zero)
        return error(file, line, column, "a NUL byte: this is a binary file, not YAML or JSON")
    }

    /// Without the byte order mark that some editors put in front.
    private func withoutMark(_ bytes: [UInt8]) -> [UInt8] {
        bytes.starts(with: [0xef, 0xbb, 0xbf]) ? Array(bytes.dropFirst(3)) : bytes
    }

    private func refuseUnreadable(_ piece: DocumentText) throws(ReadingFault) {
        var lines = LineCounter(piece)
        // One validation of the whole is far cheaper than a walk, and nearly always enough.
        if String(validating: piece.bytes, as: UTF8.self) == nil {
            let (line, column) = lines.position(of: firstInvalidUTF8(in: piece.bytes))
            throw ReadingFault(
                kind: .syntax, line: line, column: column, message: "not UTF-8: this is a binary file, or one in another encoding")
        }
        if let offset = piece.bytes.firstIndex(where: isForbidden) {
            let (line, column) = lines.position(of: offset)
            let code = String(piece.bytes[offset], radix: 16)
            throw ReadingFault(
                kind: .syntax, line: line, column: column, message: "a control character (0x\(code)), which YAML and JSON do not allow")
        }
    }

    /// Every value but the first needs a byte of punctuation before it, so there are no more values than such bytes.
    private func refuseTooManyValues(_ piece: DocumentText) throws(ReadingFault) {
        guard piece.bytes.count > limits.valuesMax else { return }
        let punctuation = piece.bytes.count { byte in
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "{"): true
            default: false
            }
        }
        guard punctuation > limits.valuesMax else { return }
        throw ReadingFault(
            kind: .limit, line: piece.firstLine, column: 1, message: "more than \(limits.valuesMax) values in one document; split it")
    }

    private func isForbidden(_ byte: UInt8) -> Bool {
        byte < 0x20 && byte != 0x09 && byte != 0x0a && byte != 0x0d || byte == 0x7f
    }

    private func firstInvalidUTF8(in bytes: ArraySlice<UInt8>) -> Int {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var consumed = bytes.startIndex
        while case .scalarValue(let scalar) = decoder.decode(&iterator) { consumed += UTF8.width(scalar) }
        return min(consumed, bytes.endIndex - 1)
    }

    private func error(_ file: String, _ line: Int, _ column: Int, _ message: String) -> Diagnostic {
        Diagnostic(severity: .error, location: SourceLocation(file: file, line: line, column: column), message: message)
    }
}
