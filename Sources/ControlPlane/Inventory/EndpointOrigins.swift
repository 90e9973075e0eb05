package import Addressing
internal import ServiceModel

extension Inventory {
    /// The objects that say that a Service has an endpoint at an address: `EndpointSlice prod/db-1`.
    ///
    /// What is looked at is what its endpoints are made of: inline ones before slices, these before an Endpoints object, and that before
    /// the Pods that it selects.
    package func origins(of address: IPAddress, namespace: String, service: String) -> [String] {
        let members = objects.filter { $0.metadata.namespace == namespace }
        guard let object = members.first(where: { $0.key.kind == .service && $0.metadata.name == service }),
            case .service(let body) = object.body
        else { return [] }
        if let inline = body.inlineEndpoints {
            return inline.contains { $0.address == address } ? ["Service \(namespace)/\(service) (ringway.dev/endpoints)"] : []
        }
        var names: [String] = []
        var hasSlices = false
        for object in members {
            guard case .endpointSlice(let slice) = object.body, slice.serviceName == service else { continue }
            hasSlices = true
            if slice.endpoints.contains(where: { $0.address == address }) {
                names.append("EndpointSlice \(namespace)/\(object.metadata.name)")
            }
        }
        if hasSlices { return names.sorted() }
        for object in members {
            guard case .endpoints(let endpoints) = object.body, object.metadata.name == service, Endpoints.isMirrored(object.metadata)
            else {
                continue
            }
            let isThere = endpoints.mirrored().contains { $0.endpoints.contains { $0.address == address } }
            return isThere ? ["Endpoints \(namespace)/\(service)"] : []
        }
        return pods(in: namespace, at: address).filter { pod in
            guard let selector = body.selector, !selector.isEmpty else { return false }
            return selector.allSatisfy { pod.metadata.labels[$0.key] == $0.value }
        }.map { "Pod \(namespace)/\($0.metadata.name)" }
    }

    /// The Pods of a namespace that have an address: `Pod prod/db-0`.
    package func podNames(in namespace: String, at address: IPAddress) -> [String] {
        pods(in: namespace, at: address).map { "Pod \(namespace)/\($0.metadata.name)" }
    }

    private func pods(in namespace: String, at address: IPAddress) -> [KubernetesObject] {
        objects.filter { object in
            guard object.metadata.namespace == namespace, case .pod(let pod) = object.body, !pod.isOver else { return false }
            return pod.addresses.contains(address)
        }.sorted { $0.key < $1.key }
    }
}
