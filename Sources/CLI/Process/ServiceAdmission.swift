internal import Addressing
internal import ControlPlane
internal import ObjectSources
internal import ServiceModel
internal import StateStore

/// The Services of the sources as an API server would keep them: judged, with what they are given, the last good version of each.
///
/// Where there is a store, nothing that a Service was given leaves here before it is kept.
struct ServiceAdmission {
    /// Where what Services were given is kept.
    struct Store {
        /// For what is said of it.
        var file: String
        var save: @Sendable ([ServiceKey: AllocationRecord?]) throws(StateStoreError) -> Void
    }

    /// A disk may have room again.
    private static let retryInterval: Int64 = 10

    private var registry: ServiceRegistry
    private var allocations: Allocations
    private var store: Store?
    /// Changes that could not be kept so far.
    private var unsaved: [ServiceKey: AllocationRecord?] = [:]
    /// The Services that wait for that, each with the version that is served meanwhile.
    private var heldBack: [ServiceKey: ServiceManifest?] = [:]
    /// Services of an earlier run may yet come: not all sources have been read since.
    private var isExpecting = false
    /// Addresses that Services were given without having asked for one.
    private(set) var givenAddresses: Set<IPAddress> = []
    private var givenByService: [ServiceKey: [IPAddress]] = [:]

    init(allocations: Allocations, loadBalancerClass: String? = nil, strictness: Strictness = .ringway) {
        registry = ServiceRegistry(strictness: strictness, loadBalancerClass: loadBalancerClass)
        self.allocations = allocations
    }

    /// Goes on from what an earlier run has left. To be called before any Service is admitted.
    ///
    /// - Parameter store: nil where that is only read.
    mutating func resume(from records: [ServiceKey: AllocationRecord], keepingIn store: Store?) {
        allocations.restore(records)
        isExpecting = true
        self.store = store
    }

    /// What a change of the sources comes to once its Services are judged.
    struct Admitted {
        var change = ObjectChange()
        /// All findings that hold now.
        var diagnostics: [Diagnostic] = []
        var rejectedObjects = 0
        /// A source could never be read so far.
        var missesSources = false
    }

    /// Puts the Services that are admitted in the place of those that are written. Costs what has changed.
    ///
    /// - Parameter now: seconds of a clock that goes on; what has gone is kept by it for a while.
    mutating func admit(_ manifests: ManifestChange, at now: Int64) -> Admitted {
        let removed = manifests.removed.filter { $0.kind == .service }.map { ServiceKey(namespace: $0.namespace, name: $0.name) }
        let isAnythingReleased = allocations.expire(at: now)
        let isAnythingMissing = isExpecting && meetExpected(manifests, removed: removed, at: now)
        let change = registry.update(
            manifests.services, removed: removed, retriesRefused: isAnythingReleased || isAnythingMissing, allocations: &allocations,
            at: now)
        let heldBefore = heldBack.keys
        let failure = keep(change)

        var admitted = Admitted()
        admitted.change.changed = manifests.objects.filter { $0.key.kind != .service }
        admitted.change.removed = manifests.removed.filter { $0.kind != .service }
        for key in Set(change.changed + change.removed).union(heldBefore).union(heldBack.keys).sorted() {
            note(given: key)
            if let manifest = heldBack[key] ?? registry.services[key] {
                admitted.change.changed.append(manifest.object)
            } else {
                admitted.change.removed.append(ObjectKey(kind: .service, namespace: key.namespace, name: key.name))
            }
        }
        admitted.diagnostics = manifests.diagnostics
        // What the registry says stands among the rest of its file.
        let said = registry.diagnostics
        if !said.isEmpty {
            admitted.diagnostics += said
            admitted.diagnostics.sort {
                ($0.location.file, $0.location.line, $0.location.column) < ($1.location.file, $1.location.line, $1.location.column)
            }
        }
        admitted.diagnostics += failure.map { [$0] } ?? []
        admitted.rejectedObjects = manifests.rejectedObjects + registry.refused.count + heldBack.count
        admitted.missesSources = manifests.missesRoots
        return admitted
    }

    private mutating func note(given key: ServiceKey) {
        for address in givenByService.removeValue(forKey: key) ?? [] { givenAddresses.remove(address) }
        guard registry.written[key]?.clusterIP.isEmpty == true, let addresses = registry.services[key]?.service.clusterIPs,
            !addresses.isEmpty
        else { return }
        givenByService[key] = addresses
        givenAddresses.formUnion(addresses)
    }

    /// To play changes on copies of what is in force.
    func rehearsal(_ compiler: SnapshotCompiler, _ inventory: Inventory) -> Rehearsal {
        Rehearsal(registry: registry, allocations: allocations, compiler: compiler, inventory: inventory)
    }

    /// When to admit again though nothing has changed: something is to be released, or tried again.
    func nextAdmission(after now: Int64) -> Int64? {
        let retry = unsaved.isEmpty ? nil : now + Self.retryInterval
        return [retry, allocations.nextExpiry].compactMap(\.self).min()
    }

    /// Lets go of the store, for another process to take.
    mutating func stopKeeping() { store = nil }

    // MARK: What an earlier run has left

    /// Services that are there again keep what they had. Those that are not have gone, and not before now; as long as a source can't be
    /// read, or an object in it, nobody knows that of any.
    ///
    /// - Returns: whether that is known now, so that others may ask for what they had.
    private mutating func meetExpected(_ manifests: ManifestChange, removed: [ServiceKey], at now: Int64) -> Bool {
        let keys = Set(registry.written.keys).subtracting(removed).union(manifests.services.map(\.metadata.serviceKey))
        allocations.expect(keys)
        guard manifests.rejectedObjects == 0, !manifests.diagnostics.contains(where: { $0.severity == .error }) else { return false }
        allocations.retain(only: keys, at: now)
        isExpecting = false
        return true
    }

    // MARK: Keeping

    /// Writes what has changed before anybody hears of it. Where that fails, the Services concerned stay as they were; those that were
    /// given nothing new go on.
    private mutating func keep(_ change: ServiceRegistry.Change) -> Diagnostic? {
        // Taken also where nobody keeps it, for it would pile up.
        unsaved.merge(allocations.takeChanges()) { $1 }
        for key in change.removed { heldBack[key] = nil }
        guard let store, !unsaved.isEmpty else {
            unsaved = [:]
            return nil
        }
        do {
            try store.save(unsaved)
            (unsaved, heldBack) = ([:], [:])
            return nil
        } catch {
            for key in change.changed where unsaved.keys.contains(key) && !heldBack.keys.contains(key) {
                heldBack.updateValue(change.previous[key], forKey: key)
            }
            return Diagnostic(
                severity: .error, location: SourceLocation(file: store.file),
                message: "\(error); what Services are given waits for it")
        }
    }
}
