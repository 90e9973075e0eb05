/// The shape of a JSON value as Kubernetes' Go types give it, so that the strict decoder can speak in their words.
indirect enum FieldShape: Sendable {
    /// A string; `type` is its Go type, such as `v1.ServiceType`.
    case string(type: String)
    case int32
    case int64
    case bool
    case intOrString
    /// Anything at all (`fieldsV1`).
    case opaque
    case stringMap
    case list(FieldShape)
    case object(ObjectShape)

    static let string = FieldShape.string(type: "string")

    /// The Go type, as an "unmarshal" error names it.
    var goType: String {
        switch self {
        case .string(let type): type
        case .int32: "int32"
        case .int64: "int64"
        case .bool: "bool"
        case .intOrString: "intstr.IntOrString"
        case .opaque: "v1.FieldsV1"
        case .stringMap: "map[string]string"
        case .list(let element): "[]" + element.goType
        case .object(let shape): "v1." + shape.name
        }
    }
}

/// A Go struct: its name and its JSON fields.
struct ObjectShape: Sendable {
    let name: String
    let fields: [String: FieldShape]

    init(_ name: String, _ fields: [String: FieldShape]) {
        self.name = name
        self.fields = fields
    }
}

// Every field that Kubernetes 1.36 knows, so that what `kubectl get -o yaml` prints decodes without a word, and a field that
// is none of them is a mistake. Sources: staging/src/k8s.io/api/{core/v1,discovery/v1}/types.go, apimachinery meta/v1/types.go.

extension ObjectShape {
    static let service = ObjectShape(
        "Service",
        [
            "apiVersion": .string, "kind": .string, "metadata": .object(objectMeta), "spec": .object(serviceSpec),
            "status": .object(serviceStatus),
        ])

    static let endpointSlice = ObjectShape(
        "EndpointSlice",
        [
            "apiVersion": .string, "kind": .string, "metadata": .object(objectMeta),
            "addressType": .string(type: "v1.AddressType"),
            "endpoints": .list(.object(endpoint)), "ports": .list(.object(endpointSlicePort)),
        ])

    static let endpoints = ObjectShape(
        "Endpoints",
        [
            "apiVersion": .string, "kind": .string, "metadata": .object(objectMeta), "subsets": .list(.object(endpointSubset)),
        ])

    /// `items` are decoded one by one, each as an object of its own.
    static let list = ObjectShape(
        "List",
        ["apiVersion": .string, "kind": .string, "metadata": .object(listMeta), "items": .list(.opaque)])

    private static let listMeta = ObjectShape(
        "ListMeta", ["selfLink": .string, "resourceVersion": .string, "continue": .string, "remainingItemCount": .int64])

    static let objectMeta = ObjectShape(
        "ObjectMeta",
        [
            "name": .string, "generateName": .string, "namespace": .string, "selfLink": .string,
            "uid": .string(type: "types.UID"), "resourceVersion": .string, "generation": .int64, "creationTimestamp": .string,
            "deletionTimestamp": .string, "deletionGracePeriodSeconds": .int64, "labels": .stringMap, "annotations": .stringMap,
            "ownerReferences": .list(.object(ownerReference)), "finalizers": .list(.string),
            "managedFields": .list(.object(managedFieldsEntry)),
        ])

    private static let ownerReference = ObjectShape(
        "OwnerReference",
        [
            "apiVersion": .string, "kind": .string, "name": .string, "uid": .string(type: "types.UID"), "controller": .bool,
            "blockOwnerDeletion": .bool,
        ])

    private static let managedFieldsEntry = ObjectShape(
        "ManagedFieldsEntry",
        [
            "manager": .string, "operation": .string(type: "v1.ManagedFieldsOperationType"), "apiVersion": .string, "time": .string,
            "fieldsType": .string, "fieldsV1": .opaque, "subresource": .string,
        ])

