// FoundationEssentials for JSONEncoder, file types and modes: without it, chmod(2) and lstat(2) would need unsafe code here.
internal import FoundationEssentials
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import NIOPosix

/// HTTP on a Unix socket for `ringway stats`, health probes and whoever wants to see inside.
///
/// | route | answer |
/// | --- | --- |
/// | `GET /api/v1/stats` | `AdminReport` as JSON |
/// | `GET /healthz` | 200 `ok`: the process answers |
/// | `GET /readyz` | 200 `ok` while it serves its configuration, else 503 and the reason |
///
/// Read-only. One thread; the workers never wait for it. It holds nothing that keeps the process alive, so `exit` needs no
/// `stop`, but only `stop` removes the socket file.
package final class AdminServer: Sendable {
    package let path: String
    private let running: Task<Void, Never>

    /// Listens on `path` (mode 0660). A socket file that nobody answers on is replaced.
    ///
    /// - Parameters:
    ///   - report: called for each request for statistics, on a thread of the Swift runtime.
    ///   - notReady: nil when the process is ready, else the reason why it is not, in a few words.
    /// - Throws: `.inUse` where a live process answers, `.unusable` where the path can't be bound.
    package init(
        path: String, report: @escaping @Sendable () -> AdminReport, notReady: @escaping @Sendable () -> String?
    ) async throws(AdminServerError) {
        try Self.checkSocketPath(path)
        if try await AdminClient(path: path).isAnswered() {
            throw AdminServerError(
                .inUse,
                "another ringway answers on the admin socket \(path): stop it, or give --admin-socket another path (or none)")
        }

        let (started, startedContinuation) = AsyncStream<Result<Void, AdminServerError>>.makeStream()
        let application = Application(
            router: Self.router(report: report, notReady: notReady),
            configuration: ApplicationConfiguration(address: .unixDomainSocket(path: path), serverName: "ringway", backlog: 64),
            onServerRunning: { _ in
                // Between bind and here the mode is the umask's, which lets nobody but the owner write, that is connect.
                do {
                    try FileManager.default.setAttributes([.posixPermissions: 0o660], ofItemAtPath: path)
                    startedContinuation.yield(.success(()))
                } catch {
                    startedContinuation.yield(.failure(AdminServerError(.unusable, "can't set the mode of \(path): \(error)")))
                }
            },
            eventLoopGroupProvider: .shared(AdminClient.eventLoops),
            logger: Logger(label: "admin") { _ in SwiftLogNoOpLogHandler() })
        let running = Task {
            do {
                try await application.run()
            } catch {
                startedContinuation.yield(.failure(Self.bindFailure(error, path: path)))
            }
            startedContinuation.finish()
        }

        self.path = path
        self.running = running
        var outcome: Result<Void, AdminServerError>?
        for await result in started {
            outcome = result
            break
        }
        if case .success = outcome { return }
        running.cancel()
        guard case .failure(let failure) = outcome else { throw AdminServerError(.unusable, "the admin socket \(path) ended at once") }
        throw failure
    }

    /// Stops listening and removes the socket file. Waits at most `limit` for requests in flight.
    package func stop(within limit: Duration = .seconds(1)) async {
        // In this order: a successor may bind the path as soon as nobody answers, and its file must stay.
        removeSocketFile()
        running.cancel()
        // Whichever ends first; the other is abandoned, so that a stuck request can't hold the process.
        let (ended, continuation) = AsyncStream<Void>.makeStream()
        let running = running
        Task {
            await running.value
            continuation.finish()
        }
        let timer = Task {
            try? await Task.sleep(for: limit)
            continuation.finish()
        }
        for await _ in ended {}
        timer.cancel()
    }

    /// Only removes the file: for an exit that can't wait.
    package func removeSocketFile() {
        try? FileManager.default.removeItem(atPath: path)
    }

    private static func router(
        report: @escaping @Sendable () -> AdminReport, notReady: @escaping @Sendable () -> String?
    ) -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/healthz") { _, _ in text(.ok, "ok") }
        router.get("/readyz") { _, _ in
            if let reason = notReady() { text(.serviceUnavailable, reason) } else { text(.ok, "ok") }
        }
        router.get("/api/v1/stats") { _, _ in
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            let body = try encoder.encode(report())
            return Response(
                status: .ok, headers: [.contentType: "application/json", .cacheControl: "no-store"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: body + [0x0a])))
        }
        return router
    }

    private static func text(_ status: HTTPResponse.Status, _ body: String) -> Response {
        Response(
            status: status, headers: [.contentType: "text/plain; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: body + "\n")))
    }

    /// Refuses what bind(2) would refuse less clearly, and a file that is no socket, which must not be deleted.
    private static func checkSocketPath(_ path: String) throws(AdminServerError) {
        guard path.utf8.count <= AdminClient.pathBytesMax else {
            throw AdminServerError(
                .unusable,
                "the admin socket path \(path) is too long (\(path.utf8.count) bytes, at most \(AdminClient.pathBytesMax)): "
                    + "give --admin-socket a shorter one")
        }
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return }
        guard attributes[.type] as? FileAttributeType == .typeSocket else {
            throw AdminServerError(.unusable, "\(path) exists and is no socket: give --admin-socket another path")
        }
    }

    private static func bindFailure(_ error: any Error, path: String) -> AdminServerError {
        guard let failure = error as? IOError else {
            return AdminServerError(.unusable, "can't listen on the admin socket \(path): \(error)")
        }
        let reason = AdminClient.words(for: failure.errnoCode) ?? "\(failure)"
        return AdminServerError(
            .unusable, "can't listen on the admin socket \(path): \(reason): give --admin-socket another path (or none)")
    }
}
