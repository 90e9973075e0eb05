internal import Addressing

/// Objects of all kinds written down, to compare two versions field by field. Of what is no Service only what is honoured is there, and
/// when an object was made is left out, which is nothing that anybody changes.
extension KubernetesObject {
    package var json: JSONValue {
        var metadata = metadata
        metadata.creationTimestamp = nil
        switch body {
        case .service(let service): return ServiceManifest(metadata, service, location: location).json
        case .endpointSlice(let slice): return Self.document("discovery.k8s.io/v1", "EndpointSlice", metadata, slice.fields)
        case .endpoints(let endpoints):
            return Self.document("v1", "Endpoints", metadata, [("subsets", .array(endpoints.subsets.map(\.json)))])
        case .pod(let pod): return Self.document("v1", "Pod", metadata, [("spec", pod.spec), ("status", pod.status)])
        case .node(let node):
            return Self.document(
                "v1", "Node", metadata,
                [
                    ("spec", .object([("podCIDRs", .array(node.podRanges.map { .string($0.description) }))])),
                    ("status", .object([("addresses", .array(node.internalAddresses.map { .string($0.description) }))])),
                ])
        case .namespace: return Self.document("v1", "Namespace", metadata, [])
        }
    }

    private static func document(
        _ version: String, _ kind: String, _ metadata: ObjectMetadata, _ fields: [(String, JSONValue)]
    ) -> JSONValue {
        .object([("apiVersion", .string(version)), ("kind", .string(kind)), ("metadata", metadata.json)] + fields)
    }
}

extension EndpointSlice {
    fileprivate var fields: [(String, JSONValue)] {
        [
            ("addressType", .string(addressFamily?.name ?? "FQDN")), ("endpoints", .array(endpoints.map(\.json))),
            ("ports", .array(ports.map(\.json))),
        ]
    }
}

extension EndpointSlice.Endpoint {
    fileprivate var json: JSONValue {
        .object(
            ServiceManifest.kept([
                ("addresses", .array([.string(address.description)])),
                (
                    "conditions",
                    .object([("ready", .boolean(ready)), ("serving", .boolean(serving)), ("terminating", .boolean(terminating))])
                ),
                ("hints", hints), ("hostname", hostname.map(JSONValue.string)), ("nodeName", nodeName.map(JSONValue.string)),
                ("targetRef", pod.map { .object([("name", .string($0))]) }),
            ]))
    }

    private var hints: JSONValue? {
        zoneHints.isEmpty && nodeHints.isEmpty
            ? nil : .object(ServiceManifest.kept([("forNodes", .texts(nodeHints)), ("forZones", .texts(zoneHints))]))
    }
}

extension EndpointSlice.Port {
    fileprivate var json: JSONValue {
        .object(
            ServiceManifest.kept([
                ("name", .text(name)), ("port", port.map { .integer(Int($0.rawValue)) }), ("protocol", .string(transport.rawValue)),
            ]))
    }
}

extension Endpoints.Subset {
    fileprivate var json: JSONValue {
        .object(
            ServiceManifest.kept([
                ("addresses", .array(addresses.map(\.json))), ("notReadyAddresses", .array(notReadyAddresses.map(\.json))),
                ("ports", .array(ports.map(\.json))),
            ]))
    }
}

extension Endpoints.Address {
    fileprivate var json: JSONValue {
        .object(
            ServiceManifest.kept([
                ("hostname", hostname.map(JSONValue.string)), ("ip", .string(address.description)),
                ("nodeName", nodeName.map(JSONValue.string)), ("targetRef", pod.map { .object([("name", .string($0))]) }),
            ]))
    }
}

extension Pod {
    fileprivate var spec: JSONValue {
        .object(
            ServiceManifest.kept([
                ("hostname", hostname.map(JSONValue.string)), ("nodeName", nodeName.map(JSONValue.string)),
                ("ports", .array(ports.sorted().map { .integer(Int($0.rawValue)) })),
                (
                    "portNames",
                    .object(
                        namedPorts.map { ("\($0.key.name)/\($0.key.transport.rawValue)", .integer(Int($0.value.rawValue))) }
                            .sorted { $0.0 < $1.0 })
                ),
                // In parts that nobody reads but to see that they differ.
                ("readinessProbes", .array(probes.map { .string("\($0)") })), ("subdomain", subdomain.map(JSONValue.string)),
            ]))
    }

    fileprivate var status: JSONValue {
        .object([
            ("isOver", .boolean(isOver)), ("isReady", .boolean(isReady)), ("isTerminating", .boolean(isTerminating)),
            ("podIPs", .array(addresses.map { .string($0.description) })),
        ])
    }
}
