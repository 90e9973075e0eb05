import Addressing
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

    static let misspelled = [
        ("endpoint", "endpoints"), ("Endpoints", "endpoints"), ("endpionts", "endpoints"),
        ("weight", "weights"), ("algoritm", "algorithm"), ("max-connection", "max-connections"), ("maxconnections", "max-connections"),
        ("max-connections-per-sourse", "max-connections-per-source"),
    ]

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

    // MARK: Weights

    @Test func weightsNameAddressesWithOrWithoutPort() throws {
        let text = "10.0.1.11=3, 10.0.1.12:9301 = 0,[fd00::1]:80=256,fd00::2=1"
        let node = service(["ports": [["port": 80]]], annotations: ["ringway.dev/weights": .string(text)])
        let weights = try #require(decodedService(node)?.settings.weights)
        #expect(weights.map(\.address.description) == ["10.0.1.11", "10.0.1.12", "fd00::1", "fd00::2"])
        #expect(weights.map { $0.port?.rawValue } == [nil, 9301, 80, nil])
        #expect(weights.map(\.weight) == [3, 0, 256, 1])
    }

    static let badWeights: [(String, String)] = [
        ("", "Required value: at least one weight as ADDRESS=WEIGHT or ADDRESS:PORT=WEIGHT, such as 10.0.1.11=3"),
        ("10.0.1.11=3,", "Invalid value: \"\": item 2 is empty"),
        (
            "10.0.1.11",
            "Invalid value: \"10.0.1.11\": item 1 has no weight: write ADDRESS=WEIGHT or ADDRESS:PORT=WEIGHT, such as 10.0.1.11=3"
        ),
        ("a=1, 10.0.1.1=257", "Invalid value: \"10.0.1.1=257\": item 2 must have a weight between 0 and 256, inclusive, after the ="),
        ("10.0.1.1=-1", "Invalid value: \"10.0.1.1=-1\": item 1 must have a weight between 0 and 256, inclusive, after the ="),
        ("10.0.1.1=1.5", "Invalid value: \"10.0.1.1=1.5\": item 1 must have a weight between 0 and 256, inclusive, after the ="),
        ("10.0.1.1=", "Invalid value: \"10.0.1.1=\": item 1 must have a weight between 0 and 256, inclusive, after the ="),
        (
            "web:80=1",
            "Invalid value: \"web:80=1\": item 1 must name an endpoint by its IP address, with or without port, such as 10.0.1.11 or "
                + "[::1]:9301"
        ),
        ("10.0.1.1=1,10.0.1.1=2", "Duplicate value: \"10.0.1.1\""),
    ]

    @Test(arguments: badWeights)
    func aBadWeightIsNamed(_ text: String, _ cause: String) {
        #expect(Self.errors("weights", .string(text)).last == Self.invalid("weights", cause))
    }

    @Test func aWeightForNoneOfTheInlineEndpointsIsAWarning() {
        let tree: Tree = ["ringway.dev/endpoints": "10.0.0.1:80", "ringway.dev/weights": "10.0.0.1=2, 10.0.0.1:81=3, 10.0.0.2=1"]
        #expect(
            ServiceModelTests.warnings(service(["ports": [["port": 80]]], annotations: tree)) == [
                "Service \"web\": metadata.annotations[ringway.dev/weights]: 10.0.0.1:81 is none of the endpoints in ringway.dev/endpoints",
                "Service \"web\": metadata.annotations[ringway.dev/weights]: 10.0.0.2 is none of the endpoints in ringway.dev/endpoints",
            ])
    }

    // MARK: Numbers

    @Test func limitsAreWholeNumbers() throws {
        let tree: Tree = ["ringway.dev/max-connections": "2147483647", "ringway.dev/max-connections-per-source": " 1 "]
        let settings = try #require(decodedService(service(["ports": [["port": 80]]], annotations: tree))?.settings)
        #expect(settings.connectionsMax == 2_147_483_647 && settings.connectionsPerSourceMax == 1)
    }

    @Test(
        arguments: ["max-connections", "max-connections-per-source"],
        ["", "0", "-1", "+1", "1k", "1.0", "2147483648", "99999999999999999999", "\u{661}"])
    func aLimitThatIsNoneIsNamed(_ annotation: String, _ text: String) {
        #expect(
            Self.errors(annotation, .string(text)) == [
                Self.invalid(annotation, "Invalid value: \"\(text)\": must be a whole number between 1 and 2147483647, inclusive")
            ])
    }

    @Test func aNumberWithoutQuotesIsAnErrorAsAnAPIServerHasIt() {
        let found = Self.errors("max-connections", 100)
        #expect(found.count == 1 && found[0].contains("cannot unmarshal number into"), "\(found)")
    }

    /// To an API server null is an empty text, and so it stands in what is written down.
    @Test func anAnnotationOfNullIsAnEmptyOne() {
        #expect(Self.errors("health-check", nil) == Self.errors("health-check", "") && Self.errors("health-check", nil).count == 1)
    }

    @Test(arguments: [("off", 0), ("1", 1), (" 100", 100)])
    func ejectionIsANumberOfFailuresOrOff(_ text: String, _ failures: Int) {
        let node = service(["ports": [["port": 80]]], annotations: ["ringway.dev/eject-after": .string(text)])
        #expect(decodedService(node)?.settings.ejectAfter == failures)
    }

    @Test(arguments: ["", "0", "101", "Off", "never", "5x"])
    func anotherWordForEjectionIsRefused(_ text: String) {
        #expect(
            Self.errors("eject-after", .string(text)) == [
                Self.invalid("eject-after", "Invalid value: \"\(text)\": must be a whole number between 1 and 100, inclusive, or off")
            ])
    }

    // MARK: PROXY protocol

    @Test(arguments: Service.ProxyProtocol.allCases)
    func aVersionOfTheProxyProtocolIsReadByItsName(_ version: Service.ProxyProtocol) {
        let node = service(["ports": [["port": 80]]], annotations: ["ringway.dev/proxy-protocol": .string(version.rawValue)])
        #expect(decodedService(node)?.settings.proxyProtocol == version)
    }

    @Test(arguments: ["", "1", "V2", "true"])
    func anotherVersionIsRefusedWithTheListOfThem(_ text: String) {
        #expect(
            Self.errors("proxy-protocol", .string(text)) == [
                Self.invalid("proxy-protocol", "Unsupported value: \"\(text)\": supported values: \"v1\", \"v2\"")
            ])
    }

    @Test func whatBecomesOfAHeaderThatIsNotDueIsReadByItsName() {
        for choice in Service.UnexpectedProxyHeader.allCases {
            let node = service(["ports": [["port": 80]]], annotations: ["ringway.dev/unexpected-proxy-header": .string(choice.rawValue)])
            #expect(decodedService(node)?.settings.unexpectedProxyHeader == choice)
        }
        #expect(
            Self.errors("unexpected-proxy-header", "reject") == [
                Self.invalid("unexpected-proxy-header", "Unsupported value: \"reject\": supported values: \"close\", \"pass\"")
            ])
    }

    @Test func rangesAreReadInOrder() {
        let annotations: Tree = ["ringway.dev/accept-proxy-protocol-from": " 10.0.0.0/8,192.168.1.7/32 , fd00::/8"]
        let read = decodedService(service(["ports": [["port": 80]]], annotations: annotations))?.settings.acceptProxyProtocolFrom
        #expect(read?.map(\.description) == ["10.0.0.0/8", "192.168.1.7/32", "fd00::/8"])
    }

    static let badRanges: [(String, String)] = [
        (" ", "Required value: at least one range of addresses in CIDR form, such as 10.0.0.0/8 or 192.168.1.7/32"),
        ("10.0.0.0/8,", "Invalid value: \"\": item 2 is empty"),
        (
            "10.0.0.1",
            "Invalid value: \"10.0.0.1\": item 1 must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        ),
        ("10.0.0.1/8", "Invalid value: \"10.0.0.1/8\": item 1 must not have bits set beyond the prefix length"),
        ("10.0.0.0/08", "Invalid value: \"10.0.0.0/08\": item 1 must not have leading 0s in IP or prefix length"),
        ("::ffff:0:0/96", "Invalid value: \"::ffff:0:0/96\": item 1 must not have an IPv4-mapped IPv6 address"),
        ("10.0.0.0/8, 10.0.0.0/8", "Duplicate value: \"10.0.0.0/8\""),
    ]

    @Test(arguments: badRanges)
    func aBadRangeIsNamed(_ text: String, _ cause: String) {
        #expect(Self.errors("accept-proxy-protocol-from", .string(text)) == [Self.invalid("accept-proxy-protocol-from", cause)])
    }

    @Test func toBelieveEverybodyIsAWarning() {
        let annotations: Tree = ["ringway.dev/accept-proxy-protocol-from": "10.0.0.0/8, 0.0.0.0/0"]
        #expect(
            ServiceModelTests.warnings(service(["ports": [["port": 80]]], annotations: annotations)) == [
                "Service \"web\": metadata.annotations[ringway.dev/accept-proxy-protocol-from]: 0.0.0.0/0 lets every client say which "
                    + "address it has"
            ])
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

    @Test(arguments: ["off", "0", "0s", " off "])
    func aTimeoutMayBeOff(_ text: String) throws {
        let names = ["idle-timeout", "half-close-timeout", "tcp-keepalive", "tcp-user-timeout"]
        let annotations = names.map { ("ringway.dev/" + $0, Tree.string(text)) }
        let settings = try #require(decodedService(service(["ports": [["port": 80]]], annotations: .map(annotations)))).settings
        let timeouts = [settings.idleTimeout, settings.halfCloseTimeout, settings.keepalive, settings.userTimeout]
        #expect(timeouts.allSatisfy { $0 == .zero })
    }

    @Test func aTimeoutIsReadWithinItsBounds() throws {
        let tree: Tree = [
            "ringway.dev/idle-timeout": "1h30m", "ringway.dev/half-close-timeout": "500ms", "ringway.dev/tcp-keepalive": "1m",
            "ringway.dev/tcp-user-timeout": "90s", "ringway.dev/connect-timeout": "5s", "ringway.dev/connect-attempt-timeout": "10ms",
        ]
        let settings = try #require(decodedService(service(["ports": [["port": 80]]], annotations: tree))).settings
        #expect(settings.idleTimeout == .seconds(5400) && settings.halfCloseTimeout == .milliseconds(500))
        #expect(settings.keepalive == .seconds(60) && settings.userTimeout == .seconds(90))
        #expect(settings.connectTimeout == .seconds(5) && settings.connectAttemptTimeout == .milliseconds(10))
        #expect(
            Self.errors("tcp-keepalive", "10h") == [
                Self.invalid("tcp-keepalive", "Invalid value: \"10h\": must be between 1s and 9h, inclusive, or off")
            ])
        #expect(Self.errors("idle-timeout", "1ms").count == 1)
        #expect(Self.errors("half-close-timeout", "never").count == 1)
        #expect(Self.errors("tcp-user-timeout", "1000h").count == 1)
        // A connect can't be without an end.
        #expect(
            Self.errors("connect-timeout", "off") == [
                Self.invalid(
                    "connect-timeout",
                    "Invalid value: \"off\": must be a length of time with its unit, such as 500ms, 90s, 5m or 1h30m")
            ])
        #expect(
            Self.errors("connect-attempt-timeout", "0s") == [
                Self.invalid("connect-attempt-timeout", "Invalid value: \"0s\": must be between 10ms and 1h, inclusive")
            ])
    }

    // MARK: UDP

    private static let dns: Tree = ["ports": [["port": 53, "protocol": "UDP"]]]

    @Test(arguments: Service.UDPClass.allCases)
    func aClassOfDatagramsIsReadByItsName(_ udpClass: Service.UDPClass) {
        let node = service(Self.dns, annotations: ["ringway.dev/udp-class": .string(udpClass.rawValue)])
        #expect(decodedService(node)?.settings.udpClass == udpClass && ServiceModelTests.warnings(node) == [])
    }

    @Test func anotherClassIsRefusedWithTheListOfThem() {
        #expect(
            Self.errors("udp-class", "dns") == [
                Self.invalid(
                    "udp-class",
                    "Unsupported value: \"dns\": supported values: \"one-reply\", \"one-way\", \"per-datagram\", \"session\"")
            ])
    }

    @Test func theTimesAndLimitsOfUDPAreReadWithinTheirBounds() throws {
        let tree: Tree = [
            "ringway.dev/udp-timeout": "5s", "ringway.dev/udp-stream-timeout": "1h", "ringway.dev/udp-reply-ratio-max": "100000",
            "ringway.dev/udp-rate-per-source": "10000000",
        ]
        let settings = try #require(decodedService(service(Self.dns, annotations: tree))).settings
        #expect(settings.udpTimeout == .seconds(5) && settings.udpStreamTimeout == .seconds(3600))
        #expect(settings.udpReplyRatioMax == 100_000 && settings.udpRatePerSource == 10_000_000)
        for annotation in ["udp-timeout", "udp-stream-timeout"] {
            #expect(
                Self.errors(annotation, "999ms") == [
                    Self.invalid(annotation, "Invalid value: \"999ms\": must be between 1s and 1h, inclusive")
                ])
            // Nothing else ends a session.
            #expect(Self.errors(annotation, "off").count == 1 && Self.errors(annotation, "61m").count == 1)
        }
        for (annotation, max) in [("udp-reply-ratio-max", 100_000), ("udp-rate-per-source", 10_000_000)] {
            for text in ["0", "\(max + 1)", "1.5", "off"] {
                let cause = "Invalid value: \"\(text)\": must be a whole number between 1 and \(max), inclusive"
                #expect(Self.errors(annotation, .string(text)) == [Self.invalid(annotation, cause)])
            }
        }
    }

    @Test(arguments: [("udp-class", "one-way", "TCP", "UDP"), ("udp-timeout", "5s", "SCTP", "UDP"), ("proxy-protocol", "v2", "UDP", "TCP")])
    func anAnnotationOfAProtocolThatNoPortHasIsAWarning(_ name: String, _ value: String, _ has: String, _ wants: String) {
        func warnings(_ ports: Tree) -> [String] {
            ServiceModelTests.warnings(service(["ports": ports], annotations: .map([("ringway.dev/" + name, .string(value))])))
        }
        #expect(
            warnings([["port": 53, "protocol": .string(has)]]) == [
                "Service \"web\": metadata.annotations[ringway.dev/\(name)]: has no effect, as the Service has no \(wants) port"
            ])
        let both: Tree = [["name": "a", "port": 53, "protocol": "TCP"], ["name": "b", "port": 53, "protocol": "UDP"]]
        #expect(warnings(both) == [])
    }

    @Test func inlineEndpointsOfOneNumberOnTCPAndUDPAreNoSurprise() {
        func warnings(_ second: Int64) -> Int {
            let ports: Tree = [["name": "a", "port": 53], ["name": "b", "port": .integer(second), "protocol": "UDP"]]
            return ServiceModelTests.warnings(service(["ports": ports], annotations: ["ringway.dev/endpoints": "10.0.0.1:53"])).count
        }
        #expect(warnings(53) == 0 && warnings(54) == 1)
    }

    @Test func aLengthOfTimeHasBounds() {
        let node = DocumentNode(.scalar(.init(text: "2s", kind: .string)), at: SourceLocation(file: "f", line: 1, column: 1))
        let field = Field(path: .key(.root, "ringway.dev/x"), node: node, parentLocation: node.location)
        let reader = AnnotationReader.duration(.milliseconds(10)...(.seconds(90)))
        var findings = Findings(subject: Subject(kind: "Service", name: "web", location: node.location))
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
