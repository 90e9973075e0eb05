import Addressing
import Testing

@testable import ServiceModel

/// Pods: where they are and how they are asked whether they are ready.
@Suite struct PodTests {
    private static func document(_ container: Tree, status: Tree = nil) -> DocumentNode {
        let tree: Tree = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "web-0"], "spec": ["containers": [container]], "status": status,
        ]
        return tree.node
    }

    private static func container(_ probe: Tree) -> Tree {
        [
            "name": "web", "image": "web:1", "ports": [["containerPort": 8080], ["name": "admin", "containerPort": 8081]],
            "readinessProbe": probe,
        ]
    }

    private static func pod(_ node: DocumentNode) -> Pod? {
        if case .pod(let pod)? = decoded(node)?.body { pod } else { nil }
    }

    private static func probe(_ tree: Tree) -> HealthProbe? { pod(document(container(tree)))?.probes.first }

    private static func port(_ number: Int) -> PortNumber { PortNumber(number)! }

    @Test func itsNamesWithinAServiceAreRead() throws {
        func document(_ spec: [(String, Tree)]) -> DocumentNode {
            let containers: Tree = [["name": "web", "image": "web:1"]]
            let tree: Tree = [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "web-0"], "spec": .map([("containers", containers)] + spec),
            ]
            return tree.node
        }
        let pod = try #require(Self.pod(document([("hostname", "web-0"), ("subdomain", "web")])))
        #expect(pod.hostname == "web-0" && pod.subdomain == "web")
        let empty = try #require(Self.pod(document([("hostname", "")])))
        #expect(empty.hostname == nil && empty.subdomain == nil)
        let found = errors(document([("hostname", "Web"), ("subdomain", "a.b")]))
        #expect(found.count == 2 && found[0].contains("spec.hostname: Invalid value: \"Web\": a lowercase RFC 1123 label must"))
        #expect(found.count == 2 && found[1].contains("spec.subdomain: Invalid value: \"a.b\": a lowercase RFC 1123 label must"))
    }

    @Test func aProbeHasTheDefaultsOfKubernetes() throws {
        let probe = try #require(Self.probe(["tcpSocket": ["port": 8080]]))
        #expect(probe == HealthProbe(.tcp, port: Self.port(8080)))
        #expect(probe.initialDelay == .zero && probe.period == .seconds(10) && probe.timeout == .seconds(1))
        #expect(probe.rise == 1 && probe.fall == 3 && probe.address == nil)
        // Zero is what an API server takes for absent.
        let zero: Tree = [
            "tcpSocket": ["port": 8080], "periodSeconds": 0, "timeoutSeconds": 0, "successThreshold": 0, "failureThreshold": 0,
        ]
        #expect(Self.probe(zero) == probe)
    }

    @Test func everyFieldOfAProbeIsRead() throws {
        let probe = try #require(
            Self.probe([
                "httpGet": [
                    "path": "/ready?full=1", "port": "admin", "scheme": "HTTP", "host": "10.0.0.9",
                    "httpHeaders": [["name": "Host", "value": "web.example"], ["name": "X-Probe", "value": ""]],
                ],
                "initialDelaySeconds": 5, "periodSeconds": 7, "timeoutSeconds": 2, "successThreshold": 3, "failureThreshold": 4,
            ]))
        #expect(
            probe.action
                == .httpGet(
                    path: "/ready?full=1", headers: [.init(name: "Host", value: "web.example"), .init(name: "X-Probe", value: "")]))
        #expect(probe.port == Self.port(8081) && probe.address == IPAddress("10.0.0.9"))
        #expect(probe.initialDelay == .seconds(5) && probe.period == .seconds(7) && probe.timeout == .seconds(2))
        #expect(probe.rise == 3 && probe.fall == 4)
    }

    @Test(arguments: [(nil, "/"), ("", "/"), ("ready", "/ready"), ("/", "/")] as [(String?, String)])
    func aPathBeginsWithASlash(_ path: String?, _ target: String) {
        let get: Tree = path.map { ["port": 80, "path": .string($0)] } ?? ["port": 80]
        #expect(Self.probe(["httpGet": get])?.action == .httpGet(path: target, headers: []))
    }

    @Test func aPodHasItsAddressesOnceAndThePortsOfAllContainers() throws {
        let tree: Tree = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "web-0"],
            "spec": [
                "containers": [
                    ["name": "a", "ports": [["containerPort": 80]], "readinessProbe": ["tcpSocket": ["port": 80]]],
                    ["name": "b", "ports": [["containerPort": 90, "protocol": "UDP"]]],
                ],
                "initContainers": [["name": "c", "restartPolicy": "Always", "readinessProbe": ["tcpSocket": ["port": 15_021]]]],
                "nodeName": "node-1", "tolerations": [["operator": "Exists"]], "volumes": [["name": "x", "emptyDir": [:]]],
            ],
            "status": [
                "phase": "Running", "hostIP": "192.0.2.1", "podIP": "10.0.0.1", "podIPs": [["ip": "10.0.0.1"], ["ip": "fd00::1"]],
                "conditions": [["type": "Ready", "status": "True"]], "containerStatuses": [["name": "a", "ready": true]],
            ],
        ]
        #expect(errors(tree.node) == [] && warnings(tree.node) == [])
        let pod = try #require(Self.pod(tree.node))
        #expect(pod.addresses == [IPAddress("10.0.0.1")!, IPAddress("fd00::1")!])
        #expect(pod.ports == [Self.port(80), Self.port(90)])
        #expect(pod.probes.map(\.port) == [Self.port(80), Self.port(15_021)])
        #expect(pod.nodeName == "node-1" && pod.isReady && !pod.isOver && !pod.isTerminating)
    }

    @Test func namedPortsAreThoseOfContainersThatGoOn() throws {
        let tree: Tree = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "web-0", "deletionTimestamp": "2026-01-01T00:00:00Z"],
            "spec": [
                "containers": [
                    [
                        "name": "a",
                        "ports": [["name": "http", "containerPort": 8080], ["name": "dns", "containerPort": 53, "protocol": "UDP"]],
                    ],
                    ["name": "b", "ports": [["name": "http", "containerPort": 9090]]],
                ],
                "initContainers": [
                    ["name": "c", "restartPolicy": "Always", "ports": [["name": "mesh", "containerPort": 15_001]]],
                    ["name": "d", "ports": [["name": "gone", "containerPort": 1]]],
                ],
            ],
            "status": ["phase": "Failed", "conditions": [["type": "Ready", "status": "False"]]],
        ]
        #expect(errors(tree.node) == [])
        let pod = try #require(Self.pod(tree.node))
        #expect(pod.namedPorts.count == 3)
        #expect(pod.namedPorts[Pod.PortName("http", .tcp)] == Self.port(8080))
        #expect(pod.namedPorts[Pod.PortName("dns", .udp)] == Self.port(53))
        #expect(pod.namedPorts[Pod.PortName("mesh", .tcp)] == Self.port(15_001))
        #expect(pod.isOver && pod.isTerminating && !pod.isReady && pod.nodeName == nil)
    }

    @Test(
        arguments: [
            (["exec": ["command": ["true"]]], "exec: can't be asked from outside the Pod, and is ignored"),
            (["grpc": ["port": 9000]], "grpc: can't be asked from outside the Pod, and is ignored"),
            (["httpGet": ["port": 80, "scheme": "HTTPS"]], "httpGet.scheme: Ringway does not speak TLS, and the probe is ignored"),
            (
                ["httpGet": ["port": 80, "host": "example.com"]],
                "httpGet.host: names are not resolved, and the probe is ignored; a Host header stands in httpHeaders"
            ),
            (["tcpSocket": ["port": "http"]], "tcpSocket.port: no port of the container has the name \"http\", and the probe is ignored"),
        ] as [(Tree, String)])
    func whatCanNotBeAskedIsIgnoredAndSaid(_ probe: Tree, _ warning: String) {
        let node = Self.document(Self.container(probe))
        #expect(warnings(node) == ["Pod \"web-0\": spec.containers[0].readinessProbe.\(warning)"])
        #expect(errors(node) == [] && Self.pod(node)?.probes == [])
    }

    @Test(
        arguments: [
            (["periodSeconds": 5], ": Required value: must specify a handler type"),
            (
                ["tcpSocket": ["port": 80], "httpGet": ["port": 80]],
                ".tcpSocket: Forbidden: may not specify more than 1 handler type"
            ),
            (["tcpSocket": ["port": 0]], ".tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
            (["tcpSocket": [:]], ".tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
            (["tcpSocket": ["port": 80], "periodSeconds": -1], ".periodSeconds: Invalid value: -1: must be greater than or equal to 0"),
            (
                ["tcpSocket": ["port": 80], "terminationGracePeriodSeconds": 3],
                ".terminationGracePeriodSeconds: Invalid value: 3: must not be set for readinessProbes"
            ),
            (
                ["httpGet": ["port": 80, "scheme": "ftp"]],
                ".httpGet.scheme: Unsupported value: \"ftp\": supported values: \"HTTP\", \"HTTPS\""
            ),
            (
                ["httpGet": ["port": 80, "path": "/a b"]],
                ".httpGet.path: Invalid value: \"/a b\": must hold only printable ASCII characters without spaces"
            ),
            (
                ["httpGet": ["port": 80, "httpHeaders": [["name": "X Y", "value": ""]]]],
                ".httpGet.httpHeaders: Invalid value: \"X Y\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. "
                    + "'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
            ),
            (
                ["httpGet": ["port": 80, "httpHeaders": [["name": "X", "value": "a\r\nY: b"]]]],
                ".httpGet.httpHeaders[0].value: Invalid value: \"a\\r\\nY: b\": must not contain control characters"
            ),
        ] as [(Tree, String)])
    func aBadProbeIsRefusedInTheWordsOfKubernetes(_ probe: Tree, _ cause: String) {
        let found = errors(Self.document(Self.container(probe)))
        #expect(found == ["Pod \"web-0\" is invalid: spec.containers[0].readinessProbe\(cause)"])
    }

    @Test func aMisspelledFieldIsNamed() {
        let node = Self.document(["name": "web", "readinesProbe": ["tcpSocket": ["port": 80]]])
        #expect(errors(node).count == 1)
        #expect(errors(node)[0].hasSuffix("unknown field \"spec.containers[0].readinesProbe\" (did you mean \"readinessProbe\"?)"))
    }

    @Test func aListOfPodsIsRead() {
        let tree: Tree = [
            "apiVersion": "v1", "kind": "PodList",
            "items": [["metadata": ["name": "a"], "spec": ["containers": [["name": "x"]]]]],
        ]
        #expect(errors(tree.node) == [] && decoded(tree.node)?.key.description == "Pod default/a")
    }

    // MARK: The annotation

    private static func check(_ text: String) -> HealthCheck? {
        decodedService(service(["ports": [["port": 80]]], annotations: ["ringway.dev/health-check": .string(text)]))?.settings.healthCheck
    }

    @Test func aServiceSaysHowItsEndpointsAreAsked() {
        #expect(Self.check("off") == .off)
        #expect(Self.check(" tcp ") == .probe(.tcp, port: nil))
        #expect(Self.check("http:///healthz") == .probe(.httpGet(path: "/healthz", headers: []), port: nil))
        #expect(Self.check("http://:8081/") == .probe(.httpGet(path: "/", headers: []), port: Self.port(8081)))
        let host = HealthProbe.Header(name: "Host", value: "web.example")
        #expect(Self.check("http://web.example/a?b=c:d") == .probe(.httpGet(path: "/a?b=c:d", headers: [host]), port: nil))
        #expect(Self.check("http://web.example:81/a") == .probe(.httpGet(path: "/a", headers: [host]), port: Self.port(81)))
    }

    @Test(arguments: ["", "TCP", "http", "http://", "http://host", "https:///x", "/healthz", "udp"])
    func anotherWordIsRefused(_ text: String) {
        #expect(
            AnnotationTests.errors("health-check", .string(text)) == [
                AnnotationTests.invalid(
                    "health-check",
                    "Invalid value: \"\(text)\": must be tcp, http://[HOST][:PORT]/PATH such as http:///healthz, or off")
            ])
    }

    @Test(arguments: [
        ("http://:0/", "the port must be between 1 and 65535, inclusive"),
        ("http://a:b/", "the port must be between 1 and 65535, inclusive"),
        ("http:///a b", "must hold only printable ASCII characters without spaces"),
        ("http://\u{e4}/", "must hold only printable ASCII characters without spaces"),
    ])
    func aBadAddressIsRefused(_ text: String, _ problem: String) {
        #expect(
            AnnotationTests.errors("health-check", .string(text)) == [
                AnnotationTests.invalid("health-check", "Invalid value: \"\(text)\": \(problem)")
            ])
    }

    @Test func timesAndCountsAreSetForAllProbes() throws {
        let tree: Tree = [
            "ringway.dev/health-check-interval": "500ms", "ringway.dev/health-check-timeout": "2s", "ringway.dev/health-check-rise": "2",
            "ringway.dev/health-check-fall": "5",
        ]
        let settings = try #require(decodedService(service(["ports": [["port": 80]]], annotations: tree))?.settings)
        let probe = settings.timed(HealthProbe(.tcp))
        #expect(probe.period == .milliseconds(500) && probe.timeout == .seconds(2) && probe.rise == 2 && probe.fall == 5)
        #expect(Service.Settings().timed(HealthProbe(.tcp)) == HealthProbe(.tcp))
    }
}
