import Testing

@testable import ServiceModel

/// Ringway's own annotations: what is read, what is refused and in which words.
@Suite struct AnnotationTests {
    static func errors(_ annotation: String, _ value: Tree) -> [String] {
        ServiceModelTests.errors(service(["ports": [["port": 80]]], annotations: .map([("ringway.dev/" + annotation, value)])))
    }

    static func invalid(_ annotation: String, _ cause: String) -> String {
        "Service \"web\" is invalid: metadata.annotations[ringway.dev/\(annotation)]: \(cause)"
    }

    // MARK: The list

    static let misspelled = [("endpoint", "endpoints"), ("Endpoints", "endpoints"), ("endpionts", "endpoints")]

    @Test(arguments: misspelled)
    func anUnknownAnnotationSaysWhatWasMeant(_ name: String, _ meant: String) {
        let known = RingwayAnnotation.names.joined(separator: ", ")
        #expect(
            Self.errors(name, "x") == [
                Self.invalid(
                    name, "Forbidden: unknown annotation (did you mean \"ringway.dev/\(meant)\"?); Ringway knows \(known)")
            ])
    }

    @Test func whatIsNearNothingHasNoHint() {
        let found = Self.errors("colour", "x")
        #expect(found.count == 1 && !found[0].contains("did you mean") && found[0].contains("unknown annotation; Ringway knows "))
    }

    @Test func annotationsOfOthersAreTheirs() {
        #expect(ServiceModelTests.errors(service(["ports": [["port": 80]]], annotations: ["example.com/endpoint": "y"])) == [])
    }

    @Test func anUnknownAnnotationIsPlacedAtItsKeyAndABadValueAtItself() throws {
        let tree: Tree = ["ringway.dev/endpoint": "10.0.0.1:80", "ringway.dev/endpoints": "nowhere"]
        let found = ObjectDecoder.decode(service(["ports": [["port": 80]]], annotations: tree)).flatMap(\.diagnostics)
        // Keys stand in column 0 of these trees, values in column 1.
        #expect(found.map(\.location.column) == [0, 1])
        #expect(Set(found.map(\.location.line)).count == 2)
    }

    @Test(arguments: [Tree.integer(5), .boolean(true), .list(["a"])])
    func anAnnotationMustBeAText(_ value: Tree) {
        let found = Self.errors("endpoints", value)
        #expect(found.count == 1 && found[0].contains("cannot unmarshal"), "\(found)")
    }

    @Test func annotationsOfOursBelongOnServices() {
        let tree: Tree = [
            "apiVersion": "v1", "kind": "Endpoints", "metadata": ["name": "web", "annotations": ["ringway.dev/endpoints": "10.0.0.1:80"]],
        ]
        #expect(
            ServiceModelTests.errors(tree.node).contains {
                $0.hasSuffix("metadata.annotations[ringway.dev/endpoints]: Forbidden: may only be used on a Service")
            })
    }

    // MARK: Algorithm

    @Test(arguments: Service.Algorithm.allCases)
    func anAlgorithmIsReadByItsName(_ algorithm: Service.Algorithm) {
        let node = service(["ports": [["port": 80]]], annotations: ["ringway.dev/algorithm": .string(" \(algorithm.rawValue)")])
        #expect(decodedService(node)?.settings.algorithm == algorithm)
    }

    @Test(arguments: ["", "Random", "rr", "least_conn"])
    func anotherAlgorithmIsRefusedWithTheListOfThem(_ text: String) {
        let all = "\"consistent-hash\", \"least-connections\", \"random\", \"round-robin\""
        #expect(
            Self.errors("algorithm", .string(text)) == [
                Self.invalid("algorithm", "Unsupported value: \"\(text)\": supported values: \(all)")
            ])
    }

    @Test(arguments: Service.Algorithm.allCases)
    func affinityAllowsTheHashAndContradictsTheRest(_ algorithm: Service.Algorithm) {
        let spec: Tree = ["sessionAffinity": "ClientIP", "ports": [["port": 80]]]
        let found = ServiceModelTests.errors(service(spec, annotations: ["ringway.dev/algorithm": .string(algorithm.rawValue)]))
        let contradiction = Self.invalid(
            "algorithm",
            "Invalid value: \"\(algorithm.rawValue)\": may not be used when `sessionAffinity` is 'ClientIP', which means consistent-hash: "
                + "remove one of the two")
        #expect(found == (algorithm == .consistentHash ? [] : [contradiction]))
    }

    // MARK: Lengths of time

    static let durations: [(String, Duration?)] = [
        ("90s", .seconds(90)), ("5m", .seconds(300)), ("1h30m", .seconds(5400)), ("1.5s", .milliseconds(1500)), ("0", .zero),
        ("0s", .zero), ("100us", .microseconds(100)), ("100\u{b5}s", .microseconds(100)), ("7ns", .nanoseconds(7)),
        (".5s", .milliseconds(500)),
        ("1.s", .seconds(1)), ("30m1h", .seconds(5400)), ("8760h", .seconds(31_536_000)),
        ("0.333333333333333333h", .nanoseconds(1_199_999_999_999)),
        ("", nil), ("5", nil), ("s", nil), ("-1s", nil), ("+1s", nil), ("1 s", nil), ("1d", nil), ("1h 30m", nil), ("1.2.3s", nil),
        (".s", nil),
        ("8761h", nil), ("99999999999999999999h", nil), ("\u{663}s", nil), ("1S", nil),
    ]

    @Test(arguments: durations)
    func lengthsOfTimeAreReadAsGoReadsThem(_ text: String, _ expected: Duration?) {
        #expect(DurationText.duration(text) == expected)
    }

    @Test func aLengthOfTimeHasBounds() {
        let node = DocumentNode(.scalar(.init(text: "2s", kind: .string)), at: SourceLocation(file: "f", line: 1, column: 1))
        let field = Field(path: .key(.root, "ringway.dev/x"), node: node, parentLocation: node.location)
        let reader = AnnotationReader.duration(.milliseconds(10)...(.seconds(90)))
        var findings = Findings(qualifiedKind: "Service", name: "web", key: nil)
        #expect(reader.read(" 2s ", field, &findings) == .seconds(2))
        #expect(reader.read("2h", field, &findings) == nil)
        #expect(reader.read("2", field, &findings) == nil)
        #expect(
            findings.diagnostics.map(\.message) == [
                "Service \"web\" is invalid: [ringway.dev/x]: Invalid value: \"2h\": must be between 10ms and 1m30s, inclusive",
                "Service \"web\" is invalid: [ringway.dev/x]: Invalid value: \"2\": must be a length of time with its unit, "
                    + "such as 500ms, 90s, 5m or 1h30m",
            ])
    }
}
