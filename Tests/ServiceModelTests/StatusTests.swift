import Testing

@testable import ServiceModel

struct StatusTests {
    private static func statuses(_ nodes: DocumentNode...) -> [String] {
        // In the order of places, as files are read.
        let found = nodes.flatMap { ObjectDecoder.decode($0) }.flatMap(\.diagnostics).reversed()
        return Status.all(Array(found)).map(\.json.text)
    }

    @Test func oneErrorIsTheWholeMessage() {
        let text = Self.statuses(service(["ports": [["port": 80, "name": "A_b"]]])).first ?? ""
        #expect(text.hasPrefix("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":"))
        #expect(text.contains("\"message\":\"Service \\\"web\\\" is invalid: spec.ports[0].name: Invalid value: \\\"A_b\\\": a lowercase"))
        #expect(text.contains("\"reason\":\"Invalid\",\"details\":{\"name\":\"web\",\"kind\":\"Service\",\"causes\":[{\"reason\":"))
        #expect(
            text.hasSuffix("\"code\":422,\"source\":{\"file\":\"test\",\"line\":1,\"column\":1,\"causes\":[{\"line\":11,\"column\":1}]}}"))
    }

    @Test func severalErrorsAreAListInTheOrderOfAnAPIServer() throws {
        let node = service(["ports": [["port": 80], ["port": 81]], "type": "Ingress", "sessionAffinity": "x"])
        let findings = ObjectDecoder.decode(node).flatMap(\.diagnostics)
        let status = try #require(Status.all(findings.reversed()).first)
        #expect(status.message.hasPrefix("Service \"web\" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Req"))
        #expect(status.causes.map(\.field) == ["spec.ports[0].name", "spec.ports[1].name", "spec.sessionAffinity", "spec.type"])
        #expect(status.causes.map(\.reason).suffix(2) == ["FieldValueNotSupported", "FieldValueNotSupported"])
        #expect(status.causes[0].message == "Required value")
    }

    @Test func whatCannotBeDecodedIsABadRequestWithoutHints() throws {
        let node = service(["ports": [["port": 80, "nodeport": 1, "x": 2]]])
        let status = try #require(Status.all(ObjectDecoder.decode(node).flatMap(\.diagnostics)).first)
        #expect(status.code == 400 && status.reason == "BadRequest" && status.causes.isEmpty)
        #expect(
            status.message == "Service in version \"v1\" cannot be handled as a Service: strict decoding error: "
                + "unknown field \"spec.ports[0].nodeport\", unknown field \"spec.ports[0].x\"")
        #expect(!status.json.text.contains("details"))
    }

    @Test func aWrongTypeIsSaidAlone() throws {
        let node = service(["ports": [["port": "80", "x": 1]]])
        let status = try #require(Status.all(ObjectDecoder.decode(node).flatMap(\.diagnostics)).first)
        #expect(
            status.message == "Service in version \"v1\" cannot be handled as a Service: json: cannot unmarshal string into Go struct "
                + "field ServicePort.spec.ports.port of type int32")
    }

    @Test func theGroupStandsInMessageAndDetails() {
        let text = Self.statuses(slice(endpoints: [["addresses": ["10.0.0.1"]]], addressType: "ipv4")).first ?? ""
        #expect(text.contains("\"message\":\"EndpointSlice.discovery.k8s.io \\\"web-1\\\" is invalid: addressType: Unsupported value"))
        #expect(text.contains("\"details\":{\"name\":\"web-1\",\"group\":\"discovery.k8s.io\",\"kind\":\"EndpointSlice\",\"causes\":["))
    }

    @Test func eachRefusedObjectGetsOneAndTheOthersNone() {
        let good = service(["ports": [["port": 80]]])
        let bad = service(["ports": [["port": 0]]])
        #expect(Self.statuses(good, bad, good).count == 1)
        #expect(Self.statuses(good).isEmpty)
    }

    @Test func errorsWithoutAFieldAreTheirOwn() {
        let place = SourceLocation(file: "f.yaml", line: 3, column: 2)
        let key = ObjectKey(kind: .service, namespace: "default", name: "web")
        let found = [
            Diagnostic(severity: .error, location: place, message: "invalid YAML: \t"),
            Diagnostic(severity: .error, location: place, object: key, message: "twice"),
            Diagnostic(severity: .warning, location: place, message: "odd"),
        ]
        let statuses = Status.all(found)
        #expect(statuses.map(\.code) == [400, 409])
        #expect(statuses[0].json.text.contains("\"message\":\"invalid YAML: \\t\",\"reason\":\"BadRequest\",\"code\":400,\"source\":{"))
        #expect(statuses[0].json.text.hasSuffix("\"source\":{\"file\":\"f.yaml\",\"line\":3,\"column\":2}}"))
    }

    @Test func controlCharactersAreEscaped() {
        #expect(JSONValue.string("a\u{1}\"\\\n\u{e9}").text == "\"a\\u0001\\\"\\\\\\n\u{e9}\"")
    }

    @Test func strictnessAddsWhatOnlyAClusterSays() {
        func errors(_ node: DocumentNode) -> [String] {
            ObjectDecoder.decode(node, strictness: .kubernetes).flatMap(\.diagnostics).filter { $0.severity == .error }.map(\.message)
        }
        let loopback = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        #expect(
            errors(service(["externalIPs": ["127.0.0.1", "::1"], "ports": [["port": 80]]])) == [
                "Service \"web\" is invalid: spec.externalIPs[0]: Invalid value: \"127.0.0.1\": \(loopback)",
                "Service \"web\" is invalid: spec.externalIPs[1]: Invalid value: \"::1\": \(loopback)",
            ])
        #expect(
            errors(slice(endpoints: [["addresses": ["127.0.0.1"]]])) == [
                "EndpointSlice.discovery.k8s.io \"web-1\" is invalid: endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": \(loopback)"
            ])
    }
}
