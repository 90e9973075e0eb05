internal import DNS
internal import Forwarding
internal import FoundationEssentials
internal import Hummingbird
internal import NIOCore

/// `GET /api/v1/dns?name=NAME&type=TYPE&namespace=NAMESPACE`: what the process would answer, and which objects give it.
struct NameRoutes {
    let subject: AdminSubject

    func add(to router: Router<AdminRequestContext>) {
        router.get("/api/v1/dns") { request, _ in try answer(request) }
    }

    private func answer(_ request: Request) throws -> Response {
        let query = request.uri.queryParameters
        guard let asking = subject.asking() else {
            return try Self.response(
                404, StatusDocument(message: "nobody answers queries: run with --dns-listen", reason: "NotFound", code: 404))
        }
        guard let name = query["name"], let type = RecordType(named: String(query["type"] ?? "A")) else {
            return try Self.response(
                400, StatusDocument(message: "\"\(query["type"] ?? "")\" is no type of a record", reason: "BadRequest", code: 400))
        }
        let question = NameQuestion(name: String(name), type: type, namespace: query["namespace"].map(String.init))
        guard let explanation = NameExplanation(question, asking, subject.inventory.inventory) else {
            return try Self.response(400, StatusDocument(message: "\"\(name)\" can't be a name", reason: "BadRequest", code: 400))
        }
        return try Self.response(200, explanation)
    }

    private static func response(_ status: Int, _ value: some Encodable) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return Response(
            status: .init(code: status), headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try encoder.encode(value) + [0x0a])))
    }
}

extension AdminClient {
    /// What the running process would answer to a query, in words and as the text it sent; or why it does not say.
    package func explain(
        name: String, type: String, namespace: String?
    ) async throws(AdminServerError) -> Result<(explanation: NameExplanation, body: String), Refusal> {
        var target = "/api/v1/dns?name=\(Self.escaped(name))&type=\(Self.escaped(type))"
        if let namespace { target += "&namespace=\(Self.escaped(namespace))" }
        let answer = try await get(target)
        guard answer.status == 200 else { return .failure(try refusal(answer.body)) }
        return .success((try decode(NameExplanation.self, answer.body), answer.body))
    }

    /// Whatever is not sure to stand for itself in a URL as its octets (RFC 3986, 2.1).
    private static func escaped(_ text: String) -> String {
        text.utf8.map { byte in
            let character = UnicodeScalar(byte)
            guard byte < 128, character.properties.isAlphabetic || (0x30...0x39).contains(byte) || "-._".unicodeScalars.contains(character)
            else { return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16) }
            return String(character)
        }.joined()
    }
}
