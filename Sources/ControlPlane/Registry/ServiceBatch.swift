package import ServiceModel

/// Many Services at once, as files and watches give them.
extension ServiceRegistry {
    /// The Services that a batch has changed in force, and those that it has taken out of it, each in key order.
    package struct Change: Hashable, Sendable {
        package var changed: [ServiceKey] = []
        package var removed: [ServiceKey] = []
        /// Of those that were changed, what was in force before; nothing where there was nothing.
        package var previous: [ServiceKey: ServiceManifest] = [:]

        package var isEmpty: Bool { changed.isEmpty && removed.isEmpty }
    }

    /// What is to be said of all Services as they were last applied, in key order.
    package var diagnostics: [Diagnostic] {
        findings.sorted { $0.key < $1.key }.flatMap(\.value)
    }

    /// Takes the complete current set. Those that are as they were cost a comparison.
    package mutating func replaceAll(
        with manifests: [ServiceManifest], retriesRefused: Bool = false, allocations: inout Allocations, at now: Int64
    ) -> Change {
        let keys = Set(manifests.map(\.serviceKey))
        return update(
            manifests.filter { written[$0.serviceKey] != $0 }, removed: written.keys.filter { !keys.contains($0) },
            retriesRefused: retriesRefused, allocations: &allocations, at: now)
    }

    /// Takes Services that are new or written anew, and those that have gone.
    ///
    /// What asks for numbers goes before what takes any, so that the order of files decides nothing. What was refused is tried again as
    /// long as others change: one may ask for what another gives up in the same batch.
    ///
    /// - Parameter retriesRefused: something has been released meanwhile.
    package mutating func update(
        _ manifests: [ServiceManifest], removed: [ServiceKey], retriesRefused: Bool = false, allocations: inout Allocations, at now: Int64
    ) -> Change {
        var change = Change()
        for key in removed {
            written[key] = nil
            findings[key] = nil
            refused.remove(key)
            pending.remove(key)
            if remove(key) != nil { change.removed.append(key) }
            allocations.gone(key, at: now)
        }
        var waiting = Dictionary(manifests.map { ($0.serviceKey, $0) }) { first, _ in first }
        written.merge(waiting) { $1 }
        var changed: Set<ServiceKey> = []
        var isProgress = retriesRefused || !waiting.isEmpty || !removed.isEmpty
        while isProgress {
            isProgress = false
            for key in refused { waiting[key] = written[key] }
            if releasesSeen != allocations.loadBalancerReleases {
                releasesSeen = allocations.loadBalancerReleases
                for key in pending { waiting[key] = written[key] }
            }
            for manifest in waiting.values.sorted(by: Self.precedes) {
                let key = manifest.serviceKey
                let old = services[key]
                guard take(manifest, allocations: &allocations), services[key] != old else { continue }
                if changed.insert(key).inserted { change.previous[key] = old }
                isProgress = true
            }
            waiting = [:]
        }
        change.changed = changed.sorted()
        change.removed.sort()
        return change
    }

    /// True where it was admitted.
    private mutating func take(_ manifest: ServiceManifest, allocations: inout Allocations) -> Bool {
        let key = manifest.serviceKey
        switch apply(manifest, allocations: &allocations) {
        case .admitted(_, let warnings):
            findings[key] = warnings.isEmpty ? nil : warnings
            refused.remove(key)
            return true
        case .refused(let errors):
            findings[key] = errors
            refused.insert(key)
            return false
        }
    }

    private static func precedes(_ left: ServiceManifest, _ right: ServiceManifest) -> Bool {
        left.asksForNumbers == right.asksForNumbers ? left.serviceKey < right.serviceKey : left.asksForNumbers
    }
}

extension ServiceManifest {
    var serviceKey: ServiceKey { metadata.serviceKey }

    /// It names an address or a port to be given.
    fileprivate var asksForNumbers: Bool {
        !clusterIP.isEmpty || healthCheckNodePort != 0 || ports.contains { $0.nodePort != 0 } || !loadBalancerIP.isEmpty
            || annotation(.addresses) != nil || !ingress.isEmpty
    }
}
