import ServiceModel

@testable import ObjectSources

/// What is in force, found anew from all files with each load: slow, and plain enough to be right. `ManifestStore` must agree with it.
struct ReferenceStore {
    /// What one root holds; nil where nothing is known of it.
    struct Root {
        var path: String
        var files: [LoadedFile]?
        var diagnostics: [Diagnostic] = []
    }

    private typealias Held = (version: ObjectVersion, root: String, path: String)

    private var held: [ObjectKey: Held] = [:]
    private let holdsLosses: Bool

    init(holdsLosses: Bool = true) {
        self.holdsLosses = holdsLosses
    }

    mutating func apply(_ roots: [Root]) -> ManifestState {
        var merge = Merge(previous: held)
        for file in roots.flatMap({ $0.files ?? [] }).sorted(by: { $0.path < $1.path }) { merge.add(file) }
        for root in roots where root.files == nil { merge.keepAll { $0.root == root.path } }
        merge.addKept()
        if holdsLosses { for root in roots where root.files != nil { merge.holdLosses(of: root.path) } }
        held = merge.current
        var state = ManifestState(
            diagnostics: roots.flatMap(\.diagnostics) + merge.diagnostics, rejectedObjects: merge.rejectedObjects)
        for (_, held) in held.sorted(by: { $0.key < $1.key }) {
            switch held.version {
            case .object(let object): state.objects.append(object)
            case .service(let manifest): state.services.append(manifest)
            }
        }
        return state
    }

    private struct Merge {
        private typealias First = (location: SourceLocation, path: String, isRejected: Bool)

        private let previous: [ObjectKey: Held]
        private var declared: [ObjectKey: First] = [:]
        private var kept: [ObjectKey: Held] = [:]
        private(set) var current: [ObjectKey: Held] = [:]
        private(set) var diagnostics: [Diagnostic] = []
        private(set) var rejectedObjects = 0

        init(previous: [ObjectKey: Held]) {
            self.previous = previous
        }

        mutating func add(_ file: LoadedFile) {
            var found = file.diagnostics
            rejectedObjects += file.unreadableDocuments
            var hasUnknownPart = file.unreadableDocuments > 0
            for declaration in file.declarations {
                found += declaration.diagnostics
                let new = declaration.version.map { (version: $0, root: file.root, path: file.path) }
                guard let key = declaration.key else {
                    if declaration.isRejected {
                        rejectedObjects += 1
                        hasUnknownPart = true
                    }
                    continue
                }
                if let first = declared[key] {
                    found.append(refuseSecond(declaration, key: key, after: first, new: new))
                    continue
                }
                var refusal: Diagnostic?
                if case .object(let object)? = new?.version, case .object(let old)? = previous[key]?.version {
                    refusal = object.refusal(replacing: old)
                }
                if let refusal { found.append(refusal) }
                let isRejected = declaration.isRejected || refusal != nil
                declared[key] = (declaration.location, file.path, isRejected)
                if isRejected { rejectedObjects += 1 }
                current[key] = isRejected ? previous[key] : new ?? previous[key]
            }
            if hasUnknownPart { keepAll { $0.path == file.path } }
            diagnostics += found.sorted { ($0.location.line, $0.location.column) < ($1.location.line, $1.location.column) }
        }

        mutating func keepAll(where isKept: (Held) -> Bool) {
            for (key, held) in previous where isKept(held) { kept[key] = held }
        }

        mutating func addKept() {
            for (key, held) in kept where declared[key] == nil { current[key] = held }
        }

        mutating func holdLosses(of root: String) {
            for isService in [true, false] {
                func isOne(_ key: ObjectKey, _ held: Held) -> Bool {
                    held.root == root && service(of: held.version) != nil && (key.kind == .service) == isService
                }
                let lost = previous.filter { current[$0.key] == nil && isOne($0.key, $0.value) }
                let services = Set(lost.values.compactMap { service(of: $0.version) }).count
                guard services >= 10, !current.contains(where: { isOne($0.key, $0.value) }) else { continue }
                current.merge(lost) { now, _ in now }
                diagnostics.append(
                    Diagnostic(
                        severity: .error, location: SourceLocation(file: root),
                        message: "\(isService ? "all Services" : "the endpoints of all Services") are gone at once, \(services) of them: "
                            + "held back, for a mistake looks the same; remove all but one first, or give --allow-empty-sources"))
            }
        }

        private mutating func refuseSecond(_ second: Declaration, key: ObjectKey, after first: First, new: Held?) -> Diagnostic {
            rejectedObjects += 1
            var verdict = "that one is used, this one is not"
            if first.isRejected, previous[key]?.path != first.path, let new {
                current[key] = new
                verdict = "that one is refused, so this one is used"
            }
            return Diagnostic(
                severity: .error, location: second.location, object: key,
                message: "\(key) is already defined at \(first.location); \(verdict)")
        }

        private func service(of version: ObjectVersion) -> String? {
            guard case .object(let object) = version else { return "\(version)" }
            switch object.body {
            case .service, .endpoints: return "\(object.metadata.namespace)/\(object.metadata.name)"
            case .endpointSlice(let slice): return slice.serviceName.map { "\(object.metadata.namespace)/\($0)" }
            case .pod, .node, .namespace: return nil
            }
        }
    }
}
