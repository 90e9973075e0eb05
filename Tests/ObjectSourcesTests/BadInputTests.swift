import Foundation
import ServiceModel
import Testing

@testable import ObjectSources

/// Whatever a file holds: a clear error with its place, and nothing else is lost.
struct BadInputTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let text: String
        let expected: [String]

        init(_ name: String, _ text: String, _ expected: [String]) {
            (testDescription, self.text, self.expected) = (name, text, expected)
        }
    }

    private static let head = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n"
    private static let undecodable = "Service in version \"v1\" cannot be handled as a Service"

    static let cases: [Case] = [
        Case("an empty file", "", ["f.yaml:1:1: no objects: the file is empty"]),
        Case("a file of white space", " \n\n", ["f.yaml:1:1: no objects: the file is empty"]),
        Case("a file of comments", "# nothing yet\n", ["f.yaml:1:1: warning: no objects in the file"]),
        Case("a NUL byte", "kind: Ser\0vice\n", ["f.yaml:1:10: a NUL byte: this is a binary file, not YAML or JSON"]),
        Case(
            "a control character", "kind: Service\nname: \u{1b}[31m\n",
            ["f.yaml:2:7: a control character (0x1b), which YAML and JSON do not allow"]),
        Case(
            "a tab as indentation", "kind: Service\nspec:\n\tports: []\n",
            ["f.yaml:3:1: invalid YAML: a tab is used for indentation; YAML allows only spaces there"]),
        Case(
            "a key given twice", head + "  type: NodePort\n  ports: [{port: 80, nodePort: 30080}]\n  type: ClusterIP\n",
            [
                "f.yaml:7:3: \(undecodable): strict decoding error: duplicate field \"spec.type\"",
                "f.yaml:6:32: Service \"web\" is invalid: spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ]),
        Case(
            "several keys given twice", head + "  ports: [{port: 80, port: 81, \"port\": 82, name: a, name: a}]\n",
            [
                "f.yaml:5:22: \(undecodable): strict decoding error: duplicate field \"spec.ports[0].port\"",
                "f.yaml:5:32: \(undecodable): strict decoding error: duplicate field \"spec.ports[0].port\"",
                "f.yaml:5:53: \(undecodable): strict decoding error: duplicate field \"spec.ports[0].name\"",
            ]),
        Case(
            "an unknown field", head + "  type: NodePort\n  ports:\n  - port: 80\n    nodeport: 30080\n",
            [
                "f.yaml:8:5: \(undecodable): strict decoding error: unknown field \"spec.ports[0].nodeport\""
                    + " (did you mean \"nodePort\"?)"
            ]),
        Case(
            "a wrong type", head + "  ports:\n  - port: \"80\"\n",
            ["f.yaml:6:11: \(undecodable): json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32"]),
        Case(
            "port 0", head + "  ports:\n  - port: 0\n",
            ["port", "targetPort"].map {
                "f.yaml:6:11: Service \"web\" is invalid: spec.ports[0].\($0): Invalid value: 0: must be between 1 and 65535, inclusive"
            }),
        Case(
            "port 65536", head + "  ports:\n  - port: 65536\n",
            ["port", "targetPort"].map {
                "f.yaml:6:11: Service \"web\" is invalid: spec.ports[0].\($0): Invalid value: 65536: must be between 1 and 65535, inclusive"
            }),
        Case(
            "a huge port", head + "  ports: [{port: 99999999999999999999}]\n",
            [
                "f.yaml:5:18: \(undecodable): json: cannot unmarshal number 99999999999999999999 into Go struct field "
                    + "ServicePort.spec.ports.port of type int32"
            ]),
        Case(
            "a missing name of the second port", head + "  ports:\n  - {name: a, port: 80}\n  - port: 81\n",
            ["f.yaml:7:5: Service \"web\" is invalid: spec.ports[1].name: Required value"]),
        Case(
            "a document that is cut off", head + "  ports: [{port: 80\n",
            [
                "f.yaml:6:1: invalid YAML: did not find expected ',' or '}' while parsing a flow mapping that begins on line 5; "
                    + "the text ends here: is the file truncated?"
            ]),
        Case(
            "a document that is cut off within a line", head + "  ports: [{port: 80",
            [
                "f.yaml:5:20: invalid YAML: did not find expected ',' or '}' while parsing a flow mapping that begins on line 5; "
                    + "the text ends here: is the file truncated?"
            ]),
        Case(
            "JSON that is cut off", "{\"apiVersion\": \"v1\", \"kind\": \"Serv",
            ["f.yaml:1:35: invalid JSON: the text ends inside a string: is the file truncated?"]),
        Case("a bare word", "hello\n", ["f.yaml:1:1: an object with apiVersion and kind is expected here, not a string"]),
        Case("a list at the top", "- a\n", ["f.yaml:1:1: an object with apiVersion and kind is expected here, not an array"]),
        Case("no kind", "apiVersion: v1\n", ["f.yaml:1:1: Object 'Kind' is missing"]),
        Case("no version", "kind: Service\n", ["f.yaml:1:1: Object 'apiVersion' is missing"]),
        Case(
            "a kind that nobody knows", "apiVersion: v1\nkind: Servise\n",
            ["f.yaml:2:7: no matches for kind \"Servise\" in version \"v1\" (did you mean \"Service\"?)"]),
        Case("an undefined alias", "a: *b\n", ["f.yaml:1:4: invalid YAML: found undefined alias"]),
        Case(
            "a key that is a collection", "? [a, b]\n: c\n",
            ["f.yaml:1:3: invalid YAML: a key must be a plain word or string, not a collection"]),
    ]

    @Test(arguments: cases)
    func sayWhatIsWrongAndWhere(_ badInput: Case) {
        #expect(findings(badInput.text) == badInput.expected)
    }

    @Test(arguments: cases.filter { !$0.text.contains("\0") && !$0.testDescription.contains("cut off") })
    func leaveTheOtherDocumentsOfTheFile(_ badInput: Case) {
        let text = serviceYAML("first") + "---\n" + badInput.text + "---\n" + serviceYAML("last")
        #expect(serviceNames(text) == ["first", "last"])
    }

    @Test func invalidUTF8IsNamedWithItsPlace() {
        let text = ManifestReader().read(Array("kind: ".utf8) + [0xff, 0xc0], file: "f.yaml")
        #expect(text.diagnostics.map(\.description) == ["f.yaml:1:7: not UTF-8: this is a binary file, or one in another encoding"])
        let utf16 = ManifestReader().read([0xff, 0xfe, 0x61, 0x00], file: "f.yaml")
        #expect(utf16.diagnostics.map(\.description) == ["f.yaml:1:1: the file is UTF-16; save it as UTF-8"])
    }

    @Test func binaryFilesGetOneError() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let bytes = (0..<2000).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let text = ManifestReader().read(bytes, file: "f.yaml")
            #expect(text.documents.isEmpty && text.diagnostics.count == 1)
        }
    }

    // MARK: Bombs

    struct Bomb: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let text: String

        init(_ name: String, _ text: String) { (testDescription, self.text) = (name, text) }
    }

    static let deep: [Bomb] = [
        Bomb("flow sequences", String(repeating: "[", count: 100_000)),
        Bomb("closed flow sequences", String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)),
        Bomb("flow mappings", String(repeating: "{a: ", count: 100_000)),
        Bomb("JSON objects", String(repeating: "{\"a\":", count: 100_000)),
        Bomb("JSON objects on lines", String(repeating: "{\"a\":\n", count: 100_000)),
        Bomb("block sequences", String(repeating: "- ", count: 100_000) + "a\n"),
        Bomb("explicit keys", String(repeating: "? ", count: 100_000) + "a\n"),
        Bomb("flow sequences in a block", "a:\n  b: " + String(repeating: "[", count: 100_000)),
        Bomb("pairs in sequences", "a: " + String(repeating: "[a: ", count: 100_000)),
    ]

    @Test(arguments: deep)
    func nestingIsBoundedWithAClearError(_ bomb: Bomb) {
        let text = serviceYAML("first") + "---\n" + bomb.text + "\n---\n" + serviceYAML("last")
        let manifest = read(text)
        #expect(manifest.documents.count == 2)
        #expect(manifest.diagnostics.count == 1)
        #expect(manifest.diagnostics.first?.message == "nested deeper than 128 levels")
        #expect((manifest.diagnostics.first?.location.line ?? 0) >= 9)
    }

    @Test func nestingBelowTheLimitIsRead() {
        let json = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
        #expect(read(json).documents.count == 1)
        #expect(read("a: " + json).documents.count == 1)
        var indented = ""
        for level in 0..<100 { indented += String(repeating: " ", count: level) + "a:\n" }
        #expect(read(indented).documents.count == 1)
    }

    @Test func billionLaughsAreRefused() {
        var text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
        for level in 1...20 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        let started = ContinuousClock.now
        let manifest = read(text)
        #expect(manifest.documents.isEmpty)
        #expect(manifest.diagnostics.map(\.message) == ["aliases add more than 100000 nodes to the document"])
        #expect(ContinuousClock.now - started < .seconds(10))
    }

    static let keyBombs: [(String, @Sendable (Int) -> String)] = [
        ("aliases as keys", { "&a\($0) {*a\($0 - 1) : 1, b: *a\($0 - 1)}" }),
        ("aliases in collections as keys", { "&a\($0) {[*a\($0 - 1), *a\($0 - 1)]: 1}" }),
        ("explicit keys", { "&a\($0)\n  ? - *a\($0 - 1)\n    - *a\($0 - 1)\n  : 1" }),
    ]

    @Test(arguments: keyBombs.indices)
    func bombsOfKeysAreRefused(_ index: Int) {
        var text = "a0: &a0 {lol: lol}\n"
        for level in 1...60 { text += "a\(level): " + Self.keyBombs[index].1(level) + "\n" }
        let started = ContinuousClock.now
        let manifest = read(text)
        #expect(manifest.documents.isEmpty)
        #expect(manifest.diagnostics.count == 1)
        #expect(manifest.diagnostics.first?.message.contains("a key that is an alias or a collection is not accepted") == true)
        #expect(ContinuousClock.now - started < .seconds(10))
    }

    @Test func moreDocumentsThanTheLimitAreRefused() {
        var limits = ManifestLimits()
        limits.documentsMax = 3
        let text = (1...5).map { serviceYAML("s\($0)") }.joined(separator: "---\n")
        let manifest = read(text, limits: limits)
        #expect(manifest.documents.count == 3)
        #expect(manifest.diagnostics.map(\.message) == ["more than 3 documents in one file; split it"])
        #expect(manifest.unreadableDocuments == 1)
        let json = read(String(repeating: "{}\n", count: 5), limits: limits)
        #expect(json.documents.count == 3 && json.diagnostics.count == 1)
    }

    @Test(arguments: ["[x,", "{\"a\":1,", "- x\n- "])
    func moreValuesThanTheLimitAreRefused(_ start: String) {
        var limits = ManifestLimits()
        limits.valuesMax = 1000
        let separator = start.contains("\n") ? "x\n- " : "x,"
        let text = serviceYAML("first") + "---\n" + start + String(repeating: separator, count: 1000)
        let manifest = read(text, limits: limits)
        #expect(manifest.documents.count == 1)
        #expect(manifest.diagnostics.map(\.description) == ["f.yaml:8:1: more than 1000 values in one document; split it"])
    }

    @Test func aMillionEmptyDocumentsAreNothing() {
        let manifest = read(String(repeating: "---\n", count: 1_000_000))
        #expect(manifest.documents.isEmpty && manifest.diagnostics.count == 1)
    }

    // MARK: Files

    @Test func aHugeFileIsRefusedBeforeItIsRead() throws {
        let scratch = try Scratch()
        try scratch.write("good.yaml", serviceYAML("good"))
        let path = try scratch.write("huge.yaml", "")
        try FileHandle(forWritingTo: scratch.url("huge.yaml")).truncate(atOffset: 100 << 20)
        let state = ManifestSource(roots: [scratch.path], isWatching: false).load()
        #expect(state.names == ["good"])
        #expect(state.rejectedObjects == 1)
        #expect(
            state.diagnostics.map(\.description) == [
                "\(path): 104857600 bytes are more than the limit of 33554432 bytes; split the file"
            ])
    }

    @Test func anEndlessStreamIsBounded() {
        var limits = ManifestLimits()
        limits.fileBytesMax = 1 << 20
        let state = ManifestSource(roots: ["/dev/zero"], limits: limits, isWatching: false).load()
        #expect(state.errors.count == 1)
        #expect(state.errors.first?.contains("bytes are more than the limit of 1048576 bytes") == true)
    }

    @Test func aMissingRootIsNamedWithItsRemedy() throws {
        let scratch = try Scratch()
        let state = ManifestSource(roots: [scratch.path("none")], isWatching: false).load()
        #expect(
            state.diagnostics.map(\.description) == [
                "\(scratch.path("none")): can't be read: No such file or directory; create it or correct the path"
            ])
    }

    @Test(.enabled(if: geteuid() != 0, "root may read everything"))
    func anUnreadableDirectoryIsNamedWithItsRemedy() throws {
        let scratch = try Scratch()
        try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: scratch.path)
        let state = ManifestSource(roots: [scratch.path], isWatching: false).load()
        #expect(state.errors == ["can't be read: Permission denied; give the user that runs ringway permission to read it"])
    }

    @Test func aDanglingLinkIsAnErrorOfItsFile() throws {
        let scratch = try Scratch()
        try scratch.write("good.yaml", serviceYAML("good"))
        try scratch.link("bad.yaml", to: "nowhere.yaml")
        let state = ManifestSource(roots: [scratch.path], isWatching: false).load()
        #expect(state.names == ["good"])
        #expect(state.errors == ["can't be read: No such file or directory"])
    }
}
