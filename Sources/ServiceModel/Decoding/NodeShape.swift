// What a Node and a Namespace may hold: where a Node is and where its Pods are is read, the rest is known by name only.
// Source: staging/src/k8s.io/api/core/v1/types.go of Kubernetes 1.36.

extension ObjectShape {
    static let node = ObjectShape(
        "Node",
        [
            "apiVersion": .string, "kind": .string, "metadata": .object(objectMeta),
            "spec": .object(
                ObjectShape(
                    "NodeSpec",
                    opaque("providerID unschedulable taints configSource externalID").merging([
                        "podCIDR": .string, "podCIDRs": .list(.string),
                    ]) { $1 })),
            "status": .object(
                ObjectShape(
                    "NodeStatus",
                    opaque(
                        """
                        capacity allocatable phase conditions daemonEndpoints nodeInfo images volumesInUse volumesAttached config \
                        runtimeHandlers features declaredFeatures
                        """
                    ).merging([
                        "addresses": .list(
                            .object(ObjectShape("NodeAddress", ["type": .string(type: "v1.NodeAddressType"), "address": .string])))
                    ]) { $1 })),
        ])

    static let namespace = ObjectShape(
        "Namespace",
        [
            "apiVersion": .string, "kind": .string, "metadata": .object(objectMeta),
            "spec": .object(ObjectShape("NamespaceSpec", opaque("finalizers"))),
            "status": .object(ObjectShape("NamespaceStatus", opaque("phase conditions"))),
        ])
}
