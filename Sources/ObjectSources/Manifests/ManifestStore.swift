package import ServiceModel

/// All objects in force, and what is wrong with the rest.
package struct ManifestState: Hashable, Sendable {
    /// Valid objects, sorted by kind, namespace and name; each identity once.
    package var objects: [KubernetesObject]
    /// The Services among them as they are written, for a registry to judge, in the same order.
    package var services: [ServiceManifest]
    /// All findings of the last load, in the order of the files.
    package var diagnostics: [Diagnostic]
    /// Objects and documents that were refused, whether or not an older version of them is in force.
    package var rejectedObjects: Int

    package init(
        objects: [KubernetesObject] = [], services: [ServiceManifest] = [], diagnostics: [Diagnostic] = [], rejectedObjects: Int = 0
    ) {
        self.objects = objects
        self.services = services
        self.diagnostics = diagnostics
        self.rejectedObjects = rejectedObjects
    }
}

/// Merges what was loaded with what was in force before. Pure.
///
/// - A refused object keeps its last good version; the others of its file go on.
/// - Where a document could not be read at all, whatever its file held and no longer names is kept: it may be in there.
/// - A file gone from a readable directory is gone, its objects too.
/// - A root that is missing or unreadable keeps everything it had.
/// - A root that loses all its Services at once, or all their endpoints, keeps them where that concerns ten Services or more: a tool that
///   writes an empty file looks the same as somebody who means it, and costs more.
/// - An identity that several files name belongs to the first by path; each of the others is an error naming both places.
package struct ManifestStore: Sendable {
    private struct Held {
        let object: KubernetesObject
        let manifest: ServiceManifest?
        let root: String
        let file: String
    }

    /// Services that may lose everything with their root, less one.
    package static let servicesHeldMin = 10

    private var held: [ObjectKey: Held] = [:]
    private let holdsLosses: Bool

    /// - Parameter holdsLosses: whether a root that loses everything at once is held back.
    package init(holdsLosses: Bool = true) {
        self.holdsLosses = holdsLosses
    }

    /// Takes the result of a load and gives the new state.
    package mutating func apply(_ roots: [LoadedRoot]) -> ManifestState {
        var merge = Merge(previous: held)
        for (root, file) in Self.filesInPathOrder(roots) { merge.add(file, of: root) }
        for root in roots where root.files == nil { merge.keepAll { $0.root == root.root } }
        merge.addKept()
        if holdsLosses { for root in roots where root.files != nil { merge.holdLosses(of: root.root) } }
        held = merge.current
        var state = ManifestState()
        let inForce = held.values.sorted { $0.object.key < $1.object.key }
        state.objects = inForce.map(\.object)
        state.services = inForce.compactMap(\.manifest)
        state.diagnostics = roots.flatMap(\.diagnostics) + merge.diagnostics
        state.rejectedObjects = merge.rejectedObjects
        return state
    }

    private static func filesInPathOrder(_ roots: [LoadedRoot]) -> [(root: String, file: LoadedFile)] {
        roots.flatMap { root in (root.files ?? []).map { (root.root, $0) } }.sorted { $0.file.path < $1.file.path }
    }

    /// One round of merging.
    private struct Merge {
        /// Where an identity was first met, and whether that object was refused.
        private struct Declaration {
            let location: SourceLocation
            let file: String
            let isRejected: Bool
        }

        private let previous: [ObjectKey: Held]
        private var declared: [ObjectKey: Declaration] = [:]
        private var kept: [ObjectKey: Held] = [:]
        private(set) var current: [ObjectKey: Held] = [:]
        private(set) var diagnostics: [Diagnostic] = []
        private(set) var rejectedObjects = 0

        init(previous: [ObjectKey: Held]) {
            self.previous = previous
        }

        mutating func add(_ file: LoadedFile, of root: String) {
            var found = file.diagnostics
            rejectedObjects += file.unreadableDocuments
            var isUnknownPart = file.unreadableDocuments > 0
            for decoded in file.objects {
                found += decoded.diagnostics
                let new = decoded.object.map { Held(object: $0, manifest: decoded.manifest, root: root, file: file.path) }
                guard let key = decoded.key else {
                    if decoded.isRejected {
                        rejectedObjects += 1
                        isUnknownPart = true
                    }
                    continue
                }
                if let first = declared[key] {
                    found.append(refuseSecond(decoded, key: key, after: first, new: new))
                    continue
                }
                let refusal = new?.object.refusal(replacing: previous[key]?.object)
                if let refusal { found.append(refusal) }
                let isRejected = decoded.isRejected || refusal != nil
                declared[key] = Declaration(location: decoded.location, file: file.path, isRejected: isRejected)
                if isRejected { rejectedObjects += 1 }
                current[key] = isRejected ? previous[key] : new ?? previous[key]
            }
            if isUnknownPart { keepAll { $0.file == file.path } }
            diagnostics += found.sorted { ($0.location.line, $0.location.column) < ($1.location.line, $1.location.column) }
        }

        /// What is kept for want of knowledge yields to whatever is declared now.
        mutating func keepAll(where isKept: (Held) -> Bool) {
            for (key, held) in previous where isKept(held) { kept[key] = held }
        }

        mutating func addKept() {
            for (key, held) in kept where declared[key] == nil { current[key] = held }
        }

        mutating func holdLosses(of root: String) {
            for isService in [true, false] {
                func isOne(_ key: ObjectKey, _ held: Held) -> Bool {
                    held.root == root && held.object.serviceKey != nil && (key.kind == .service) == isService
                }
                let lost = previous.filter { current[$0.key] == nil && isOne($0.key, $0.value) }
                let services = Set(lost.values.compactMap(\.object.serviceKey)).count
                guard services >= ManifestStore.servicesHeldMin,
                    !current.contains(where: { isOne($0.key, $0.value) })
                else { continue }
                current.merge(lost) { now, _ in now }
                diagnostics.append(
                    Diagnostic(
                        severity: .error, location: SourceLocation(file: root),
                        message: "\(isService ? "all Services" : "the endpoints of all Services") are gone at once, \(services) of them: "
                            + "held back, for a mistake looks the same; remove all but one first, or give --allow-empty-sources"))
            }
        }

        /// The first by path wins, unless it is refused and was never good: then nothing is gained by refusing the second too.
        private mutating func refuseSecond(
            _ decoded: DecodedObject, key: ObjectKey, after first: Declaration, new: Held?
        ) -> Diagnostic {
            rejectedObjects += 1
            var verdict = "that one is used, this one is not"
            if first.isRejected, previous[key]?.file != first.file, let new {
                current[key] = new
                verdict = "that one is refused, so this one is used"
            }
            return Diagnostic(
                severity: .error, location: decoded.location, object: key,
                message: "\(key) is already defined at \(first.location); \(verdict)")
        }
    }
}

extension KubernetesObject {
    /// The Service that it is, or has endpoints for.
    fileprivate var serviceKey: ObjectKey? {
        switch body {
        case .service, .endpoints: ObjectKey(kind: .service, namespace: metadata.namespace, name: metadata.name)
        case .endpointSlice(let slice): slice.serviceName.map { ObjectKey(kind: .service, namespace: metadata.namespace, name: $0) }
        case .pod, .node: nil
        }
    }
}
