package import ServiceModel

/// All objects in force, and what is wrong with the rest.
package struct ManifestState: Hashable, Sendable {
    /// Valid objects, sorted by kind, namespace and name; each identity once. Services only where the decoder judges them.
    package var objects: [KubernetesObject]
    /// Where it does not, Services as they are written, for a registry to judge, in the same order.
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

/// What a load has changed against the one before. Lists are sorted by kind, namespace and name.
package struct ManifestChange: Hashable, Sendable {
    /// Objects that are new in force or other than before; Services only where the decoder judges them.
    package var objects: [KubernetesObject] = []
    /// Services as they are written, new or changed, for a registry to judge.
    package var services: [ServiceManifest] = []
    /// Identities that are no longer in force, Services among them.
    package var removed: [ObjectKey] = []
    /// All findings that hold now, in the order of the files; the same array where none came or went.
    package var diagnostics: [Diagnostic] = []
    /// All objects and documents that are refused now.
    package var rejectedObjects = 0
    /// Whether a finding came or went.
    package var diagnosticsChanged = false
    /// Whether there is a root that could never be read so far: what isn't known may be there.
    package var missesRoots = false

    package init() {}

    /// Whether nothing came, went or became another.
    package var isEmpty: Bool { objects.isEmpty && services.isEmpty && removed.isEmpty && !diagnosticsChanged }
}
