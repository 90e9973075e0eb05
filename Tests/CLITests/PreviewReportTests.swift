import FoundationEssentials
import ServiceModel
import Testing

@testable import CLI
@testable import ControlPlane

/// What people are told of a change.
struct PreviewReportTests {
    private static func report(_ change: (inout ChangePreview) -> Void) -> String {
        var preview = ChangePreview()
        preview.hasChanges = true
        change(&preview)
        return PreviewReport(preview).text
    }

    @Test func objectsComeFirstAndThenWhatTheyMean() {
        let text = Self.report { preview in
            preview.objects = [
                .init(
                    kind: "Service", namespace: "default", name: "web", verdict: .changed,
                    fields: [
                        FieldChange("spec.selector.app", .string("blue"), .string("two words")),
                        FieldChange("spec.ports[http].port", .integer(80), nil), FieldChange("spec.x", nil, .array([.string("a")])),
                    ]),
                .init(kind: "Node", namespace: "", name: "n", verdict: .added, isNamed: false),
                .init(kind: "Pod", namespace: "a", name: "b", verdict: .refused, isInForce: false),
            ]
            preview.listeners = [
                .init(frontend: "tcp 10.0.0.1:80", change: .closed, service: "default/web", origin: "externalIP", reason: "no endpoint"),
                .init(frontend: "tcp [::]:<allocated>", change: .opened, service: "default/web", origin: "nodePort"),
            ]
            preview.servicePorts = [
                .init(
                    service: "default/web", transport: "TCP", change: .changed, endpointsAdded: [.init(address: "10.0.0.2:1")],
                    endpointsRemoved: [.init(address: "10.0.0.1:1", connections: 1)], endpoints: 2, settingsChange: true)
            ]
            preview.connections.parts = [
                .init(service: "default/web", transport: "TCP", endpoint: "10.0.0.1:1", count: 1, fate: .goOn),
                .init(service: "default/old", transport: "TCP", count: 4, fate: .drain, seconds: 90),
                .init(service: "default/dns", transport: "UDP", endpoint: "10.0.0.3:53", count: 2, fate: .rebind),
            ]
            preview.connections.touched = 6
        }
        #expect(
            text == """
                ~ Service default/web
                    spec.selector.app: blue → "two words"
                    spec.ports[http].port: 80 → (none)
                    spec.x: ["a"]
                + Node n (not in the files, but it depends on them)
                ! Pod a/b: refused
                listeners
                    - tcp 10.0.0.1:80        default/web (externalIP): no endpoint
                    + tcp [::]:<allocated>   default/web (nodePort)
                endpoints
                    default/web TCP: 2 endpoints
                        new connections go by other settings or weights
                        + 10.0.0.2:1
                        - 10.0.0.1:1, 1 connection now
                connections
                    1 connection of 10.0.0.1:1 of default/web: not touched, open until one side ends it
                    4 connections of default/old: 1m30s to end, what is left is reset
                    2 sessions of 10.0.0.3:53 of default/dns: to another endpoint with the next datagram
                    6 connections touched

                """)
    }

    @Test func aChangeThatTouchesNobodySaysSo() {
        let text = Self.report { $0.objects = [.init(kind: "Service", namespace: "default", name: "web", verdict: .added)] }
        #expect(text == "+ Service default/web\nconnections\n    no connection is touched\n")
    }

    @Test func noChangeIsOneLineAndErrorsStandElsewhere() {
        var preview = ChangePreview()
        preview.unchanged = 1
        #expect(PreviewReport(preview).text == "no change: 1 object as in force\n")
        preview.findings = [.init(Diagnostic(severity: .error, location: SourceLocation(file: "a.yaml"), message: "bad"))]
        #expect(PreviewReport(preview).text == "" && preview.findings.map(\.text) == ["a.yaml: bad"])
    }

    @Test func aTerminalIsToldNothing() {
        let text = Self.report {
            $0.objects = [
                .init(
                    kind: "Service", namespace: "default", name: "web", verdict: .changed,
                    fields: [FieldChange("metadata.labels[a/b]", .string("\u{1b}[2J"), .string(""))])
            ]
        }
        #expect(text.contains("metadata.labels[a/b]: \"\\u001b[2J\" → \"\"\n"))
    }

    @Test func theDocumentIsReadAsItWasWritten() throws {
        var preview = ChangePreview()
        preview.objects = [
            .init(
                kind: "Service", namespace: "default", name: "web", verdict: .changed,
                fields: [FieldChange("a", .object([("b", .array([.integer(1), .boolean(true), .string("x")]))]), nil)])
        ]
        preview.statuses = [Status.success("well")]
        let read = try JSONDecoder().decode(ChangePreview.self, from: JSONEncoder().encode(preview))
        #expect(read == preview)
    }
}