    private static let serviceSpec = ObjectShape(
        "ServiceSpec",
        [
            "ports": .list(.object(servicePort)), "selector": .stringMap, "clusterIP": .string, "clusterIPs": .list(.string),
            "type": .string(type: "v1.ServiceType"), "externalIPs": .list(.string),
            "sessionAffinity": .string(type: "v1.ServiceAffinity"), "loadBalancerIP": .string,
            "loadBalancerSourceRanges": .list(.string), "externalName": .string,
            "externalTrafficPolicy": .string(type: "v1.ServiceExternalTrafficPolicy"), "healthCheckNodePort": .int32,
            "publishNotReadyAddresses": .bool, "sessionAffinityConfig": .object(sessionAffinityConfig),
            "ipFamilies": .list(.string(type: "v1.IPFamily")), "ipFamilyPolicy": .string(type: "v1.IPFamilyPolicy"),
            "allocateLoadBalancerNodePorts": .bool, "loadBalancerClass": .string,
            "internalTrafficPolicy": .string(type: "v1.ServiceInternalTrafficPolicy"), "trafficDistribution": .string,
        ])

    private static let servicePort = ObjectShape(
        "ServicePort",
        [
            "name": .string, "protocol": .string(type: "v1.Protocol"), "appProtocol": .string, "port": .int32,
            "targetPort": .intOrString, "nodePort": .int32,
        ])

    private static let sessionAffinityConfig = ObjectShape(
        "SessionAffinityConfig", ["clientIP": .object(ObjectShape("ClientIPConfig", ["timeoutSeconds": .int32]))])

    private static let serviceStatus = ObjectShape(
        "ServiceStatus",
        [
            "loadBalancer": .object(ObjectShape("LoadBalancerStatus", ["ingress": .list(.object(loadBalancerIngress))])),
            "conditions": .list(.object(condition)),
        ])

    private static let loadBalancerIngress = ObjectShape(
        "LoadBalancerIngress",
        [
            "ip": .string, "hostname": .string, "ipMode": .string(type: "v1.LoadBalancerIPMode"),
            "ports": .list(
                .object(ObjectShape("PortStatus", ["port": .int32, "protocol": .string(type: "v1.Protocol"), "error": .string]))),
        ])

    private static let condition = ObjectShape(
        "Condition",
        [
            "type": .string, "status": .string(type: "v1.ConditionStatus"), "observedGeneration": .int64, "lastTransitionTime": .string,
            "reason": .string, "message": .string,
        ])

    private static let endpoint = ObjectShape(
        "Endpoint",
        [
            "addresses": .list(.string),
            "conditions": .object(ObjectShape("EndpointConditions", ["ready": .bool, "serving": .bool, "terminating": .bool])),
            "hostname": .string, "targetRef": .object(objectReference), "deprecatedTopology": .stringMap, "nodeName": .string,
            "zone": .string,
            "hints": .object(
                ObjectShape(
                    "EndpointHints",
                    [
                        "forZones": .list(.object(ObjectShape("ForZone", ["name": .string]))),
                        "forNodes": .list(.object(ObjectShape("ForNode", ["name": .string]))),
                    ])),
        ])

    private static let endpointSlicePort = ObjectShape(
        "EndpointPort",
        ["name": .string, "protocol": .string(type: "v1.Protocol"), "port": .int32, "appProtocol": .string])

    private static let endpointSubset = ObjectShape(
        "EndpointSubset",
        [
            "addresses": .list(.object(endpointAddress)), "notReadyAddresses": .list(.object(endpointAddress)),
            "ports": .list(.object(endpointSlicePort)),
        ])

    private static let endpointAddress = ObjectShape(
        "EndpointAddress", ["ip": .string, "hostname": .string, "nodeName": .string, "targetRef": .object(objectReference)])

    private static let objectReference = ObjectShape(
        "ObjectReference",
        [
            "kind": .string, "namespace": .string, "name": .string, "uid": .string(type: "types.UID"), "apiVersion": .string,
            "resourceVersion": .string, "fieldPath": .string,
        ])
}
