/// Follows one HTTP/1.1 response at a time through bytes in pieces of any size (RFC 9112): its status and where it ends.
///
/// ```
///  statusLine ──► fields ──empty line──► body ──Content-Length bytes──► complete
///       ▲            │ 1xx
///       └────────────┘
/// ```
/// The body is counted and not kept. Only Content-Length frames a body; a chunked one is malformed here.
struct ResponseParser {
    /// Of the response that is complete; 0 before its status line.
    private(set) var status = 0
    /// The server closes the connection after this response.
    private(set) var closesConnection = false
    private var state = State.statusLine
    private var contentLength: Int?
    private var bodyBytesLeft = 0
    private var headBytes = 0
    /// The beginning of a line whose end has not come.
    private var line: [UInt8] = []

    static let headBytesMax = 65_536

    enum Progress: Equatable { case incomplete, complete, malformed }
    private enum State { case statusLine, fields, body, complete, malformed }

    /// Back to the beginning, for the next response of the connection.
    mutating func reset() {
        status = 0
        closesConnection = false
        state = .statusLine
        contentLength = nil
        headBytes = 0
        line.removeAll(keepingCapacity: true)
    }

    /// Takes the next bytes. Bytes past the end of a response are malformed: nobody asked for them.
    mutating func feed(_ bytes: Span<UInt8>) -> Progress {
        var index = 0
        while index < bytes.count {
            switch state {
            case .statusLine, .fields:
                index = feedHead(bytes, from: index)
            case .body:
                let taken = min(bodyBytesLeft, bytes.count - index)
                bodyBytesLeft -= taken
                index += taken
                if bodyBytesLeft == 0 { state = .complete }
            case .complete, .malformed:
                state = .malformed
                return .malformed
            }
        }
        switch state {
        case .complete: return .complete
        case .malformed: return .malformed
        case .statusLine, .fields, .body: return .incomplete
        }
    }

    /// Takes a line, or what there is of it; answers the index behind it.
    private mutating func feedHead(_ bytes: Span<UInt8>, from start: Int) -> Int {
        var end = start
        while end < bytes.count, bytes[end] != .lineFeed { end += 1 }
        headBytes += end - start + 1
        guard headBytes <= Self.headBytesMax else {
            state = .malformed
            return bytes.count
        }
        if end == bytes.count {
            for index in start..<end { line.append(bytes[index]) }
            return end
        }
        if line.isEmpty {
            take(line: bytes.extracting(start..<end))
        } else {
            for index in start..<end { line.append(bytes[index]) }
            let whole = line
            take(line: whole.span)
            line.removeAll(keepingCapacity: true)
        }
        return end + 1
    }

    private mutating func take(line: Span<UInt8>) {
        var count = line.count
        if count > 0, line[count - 1] == .carriageReturn { count -= 1 }
        let line = line.extracting(0..<count)
        if state == .statusLine {
            status = Self.status(line) ?? 0
            state = status == 0 ? .malformed : .fields
        } else if count == 0 {
            headEnded()
        } else {
            takeField(line)
        }
    }

    private mutating func headEnded() {
        if (100..<200).contains(status) {
            reset()
        } else if status == 204 || status == 304 {
            state = .complete
        } else if let contentLength {
            bodyBytesLeft = contentLength
            state = contentLength == 0 ? .complete : .body
        } else {
            state = .malformed
        }
    }

    private mutating func takeField(_ line: Span<UInt8>) {
        // Most fields are told apart by their first letter.
        switch line[0] | .lowercaseBit {
        case UInt8(ascii: "c"):
            if let value = Self.value(of: Self.contentLengthName, in: line) {
                // Two lengths that differ would let the connection go out of step (RFC 9112, section 6.3).
                guard let length = Self.number(line, value), contentLength == nil || contentLength == length else {
                    state = .malformed
                    return
                }
                contentLength = length
            } else if let value = Self.value(of: Self.connectionName, in: line), Self.equals(line, value, Self.close) {
                closesConnection = true
            }
        case UInt8(ascii: "t"):
            if Self.value(of: Self.transferEncodingName, in: line) != nil { state = .malformed }
        default:
            break
        }
    }

    // As bytes: to compare with a text would make a string each time.
    private static let version = Array("http/1.".utf8)
    private static let contentLengthName = Array("content-length".utf8)
    private static let transferEncodingName = Array("transfer-encoding".utf8)
    private static let connectionName = Array("connection".utf8)
    private static let close = Array("close".utf8)

    /// `HTTP/1.1 200 OK`; the reason may be missing.
    private static func status(_ line: Span<UInt8>) -> Int? {
        guard line.count >= 12, equals(line, 0..<7, version), line[7].isDigit, line[8] == .space else { return nil }
        guard line.count == 12 || line[12] == .space, let status = number(line, 9..<12), status >= 100 else { return nil }
        return status
    }

    /// Where the value stands, without the white space around it, if the line is this field.
    private static func value(of name: [UInt8], in line: Span<UInt8>) -> Range<Int>? {
        let length = name.count
        guard line.count > length, line[length] == UInt8(ascii: ":"), equals(line, 0..<length, name) else { return nil }
        var start = length + 1
        var end = line.count
        while start < end, line[start].isBlank { start += 1 }
        while end > start, line[end - 1].isBlank { end -= 1 }
        return start..<end
    }

    /// Without regard to case; `word` is in small letters.
    private static func equals(_ line: Span<UInt8>, _ range: Range<Int>, _ word: [UInt8]) -> Bool {
        guard range.count == word.count else { return false }
        for offset in word.indices {
            let byte = line[range.lowerBound + offset]
            guard byte == word[offset] || byte.isCapital && byte | .lowercaseBit == word[offset] else { return false }
        }
        return true
    }

    private static func number(_ line: Span<UInt8>, _ range: Range<Int>) -> Int? {
        // Eighteen digits can't overflow.
        guard (1...18).contains(range.count) else { return nil }
        var number = 0
        for index in range {
            guard line[index].isDigit else { return nil }
            number = number * 10 + Int(line[index] - UInt8(ascii: "0"))
        }
        return number
    }
}

extension UInt8 {
    fileprivate static let lineFeed = UInt8(ascii: "\n")
    fileprivate static let carriageReturn = UInt8(ascii: "\r")
    fileprivate static let space = UInt8(ascii: " ")
    fileprivate static let lowercaseBit: UInt8 = 0x20
    fileprivate var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    fileprivate var isCapital: Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) }
    fileprivate var isBlank: Bool { self == .space || self == UInt8(ascii: "\t") }
}
