package import ServiceModel

/// Objects that came, are other than they were, or went.
package struct ObjectChange: Sendable {
    package var changed: [KubernetesObject] = []
    package var removed: [ObjectKey] = []

    package init(changed: [KubernetesObject] = [], removed: [ObjectKey] = []) {
        self.changed = changed
        self.removed = removed
    }
}
