internal import Addressing
internal import ControlPlane
internal import ObjectSources
internal import ServiceModel

/// The Services of the sources as an API server would keep them: judged, with what they are given, the last good version of each.
struct ServiceAdmission {
    private var registry: ServiceRegistry
    private var allocations: Allocations
    /// Addresses that Services were given without having asked for one.
    private(set) var givenAddresses: Set<IPAddress> = []

    init(allocations: Allocations, strictness: Strictness = .ringway) {
        registry = ServiceRegistry(strictness: strictness)
        self.allocations = allocations
    }

    /// Puts the Services that are admitted in the place of those that are written.
    ///
    /// - Parameter now: seconds of a clock that goes on; what has gone is kept by it for a while.
    mutating func admit(_ manifests: ManifestState, at now: Int64) -> ManifestState {
        allocations.expire(at: now)
        _ = registry.replaceAll(with: manifests.services, allocations: &allocations, at: now)
        givenAddresses = []
        for written in manifests.services where written.clusterIP.isEmpty {
            let key = written.metadata.serviceKey
            givenAddresses.formUnion(registry.services[key]?.service.clusterIPs ?? [])
        }
        var admitted = manifests
        admitted.objects = manifests.objects.filter { $0.key.kind != .service } + registry.services.values.map(\.object)
        admitted.objects.sort { $0.key < $1.key }
        // What the registry says stands among the rest of its file.
        admitted.diagnostics += registry.diagnostics
        admitted.diagnostics.sort {
            ($0.location.file, $0.location.line, $0.location.column) < ($1.location.file, $1.location.line, $1.location.column)
        }
        admitted.rejectedObjects += registry.refused.count
        return admitted
    }
}
