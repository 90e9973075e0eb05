import Foundation
import Testing

@testable import Fuzz

/// The inputs that fuzzing begins with, each played once. What was found by it and mended is among them.
struct CorpusTests {
    struct Input: CustomTestStringConvertible {
        let target: String
        let url: URL

        var testDescription: String { "\(target)/\(url.lastPathComponent)" }
    }

    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fuzz/corpus")

    private static func inputs(of target: String) -> [Input] {
        let folder = corpus.appendingPathComponent(target)
        let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
        return files.sorted { $0.path < $1.path }.map { Input(target: target, url: $0) }
    }

    static let all = Fuzz.all.flatMap { inputs(of: $0.name) }

    @Test(arguments: all) func nothingIsWrongWithAnInput(input: Input) throws {
        let target = try #require(Fuzz.target(named: input.target))
        #expect(target.play([UInt8](try Data(contentsOf: input.url))) == [])
    }

    @Test func everyTargetHasAFewInputs() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path)
        #expect(Set(folders) == Set(Fuzz.all.map { $0.name }))
        for target in Fuzz.all {
            #expect((1..<200).contains(Self.inputs(of: target.name).count))
        }
    }
}
