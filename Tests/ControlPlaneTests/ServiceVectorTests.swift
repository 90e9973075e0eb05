import ServiceModel
import Testing

@testable import ControlPlane

extension ServiceVector: CustomTestStringConvertible {
    var testDescription: String { name }
}

@Suite(.enabled(if: ServiceVector.isPresent, "service_validation.json is not there: set RINGWAY_VECTORS"))
struct ServiceVectorTests {
    @Test(arguments: ServiceVector.all)
    func theAnswerIsAnAPIServers(_ vector: ServiceVector) throws {
        let (verdict, status) = try vector.answer()
        switch verdict {
        case .admitted(let manifest, let warnings):
            #expect(vector.expect.accepted)
            let found = try JSONTree(manifest.json.text)
            #expect(Self.differences(vector.expect.object ?? .null, found) == [])
            #expect(warnings.compactMap(\.origin?.finding.text) == vector.expect.warnings ?? [])
        case .refused:
            #expect(!vector.expect.accepted)
            let status = try #require(status)
            #expect(status.code == vector.expect.code)
            #expect(status.reason == vector.expect.reason)
            let found = Set(status.causes.map { ServiceVector.Expectation.Cause(reason: $0.reason, field: $0.field) })
            #expect(found == Set(vector.expect.causes ?? []))
        }
    }

    @Test func textsAreAnAPIServersWordForWord() throws {
        let refused = ServiceVector.all.filter { !$0.expect.accepted }
        let different = try refused.filter { try $0.answer().status?.message != $0.expect.message }
        print("service_validation.json: \(refused.count - different.count) of \(refused.count) texts are equal")
        for vector in different {
            print("  \(vector.name): \(try vector.answer().status?.message ?? "-") instead of \(vector.expect.message ?? "-")")
        }
        #expect((refused.count - different.count) * 100 >= refused.count * 95)
    }

    /// Where they differ. A placeholder stands for any allocated value, equal ones for equal values.
    private static func differences(_ expected: JSONTree, _ found: JSONTree) -> [String] {
        var values: [String: JSONTree] = [:]
        var differences: [String] = []
        func compare(_ expected: JSONTree?, _ found: JSONTree?, _ path: String) {
            switch (expected, found) {
            case (.string(let text), let found?) where text.hasPrefix("<auto-"):
                if values.updateValue(found, forKey: text) ?? found != found { differences.append("\(path): \(text) is not one value") }
                if Set(values.values).count < values.count { differences.append("\(path): \(text) is the value of another") }
            case (.map(let expected), .map(let found)):
                for key in Set(expected.keys).union(found.keys).sorted() { compare(expected[key], found[key], "\(path).\(key)") }
            case (.list(let expected), .list(let found)) where expected.count == found.count:
                for (index, pair) in zip(expected, found).enumerated() { compare(pair.0, pair.1, "\(path)[\(index)]") }
            default:
                if expected != found {
                    let texts = [expected, found].map { value in value.map { "\($0)" } ?? "nothing" }
                    differences.append("\(path): \(texts[1]) instead of \(texts[0])")
                }
            }
        }
        compare(expected, found, "")
        return differences
    }
}
