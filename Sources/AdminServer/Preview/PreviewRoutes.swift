internal import ControlPlane
internal import FoundationEssentials
internal import Hummingbird
internal import NIOCore
internal import Synchronization

/// What manifests would change: `POST /api/v1/preview` of a `PreviewRequest`, answered by a `ChangePreview`.
struct PreviewRoutes {
    /// Of a request: as much as one file may have (32 MiB), in base64, and as much again of names.
    static let requestBytesMax = 64 << 20
    /// At once; each may take some hundred megabytes for a moment.
    static let requestsMax = 1
    private static let timeMax = TimeAmount.seconds(60)

    let subject: AdminSubject
    private let turns = Turns()

    init(subject: AdminSubject) { self.subject = subject }

    /// Who is being answered.
    private final class Turns: Sendable {
        private let taken = Mutex(0)

        func take() -> Bool {
            taken.withLock { taken in
                guard taken < PreviewRoutes.requestsMax else { return false }
                taken += 1
                return true
            }
        }

        func giveBack() { taken.withLock { $0 -= 1 } }
    }

    func add(to router: Router<AdminRequestContext>) {
        router.post("/api/v1/preview") { request, context in
            guard turns.take() else { return try ResourceRoutes.failure(.tooManyPreviews) }
            defer { turns.giveBack() }
            // Whoever sends slowly doesn't keep the others waiting.
            let deadline = context.closeUnlessFinished(within: Self.timeMax)
            defer { deadline.cancel() }
            return try await answer(request)
        }
    }

    private func answer(_ request: Request) async throws -> Response {
        if let length = request.headers[.contentLength].flatMap(Int.init), length > Self.requestBytesMax {
            return try ResourceRoutes.failure(.tooLarge(Self.requestBytesMax))
        }
        guard let body = try? await request.body.collect(upTo: Self.requestBytesMax),
            let asked = try? JSONDecoder().decode(PreviewRequest.self, from: Data(body.readableBytesView))
        else { return try ResourceRoutes.failure(.unreadable) }
        guard let preview = await subject.preview(asked) else { return try ResourceRoutes.failure(.isEnding) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return Response(
            status: .ok, headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try encoder.encode(preview) + [0x0a])))
    }
}
