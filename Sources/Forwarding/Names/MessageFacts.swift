import DNS

/// What is counted of an answer, read from its bytes (RFC 1035, 4.1; RFC 6891, 6.1).
struct MessageFacts {
    static let headerBytes = 12
    private static let optBytes = 11

    let type: QueryKind
    let code: ResponseKind

    init(of message: Span<UInt8>) {
        let end = Self.questionEnd(message)
        type = end.map { QueryKind(type: UInt16(message[$0 - 4]) << 8 | UInt16(message[$0 - 3])) } ?? .other
        var code = UInt16(message[3] & 0x0f)
        // An extended code stands in OPT, which is the only record of such an answer.
        if code == 0, message[7] == 0, message[9] == 0, message[11] == 1, let end, Self.isOPT(message, at: end) {
            code = UInt16(message[end + 5]) << 4
        }
        self.code = ResponseKind(code: code)
    }

    /// Cuts an answer of ours to its question and OPT, which is last, and says that there is more by TCP.
    ///
    /// - Returns: its length.
    static func truncate(_ message: inout MutableSpan<UInt8>, _ length: Int) -> Int {
        var end = questionEnd(message.span.extracting(0..<length)) ?? headerBytes
        let opt = length - optBytes
        let hasOPT = opt >= end && message[11] > 0 && isOPT(message.span.extracting(0..<length), at: opt)
        message[2] |= 0x02
        for position in 6..<headerBytes { message[position] = 0 }
        guard hasOPT else { return end }
        message[11] = 1
        for position in opt..<length {
            message[end] = message[position]
            end += 1
        }
        return end
    }

    /// The root's name, and the type.
    private static func isOPT(_ message: Span<UInt8>, at place: Int) -> Bool {
        message.count >= place + optBytes && message[place] == 0 && message[place + 1] == 0 && message[place + 2] == 41
    }

    /// nil where there is no question.
    private static func questionEnd(_ message: Span<UInt8>) -> Int? {
        guard message.count >= headerBytes, message[4] == 0, message[5] == 1 else { return nil }
        var position = headerBytes
        while position < message.count, message[position] > 0 { position += 1 + Int(message[position]) }
        return position + 5 <= message.count ? position + 5 : nil
    }
}
