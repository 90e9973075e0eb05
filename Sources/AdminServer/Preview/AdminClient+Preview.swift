package import ControlPlane
internal import FoundationEssentials

/// What manifests would change, asked of the running process.
extension AdminClient {
    /// Another request is in the way for a moment at most.
    private static let attemptsMax = 100

    /// - Returns: the preview, and the same as the JSON text that the process sent.
    package func preview(_ request: PreviewRequest) async throws(AdminServerError) -> Result<(ChangePreview, json: String), Refusal> {
        guard let document = try? JSONEncoder().encode(request) else { preconditionFailure("a request that is no JSON") }
        var attempts = 1
        while true {
            let answer = try await post(Array(document), to: "/api/v1/preview", withinAtLeast: .seconds(60))
            switch answer.status {
            case 200: return .success((try decode(ChangePreview.self, answer.body), answer.body))
            case 429 where attempts < Self.attemptsMax:
                attempts += 1
                try? await Task.sleep(for: .milliseconds(100))
            case 404:
                throw AdminServerError(.badAnswer, "what answers on \(path) knows nothing of previews: is it ringway, of an older version?")
            default: return .failure(try refusal(answer.body))
            }
        }
    }
}
