import Foundation
import Testing

@testable import ServiceModel

/// What a real API server answered, where the vectors are at hand (see `RINGWAY_VECTORS`).
struct VectorTests {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        struct Expectation: Decodable, Sendable {
            struct Cause: Decodable, Sendable {
                let field: String
                let message: String
            }

            let accepted: Bool
            let code: Int
            let message: String?
            let causes: [Cause]?
        }

        let name: String
        let op: String
        let existing: [Tree]?
        let service: Tree
        let expect: Expectation

        var testDescription: String { name }
    }

    private struct Suite: Decodable { let cases: [Case] }

    static let file: URL = {
        let folder =
            ProcessInfo.processInfo.environment["RINGWAY_VECTORS"].map { URL(filePath: $0) }
            ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "shared/vectors")
        return folder.appending(path: "service_validation.json")
    }()

    static let isPresent = FileManager.default.isReadableFile(atPath: file.path)

    static let created: [Case] = {
        guard let data = try? Data(contentsOf: file), let suite = try? JSONDecoder().decode(Suite.self, from: data) else { return [] }
        return suite.cases.filter { $0.op == "create" && $0.existing == nil }
    }()

    /// Answers that need a cluster's ranges, its allocators or its dual-stack settings, which a file has not; what Ringway accepts
    /// on purpose; and one cause that an API server reports twice.
    private static func isOutOfScope(_ cause: Case.Expectation.Cause) -> Bool {
        cause.message.contains("failed to allocate") || cause.message.contains("provided port is not in the valid range")
            || cause.message.contains("not configured on this cluster") || cause.message.contains("not configured for dual-stack")
            || cause.message.contains("may not be in the loopback range")
            || (cause.field == "spec.ports[0].targetPort" && cause.message.hasPrefix("Invalid value: 0:"))
    }

    @Test(.enabled(if: isPresent, "service_validation.json is not there: set RINGWAY_VECTORS"), arguments: created)
    func answersAsAnAPIServerDoes(_ vector: Case) {
        let found = Set(errors(vector.service.node))
        guard !vector.expect.accepted else {
            #expect(found == [])
            return
        }
        switch vector.expect.code {
        case 400: #expect(found.map { $0.components(separatedBy: " (did you mean").first } == [vector.expect.message])
        case 422:
            let prefix = vector.expect.message?.components(separatedBy: " is invalid: ").first ?? ""
            let causes = vector.expect.causes ?? []
            let expected = Set(causes.filter { !Self.isOutOfScope($0) }.map { "\(prefix) is invalid: \($0.field): \($0.message)" })
            #expect(found == expected)
        default: break
        }
    }
}
