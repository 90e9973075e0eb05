import Addressing
import Testing

@testable import ServiceModel

struct ServiceTests {
    @Test func defaultsAreFilledIn() throws {
        let service = try #require(decodedService(service(["ports": [["port": 80]]])))
        #expect(service.type == .clusterIP)
        #expect(service.affinity == .none)
        #expect(service.isHeadless == false)
        #expect(service.inlineEndpoints == nil)
        let port = try #require(service.ports.first)
        #expect(port.name == "" && port.transport == .tcp && port.nodePort == nil)
        #expect(port.port == PortNumber(80) && port.targetPort == PortNumber(80))
    }

    @Test func everyFieldWeKeepIsRead() throws {
        let node = service(
            [
                "type": "LoadBalancer", "sessionAffinity": "ClientIP", "clusterIP": "10.96.0.10",
                "clusterIPs": ["10.96.0.10", "fd00::10"], "ipFamilyPolicy": "PreferDualStack",
                "externalIPs": ["192.0.2.1", "2001:db8::1"],
                "ports": [
                    ["name": "http", "port": 80, "targetPort": "web", "nodePort": 30080],
                    ["name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP", "nodePort": 30443],
                ],
            ],
            status: [
                "loadBalancer": [
                    "ingress": [
                        ["ip": "198.51.100.1"], ["ip": "198.51.100.2", "ipMode": "Proxy"], ["hostname": "lb.example.com"],
                        ["ip": "198.51.100.3", "ipMode": "VIP"],
                    ]
                ]
            ])
        let service = try #require(decodedService(node))
        #expect(service.type == .loadBalancer && service.affinity == .clientIP)
        #expect(service.clusterIPs.map(\.description) == ["10.96.0.10", "fd00::10"])
        #expect(service.externalIPs.map(\.description) == ["192.0.2.1", "2001:db8::1"])
        #expect(service.loadBalancerIPs.map(\.description) == ["198.51.100.1", "198.51.100.3"])
        #expect(service.ports.map(\.targetPort) == [nil, PortNumber(8443)])
        #expect(service.ports.map(\.nodePort) == [PortNumber(30080), PortNumber(30443)])
        #expect(warnings(node) == [])
    }

    @Test func whatIsSpokenAtAPortIsRead() throws {
        let ports: Tree = [
            ["name": "a", "port": 53, "appProtocol": "dns"], ["name": "b", "port": 54, "appProtocol": "example.com/Telemetry"],
        ]
        #expect(decodedService(service(["ports": ports]))?.ports.map(\.appProtocol) == ["dns", "example.com/Telemetry"])
        #expect(errors(service(["ports": [["port": 53, "appProtocol": "d n s"]]])).count == 1)
    }

    @Test func aHeadlessServiceNeedsNoPorts() throws {
        let service = try #require(decodedService(service(["clusterIP": "None"])))
        #expect(service.isHeadless && service.clusterIPs.isEmpty && service.ports.isEmpty)
    }

    @Test func loopbackIsAccepted() throws {
        let service = try #require(decodedService(service(["externalIPs": ["127.0.0.1", "::1"], "ports": [["port": 80]]])))
        #expect(service.externalIPs == [.loopbackIPv4, .loopbackIPv6])
    }

    @Test func theStatusOfAServiceThatIsNoLoadBalancerIsIgnored() throws {
        let node = service(["ports": [["port": 80]]], status: ["loadBalancer": ["ingress": [["ip": "198.51.100.1"]]]])
        #expect(try #require(decodedService(node)).loadBalancerIPs == [])
    }

    struct Invalid: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let spec: Tree
        let causes: [String]

