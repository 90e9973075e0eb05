internal import Routing
internal import ServiceModel

extension EndpointGroup.Settings {
    /// What a Service asks for, defaults filled in.
    init(_ service: Service) {
        self.init()
        selection =
            switch service.settings.algorithm {
            case .random: .random
            case .roundRobin: .roundRobin
            case .leastConnections: .leastConnections
            case .consistentHash: .clientIP
            case nil: service.affinity == .clientIP ? .clientIP : .random
            }
    }
}
