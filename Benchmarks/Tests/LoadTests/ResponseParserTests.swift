import Testing

@testable import Load

struct ResponseParserTests {
    struct Case: CustomTestStringConvertible {
        let testDescription: String
        let text: String
        let progress: ResponseParser.Progress
        var status = 200
        var closes = false
    }

    static let cases = [
        Case(testDescription: "a body", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", progress: .complete),
        Case(testDescription: "no body", text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", progress: .complete),
        Case(testDescription: "no reason", text: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", progress: .complete),
        Case(testDescription: "bare line feeds", text: "HTTP/1.1 200 OK\nContent-Length: 2\n\nab", progress: .complete),
        Case(
            testDescription: "names without regard to case, blanks around the value",
            text: "HTTP/1.0 200 OK\r\ncONTENT-lENGTH: \t 3 \r\nX: y\r\n\r\nabc", progress: .complete),
        Case(
            testDescription: "a body that looks like a head", text: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nA: b\r\n",
            progress: .complete),
        Case(
            testDescription: "the server closes", text: "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na",
            progress: .complete, closes: true),
        Case(
            testDescription: "not a success", text: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", progress: .complete,
            status: 503),
        Case(testDescription: "no content", text: "HTTP/1.1 204 No Content\r\n\r\n", progress: .complete, status: 204),
        Case(
            testDescription: "an interim response first",
            text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", progress: .complete),
        Case(
            testDescription: "the same length twice", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            progress: .complete),
        Case(testDescription: "a body that is short", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", progress: .incomplete),
        Case(testDescription: "half a head", text: "HTTP/1.1 200 OK\r\nContent-Le", progress: .incomplete),
        Case(testDescription: "bytes past the end", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", progress: .malformed),
        Case(testDescription: "not HTTP", text: "SSH-2.0-OpenSSH_9.2\r\n", progress: .malformed, status: 0),
        Case(testDescription: "a status of two digits", text: "HTTP/1.1 20 OK\r\n", progress: .malformed, status: 0),
        Case(testDescription: "a status below 100", text: "HTTP/1.1 099 OK\r\n", progress: .malformed, status: 0),
        Case(testDescription: "no length", text: "HTTP/1.1 200 OK\r\n\r\n", progress: .malformed),
        Case(testDescription: "a length below zero", text: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", progress: .malformed),
        Case(
            testDescription: "a length that overflows", text: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n",
            progress: .malformed),
        Case(
            testDescription: "two lengths", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", progress: .malformed),
        Case(testDescription: "chunks", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", progress: .malformed),
    ]

    private func expect(_ parser: ResponseParser, _ progress: ResponseParser.Progress, _ row: Case, _ split: String) {
        #expect(progress == row.progress, "\(split)")
        guard row.progress == .complete else { return }
        #expect(parser.status == row.status && parser.closesConnection == row.closes, "\(split)")
    }

    @Test(arguments: cases) func itEndsWhereItEndsHoweverItIsSplit(row: Case) {
        let bytes = Array(row.text.utf8)
        for split in 0...bytes.count {
            var parser = ResponseParser()
            let head = Array(bytes[..<split])
            let tail = Array(bytes[split...])
            var progress = parser.feed(head.span)
            if progress != .malformed, split < bytes.count { progress = parser.feed(tail.span) }
            expect(parser, progress, row, "split at \(split)")
        }
        var parser = ResponseParser()
        var progress = ResponseParser.Progress.incomplete
        for byte in bytes where progress != .malformed {
            let one = [byte]
            progress = parser.feed(one.span)
        }
        expect(parser, progress, row, "byte by byte")
    }

    @Test func oneParserServesManyResponses() {
        var parser = ResponseParser()
        for row in Self.cases where row.progress == .complete {
            let bytes = Array(row.text.utf8)
            parser.reset()
            let progress = parser.feed(bytes.span)
            expect(parser, progress, row, row.testDescription)
        }
    }

    @Test func aMegabyteIsFollowed() {
        var parser = ResponseParser()
        let head = Array("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n".utf8)
        let piece = [UInt8](repeating: 0, count: 65_536)
        #expect(parser.feed(head.span) == .incomplete)
        for _ in 0..<15 { #expect(parser.feed(piece.span) == .incomplete) }
        #expect(parser.feed(piece.span) == .complete)
    }

    @Test func aHeadWithoutEndIsMalformed() {
        var parser = ResponseParser()
        let endless = Array("HTTP/1.1 200 OK\r\nX: ".utf8) + [UInt8](repeating: 120, count: ResponseParser.headBytesMax)
        #expect(parser.feed(endless.span) == .malformed)
    }
}