        init(_ name: String, _ spec: Tree, _ causes: String...) {
            (testDescription, self.spec, self.causes) = (name, spec, causes)
        }
    }

    private static let range = "must be between 1 and 65535, inclusive"

    static let invalid: [Invalid] = [
        Invalid("no ports", ["type": "ClusterIP"], "spec.ports: Required value"),
        Invalid("no spec", nil, "spec.ports: Required value"),
        Invalid(
            "a port that is null", ["ports": [["port": nil]]], "spec.ports[0].port: Invalid value: 0: \(range)",
            "spec.ports[0].targetPort: Invalid value: 0: \(range)"),
        Invalid(
            "a negative port", ["ports": [["port": -1, "targetPort": 80]]], "spec.ports[0].port: Invalid value: -1: \(range)"),
        Invalid(
            "a quoted target port", ["ports": [["port": 80, "targetPort": "8080"]]],
            "spec.ports[0].targetPort: Invalid value: \"8080\": must contain at least one letter (a-z)"),
        Invalid(
            "a target port with a bad name", ["ports": [["port": 80, "targetPort": "-Http--server-of-mine"]]],
            "spec.ports[0].targetPort: Invalid value: \"-Http--server-of-mine\": must be no more than 15 characters",
            "spec.ports[0].targetPort: Invalid value: \"-Http--server-of-mine\": must contain only alpha-numeric characters (a-z, 0-9), "
                + "and hyphens (-)",
            "spec.ports[0].targetPort: Invalid value: \"-Http--server-of-mine\": must not contain consecutive hyphens",
            "spec.ports[0].targetPort: Invalid value: \"-Http--server-of-mine\": must not begin or end with a hyphen"),
        Invalid(
            "a lower-case protocol", ["ports": [["port": 80, "protocol": "tcp"]]],
            "spec.ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\""),
        Invalid(
            "two unnamed ports", ["ports": [["port": 80], ["port": 81]]], "spec.ports[0].name: Required value",
            "spec.ports[1].name: Required value"),
        Invalid(
            "the same port twice", ["ports": [["name": "a", "port": 80], ["name": "b", "port": 80]]],
            "spec.ports[1]: Duplicate value: "
                + "{\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}"),
        Invalid(
            "a node port out of range", ["type": "NodePort", "ports": [["port": 80, "nodePort": 70000]]],
            "spec.ports[0].nodePort: Invalid value: 70000: \(range)"),
        Invalid(
            "all that is wrong at once",
            ["type": "Ingress", "sessionAffinity": "clientip", "externalIPs": ["x", "0.0.0.0"], "ports": [["port": 0]]],
            "spec.ports[0].port: Invalid value: 0: \(range)",
            "spec.ports[0].targetPort: Invalid value: 0: \(range)",
            "spec.sessionAffinity: Unsupported value: \"clientip\": supported values: \"ClientIP\", \"None\"",
            "spec.externalIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "spec.externalIPs[1]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0 or ::)",
            "spec.type: Unsupported value: \"Ingress\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""),
        Invalid(
            "an affinity of no time",
            ["sessionAffinity": "ClientIP", "sessionAffinityConfig": ["clientIP": ["timeoutSeconds": 0]], "ports": [["port": 80]]],
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400"),
        Invalid(
            "an address with a zone", ["externalIPs": ["fe80::1%eth0"], "ports": [["port": 80]]],
            "spec.externalIPs[0]: Invalid value: \"fe80::1%eth0\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        Invalid(
            "addresses that no one may use",
            ["externalIPs": ["169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1", "::ffff:10.0.0.1"], "ports": [["port": 80]]],
            "spec.externalIPs[0]: Invalid value: \"169.254.1.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            "spec.externalIPs[1]: Invalid value: \"fe80::1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            "spec.externalIPs[2]: Invalid value: \"224.0.0.1\": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
            "spec.externalIPs[3]: Invalid value: \"ff02::1\": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
            "spec.externalIPs[4]: Invalid value: \"::ffff:10.0.0.1\": must not be an IPv4-mapped IPv6 address"),
        Invalid(
            "headless and NodePort", ["type": "NodePort", "clusterIP": "None", "ports": [["port": 80, "nodePort": 30080]]],
            "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"),
        Invalid(
            "cluster addresses without the first", ["clusterIPs": ["10.0.0.1"], "ports": [["port": 80]]],
            "spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: must be empty when `clusterIP` is not specified"),
    ]

    @Test(arguments: invalid)
    func isInvalidInTheWordsOfAnAPIServer(_ invalid: Invalid) {
        #expect(errors(service(invalid.spec)) == invalid.causes.map { "Service \"web\" is invalid: \($0)" })
    }

    @Test(arguments: [1, 10_800, 86_400])
    func affinityTimesAreAcceptedUpToADay(_ seconds: Int64) {
        let spec: Tree = [
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": ["clientIP": ["timeoutSeconds": .integer(seconds)]],
            "ports": [["port": 80]],
        ]
        #expect(errors(service(spec)) == [])
    }

    // MARK: Warnings

    static let warned: [Invalid] = [
        Invalid(
            "a node port that would have to be allocated", ["type": "NodePort", "ports": [["port": 80]]],
            "spec.ports[0].nodePort: not given, and node ports are not allocated yet: none will be opened for this port; "
                + "set nodePort to open one"),
        Invalid(
            "a load balancer without node ports",
            ["type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [["port": 80]]]),
        Invalid("an ordinary Service", ["ports": [["port": 80]]]),
    ]

    @Test(arguments: warned)
    func isUsedWithAWarning(_ warned: Invalid) {
        let node = service(warned.spec)
        #expect(decodedService(node) != nil)
        #expect(warnings(node) == warned.causes.map { "Service \"web\": \($0)" })
    }

    // MARK: Inline endpoints

    @Test func inlineEndpointsAreReadInOrder() throws {
        let node = service(["ports": [["port": 80]]], annotations: ["ringway.dev/endpoints": "127.0.0.1:9301, [::1]:9302 ,10.0.0.3:1"])
        #expect(
            try #require(decodedService(node)).inlineEndpoints?.map(\.description) == ["127.0.0.1:9301", "[::1]:9302", "10.0.0.3:1"])
        #expect(warnings(node) == [])
    }

    static let badItems: [(String, String)] = [
        ("127.0.0.1", "\"127.0.0.1\": item 1 has no port: write ADDRESS:PORT, and IPv6 as [ADDRESS]:PORT"),
        ("10.0.0.1:1, 127.0.0.1:0", "\"127.0.0.1:0\": item 2: the port must be between 1 and 65535, inclusive"),
        ("127.0.0.1:65536", "\"127.0.0.1:65536\": item 1: the port must be between 1 and 65535, inclusive"),
        ("10.0.0.1:1,", "\"\": item 2 is empty"),
        ("::1", "\"::1\": item 1 has no port: write ADDRESS:PORT, and IPv6 as [ADDRESS]:PORT"),
        ("0.0.0.0:80", "\"0.0.0.0:80\": item 1 may not be unspecified (0.0.0.0 or ::)"),
        (
            "web.example.com:80",
            "\"web.example.com:80\": item 1 must be ADDRESS:PORT with an IP address, such as 127.0.0.1:9301 or [::1]:9301"
        ),
    ]

    @Test(arguments: badItems)
    func aBadInlineEndpointIsNamed(_ annotation: String, _ problem: String) {
        let node = service(["ports": [["port": 80]]], annotations: ["ringway.dev/endpoints": .string(annotation)])
        #expect(errors(node) == ["Service \"web\" is invalid: metadata.annotations[ringway.dev/endpoints]: Invalid value: \(problem)"])
    }

    @Test func noInlineEndpointAtAllIsAnError() {
        let node = service(["ports": [["port": 80]]], annotations: ["ringway.dev/endpoints": " "])
        #expect(
            errors(node) == [
                "Service \"web\" is invalid: metadata.annotations[ringway.dev/endpoints]: Required value: at least one endpoint as "
                    + "ADDRESS:PORT, such as 127.0.0.1:9301"
            ])
    }
}
