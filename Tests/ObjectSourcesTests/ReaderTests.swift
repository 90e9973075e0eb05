import ServiceModel
import Testing

@testable import ObjectSources

struct ReaderTests {
    private func node(_ text: String) -> DocumentNode? { read(text).documents.first }

    @Test func documentsAreCutAtTheirMarkers() {
        let text = """
            # a comment before all

            ---
            a: |
              --- not a marker, it is indented
              ...
            ---   # with a comment
            b: 1
            ...
            %YAML 1.1
            ---
            c: 1
            ---
            ---
            # nothing
            --- {d: 1}
            ---x: 1
            """
        let pieces = DocumentSplitter.split(Array(text.utf8))
        #expect(pieces.map(\.firstLine) == [3, 7, 10, 16])
    }

    @Test func linesAndColumnsAreThoseOfTheFile() throws {
        let text = "a: 1\n---\n\nitems:\n- \"é\": {x: 1, y: 2}\n  z:\n"
        let documents = read(text).documents
        #expect(documents.count == 2)
        let item = try #require(documents[1]["items"])
        guard case .sequence(let elements) = item.content, case .mapping(let entries)? = elements.first?.content else {
            Issue.record("not a list of mappings")
            return
        }
        #expect(entries.map(\.keyLocation.description) == ["f.yaml:5:3", "f.yaml:6:3"])
        #expect(entries[0].value["y"]?.location.description == "f.yaml:5:18")
        #expect(entries[1].value.isNull)
    }

    @Test func scalarsKnowWhetherTheyWereQuoted() {
        let document = node("a: [80, \"80\", '80', yes, \"yes\", ~, \"\", !!str 80, !!int \"80\"]\nb: |-\n  80\n")
        guard case .sequence(let nodes)? = document?["a"]?.content else {
            Issue.record("not a list")
            return
        }
        let kinds = nodes.map { node -> DocumentNode.Scalar.Kind? in
            if case .scalar(let scalar) = node.content { scalar.kind } else { nil }
        }
        #expect(kinds == [.integer, .string, .string, .boolean, .string, .null, .string, .string, .integer])
        #expect(document?["b"]?.string == "80")
    }

    @Test func aliasesAndMergeKeysAreExpanded() {
        let document = node("base: &base {a: x, b: v}\nmore:\n  <<: *base\n  b: z\nlist: [*base, *base]\n")
        #expect(document?["more"]?["a"]?.string == "x")
        #expect(document?["more"]?["b"]?.string == "z")
        guard case .sequence(let nodes)? = document?["list"]?.content else {
            Issue.record("not a list")
            return
        }
        #expect(nodes.map { $0["b"]?.string } == ["v", "v"])
    }

    @Test func manyPlainAliasesAreFine() {
        let labels = (1...200).map { "- {labels: *labels, name: n\($0)}" }.joined(separator: "\n")
        #expect(read("base: &labels {app: web}\nitems:\n\(labels)\n").diagnostics == [])
    }

    @Test func jsonIsReadWithItsPlaces() throws {
        let document = try #require(node("{\n  \"a\": [1, 2.5, true, null, \"\\u00e9\\ud83d\\ude00\\/\\n\"],\n  \"b\": {}\n}\n"))
        guard case .sequence(let nodes)? = document["a"]?.content else {
            Issue.record("not a list")
            return
        }
        #expect(nodes.map(\.location.column) == [9, 12, 17, 23, 29])
        #expect(nodes.last?.string == "é😀/\n")
        #expect(document["b"]?.location.description == "f.yaml:3:8")
    }

    @Test func jsonValuesMayFollowEachOther() {
        #expect(read("{\"a\": 1}\n{\"b\": 2} [3]\n---\n{\"c\": 4}").documents.count == 4)
    }

    @Test func aFlowMappingThatIsNoJSONIsYAML() {
        #expect(node("{a: b, 'c': d,} # comment\n")?["a"]?.string == "b")
    }

