import Foundation
import ServiceModel
import Testing

@testable import ObjectSources

/// What is told of a change is what a look at everything would find.
struct ChangeTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    // MARK: Against the reference

    /// Texts that files come to hold, of few names, so that they meet.
    private static let names = ["a", "b", "c"]

    private static func document(_ random: inout SplitMix) -> String {
        let name = names.randomElement(using: &random)!
        switch Int.random(in: 0..<10, using: &random) {
        case 0: return "kind: [\n"
        case 1: return "kind: Service\n"
        case 2: return serviceYAML(name, port: 0)
        case 3: return serviceYAML(name) + "  foo: 1\n"
        case 4...6: return sliceYAML(of: name, type: Bool.random(using: &random) ? "IPv4" : "IPv6")
        default: return serviceYAML(name, port: Int.random(in: 1...3, using: &random))
        }
    }

    private static func text(_ random: inout SplitMix) -> String {
        switch Int.random(in: 0..<12, using: &random) {
        case 0: return ""
        case 1: return "# nothing\n"
        case 2, 3:
            // Enough to be held back when it goes.
            return (0..<12).map { serviceYAML("s\($0)") + "---\n" + sliceYAML(of: "s\($0)") }.joined(separator: "---\n")
        case 4: return (0..<12).map { sliceYAML(of: "s\($0)") }.joined(separator: "---\n")
        default: return (0...Int.random(in: 0..<4, using: &random)).map { _ in document(&random) }.joined(separator: "---\n")
        }
    }

    @Test(arguments: [true, false])
    func whatFilesChangeIsWhatAllOfThemGive(_ judgesServices: Bool) {
        var verdicts = 0
        for seed in 0..<60 {
            var random = SplitMix(state: UInt64(seed))
            let holdsLosses = seed % 4 != 0
            var store = ManifestStore(holdsLosses: holdsLosses)
            var reference = ReferenceStore(holdsLosses: holdsLosses)
            var mirror = Mirror()
            var roots = ["r", "s"].map { ReferenceStore.Root(path: $0, files: []) }
            for step in 0..<40 {
                var change = LoadedChange(roots: [])
                for _ in 0..<Int.random(in: 0..<4, using: &random) {
                    Self.disturb(&roots, judgesServices: judgesServices, into: &change, &random)
                }
                change.roots = roots.map { LoadedRoot(path: $0.path, isKnown: $0.files != nil, diagnostics: $0.diagnostics) }
                let told = store.apply(change)
                let expected = reference.apply(roots)
                mirror.apply(told)
                verdicts += expected.diagnostics.count { $0.message.contains("so this one is used") || $0.message.contains("held back") }
                guard store.state == expected, mirror.state == expected else {
                    Issue.record("seed \(seed), step \(step): \(told)\n\(store.state)\nin place of\n\(expected)")
                    return
                }
            }
        }
        #expect(verdicts > 50, "the rare cases must come")
    }

    /// A file written or removed, a root lost or found, a file moved from one root to the other.
    private static func disturb(
        _ roots: inout [ReferenceStore.Root], judgesServices: Bool, into change: inout LoadedChange, _ random: inout SplitMix
    ) {
        let index = Int.random(in: 0..<roots.count, using: &random)
        let root = roots[index].path
        func forget(_ path: String) {
            change.files.removeAll { $0.path == path }
            if !change.removed.contains(path) { change.removed.append(path) }
        }
        guard let files = roots[index].files else {
            if Bool.random(using: &random) { (roots[index].files, roots[index].diagnostics) = ([], []) }
            return
        }
        if Int.random(in: 0..<12, using: &random) == 0 {
            for file in files { forget(file.path) }
            roots[index].files = nil
            roots[index].diagnostics = [Diagnostic(severity: .error, location: SourceLocation(file: root), message: "lost")]
            return
        }
        let path = "\(root)/\(Int.random(in: 0..<4, using: &random)).yaml"
        roots[index].files?.removeAll { $0.path == path }
        guard Int.random(in: 0..<4, using: &random) > 0 else { return forget(path) }
        let manifest = read(text(&random), file: path)
        let objects = manifest.documents.flatMap { ObjectDecoder.decode($0, strictness: .ringway, judgesServices: judgesServices) }
        let file = LoadedFile(
            path: path, root: root, declarations: objects.map { Declaration($0) }, diagnostics: manifest.diagnostics,
            unreadableDocuments: manifest.isEmpty ? 1 : manifest.unreadableDocuments)
        roots[index].files?.append(file)
        change.files.removeAll { $0.path == path }
        change.removed.removeAll { $0 == path }
        change.files.append(file)
    }

    // MARK: On a file system

    @Test func whoLooksAtWhatHasChangedSeesWhatALookAtEverythingSees() throws {
        for seed in 0..<12 {
            var random = SplitMix(state: UInt64(seed))
            let directory = try Scratch()
            for root in ["conf", "other"] { try directory.makeDirectory(root) }
            try directory.write("single.yaml", serviceYAML("single"))
            let roots = ["conf", "other/", "single.yaml"].map { directory.path + "/" + $0 }
            var loader = ManifestLoader(roots, judgesServices: false)
            var store = ManifestStore()
            let whole = ManifestSource(roots: roots, judgesServices: false, isWatching: false)
            var mirror = Mirror()
            for step in 0..<25 {
                var paths: Set<String> = []
                for _ in 0..<Int.random(in: 0..<4, using: &random) {
                    paths.formUnion(try disturb(directory, roots: roots, &random))
                }
                let told = store.apply(loader.load(step == 0 ? nil : paths))
                mirror.apply(told)
                let expected = whole.load()
                guard mirror.state == expected, store.state == expected else {
                    Issue.record("seed \(seed), step \(step), \(paths): \(told)\n\(mirror.state)\nin place of\n\(expected)")
                    return
                }
            }
        }
    }

    /// Changes something on disk and gives the paths that the watcher would tell.
    private func disturb(_ directory: Scratch, roots: [String], _ random: inout SplitMix) throws -> [String] {
        let root = Int.random(in: 0..<3, using: &random)
        if root == 2 {
            try? directory.remove("single.yaml")
            if Int.random(in: 0..<4, using: &random) > 0 { try directory.write("single.yaml", Self.text(&random)) }
            return [roots[2]]
        }
        let name = ["conf", "other"][root]
        if Int.random(in: 0..<10, using: &random) == 0 {
            try? directory.remove(name)
            if Bool.random(using: &random) { try directory.makeDirectory(name) }
            return [roots[root]]
        }
        let file = "\(Int.random(in: 0..<5, using: &random)).yaml"
        let path = ManifestLoader.join(roots[root], file)
        guard FileManager.default.fileExists(atPath: directory.path(name)) else {
            try directory.makeDirectory(name)
            return [roots[root]]
        }
        try? directory.remove("\(name)/\(file)")
        switch Int.random(in: 0..<8, using: &random) {
        case 0: break
        case 1: try directory.link("\(name)/\(file)", to: "nowhere")
        case 2: try directory.makeDirectory("\(name)/\(file)")
        default: try directory.write("\(name)/\(file)", Self.text(&random))
        }
        return [path]
    }

    @Test func onlyWhatHasChangedIsTold() throws {
        try scratch.write("a.yaml", serviceYAML("one") + "---\n" + sliceYAML(of: "one"))
        try scratch.write("b.yaml", serviceYAML("two") + "---\n" + serviceYAML("three"))
        var loader = ManifestLoader([scratch.path], judgesServices: false)
        var store = ManifestStore()
        var change = store.apply(loader.load())
        #expect(change.objects.map(\.metadata.name) == ["one-1"] && change.removed == [])
        #expect(change.services.map(\.metadata.name) == ["one", "three", "two"])
        #expect(store.apply(loader.load()).isEmpty)
        let path = try scratch.write("b.yaml", serviceYAML("two") + "---\n" + serviceYAML("three", port: 81))
        change = store.apply(loader.load([path]))
        #expect(change.services.map(\.metadata.name) == ["three"] && change.objects == [] && change.removed == [])
        #expect(!change.diagnosticsChanged)
        try scratch.remove("b.yaml")
        change = store.apply(loader.load([path]))
        #expect(change.removed.map(\.name) == ["three", "two"] && change.services == [])
    }

    @Test func aRootIsMissedUntilItIsReadForTheFirstTime() throws {
        let scratch = try Scratch()
        try scratch.write("a.yaml", serviceYAML("a"))
        let source = ManifestSource(roots: [scratch.path("a.yaml"), scratch.path("late")], isWatching: false)
        #expect(source.loadChange().missesRoots && source.loadChange().missesRoots)
        try scratch.makeDirectory("late")
        let change = source.loadChange()
        #expect(!change.missesRoots && change.diagnosticsChanged)
        try scratch.remove("late")
        try scratch.remove("a.yaml")
        #expect(!source.loadChange().missesRoots, "what was there is known")
    }

    @Test func findingsComeAndGoWithTheirFile() throws {
        try scratch.write("a.yaml", serviceYAML("one", port: 0))
        try scratch.write("b.yaml", serviceYAML("two"))
        var loader = ManifestLoader([scratch.path])
        var store = ManifestStore()
        let first = store.apply(loader.load())
        #expect(first.diagnosticsChanged && !first.diagnostics.isEmpty && first.rejectedObjects == 1)
        var change = store.apply(loader.load([try scratch.write("b.yaml", serviceYAML("two", port: 81))]))
        #expect(!change.diagnosticsChanged && change.diagnostics == first.diagnostics && change.rejectedObjects == 1)
        change = store.apply(loader.load([try scratch.write("a.yaml", serviceYAML("one"))]))
        #expect(change.diagnosticsChanged && change.diagnostics == [] && change.rejectedObjects == 0)
    }

    @Test func whatIsNotNamedIsNotLookedAt() throws {
        let first = try scratch.write("a.yaml", serviceYAML("one"))
        try scratch.write("b.yaml", serviceYAML("two"))
        var loader = ManifestLoader([scratch.path])
        #expect(Set(loader.load().files.map(\.path)) == [first, scratch.path("b.yaml")])
        try scratch.write("a.yaml", serviceYAML("one", port: 81))
        try scratch.write("b.yaml", serviceYAML("two", port: 81))
        #expect(loader.load([first]).files.map(\.path) == [first])
        #expect(loader.load([]).files == [])
        #expect(loader.load([scratch.path("c.yaml"), "/elsewhere.yaml"]).removed == [])
        #expect(Set(loader.load([scratch.path]).files.map(\.path)).contains(scratch.path("b.yaml")))
    }

    @Test func aFileThatCouldNotBeReadIsTriedAgainUnasked() throws {
        try scratch.write("a.yaml", serviceYAML("one"))
        try scratch.link("b.yaml", to: "real")
        var loader = ManifestLoader([scratch.path])
        #expect(loader.load().files.count == 2)
        try scratch.write("real", serviceYAML("two"))
        #expect(loader.load([]).files.map(\.path) == [scratch.path("b.yaml")])
        #expect(loader.load([]).files == [])
    }

    @Test func aRootInsideAnotherIsLookedAtWithIt() throws {
        let file = try scratch.write("a.yaml", serviceYAML("one"))
        var loader = ManifestLoader([scratch.path, file])
        #expect(loader.load().files.map(\.root) == [scratch.path])
        try scratch.write("a.yaml", serviceYAML("one", port: 81))
        let change = loader.load([file])
        #expect(change.files.map(\.root) == [scratch.path] && change.removed == [])
    }

    @Test func aLoadThatNobodyAskedForFindsNothing() throws {
        try scratch.write("a.yaml", serviceYAML("one"))
        let source = ManifestSource(roots: [scratch.path])
        defer { source.stop() }
        #expect(source.loadChange().objects.count == 1)
        #expect(source.loadChange().isEmpty)
    }

    // MARK: Losses

    @Test func whatIsHeldBackGoesWhenOneIsThereAgain() throws {
        var loader = ManifestLoader([scratch.path])
        var store = ManifestStore()
        let all = try scratch.write("a.yaml", (0..<12).map { serviceYAML("s\($0)") }.joined(separator: "---\n"))
        _ = store.apply(loader.load())
        try scratch.remove("a.yaml")
        var change = store.apply(loader.load([all]))
        #expect(change.removed == [] && change.diagnosticsChanged && change.diagnostics.contains { $0.message.contains("12 of them") })
        #expect(store.apply(loader.load([])).isEmpty)
        // Three that another root declares now are no loss; nine are less than ten, and go.
        change = store.apply(loader.load([try scratch.write("b.yaml", serviceYAML("new"))]))
        #expect(change.removed.count == 12 && change.objects.map(\.metadata.name) == ["new"] && change.diagnostics == [])
    }
}

/// What somebody knows who hears of changes only.
private struct Mirror {
    private var objects: [ObjectKey: KubernetesObject] = [:]
    private var services: [ObjectKey: ServiceManifest] = [:]
    private var diagnostics: [Diagnostic] = []
    private var rejectedObjects = 0

    mutating func apply(_ change: ManifestChange) {
        for key in change.removed {
            objects[key] = nil
            services[key] = nil
        }
        for object in change.objects { objects[object.key] = object }
        for service in change.services { services[service.key] = service }
        if change.diagnosticsChanged { diagnostics = change.diagnostics }
        rejectedObjects = change.rejectedObjects
    }

    var state: ManifestState {
        ManifestState(
            objects: objects.values.sorted { $0.key < $1.key }, services: services.values.sorted { $0.key < $1.key },
            diagnostics: diagnostics, rejectedObjects: rejectedObjects)
    }
}
