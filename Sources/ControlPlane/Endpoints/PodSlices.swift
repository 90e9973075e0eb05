internal import Addressing
internal import ServiceModel

/// The EndpointSlices that a cluster's controller would make of the Pods that a Service selects. Pure.
struct PodSlices {
    private let name: String
    private let service: Service
    /// By node: those of the Pods.
    private let zones: [String: String]
    private let pods: [(name: String, pod: Pod)]

    /// - Parameters:
    ///   - pods: those of the Service's namespace that match its selector, in the order of their names.
    ///   - zones: of the nodes that they are on.
    init(of service: Service, named name: String, pods: [(name: String, pod: Pod)], zones: [String: String]) {
        self.name = name
        self.service = service
        self.zones = zones
        self.pods = pods
    }

    /// The same of whole objects; what is no Pod is left out.
    init(of service: Service, named name: String, objects: [KubernetesObject], zones: [String: String] = [:]) {
        self.init(
            of: service, named: name,
            pods: objects.compactMap { object in
                if case .pod(let pod) = object.body { (object.metadata.name, pod) } else { nil }
            }, zones: zones)
    }

    /// One for each family and each set of port numbers: a named port may be another number in each Pod.
    var slices: [EndpointSlice] {
        let families = service.ipFamilies.isEmpty ? [IPAddress.Family.ipv4, .ipv6] : service.ipFamilies
        return families.flatMap { family in
            var slices: [EndpointSlice] = []
            for (name, pod) in pods where !pod.isOver {
                guard let address = pod.addresses.first(where: { $0.family == family }) else { continue }
                let ports = service.ports.compactMap { port in
                    Self.number(of: port, in: pod).map { EndpointSlice.Port(name: port.name, transport: port.transport, port: $0) }
                }
                let endpoint = endpoint(name, pod, address)
                if let index = slices.firstIndex(where: { $0.ports == ports }) {
                    slices[index].endpoints.append(endpoint)
                } else {
                    var slice = EndpointSlice()
                    slice.addressFamily = family
                    slice.ports = ports
                    slice.endpoints = [endpoint]
                    slices.append(slice)
                }
            }
            return slices
        }
    }

    private func endpoint(_ name: String, _ pod: Pod, _ address: IPAddress) -> EndpointSlice.Endpoint {
        var endpoint = EndpointSlice.Endpoint(
            address: address, ready: service.publishNotReadyAddresses || pod.isReady && !pod.isTerminating, serving: pod.isReady,
            terminating: pod.isTerminating, pod: name, nodeName: pod.nodeName, hostname: pod.subdomain == self.name ? pod.hostname : nil)
        guard endpoint.ready, let distribution = service.trafficDistribution else { return endpoint }
        // Those that can't be placed have none, and then the hints of all others count for nothing.
        endpoint.zoneHints = pod.nodeName.flatMap { zones[$0] }.map { [$0] } ?? []
        if distribution == .preferSameNode { endpoint.nodeHints = pod.nodeName.map { [$0] } ?? [] }
        return endpoint
    }

    /// nil where the Pod has no port of that name: then it is left out of this port.
    private static func number(of port: Service.Port, in pod: Pod) -> PortNumber? {
        guard let name = port.targetPortName else { return port.targetPort ?? port.port }
        return pod.namedPorts[Pod.PortName(name, port.transport)]
    }
}