    @Test func windowsLineEndsAndAByteOrderMarkAreRead() {
        let manifest = read("\u{feff}a: 1\r\n---\r\nb: x\r\n")
        #expect(manifest.documents.count == 2)
        #expect(manifest.documents.last?["b"]?.location.description == "f.yaml:3:4")
        #expect(manifest.documents.last?["b"]?.string == "x")
    }

    @Test func aMistakeInOneDocumentLeavesTheOthers() {
        let text = "a: 1\n---\nb: [\n---\nc: \"x\n---\nd: 1\n"
        let manifest = read(text)
        #expect(manifest.documents.count == 2)
        #expect(manifest.unreadableDocuments == 2)
        #expect(manifest.diagnostics.map(\.location.line) == [4, 6])
    }

    /// Seeded damage to good manifests: whatever comes of it, it is read without a crash, and places lie inside the file.
    @Test(arguments: 0..<8)
    func damagedTextIsReadWithoutACrash(_ seed: UInt64) {
        var generator = SplitMix(state: seed)
        let good = Array(
            (serviceYAML("web") + "---\na: &x [1, \"two\", {b: *y}]\n? k\n: |\n  text\n---\n{\"j\": [1, {\"k\": \"\\u0041\"}]}\n").utf8)
        let marks = Array("[]{}:,-&*!|>'\"%@`#?\t\n \\0".utf8) + [0xff, 0xc3, 0xe2]
        for _ in 0..<500 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[place] = marks.randomElement(using: &generator)!
                case 1: bytes.insert(marks.randomElement(using: &generator)!, at: place)
                case 2: bytes.remove(at: place)
                default: bytes.removeSubrange(place..<min(bytes.count, place + 20))
                }
                if bytes.isEmpty { bytes = good }
            }
            let manifest = ManifestReader().read(bytes, file: "f.yaml")
            let lines = bytes.count { $0 == 0x0a || $0 == 0x0d || $0 == 0x85 || $0 == 0xa8 || $0 == 0xa9 } + 1
            let decoded = manifest.documents.flatMap(ObjectDecoder.decode).flatMap(\.diagnostics)
            for diagnostic in manifest.diagnostics + decoded {
                #expect((1...lines + 1).contains(diagnostic.location.line))
                #expect(!diagnostic.message.contains("\n"))
            }
        }
    }
}

/// Many files, read by several threads.
struct FileReadingTests {
    @Test func anyNumberOfThreadsGivesTheSameOutcomesInOrder() throws {
        let scratch = try Scratch()
        var requests: [FileReading.Request] = []
        for number in 0..<250 {
            let name = "\(number).yaml"
            if number % 17 != 3 { try scratch.write(name, number % 5 == 4 ? "kind: [\n" : serviceYAML("web-\(number)", port: 1 + number)) }
            // Of a file that isn't there the directory's will do: it is asked for by name.
            let path = scratch.path(name)
            let stamp = try Files.stamp(Files.hasName(path) ? path : scratch.path)
            requests.append(FileReading.Request(path: path, root: scratch.path, stamp: stamp))
        }
        let reading = FileReading(limits: ManifestLimits(), strictness: .ringway, judgesServices: true)
        func read(threads: Int, _ count: Int = 250) -> [String] {
            reading.read(Array(requests.prefix(count)), threads: threads).map {
                switch $0 {
                case .file(let file, _): "\(file.path) \(file.declarations.map { $0.key?.name ?? "-" }) \(file.diagnostics.map(\.message))"
                case .fault(let fault): "\(fault)"
                }
            }
        }
        let one = read(threads: 1)
        #expect(
            one.count == 250 && one[3].hasPrefix("refused") && one[0].hasSuffix("/0.yaml [\"web-0\"] []") && one[4].contains("invalid YAML")
        )
        for threads in [0, 2, 3, 7, 1000] { #expect(read(threads: threads) == one, "\(threads) threads") }
        for count in [0, 1, 15, 16, 17] { #expect(read(threads: 4, count) == Array(one.prefix(count)), "\(count) files") }
    }
}
