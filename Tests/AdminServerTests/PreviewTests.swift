import ControlPlane
import FoundationEssentials
import NIOCore
import Synchronization
import Testing

@testable import AdminServer

/// `POST /api/v1/preview`, without a process behind it.
@Suite(.timeLimit(.minutes(5))) struct PreviewTests {
    private static func withServer(
        _ preview: @escaping @Sendable (PreviewRequest) async -> ChangePreview?, _ body: (AdminClient) async throws -> Void
    ) async throws {
        let directory = "/tmp/ringway-test-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var subject = AdminSubject(report: { preconditionFailure("nobody asks for it") })
        subject.preview = preview
        let server = try await AdminServer(on: .socket(directory + "/admin.sock"), subject: subject)
        try await body(AdminClient.patient(directory + "/admin.sock"))
        await server.stop(within: .milliseconds(10))
    }

    @Test func bytesArriveAsTheyAre() async throws {
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try await Self.withServer { request in
            guard request.prunes, request.files.map(\.path) == ["a", "-"], request.files[0].bytes == bytes else { return nil }
            var preview = ChangePreview()
            preview.generation = 7
            return preview
        } _: { client in
            let request = PreviewRequest(files: [.init(path: "a", bytes: bytes), .init(path: "-", bytes: [])], prunes: true)
            let (preview, json) = try await client.preview(request).get()
            #expect(preview.generation == 7 && json.contains("\"generation\" : 7"))
        }
    }

    @Test func aProcessThatEndsAndARequestThatIsNoneAreRefused() async throws {
        try await Self.withServer { _ in
            nil
        } _: { client in
            let refusal = try await client.preview(PreviewRequest(files: [], prunes: false))
            guard case .failure(let reason) = refusal else { return #expect(Bool(false), "answered") }
            #expect(reason.reason == "ServiceUnavailable")
            #expect(try await client.post(Array("nonsense".utf8), to: "/api/v1/preview").status == 400)
            let large = [UInt8](repeating: 0x20, count: PreviewRoutes.requestBytesMax + 1)
            // The answer may come while the rest is still being written, and then it is the writing that fails.
            let status = try? await client.post(large, to: "/api/v1/preview").status
            #expect(status == nil || status == 413)
        }
    }

    /// How many are being answered, and how many were at most.
    private final class Requests: Sendable {
        private let counts = Mutex((now: 0, most: 0))

        var most: Int { counts.withLock { $0.most } }

        func begin() {
            counts.withLock { counts in
                counts.now += 1
                counts.most = max(counts.most, counts.now)
            }
        }

        func end() { counts.withLock { $0.now -= 1 } }
    }

    @Test func oneAfterTheOtherIsAnswered() async throws {
        let requests = Requests()
        try await Self.withServer { _ in
            requests.begin()
            try? await Task.sleep(for: .milliseconds(20))
            requests.end()
            return ChangePreview()
        } _: { client in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        if case .success = try await client.preview(PreviewRequest(files: [], prunes: false)) { true } else { false }
                    }
                }
                for try await isAnswered in group { #expect(isAnswered) }
            }
            #expect(requests.most == 1)
        }
    }
}
