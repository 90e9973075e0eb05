extension ServiceManifest {
    /// The Service as an API server would give it back; fields that are empty are left out, and the rest are in alphabetical order.
    package var json: JSONValue {
        var fields: [(String, JSONValue)] = [
            ("apiVersion", .string("v1")), ("kind", .string("Service")), ("metadata", metadata.json), ("spec", spec),
        ]
        let addresses = ingress.map { entry in
            JSONValue.object(
                Self.kept([("hostname", .text(entry.hostname)), ("ip", .text(entry.ip)), ("ipMode", entry.ipMode.map(JSONValue.string))]))
        }
        if isType(.loadBalancer), !addresses.isEmpty {
            fields.append(("status", .object([("loadBalancer", .object([("ingress", .array(addresses))]))])))
        }
        return .object(fields)
    }

    private var spec: JSONValue {
        .object(
            Self.kept([
                ("allocateLoadBalancerNodePorts", allocateLoadBalancerNodePorts.map(JSONValue.boolean)),
                ("clusterIP", .text(clusterIP)),
                ("clusterIPs", .texts(clusterIPs)),
                ("externalIPs", .texts(externalIPs)),
                ("externalName", .text(externalName)),
                ("externalTrafficPolicy", .text(externalTrafficPolicy)),
                ("healthCheckNodePort", .number(healthCheckNodePort)),
                ("internalTrafficPolicy", internalTrafficPolicy.map(JSONValue.string)),
                ("ipFamilies", .texts(ipFamilies)),
                ("ipFamilyPolicy", ipFamilyPolicy.map(JSONValue.string)),
                ("loadBalancerClass", loadBalancerClass.map(JSONValue.string)),
                ("loadBalancerIP", .text(loadBalancerIP)),
                ("loadBalancerSourceRanges", .texts(loadBalancerSourceRanges)),
                ("ports", ports.isEmpty ? nil : .array(ports.map(\.json))),
                ("publishNotReadyAddresses", publishNotReadyAddresses ? .boolean(true) : nil),
                ("selector", .map(selector ?? [:])),
                ("sessionAffinity", .text(sessionAffinity)),
                (
                    "sessionAffinityConfig",
                    affinityTimeout.map { .object([("clientIP", .object([("timeoutSeconds", .integer(Int($0)))]))]) }
                ),
                ("trafficDistribution", trafficDistribution.map(JSONValue.string)),
                ("type", .text(type)),
            ]))
    }

    static func kept(_ fields: [(String, JSONValue?)]) -> [(String, JSONValue)] {
        fields.compactMap { name, value in value.map { (name, $0) } }
    }
}

extension ServiceManifest.Port {
    var json: JSONValue {
        let target: JSONValue =
            switch targetPort {
            case .number(let number): .integer(Int(number))
            case .name(let name): .string(name)
            }
        return .object(
            ServiceManifest.kept([
                ("appProtocol", appProtocol.map(JSONValue.string)), ("name", .text(name)), ("nodePort", .number(nodePort)),
                ("port", .integer(Int(port))), ("protocol", .text(transport)), ("targetPort", target),
            ]))
    }
}

extension ObjectMetadata {
    var json: JSONValue {
        .object(
            ServiceManifest.kept([
                ("annotations", .map(annotations)), ("creationTimestamp", creationTimestamp.map { .string($0.description) }),
                ("labels", .map(labels)), ("name", .text(name)), ("namespace", .text(namespace)), ("uid", uid.map(JSONValue.string)),
            ]))
    }
}

/// Values that are left out where they are empty, as Go's `omitempty` does.
extension JSONValue {
    static func text(_ text: String) -> JSONValue? { text.isEmpty ? nil : .string(text) }
    static func number(_ number: Int32) -> JSONValue? { number == 0 ? nil : .integer(Int(number)) }
    static func texts(_ texts: [String]) -> JSONValue? { texts.isEmpty ? nil : .array(texts.map(JSONValue.string)) }
    static func map(_ map: [String: String]) -> JSONValue? {
        map.isEmpty ? nil : .object(map.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
    }
}
