internal import FoundationEssentials
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// Asks a running Ringway over its admin socket; what `ringway stats` is made of.
package struct AdminClient: Sendable {
    /// `sun_path` less its terminating zero (unix(7)).
    static let pathBytesMax = 107
    /// An answer larger than this is not ours.
    private static let answerBytesMax = 256 << 20

    /// The one thread of the server and of all clients. Never shut down: a connection's last task may come after any moment
    /// that seems right for it, and an idle thread holds nothing up at exit.
    static let eventLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    package let path: String
    private let limit: Duration

    /// - Parameter limit: how long a question may take, and before it the wait for room in the queue of a socket. Where many tests run
    ///   side by side, on the few threads that all tasks share, ten seconds may be over before a task has had its turn.
    package init(path: String, limit: Duration = .seconds(10)) {
        self.path = path
        self.limit = limit
    }

    /// The report of the running process.
    package func report() async throws(AdminServerError) -> AdminReport {
        let body = try await statisticsBody()
        do {
            return try JSONDecoder().decode(AdminReport.self, from: Data(body.utf8))
        } catch {
            throw AdminServerError(.badAnswer, "what answers on \(path) speaks of something else (another version of ringway?): \(error)")
        }
    }

    /// The same as the JSON text that the process sent.
    package func statisticsBody() async throws(AdminServerError) -> String {
        let (status, body) = try await get("/api/v1/stats")
        guard status == 200 else {
            throw AdminServerError(.badAnswer, "what answers on \(path) said \(status) to GET /api/v1/stats: is it ringway?")
        }
        return body
    }

    /// One GET.
    package func get(_ target: String, accept: String? = nil) async throws(AdminServerError) -> (status: Int, body: String) {
        var body = ByteBuffer()
        let status = try await ask(Question(target: target, accept: accept), within: limit) { bytes throws(AnswerTooLarge) in
            guard body.readableBytes + bytes.readableBytes <= Self.answerBytesMax else { throw AnswerTooLarge() }
            body.writeImmutableBuffer(bytes)
        }
        return (status, String(buffer: body))
    }

    /// One GET whose answer comes in lines, for as long as the other side has something to say.
    ///
    /// - Returns: the status; what is not a 200 is one line.
    package func lines(of target: String, accept: String, each: (String) throws -> Void) async throws(AdminServerError) -> Int {
        var rest = ByteBuffer()
        return try await ask(Question(target: target, accept: accept), within: nil) { bytes in
            rest.writeImmutableBuffer(bytes)
            while let length = rest.readableBytesView.firstIndex(of: 0x0a).map({ $0 - rest.readerIndex }) {
                try each(rest.readString(length: length) ?? "")
                rest.moveReaderIndex(forwardBy: 1)
            }
            rest.discardReadBytes()
        }
    }

    /// One POST of a document.
    ///
    /// - Parameter least: what it is given where other questions have less.
    func post(
        _ document: [UInt8], to target: String, withinAtLeast least: Duration = .zero
    ) async throws(AdminServerError) -> (status: Int, body: String) {
        var body = ByteBuffer()
        let status = try await ask(
            Question(target: target, document: ByteBuffer(bytes: document)), within: max(limit, least)
        ) { bytes throws(AnswerTooLarge) in
            guard body.readableBytes + bytes.readableBytes <= Self.answerBytesMax else { throw AnswerTooLarge() }
            body.writeImmutableBuffer(bytes)
        }
        return (status, String(buffer: body))
    }

    private struct Question {
        var target: String
        var accept: String?
        /// What is posted.
        var document: ByteBuffer?
    }

    private func ask(
        _ question: Question, within limit: Duration?, _ take: (ByteBuffer) throws -> Void
    ) async throws(AdminServerError) -> Int {
        let deadline = ContinuousClock.now + self.limit
        while true {
            do {
                return try await exchange(question, within: limit, take)
            } catch {
                // connect(2) on a Unix socket does not wait for room in the accept queue: EAGAIN, try again.
                guard (error as? IOError)?.errnoCode == EAGAIN, ContinuousClock.now < deadline else { throw failure(error) }
                try? await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    /// Whether a live process accepts connections on the socket. False where there is no file or nobody behind it.
    func isAnswered() async throws(AdminServerError) -> Bool {
        do {
            let bootstrap = ClientBootstrap(group: Self.eventLoops).connectTimeout(.seconds(5))
            let channel = try await bootstrap.connect(unixDomainSocketPath: path).get()
            try? await channel.close()
            return true
        } catch {
            switch (error as? IOError)?.errnoCode {
            case ENOENT, ECONNREFUSED: return false
            // The queue of a process that hangs is full: it lives.
            case EAGAIN: return true
            default: throw failure(error)
            }
        }
    }

    private func exchange(
        _ question: Question, within limit: Duration?, _ take: (ByteBuffer) throws -> Void
    ) async throws -> Int {
        let channel = try await ClientBootstrap(group: Self.eventLoops)
            .connectTimeout(.seconds(5))
            .connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            // The deadline closes the channel, which ends the loop below.
            let deadline = limit.map { limit in
                channel.channel.eventLoop.scheduleTask(in: TimeAmount(limit)) { channel.channel.close(promise: nil) }
            }
            defer { deadline?.cancel() }
            var head = HTTPRequestHead(version: .http1_1, method: question.document == nil ? .GET : .POST, uri: question.target)
            head.headers = ["host": "ringway", "connection": "close"]
            if let accept = question.accept { head.headers.add(name: "accept", value: accept) }
            if let document = question.document {
                head.headers.add(name: "content-type", value: "application/json")
                head.headers.add(name: "content-length", value: "\(document.readableBytes)")
                try await outbound.write(contentsOf: [.head(head), .body(.byteBuffer(document)), .end(nil)])
            } else {
                try await outbound.write(contentsOf: [.head(head), .end(nil)])
            }
            var status = 0
            do {
                for try await part in inbound {
                    switch part {
                    case .head(let head): status = Int(head.status.code)
                    case .body(let bytes): try take(bytes)
                    case .end: return status
                    }
                }
                throw ChannelError.eof
            } catch  where limit == nil && status != 0 {
                // What has no end of its own ends with the process, in the middle of something as a rule.
                return status
            }
        }
    }

    private struct AnswerTooLarge: Error {}

    private func failure(_ error: any Error) -> AdminServerError {
        switch (error as? IOError)?.errnoCode {
        case ENOENT, ECONNREFUSED:
            return AdminServerError(
                .nobodyListens,
                "no ringway answers on the admin socket \(path): start one with `ringway run`, or name its socket with --admin-socket PATH")
        case let code?:
            let reason = Self.words(for: code) ?? "\(error)"
            return AdminServerError(.unusable, "can't use the admin socket \(path): \(reason)")
        case nil:
            if error is SocketAddressError {
                return AdminServerError(.unusable, "the admin socket path \(path) is too long (at most \(Self.pathBytesMax) bytes)")
            }
            return AdminServerError(.badAnswer, "the admin socket \(path) gave no proper answer: \(error)")
        }
    }

    /// Plain words for the errors of bind(2) and connect(2) that a user can do something about.
    static func words(for code: CInt) -> String? {
        switch code {
        case EACCES, EPERM: "permission denied (run as the user who started it, or as a member of the socket's group)"
        case ENOENT: "there is no such directory"
        case ENOTDIR: "a part of the path is no directory"
        case EROFS: "the file system is read-only"
        case EADDRINUSE: "another process has just taken it"
        case ENOTSOCK, EPROTOTYPE: "it is no stream socket"
        case ENAMETOOLONG: "the name is too long"
        case EAGAIN: "it does not answer: its queue is full"
        default: nil
        }
    }
}
