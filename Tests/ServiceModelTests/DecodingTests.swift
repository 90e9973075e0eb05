import Testing

@testable import ServiceModel

struct DecodingTests {
    private static let prefix = "Service in version \"v1\" cannot be handled as a Service: "

    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let spec: Tree
        let problems: [String]

        init(_ name: String, _ spec: Tree, _ problems: String...) {
            (testDescription, self.spec, self.problems) = (name, spec, problems)
        }
    }

    static let cases: [Case] = [
        Case(
            "an unknown field with a near one", ["ports": [["port": 80, "targetport": 8080]]],
            "strict decoding error: unknown field \"spec.ports[0].targetport\" (did you mean \"targetPort\"?)"),
        Case("an unknown field like no other", ["ports": [["port": 80]], "foo": 1], "strict decoding error: unknown field \"spec.foo\""),
        Case(
            "a required field under a wrong name", ["port": [["port": 80]]],
            "strict decoding error: unknown field \"spec.port\" (did you mean \"ports\"?)"),
        Case(
            "a required number under a wrong name", ["ports": [["prot": 80]]],
            "strict decoding error: unknown field \"spec.ports[0].prot\" (did you mean \"port\"?)"),
        Case(
            "a string for a number", ["ports": [["port": "80"]]],
            "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32"),
        Case(
            "a fraction for a number", ["ports": [["port": 80.5]]],
            "json: cannot unmarshal number 80.5 into Go struct field ServicePort.spec.ports.port of type int32"),
        Case(
            "a number beyond 32 bits", ["ports": [["port": 5_000_000_000]]],
            "json: cannot unmarshal number 5000000000 into Go struct field ServicePort.spec.ports.port of type int32"),
        Case(
            "a number for a string", ["type": 5, "ports": [["port": 80]]],
            "json: cannot unmarshal number into Go struct field ServiceSpec.spec.type of type v1.ServiceType"),
        Case(
            "a mapping for a list", ["ports": ["port": 80]],
            "json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort"),
        Case("a string for an object", "x", "json: cannot unmarshal string into Go struct field Service.spec of type v1.ServiceSpec"),
        Case(
            "a boolean for a target port", ["ports": [["port": 80, "targetPort": true]]],
            "json: cannot unmarshal bool into Go value of type int32"),
        Case(
            "a number in a selector", ["ports": [["port": 80]], "selector": ["app": 5]],
            "json: cannot unmarshal number into Go struct field ServiceSpec.spec.selector of type string"),
        Case(
            "a field given twice", .map([("ports", [["port": 80]]), ("type", "ClusterIP"), ("type", "ClusterIP")]),
            "strict decoding error: duplicate field \"spec.type\""),
    ]

    @Test(arguments: cases)
    func oneCauseIsOneErrorInTheWordsOfAnAPIServer(_ test: Case) {
        #expect(errors(service(test.spec)) == test.problems.map { Self.prefix + $0 })
    }

    @Test func nullIsTheSameAsAbsent() {
        let spec: Tree = ["ports": [["port": 80, "name": nil, "nodePort": nil, "targetPort": nil]], "type": nil, "clusterIPs": nil]
        #expect(errors(service(spec)) == [])
    }

    @Test func locationsAreOfTheValueOrOfItsParent() {
        // Lines count nodes: 1 document, 2 version, 3 kind, 4 metadata, 5 name, 6 annotations, 7 spec, 8 ports, 9 first port ...
        let node = service(["ports": [["name": "a", "port": 80], ["port": 0, "foo": 1]]])
        let found = ObjectDecoder.decode(node).flatMap(\.diagnostics).map { "\($0.location.line):\($0.location.column)" }
        // The unknown field at its key (line of the value, column 0 in these trees), the missing name at its port, the number itself, and
        // once more for the target that defaults to it.
        #expect(found == ["14:0", "12:1", "13:1", "13:1"])
    }

    /// What `kubectl get svc,endpointslices -o yaml` prints, with every field that an API server may fill in.
    @Test func whatAClusterPrintsIsAcceptedAsItIs() throws {
        let meta: Tree = [
            "name": "web", "namespace": "shop", "uid": "b5d0b4d6", "resourceVersion": "812", "generation": 1,
            "creationTimestamp": "2026-08-01T10:00:00Z", "labels": ["app": "web"],
            "annotations": ["kubectl.kubernetes.io/last-applied-configuration": "{\"apiVersion\":\"v1\"}\n"],
            "finalizers": ["service.kubernetes.io/load-balancer-cleanup"], "generateName": "web-",
            "ownerReferences": [
                ["apiVersion": "v1", "kind": "Service", "name": "web", "uid": "1", "controller": true, "blockOwnerDeletion": true]
            ],
            "managedFields": [
                [
                    "apiVersion": "v1", "fieldsType": "FieldsV1", "manager": "kubectl", "operation": "Update", "subresource": "status",
                    "time": "2026-08-01T10:00:00Z", "fieldsV1": ["f:spec": ["f:ports": [".": [:], "k:{\"port\":80}": [:]]]],
                ]
            ],
        ]
        let list: Tree = [
            "apiVersion": "v1", "kind": "List", "metadata": ["resourceVersion": "", "selfLink": ""],
            "items": [
                [
                    "apiVersion": "v1", "kind": "Service", "metadata": meta,
                    "spec": [
                        "type": "LoadBalancer", "allocateLoadBalancerNodePorts": true, "clusterIP": "10.96.0.5",
                        "clusterIPs": ["10.96.0.5"],
                        "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000, "internalTrafficPolicy": "Cluster",
                        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "loadBalancerClass": "example.com/lb",
                        "loadBalancerIP": "192.0.2.9", "loadBalancerSourceRanges": ["10.0.0.0/8"], "publishNotReadyAddresses": true,
                        "selector": ["app": "web"], "sessionAffinity": "ClientIP",
                        "sessionAffinityConfig": ["clientIP": ["timeoutSeconds": 10800]], "trafficDistribution": "PreferSameZone",
                        "ports": [
                            ["name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30080, "appProtocol": "http"]
                        ],
                    ],
                    "status": [
                        "conditions": [
                            [
                                "type": "Ready", "status": "True", "reason": "x", "message": "", "observedGeneration": 1,
                                "lastTransitionTime": "2026-08-01T10:00:00Z",
                            ]
                        ],
                        "loadBalancer": [
                            "ingress": [["ip": "192.0.2.9", "ipMode": "VIP", "ports": [["port": 80, "protocol": "TCP", "error": nil]]]]
                        ],
                    ],
                ],
                [
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                    "metadata": ["name": "web-x7k2p", "namespace": "shop", "labels": ["kubernetes.io/service-name": "web"]],
                    "addressType": "IPv4",
                    "endpoints": [
                        [
                            "addresses": ["10.1.0.4"], "conditions": ["ready": true, "serving": true, "terminating": false],
                            "hints": ["forZones": [["name": "a"]], "forNodes": [["name": "n1"]]], "hostname": "web-0",
                            "nodeName": "n1", "zone": "a", "deprecatedTopology": ["x": "y"],
                            "targetRef": [
                                "kind": "Pod", "name": "web-0", "namespace": "shop", "uid": "2", "apiVersion": "v1", "fieldPath": "x",
                                "resourceVersion": "1",
                            ],
                        ]
                    ],
                    "ports": [["name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"]],
                ],
            ],
        ]
        let objects = ObjectDecoder.decode(list.node)
        #expect(objects.flatMap(\.diagnostics) == [])
        #expect(objects.compactMap(\.object?.key.description) == ["Service shop/web", "EndpointSlice shop/web-x7k2p"])
    }

    @Test func itemsOfATypedListNeedNoKind() {
        let list: Tree = [
            "apiVersion": "v1", "kind": "ServiceList", "items": [["metadata": ["name": "a"], "spec": ["ports": [["port": 1]]]]],
        ]
        #expect(ObjectDecoder.decode(list.node).compactMap(\.object?.key.description) == ["Service default/a"])
    }

    @Test func aBadItemOfAListCostsOnlyItself() {
        let list: Tree = [
            "apiVersion": "v1", "kind": "List",
            "items": [
                ["apiVersion": "v1", "kind": "Service", "metadata": ["name": "a"], "spec": ["ports": [["port": 0]]]],
                ["apiVersion": "v1", "kind": "Service", "metadata": ["name": "b"], "spec": ["ports": [["port": 1]]]],
            ],
        ]
        let objects = ObjectDecoder.decode(list.node)
        #expect(objects.map(\.isRejected) == [true, false])
        #expect(objects.map { $0.key?.name } == ["a", "b"])
    }

    static let kinds: [(String, String, Diagnostic.Severity, String)] = [
        ("v1", "ConfigMap", .warning, "ConfigMap of v1 is not a kind Ringway reads; skipped"),
        ("v1", "SecretList", .warning, "SecretList of v1 is not a kind Ringway reads; skipped"),
        (
            "apps/v1", "Deployment", .warning,
            "Deployment of apps/v1 makes no Pods here: its Pods, or the EndpointSlices of its Services, must be given"
        ),
        (
            "v1", "ReplicationController", .warning,
            "ReplicationController of v1 makes no Pods here: its Pods, or the EndpointSlices of its Services, must be given"
        ),
        ("example.com/v1", "Deployment", .warning, "Deployment of example.com/v1 is not a kind Ringway reads; skipped"),
        ("v1", "Servcie", .error, "no matches for kind \"Servcie\" in version \"v1\" (did you mean \"Service\"?)"),
        ("v1", "service", .error, "no matches for kind \"service\" in version \"v1\" (did you mean \"Service\"?)"),
        (
            "v1", "EndpointSlice", .error,
            "no matches for kind \"EndpointSlice\" in version \"v1\": write apiVersion: discovery.k8s.io/v1"
        ),
        (
            "discovery.k8s.io/v1beta1", "EndpointSlice", .error,
            "no matches for kind \"EndpointSlice\" in version \"discovery.k8s.io/v1beta1\": write apiVersion: discovery.k8s.io/v1"
        ),
        ("serving.knative.dev/v1", "Service", .warning, "Service of serving.knative.dev/v1 is not a kind Ringway reads; skipped"),
    ]

    @Test(arguments: kinds)
    func otherKindsAreSkippedAndMistakesNamed(_ version: String, _ kind: String, _ severity: Diagnostic.Severity, _ message: String) {
        let tree: Tree = ["apiVersion": .string(version), "kind": .string(kind)]
        let diagnostics = ObjectDecoder.decode(tree.node).flatMap(\.diagnostics)
        #expect(diagnostics.map(\.message) == [message])
        #expect(diagnostics.map(\.severity) == [severity])
    }

    static let scalars: [(String, DocumentNode.Scalar.Kind, Int64?)] = [
        ("80", .integer, 80), ("-1", .integer, -1), ("+1", .integer, 1), ("0x50", .integer, 80), ("0o17", .integer, 15),
        ("017", .integer, 15), ("0b11", .integer, 3), ("1_000", .integer, 1000), ("0", .integer, 0),
        ("99999999999999999999", .integer, nil),
        ("1.5", .number, nil), ("1e3", .number, nil), (".5", .number, nil), ("-.inf", .number, nil), ("09", .number, nil),
        ("10.0.0.1", .string, nil), ("1:2", .string, nil), ("-", .string, nil), ("2026-08-01", .string, nil), ("0x", .string, nil),
        ("", .null, nil), ("~", .null, nil), ("null", .null, nil), ("true", .boolean, nil), ("yes", .boolean, nil), ("Off", .boolean, nil),
        ("nil", .string, nil), ("web", .string, nil), ("::1", .string, nil),
    ]

    @Test(arguments: scalars)
    func plainScalarsAreWhatKubernetesTakesThemFor(_ text: String, _ kind: DocumentNode.Scalar.Kind, _ value: Int64?) {
        let scalar = DocumentNode.Scalar(plain: text)
        #expect(scalar.kind == kind)
        #expect(scalar.integer == value)
    }
}
