internal import ServiceModel

/// Holds back what a root loses where it loses all its Services at once, or all their endpoints, and that concerns ten Services or
/// more: a tool that writes an empty file looks the same as somebody who means it, and costs more. One that is left, or comes back,
/// is proof enough that the others are meant to be gone.
package struct LossGuard: Sendable {
    /// Services that may lose everything with their root, less one.
    package static let servicesHeldMin = 10

    /// What can be lost together.
    private struct Class: Hashable, Sendable {
        let root: String
        let isService: Bool
    }

    private struct Loss: Sendable {
        let service: ObjectKey
        let path: String
    }

    private let isOn: Bool
    /// How many objects are in force for a better reason than this guard.
    private var present: [Class: Int] = [:]
    /// Those that are in force for no other.
    private var lost: [Class: [ObjectKey: Loss]] = [:]
    /// How many Services these concern, where they are held back.
    private var services: [Class: Int] = [:]
    private var touched: Set<Class> = []
    /// Whether the last verdict was another than the one before.
    private(set) var hasChanged = false

    init(isOn: Bool) {
        self.isOn = isOn
    }

    /// What is held back of a file.
    func heldBack(from path: String) -> [ObjectKey] {
        lost.values.flatMap { $0.lazy.filter { $0.value.path == path }.map(\.key) }
    }

    /// Notes what an identity was and is to be. True where it is lost: what was in force stays so until the verdict.
    mutating func note(_ key: ObjectKey, was old: ManifestStore.Held?, is new: ManifestStore.Held?) -> Bool {
        guard isOn else { return false }
        let service = old?.version.service
        if let old, service != nil {
            let mates = Class(root: old.root, isService: key.kind == .service)
            if lost[mates]?.removeValue(forKey: key) != nil { touched.insert(mates) } else { present[mates, default: 0] -= 1 }
        }
        if let new {
            guard new.version.service != nil else { return false }
            let mates = Class(root: new.root, isService: key.kind == .service)
            present[mates, default: 0] += 1
            touched.insert(mates)
            return false
        }
        guard let old, let service else { return false }
        let mates = Class(root: old.root, isService: key.kind == .service)
        lost[mates, default: [:]][key] = Loss(service: service, path: old.path)
        touched.insert(mates)
        return true
    }

    /// The verdict on all that was noted: what is lost indeed.
    mutating func judge() -> [ObjectKey] {
        var released: [ObjectKey] = []
        hasChanged = false
        for mates in touched {
            var count = 0
            if let losses = lost[mates] {
                count = Set(losses.values.map(\.service)).count
                if count < Self.servicesHeldMin || present[mates, default: 0] > 0 {
                    released += losses.keys
                    lost[mates] = nil
                    count = 0
                }
            }
            if services[mates, default: 0] != count { hasChanged = true }
            services[mates] = count == 0 ? nil : count
        }
        touched = []
        return released
    }

    /// What is to be said of all that is held back.
    func diagnostics(of roots: [LoadedRoot]) -> [Diagnostic] {
        guard !services.isEmpty else { return [] }
        return roots.flatMap { root in
            [true, false].compactMap { isService in
                services[Class(root: root.path, isService: isService)].map { count in
                    Diagnostic(
                        severity: .error, location: SourceLocation(file: root.path),
                        message: "\(isService ? "all Services" : "the endpoints of all Services") are gone at once, \(count) of them: "
                            + "held back, for a mistake looks the same; remove all but one first, or give --allow-empty-sources")
                }
            }
        }
    }
}

extension ObjectVersion {
    /// The Service that it is, or has endpoints for.
    fileprivate var service: ObjectKey? {
        switch self {
        case .service(let manifest): return manifest.key
        case .object(let object):
            let metadata = object.metadata
            switch object.body {
            case .service, .endpoints: return ObjectKey(kind: .service, namespace: metadata.namespace, name: metadata.name)
            case .endpointSlice(let slice):
                return slice.serviceName.map { ObjectKey(kind: .service, namespace: metadata.namespace, name: $0) }
            case .pod, .node, .namespace: return nil
            }
        }
    }
}
