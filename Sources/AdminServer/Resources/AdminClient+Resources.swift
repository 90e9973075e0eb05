package import ControlPlane
internal import FoundationEssentials

/// What there is, asked of the running process.
extension AdminClient {
    private static let tables = "application/json;as=Table;v=v1;g=meta.k8s.io"

    /// Why an answer is no table, in the process's words.
    package struct Refusal: Error {
        /// `NotFound`.
        package let reason: String
        package let message: String
    }

    package func table(
        of kind: ResourceKind, namespace: String?, name: String?
    ) async throws(AdminServerError) -> Result<TableDocument, Refusal> {
        let answer = try await get(Self.target(kind, namespace, name), accept: Self.tables)
        guard answer.status == 200 else { return .failure(try refusal(answer.body)) }
        return .success(try decode(TableDocument.self, answer.body))
    }

    /// The objects themselves, as text to print.
    package func text(
        of kind: ResourceKind, as format: Inventory.Format, namespace: String?, name: String?
    ) async throws(AdminServerError) -> Result<String, Refusal> {
        let answer = try await get(Self.target(kind, namespace, name), accept: format == .yaml ? "application/yaml" : "application/json")
        return answer.status == 200 ? .success(answer.body) : .failure(try refusal(answer.body))
    }

    /// Tells what there is and then each change, until the process ends.
    ///
    /// - Returns: why nothing was told, if nothing was.
    package func watch(
        _ kind: ResourceKind, namespace: String?, name: String?, each: (WatchEvent) -> Void
    ) async throws(AdminServerError) -> Refusal? {
        var problem: Result<Void, AdminServerError>?
        var refusal: Refusal?
        let target = Self.target(kind, namespace, name) + "?watch=true"
        _ = try await lines(of: target, accept: Self.tables) { line in
            guard let event = try? decode(WatchEvent.self, line) else {
                do throws(AdminServerError) { refusal = try self.refusal(line) } catch { problem = .failure(error) }
                return
            }
            each(event)
        }
        try problem?.get()
        return refusal
    }

    private static func target(_ kind: ResourceKind, _ namespace: String?, _ name: String?) -> String {
        let root = kind == .endpointslices ? "/apis/discovery.k8s.io/v1" : "/api/v1"
        return root + (namespace.map { "/namespaces/\($0)" } ?? "") + "/\(kind)" + (name.map { "/\($0)" } ?? "")
    }

    func refusal(_ body: String) throws(AdminServerError) -> Refusal {
        let status = try decode(StatusDocument.self, body)
        return Refusal(reason: status.reason, message: status.message)
    }

    func decode<Value: Decodable>(_ type: Value.Type, _ body: String) throws(AdminServerError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(body.utf8))
        } catch {
            throw AdminServerError(.badAnswer, "what answers on \(path) speaks of something else (another version of ringway?): \(error)")
        }
    }
}
