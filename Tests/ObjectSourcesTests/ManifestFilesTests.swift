import ServiceModel
import Testing

@testable import ObjectSources

/// Files that are read for another process.
struct ManifestFilesTests {
    private static func service(_ name: String) -> String {
        "apiVersion: v1\nkind: Service\nmetadata: {name: \(name)}\nspec: {ports: [{port: 80}]}\n"
    }

    @Test func directoriesGiveTheirManifestsOnceAndInOrder() throws {
        let scratch = try Scratch()
        for name in ["b.yaml", "a.json", ".hidden.yaml", "note.txt"] { try scratch.write(name, name) }
        let read = ManifestFiles(roots: [scratch.path, scratch.path("b.yaml"), scratch.path])
        #expect(read.files.map(\.path) == [scratch.path("a.json"), scratch.path("b.yaml")] && read.diagnostics == [])
        #expect(read.files.map { String(decoding: $0.bytes, as: UTF8.self) } == ["a.json", "b.yaml"])
    }

    @Test func whatCannotBeReadIsNamedAndSoIsAnEmptyDirectory() throws {
        let scratch = try Scratch()
        let read = ManifestFiles(roots: [scratch.path, scratch.path("none.yaml")])
        #expect(read.files.isEmpty && read.diagnostics.map(\.severity) == [.warning, .error])
        #expect(read.diagnostics.map(\.location.file) == [scratch.path, scratch.path("none.yaml")])
    }

    @Test func theLimitHoldsForAllTogether() throws {
        let scratch = try Scratch()
        for name in ["a.yaml", "b.yaml", "c.yaml"] { try scratch.write(name, "# 23456789") }
        var limits = ManifestLimits()
        limits.fileBytesMax = 20
        let read = ManifestFiles(roots: [scratch.path], limits: limits)
        #expect(read.files.count == 2 && read.diagnostics.map(\.location.file) == [scratch.path("c.yaml")])
        #expect(read.diagnostics.first?.message.contains("more than 20 bytes together") == true)
    }

    @Test func contentsNameWhatIsRefusedAndSayWhetherAllOfItIsKnown() {
        func contents(_ texts: [String]) -> (services: [String], named: [String], isWhole: Bool, errors: Int) {
            let files = texts.enumerated().map { ManifestFiles.File(path: "\($0).yaml", bytes: Array($1.utf8)) }
            let (change, named, isWhole) = ManifestFiles.contents(of: files)
            let errors = change.diagnostics.count { $0.severity == .error }
            return (change.services.map(\.metadata.name), named.map(\.name).sorted(), isWhole, errors)
        }
        #expect(contents([Self.service("a"), Self.service("b")]) == (["a", "b"], ["a", "b"], true, 0))
        #expect(contents([Self.service("a"), Self.service("a")]) == (["a"], ["a"], true, 1), "given twice")
        #expect(contents([Self.service("a") + "---\nkind: [\n"]) == (["a"], ["a"], false, 1))
        #expect(contents([Self.service("a") + "unknown: 1\n"]).named == ["a"])
    }
}
