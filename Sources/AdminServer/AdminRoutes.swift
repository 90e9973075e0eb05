internal import FoundationEssentials
internal import Hummingbird
internal import NIOCore

/// Who is answered what.
///
/// | route | answer |
/// | --- | --- |
/// | `GET /livez`, `/healthz` | 200 `ok` while the workers answer |
/// | `GET /readyz` | 200 `ok` while it serves its configuration, else 503; what is amiss, check by check |
/// | `GET /metrics` | the text format of Prometheus |
/// | `GET /api/v1/stats` (socket only) | `AdminReport` as JSON |
/// | `GET /api/v1/dns` (socket only) | what a query for a name would be answered, and why, see `NameRoutes` |
/// | `GET /api/v1/…`, `/apis/…` (socket only) | what there is, see `ResourceRoutes` |
/// | `POST /api/v1/preview` (socket only) | what manifests would change, see `PreviewRoutes` |
///
/// `?verbose` shows each check, `?exclude=NAME` leaves one out, as in Kubernetes' components.
struct AdminRoutes {
    /// Connections to one place at once; further ones wait in the kernel's queue.
    static let connectionsMax = 256

    let subject: AdminSubject
    let place: AdminServer.Place
    let pageLimit: Duration

    var router: Router<AdminRequestContext> {
        let router = Router(context: AdminRequestContext.self)
        let (subject, pageLimit) = (subject, TimeAmount(pageLimit))
        for (name, checks) in [("healthz", subject.liveness), ("livez", subject.liveness), ("readyz", subject.readiness)] {
            router.get("\(name)") { request, _ in Self.health(name, checks(), request) }
        }
        router.get("/metrics") { _, context in
            // Made while it is read, and never faster: a reader that stands still holds one page's readings and is cut off after a while.
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody { writer in
                    let deadline = context.closeUnlessFinished(within: pageLimit)
                    defer { deadline.cancel() }
                    try await MetricsPage(subject: subject).write { try await writer.write(ByteBuffer(string: $0)) }
                    try await writer.finish(nil)
                })
        }
        if case .socket = place { addPrivateRoutes(to: router) }
        return router
    }

    /// What only those may ask who may write to the socket.
    private func addPrivateRoutes(to router: Router<AdminRequestContext>) {
        let subject = subject
        ResourceRoutes(store: subject.inventory).add(to: router)
        PreviewRoutes(subject: subject).add(to: router)
        NameRoutes(subject: subject).add(to: router)
        router.get("/api/v1/stats") { _, _ in
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            let body = try encoder.encode(subject.report())
            return Response(
                status: .ok, headers: [.contentType: "application/json", .cacheControl: "no-store"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: body + [0x0a])))
        }
    }

    private static func health(_ name: String, _ checks: [HealthCheck], _ request: Request) -> Response {
        let query = request.uri.queryParameters
        let excluded = Set(query[values: "exclude"].map(String.init))
        let answer = HealthCheck.answer(name, checks, excluded: excluded, isVerbose: query.has("verbose"))
        return Response(
            status: answer.passed ? .ok : .serviceUnavailable,
            headers: [.contentType: "text/plain; charset=utf-8", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: answer.text)))
    }
}

/// A request's context that knows its connection, to be able to give it up.
struct AdminRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    func closeUnlessFinished(within limit: TimeAmount) -> Scheduled<Void> {
        let channel = channel
        return channel.eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
    }
}
