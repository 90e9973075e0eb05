package import ServiceModel

/// Objects that came, are other than they were, or went.
package struct ObjectChange: Sendable {
    package var changed: [KubernetesObject] = []
    package var removed: [ObjectKey] = []

    package init(changed: [KubernetesObject] = [], removed: [ObjectKey] = []) {
        self.changed = changed
        self.removed = removed
    }

    /// From the objects of these keys to a complete set, in which each key stands once.
    package init(from known: some Sequence<ObjectKey>, to objects: [KubernetesObject]) {
        let keys = Set(objects.map(\.key))
        self.init(changed: objects, removed: known.filter { !keys.contains($0) })
    }
}
