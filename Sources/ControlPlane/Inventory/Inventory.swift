internal import Addressing
package import ServiceModel

/// The objects in force, as whoever asks what there is sees them. A value: whoever has one may take the time to read it.
package struct Inventory: Sendable {
    /// Rises with each change.
    package private(set) var version: UInt64 = 0
    private var byKey: [ObjectKey: KubernetesObject] = [:]
    var objects: some Collection<KubernetesObject> { byKey.values }
    /// When Services were first met, in seconds since 1970.
    private var firstSeen: [ServiceKey: Int64] = [:]

    package init() {}

    /// Of the objects in force.
    package var keys: some Collection<ObjectKey> { byKey.keys }

    /// nil where none of that key is in force.
    package subscript(key: ObjectKey) -> KubernetesObject? { byKey[key] }

    /// Takes the objects that are new in force, or other than they were, and the keys of those that have gone; and the Services that
    /// this touches.
    package mutating func update(_ change: ObjectChange, changed: [ServiceKey], removed: [ServiceKey], now: Int64) {
        version += 1
        for key in change.removed { byKey[key] = nil }
        for object in change.changed { byKey[object.key] = object }
        for key in removed { firstSeen[key] = nil }
        for key in changed where firstSeen[key] == nil { firstSeen[key] = now }
    }

    /// The lines of a kind, by namespace and name; of one namespace, or of one object, where they are named.
    package func rows(of kind: ResourceKind, namespace: String? = nil, name: String? = nil) -> [ResourceTable.Row] {
        let objects = objects.filter { object in
            (namespace ?? object.metadata.namespace) == object.metadata.namespace
        }
        let rows: [ResourceTable.Row] =
            switch kind {
            case .services: objects.compactMap { service($0) }
            case .endpoints: EndpointLists(objects).rows { age(of: $0, $1) }
            case .endpointslices: objects.compactMap { slice($0) }
            }
        return rows.filter { (name ?? $0.name) == $0.name }.sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }
    }

    /// How Services are written down as a whole.
    package enum Format: Sendable {
        case json, yaml
    }

    /// The Services as text: one object where one is named (nil where there is none), else a list.
    package func services(as format: Format, namespace: String? = nil, name: String? = nil) -> String? {
        let documents = objects.filter { object in
            (namespace ?? object.metadata.namespace) == object.metadata.namespace && (name ?? object.metadata.name) == object.metadata.name
        }.sorted { $0.key < $1.key }.compactMap(document)
        if name != nil, documents.isEmpty { return nil }
        let list = JSONValue.object([
            ("apiVersion", .string("v1")), ("items", .array(documents)), ("kind", .string("List")),
            ("metadata", .object([("resourceVersion", .string(""))])),
        ])
        let whole = name == nil ? list : documents[0]
        return format == .json ? whole.prettyText + "\n" : whole.yamlText
    }

    private func document(_ object: KubernetesObject) -> JSONValue? {
        guard case .service(let service) = object.body else { return nil }
        var metadata = object.metadata
        let key = metadata.serviceKey
        metadata.creationTimestamp = age(of: key, metadata).map(Timestamp.init(seconds:))
        return ServiceManifest(metadata, service, location: object.location).json
    }

    private func service(_ object: KubernetesObject) -> ResourceTable.Row? {
        guard case .service(let service) = object.body else { return nil }
        let key = object.metadata.serviceKey
        return ResourceTable.Row(
            namespace: key.namespace, name: key.name, fixed: [key.name] + service.columns, created: age(of: key, object.metadata))
    }

    private func slice(_ object: KubernetesObject) -> ResourceTable.Row? {
        guard case .endpointSlice(let slice) = object.body else { return nil }
        let key = ServiceKey(namespace: object.metadata.namespace, name: slice.serviceName ?? "")
        return ResourceTable.Row(
            namespace: object.metadata.namespace, name: object.metadata.name, fixed: [object.metadata.name] + slice.columns,
            created: age(of: key, object.metadata))
    }

    /// What the object says of itself, else when its Service was first met.
    private func age(of service: ServiceKey, _ metadata: ObjectMetadata) -> Int64? {
        metadata.creationTimestamp?.seconds ?? firstSeen[service]
    }
}
