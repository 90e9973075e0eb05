internal import Addressing
internal import ServiceModel

/// The ready endpoints of each Service, wherever they were given: what an API server keeps as the Endpoints of its name. Inline ones count
/// before slices, these before an Endpoints object, and that before the Pods that the Service selects.
struct EndpointLists {
    private struct List {
        var metadata: ObjectMetadata
        var endpoints: Set<SocketAddress> = []
        /// Of slices without ports, as those of a headless Service may be.
        var addresses: Set<IPAddress> = []
        var isGiven = false

        mutating func add(_ slice: EndpointSlice) {
            let ready = slice.endpoints.filter(\.ready).map(\.address)
            if slice.ports.isEmpty { addresses.formUnion(ready) }
            for port in slice.ports.compactMap(\.port) { endpoints.formUnion(ready.map { SocketAddress($0, port) }) }
        }

        /// Port by port, as kubectl lists them: whoever reads the first three learns of three Pods, not of one Pod's ports.
        var text: String {
            let ordered = endpoints.sorted { ($0.port, $0.address) < ($1.port, $1.address) }
            return firstThree(addresses.sorted().map(\.description) + ordered.map(\.description), none: "<none>")
        }
    }

    private var lists: [ServiceKey: List] = [:]

    init(_ objects: [KubernetesObject]) {
        var selecting: [ServiceKey: Service] = [:]
        var inline: Set<ServiceKey> = []
        for object in objects {
            guard case .service(let service) = object.body, service.type != .externalName else { continue }
            let key = object.metadata.serviceKey
            lists[key] = List(
                metadata: object.metadata, endpoints: Set(service.inlineEndpoints ?? []), isGiven: service.inlineEndpoints != nil)
            if service.inlineEndpoints != nil { inline.insert(key) }
            if service.selector?.isEmpty == false { selecting[key] = service }
        }
        for object in objects {
            guard case .endpointSlice(let slice) = object.body, let service = slice.serviceName else { continue }
            let key = ServiceKey(namespace: object.metadata.namespace, name: service)
            guard !inline.contains(key) else { continue }
            lists[key]?.isGiven = true
            lists[key]?.add(slice)
        }
        for object in objects {
            guard case .endpoints(let endpoints) = object.body, Endpoints.isMirrored(object.metadata) else { continue }
            let key = object.metadata.serviceKey
            if lists[key]?.isGiven == true { continue }
            lists[key] = List(metadata: object.metadata, isGiven: true)
            for slice in endpoints.mirrored() { lists[key]?.add(slice) }
        }
        var pods = PodIndex()
        for object in objects { if case .pod = object.body { _ = pods.insert(object) } }
        for (key, service) in selecting where lists[key]?.isGiven == false {
            let selected = pods.matching(service.selector ?? [:], in: key.namespace)
            for slice in PodSlices(of: service, named: key.name, objects: selected).slices { lists[key]?.add(slice) }
        }
    }

    func rows(created: (ServiceKey, ObjectMetadata) -> Int64?) -> [ResourceTable.Row] {
        lists.map { key, list in
            ResourceTable.Row(
                namespace: key.namespace, name: key.name, fixed: [key.name, list.text], created: created(key, list.metadata))
        }
    }
}
