package import Addressing

/// `v1/Node`, cut down to where it is. Its zone is a label.
package struct Node: Hashable, Sendable {
    /// `status.addresses` of the type InternalIP.
    package var internalAddresses: [IPAddress] = []
    /// `spec.podCIDRs`, or `podCIDR` alone: where its Pods are.
    package var podRanges: [IPRange] = []

    package init() {}
}
