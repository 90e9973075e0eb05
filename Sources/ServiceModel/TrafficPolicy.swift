/// Whose endpoints may be used: any node's, or only this one's.
package enum TrafficPolicy: String, Hashable, Sendable, CaseIterable {
    case cluster = "Cluster"
    case local = "Local"
}

/// Which endpoints `trafficDistribution` prefers.
package enum TrafficDistribution: String, Hashable, Sendable, CaseIterable {
    /// The old name of `PreferSameZone`.
    case preferClose = "PreferClose"
    case preferSameZone = "PreferSameZone"
    case preferSameNode = "PreferSameNode"
}

/// How many IP families a Service wants.
package enum IPFamilyPolicy: String, Hashable, Sendable, CaseIterable {
    case singleStack = "SingleStack"
    case preferDualStack = "PreferDualStack"
    case requireDualStack = "RequireDualStack"
}
