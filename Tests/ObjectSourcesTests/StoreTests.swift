import Foundation
import ServiceModel
import Testing

@testable import ObjectSources

/// What is in force after a reload. Each test writes real files and loads them again, as the running process does.
struct StoreTests {
    private let scratch: Scratch
    private let source: ManifestSource

    init() throws {
        scratch = try Scratch()
        source = ManifestSource(roots: [scratch.path], isWatching: false)
    }

    @Test func filesOfADirectoryAreReadByTheirNames() throws {
        try scratch.write("a.yaml", serviceYAML("a"))
        try scratch.write("b.yml", serviceYAML("b"))
        try scratch.write(
            "c.json", "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"c\"},\"spec\":{\"ports\":[{\"port\":1}]}}")
        try scratch.write("d.txt", "not for us: [")
        try scratch.write(".e.yaml", "nor this: [")
        try scratch.makeDirectory("f.yaml")
        try scratch.makeDirectory("real")
        try scratch.write("real/g.yaml", serviceYAML("g"))
        try scratch.link("g.yaml", to: "real/g.yaml")
        let state = source.load()
        #expect(state.names == ["a", "b", "c", "g"])
        #expect(state.diagnostics == [] && state.rejectedObjects == 0)
    }

    @Test func aBadObjectKeepsItsLastGoodVersionAndTheOthersGoOn() throws {
        try scratch.write("a.yaml", serviceYAML("one", port: 1) + "---\n" + serviceYAML("two", port: 1))
        #expect(source.load().names == ["one", "two"])
        try scratch.write("a.yaml", serviceYAML("one", port: 0) + "---\n" + serviceYAML("two", port: 2))
        let state = source.load()
        #expect(state.port(of: "one") == "1")
        #expect(state.port(of: "two") == "2")
        #expect(state.rejectedObjects == 1 && Set(state.diagnostics.map(\.location.line)) == [7])
        try scratch.write("a.yaml", serviceYAML("one", port: 3) + "---\n" + serviceYAML("two", port: 2))
        #expect(source.load().port(of: "one") == "3")
        #expect(source.load().rejectedObjects == 0)
    }

    @Test func aFileThatCannotBeParsedKeepsAllItHad() throws {
        try scratch.write("a.yaml", serviceYAML("one") + "---\n" + serviceYAML("two"))
        try scratch.write("b.yaml", serviceYAML("three"))
        _ = source.load()
        for broken in ["kind: [", "", "\0", "\tx"] {
            try scratch.write("a.yaml", broken)
            let state = source.load()
            #expect(state.names == ["one", "three", "two"])
            #expect(state.rejectedObjects == 1 && state.errors.count == 1)
        }
        try scratch.write("a.yaml", serviceYAML("one"))
        #expect(source.load().names == ["one", "three"])
    }

    @Test func aBrokenDocumentKeepsWhatItsFileNoLongerNames() throws {
        try scratch.write("a.yaml", serviceYAML("one", port: 1) + "---\n" + serviceYAML("two", port: 1))
        _ = source.load()
        try scratch.write("a.yaml", serviceYAML("one", port: 2) + "---\nkind: [\n")
        let state = source.load()
        #expect(state.port(of: "one") == "2")
        #expect(state.port(of: "two") == "1")
    }

    @Test func anObjectLeftOutOfAFileIsGone() throws {
        try scratch.write("a.yaml", serviceYAML("one") + "---\n" + serviceYAML("two"))
        _ = source.load()
        try scratch.write("a.yaml", serviceYAML("two"))
        #expect(source.load().names == ["two"])
        try scratch.write("a.yaml", "# none left\n")
        #expect(source.load().names == [])
    }

    @Test func aFileGoneFromAReadableDirectoryIsADelete() throws {
        try scratch.write("a.yaml", serviceYAML("one"))
        try scratch.write("b.yaml", serviceYAML("two"))
        _ = source.load()
        try scratch.remove("a.yaml")
        #expect(source.load().names == ["two"])
    }

    @Test func aMissingRootKeepsEverythingItHad() throws {
        try scratch.makeDirectory("root")
        try scratch.write("root/a.yaml", serviceYAML("one"))
        let file = try scratch.write("file.yaml", serviceYAML("two"))
        let source = ManifestSource(roots: [scratch.path("root"), file], isWatching: false)
        #expect(source.load().names == ["one", "two"])
        try scratch.remove("root")
        try scratch.remove("file.yaml")
        let state = source.load()
        #expect(state.names == ["one", "two"])
        #expect(state.errors.count == 2)
        try scratch.makeDirectory("root")
        #expect(source.load().names == ["two"])
    }

