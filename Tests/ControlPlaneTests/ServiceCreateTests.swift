import ServiceModel
import Testing

@testable import ControlPlane

/// New Services: what they become, and what is said of those that become nothing.
struct ServiceCreateTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let spec: String
        let results: [String]
        var cluster = "10.96.0.0/12, nodePort 30000-32767"

        init(_ name: String, _ spec: String, _ results: String..., dual: Bool = false, full: Bool = false) {
            (testDescription, self.spec, self.results) = (name, spec, results)
            if dual { cluster = "10.96.0.0/12,fd00:10:96::/112" }
            if full { cluster = "10.96.0.0/30, nodePort 30000-30001" }
        }
    }

    private static func apply(_ test: Case, metadata: String = #""name":"web""#) throws -> ServiceVerdict {
        var cluster = try Cluster(test.cluster)
        return cluster.apply(try JSONTree("{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\(metadata)},\"spec\":\(test.spec)}"))
    }

    // MARK: Accepted

    private static let tcp80 = #"{"port":80,"protocol":"TCP","targetPort":80}"#
    private static let single = #""ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack""#
    private static let chosen = #""clusterIP":"10.96.0.10","clusterIPs":["10.96.0.10"]"#

    static let accepted = [
        Case(
            "a minimal Service", #"{"ports":[{"port":80}],"clusterIP":"10.96.0.10"}"#,
            #"{\#(chosen),"internalTrafficPolicy":"Cluster",\#(single),"ports":[\#(tcp80)],"sessionAffinity":"None","type":"ClusterIP"}"#
        ),
        Case(
            "a load balancer that counts its endpoints",
            #"{"ports":[{"port":80,"nodePort":30080}],"clusterIP":"10.96.0.10","type":"LoadBalancer","#
                + #""externalTrafficPolicy":"Local","healthCheckNodePort":31000}"#,
            #"{"allocateLoadBalancerNodePorts":true,\#(chosen),"externalTrafficPolicy":"Local","healthCheckNodePort":31000,"#
                + #""internalTrafficPolicy":"Cluster",\#(single),"ports":[{"nodePort":30080,"port":80,"protocol":"TCP","#
                + #""targetPort":80}],"sessionAffinity":"None","type":"LoadBalancer"}"#),
        Case(
            "a headless one whose endpoints somebody else writes", #"{"clusterIP":"None"}"#,
            #"{"clusterIP":"None","clusterIPs":["None"],"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4","IPv6"],"#
                + #""ipFamilyPolicy":"RequireDualStack","sessionAffinity":"None","type":"ClusterIP"}"#),
        Case(
            "affinity without a time",
            #"{"ports":[{"port":80,"targetPort":"http"}],"clusterIP":"10.96.0.10","sessionAffinity":"ClientIP"}"#,
            #"{\#(chosen),"internalTrafficPolicy":"Cluster",\#(single),"ports":[{"port":80,"protocol":"TCP","targetPort":"http"}],"#
                + #""sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":10800}},"type":"ClusterIP"}"#
        ),
        Case(
            "a time without affinity",
            #"{"ports":[{"port":80}],"clusterIP":"10.96.0.10","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":0}}}"#,
            #"{\#(chosen),"internalTrafficPolicy":"Cluster",\#(single),"ports":[\#(tcp80)],"sessionAffinity":"None","type":"ClusterIP"}"#
        ),
        Case(
            "an external name", #"{"type":"ExternalName","externalName":"a.example.com."}"#,
            #"{"externalName":"a.example.com.","sessionAffinity":"None","type":"ExternalName"}"#),
        Case(
            "both families by their addresses",
            #"{"ports":[{"port":80}],"clusterIP":"fd00:10:96::a","clusterIPs":["fd00:10:96::a","10.96.0.10"],"#
                + #""ipFamilyPolicy":"PreferDualStack","trafficDistribution":"PreferSameNode","publishNotReadyAddresses":true}"#,
            #"{"clusterIP":"fd00:10:96::a","clusterIPs":["fd00:10:96::a","10.96.0.10"],"internalTrafficPolicy":"Cluster","#
                + #""ipFamilies":["IPv6","IPv4"],"ipFamilyPolicy":"PreferDualStack","ports":[\#(tcp80)],"#
                + #""publishNotReadyAddresses":true,"sessionAffinity":"None","trafficDistribution":"PreferSameNode","#
                + #""type":"ClusterIP"}"#, dual: true),
        Case(
            "one family where two would be better",
            #"{"ports":[{"port":80}],"clusterIP":"10.96.0.10","ipFamilyPolicy":"PreferDualStack"}"#,
            #"{\#(chosen),"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"PreferDualStack","#
                + #""ports":[\#(tcp80)],"sessionAffinity":"None","type":"ClusterIP"}"#),
    ]

    @Test(arguments: accepted)
    func becomesWhatAnAPIServerMakesOfIt(_ test: Case) throws {
        guard case .admitted(let manifest, _) = try Self.apply(test), case .map(let object) = try JSONTree(manifest.json.text) else {
            Issue.record("it is refused")
            return
        }
        #expect(object["spec"] == (try JSONTree(test.results[0])))
        #expect(object["metadata"] == .map(["name": .string("web"), "namespace": .string("default")]))
    }

    // MARK: Refused

    static let refused = [
        Case(
            "an address of another range", #"{"ports":[{"port":80}],"clusterIP":"192.0.2.1"}"#,
            #"spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not "#
                + "in the valid "
                + "range. The range of valid IPs is 10.96.0.0/12"),
        Case(
            "addresses that are none hide all else", #"{"ports":[],"clusterIP":"10.96.0.256","type":"x"}"#,
            #"spec.clusterIPs[0]: Invalid value: "10.96.0.256": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#),
        Case(
            "three addresses",
            #"{"ports":[{"port":80}],"clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1","10.96.0.2","fd00::1"]}"#,
            #"spec.clusterIPs: Invalid value: ["10.96.0.1","10.96.0.2","fd00::1"]: may only hold up to 2 values"#,
            #"spec.clusterIPs: Invalid value: ["10.96.0.1","10.96.0.2","fd00::1"]: may specify no more than one IP for each IP family"#),
        Case(
            "a family that the cluster has not", #"{"ports":[{"port":80}],"ipFamilies":["IPv6"]}"#,
            #"spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster"#),
        Case(
            "an address of such a family", #"{"ports":[{"port":80}],"clusterIP":"fd00::1"}"#,
            #"spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster"#),
        Case(
            "two families of a cluster with one", #"{"ports":[{"port":80}],"ipFamilyPolicy":"RequireDualStack"}"#,
            #"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#),
        Case(
            "two families with a policy of one", #"{"ports":[{"port":80}],"ipFamilies":["IPv4","IPv6"]}"#,
            #"spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple "#
                + "IP families "
                + "are specified", dual: true),
        Case(
            "one node port for two ports",
            #"{"type":"NodePort","ports":[{"name":"a","port":80,"nodePort":30080},{"name":"b","port":81,"protocol":"UDP","#
                + #""nodePort":30080}]}"#, "spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated"),
        Case(
            "a node port that is no port", #"{"type":"NodePort","ports":[{"port":0,"nodePort":70000}]}"#,
            "spec.ports[0].nodePort: Invalid value: 70000: provided port is not in the valid range. The range of valid ports is 30000-32767"
        ),
        Case(
            "a health check port out of range",
            #"{"type":"LoadBalancer","externalTrafficPolicy":"Local","healthCheckNodePort":80,"ports":[{"port":80}]}"#,
            "failed to allocate requested HealthCheck NodePort 80: provided port is not in the valid range. The range of valid ports is "
                + "30000-32767"),
        Case(
            "more node ports than there are",
            #"{"type":"NodePort","ports":[{"name":"a","port":1},{"name":"b","port":2},{"name":"c","port":3}]}"#,
            "failed to allocate a nodePort: range is full", full: true),
        Case(
            "fields of load balancers on another type",
            #"{"ports":[{"port":80}],"allocateLoadBalancerNodePorts":false,"loadBalancerClass":"a/b","loadBalancerSourceRanges":["x"],"#
                + #""healthCheckNodePort":31000,"externalTrafficPolicy":"Cluster"}"#,
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
            "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
            #"spec.externalTrafficPolicy: Invalid value: "Cluster": may only be set for externally-accessible services"#,
            "spec.healthCheckNodePort: Invalid value: 31000: may only be set when `type` is 'LoadBalancer' and "
                + "`externalTrafficPolicy` is 'Local'"
        ),
        Case(
            "source ranges that are none",
            #"{"type":"LoadBalancer","ports":[{"port":80}],"loadBalancerSourceRanges":[" 10.0.0.0/8 ","10.0.0.1/8","10.0.0.0/08"]}"#,
            #"spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length"#,
            #"spec.LoadBalancerSourceRanges[2]: Invalid value: "10.0.0.0/08": must not have leading 0s in IP or prefix length"#),
        Case(
            "an external name with what it may not have",
            #"{"type":"ExternalName","externalName":"A","clusterIP":"None","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack"}"#,
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
            "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
            "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
            #"spec.externalName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "#
                + "'-' or "
                + "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
                + "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"),
        Case(
            "words that are none",
            #"{"ports":[{"port":80}],"type":"NodePort","externalTrafficPolicy":"local","internalTrafficPolicy":"cluster","#
                + #""trafficDistribution":"PreferNode","sessionAffinity":"ClientIp"}"#,
            #"spec.sessionAffinity: Unsupported value: "ClientIp": supported values: "ClientIP", "None""#,
            #"spec.externalTrafficPolicy: Unsupported value: "local": supported values: "Cluster", "Local""#,
            #"spec.internalTrafficPolicy: Unsupported value: "cluster": supported values: "Cluster", "Local""#,
            #"spec.trafficDistribution: Unsupported value: "PreferNode": supported values: "PreferClose", "#
                + #""PreferSameZone", "PreferSameNode""#
        ),
        Case(
            "the same error many times is one", #"{"ports":[{"port":80}],"selector":{"a":"b c","d":"b c"}}"#,
            #"spec.selector: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, "#
                + "'-', '_' or '.', "
                + "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
                + "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"),
    ]

    @Test(arguments: refused)
    func isRefusedInTheWordsOfAnAPIServer(_ test: Case) throws {
        guard case .refused(let found) = try Self.apply(test) else {
            Issue.record("it is accepted")
            return
        }
        #expect(found.compactMap(\.origin?.finding.text) == test.results)
    }

    static let metadata: [(String, [String])] = [
        (
            // Nobody would know the name that is made up.
            #""generateName":"web-""#, ["metadata.name: Required value: name or generateName is required"]
        ),
        (#""namespace":"""#, ["metadata.name: Required value: name or generateName is required"]),
        (#""name":"a.b""#, [#"metadata.name: Invalid value: "a.b": must not contain dots"#]),
        (
            #""name":"web","annotations":{"service.kubernetes.io/topology-mode":"a","service.kubernetes.io/topology-aware-hints":"b"}"#,
            [
                #"metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "a": must match "#
                    + "annotations[service.kubernetes.io/topology-aware-hints] when both are specified"
            ]
        ),
        (
            #""name":"web","annotations":{"service.beta.kubernetes.io/load-balancer-source-ranges":""}"#,
            [
                "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Forbidden: may only be used when `type` is "
                    + "'LoadBalancer'"
            ]
        ),
    ]

    @Test(arguments: metadata)
    func namesAndAnnotationsAreJudged(_ metadata: String, _ errors: [String]) throws {
        let spec = Case("metadata", #"{"ports":[{"port":80}]}"#)
        switch try Self.apply(spec, metadata: metadata) {
        case .admitted: #expect(errors == [])
        case .refused(let found): #expect(found.compactMap(\.origin?.finding.text) == errors)
        }
    }
}