    @Test func anUnreadableFileKeepsAllItHad() throws {
        try scratch.write("a.yaml", serviceYAML("one"))
        try scratch.write("b.yaml", serviceYAML("two"))
        _ = source.load()
        // A dangling link is as unreadable to root as to anybody.
        try scratch.remove("a.yaml")
        try scratch.link("a.yaml", to: "nowhere")
        let state = source.load()
        #expect(state.names == ["one", "two"])
        #expect(state.rejectedObjects == 1)
    }

    @Test func theSameObjectInTwoFilesBelongsToTheFirst() throws {
        let first = try scratch.write("a.yaml", serviceYAML("one", port: 1))
        let second = try scratch.write("b.yaml", serviceYAML("one", port: 2) + "---\n" + serviceYAML("two"))
        let state = source.load()
        #expect(state.port(of: "one") == "1")
        #expect(state.names == ["one", "two"])
        #expect(state.rejectedObjects == 1)
        #expect(
            state.diagnostics.map(\.description) == [
                "\(second):1:1: Service default/one is already defined at \(first):1:1; that one is used, this one is not"
            ])
        try scratch.remove("a.yaml")
        let later = source.load()
        #expect(later.port(of: "one") == "2")
        #expect(later.diagnostics == [])
    }

    @Test func aBadObjectThatWasNeverGoodDoesNotHoldBackItsDouble() throws {
        try scratch.write("b.yaml", serviceYAML("one", port: 1))
        _ = source.load()
        try scratch.write("a.yaml", serviceYAML("one", port: 0))
        try scratch.write("b.yaml", serviceYAML("one", port: 2))
        let state = source.load()
        #expect(state.port(of: "one") == "2")
        #expect(state.rejectedObjects == 2)
        #expect(state.errors.last?.hasSuffix("that one is refused, so this one is used") == true)
    }

    @Test func servicesForARegistryAreTakenAsTheyAreWritten() throws {
        let source = ManifestSource(roots: [scratch.path], judgesServices: false, isWatching: false)
        try scratch.write("a.yaml", serviceYAML("one", port: 0) + "---\n" + serviceYAML("two", port: 2))
        var state = source.load()
        #expect(state.services.map(\.metadata.name) == ["one", "two"] && state.services.first?.ports.first?.port == 0)
        #expect(state.diagnostics == [] && state.rejectedObjects == 0)
        // Without a name there is nothing to judge it under.
        try scratch.write("b.yaml", serviceYAML("''"))
        #expect(source.load().rejectedObjects == 1)
        try scratch.remove("b.yaml")
        // What can't be decoded is nothing to judge: the last version that could be stays.
        try scratch.write("a.yaml", serviceYAML("one", port: 1) + "  foo: 1\n---\n" + serviceYAML("two", port: 3))
        state = source.load()
        #expect(state.services.map { $0.ports.first?.port } == [0, 3])
        #expect(state.rejectedObjects == 1 && state.errors.count == 1)
    }

    @Test func aSliceKeepsItsAddressType() throws {
        func slice(_ type: String, _ address: String) -> String {
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: one, labels: {kubernetes.io/service-name: one}}\n"
                + "addressType: \(type)\nports: [{port: 80}]\nendpoints: [{addresses: ['\(address)']}]\n"
        }
        try scratch.write("a.yaml", slice("IPv4", "10.0.0.1"))
        let first = source.load()
        try scratch.write("a.yaml", slice("IPv6", "fd00::1"))
        let state = source.load()
        #expect(state.objects == first.objects && state.objects.count == 1 && state.rejectedObjects == 1)
        #expect(
            state.diagnostics.map(\.message) == [
                "EndpointSlice.discovery.k8s.io \"one\" is invalid: addressType: Invalid value: \"IPv6\": field is immutable"
                    + "; give the new slice another name"
            ])
    }

    @Test func findingsStandInTheOrderOfTheirPlaces() throws {
        try scratch.write("b.yaml", "kind: x\n---\na: [\n---\n" + serviceYAML("one", port: 0) + "---\n\t- x\n")
        try scratch.write("a.yaml", serviceYAML("two", port: 0))
        let places = source.load().diagnostics.map { "\(URL(filePath: $0.location.file).lastPathComponent):\($0.location.line)" }
        // A port that is none is no target either: two errors in one place.
        #expect(places == ["a.yaml:7", "a.yaml:7", "b.yaml:1", "b.yaml:4", "b.yaml:11", "b.yaml:11", "b.yaml:13"])
    }

    @Test func anObjectMovedOutOfABrokenFileIsNotHeldBack() throws {
        try scratch.write("a.yaml", serviceYAML("one", port: 1))
        _ = source.load()
        try scratch.write("a.yaml", "kind: [")
        try scratch.write("b.yaml", serviceYAML("one", port: 2))
        let state = source.load()
        #expect(state.port(of: "one") == "2")
        #expect(state.errors.count == 1)
    }

    @Test func otherKindsAndWarningsAreNotRejected() throws {
        try scratch.write("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n" + serviceYAML("one"))
        let state = source.load()
        #expect(state.names == ["one"] && state.rejectedObjects == 0 && state.diagnostics.map(\.severity) == [.warning])
    }

    @Test func rootsThatNameTheSameFileReadItOnce() throws {
        let file = try scratch.write("a.yaml", serviceYAML("one"))
        let state = ManifestSource(roots: [scratch.path, file, file], isWatching: false).load()
        #expect(state.names == ["one"] && state.diagnostics == [])
    }

    @Test func aRewriteWithinOneTickIsSeen() throws {
        for port in 1...50 {
            try scratch.write("a.yaml", serviceYAML("one", port: 1000 + port))
            #expect(source.load().port(of: "one") == "\(1000 + port)")
        }
    }

    @Test func anOldFileIsNotReadAgain() throws {
        try scratch.write("a.yaml", serviceYAML("one"))
        Thread.sleep(forTimeInterval: 1.2)
        var loader = ManifestLoader([scratch.path])
        #expect(loader.load().files.count == 1)
        #expect(loader.load().files == [] && loader.load([scratch.path("a.yaml")]).files == [])
        try scratch.write("a.yaml", serviceYAML("two"))
        #expect(loader.load().files.first?.declarations.first?.key?.name == "two")
    }

    // MARK: Losses

    private func writeAll(_ count: Int, slices: Int) throws {
        let documents =
            (0..<count).map { serviceYAML("s\($0)", port: 1 + $0) } + (0..<slices).map { sliceYAML(of: "s\($0)") } + ["# nothing else\n"]
        try scratch.write("a.yaml", documents.joined(separator: "---\n"))
    }

    @Test func whoLosesTenServicesAtOnceKeepsThemUntilOneIsThereAgain() throws {
        try writeAll(10, slices: 0)
        _ = source.load()
        // In a directory a file that is gone, and one that has nothing in it any more, say the same.
        for change in [{ try scratch.write("a.yaml", "# empty\n") }, { try scratch.remove("a.yaml") }] as [() throws -> Any] {
            _ = try change()
            for _ in 0..<2 {
                let state = source.load()
                #expect(state.objects.count == 10 && state.errors.count == 1)
                #expect(state.errors.first?.contains("10 of them: held back") == true, "\(state.errors)")
            }
        }
        try writeAll(1, slices: 0)
        #expect(source.load().names == ["s0"] && source.load().errors == [])
    }

    @Test func whoLosesTheEndpointsOfTenServicesKeepsThem() throws {
        try writeAll(12, slices: 10)
        _ = source.load()
        try writeAll(12, slices: 0)
        let state = source.load()
        #expect(state.objects.count == 22 && state.errors.count == 1)
        #expect(state.errors.first?.contains("the endpoints of all Services are gone at once, 10 of them") == true, "\(state.errors)")
        try writeAll(12, slices: 1)
        #expect(source.load().objects.count == 13)
    }

    @Test func nineServicesOneOfManyAndWhatMovesElsewhereAreNotHeld() throws {
        try writeAll(9, slices: 9)
        _ = source.load()
        try writeAll(0, slices: 0)
        #expect(source.load().objects == [])
        try writeAll(20, slices: 20)
        _ = source.load()
        try writeAll(20, slices: 1)
        #expect(source.load().objects.count == 21)
        try writeAll(1, slices: 0)
        #expect(source.load().names == ["s0"])
        // Ten that another root has now are nobody's loss.
        let other = try Scratch()
        let both = ManifestSource(roots: [scratch.path, other.path], isWatching: false)
        try writeAll(10, slices: 0)
        _ = both.load()
        try other.write("b.yaml", (0..<10).map { serviceYAML("s\($0)", port: 1 + $0) }.joined(separator: "---\n"))
        try scratch.remove("a.yaml")
        #expect(both.load().objects.count == 10 && both.load().errors == [])
        try other.write("b.yaml", serviceYAML("s3"))
        #expect(both.load().names == ["s3"])
    }

    @Test func whoAllowsItLosesAll() throws {
        let source = ManifestSource(roots: [scratch.path], isWatching: false, holdsLosses: false)
        try writeAll(30, slices: 30)
        #expect(source.load().objects.count == 60)
        try writeAll(0, slices: 0)
        #expect(source.load().objects == [] && source.load().errors == [])
    }
}
