package import Routing
package import ServiceModel

/// What came of one set of objects.
package struct Compilation: Sendable {
    /// The new snapshot; nil where the routing is the same as before, and then nobody need be told.
    package let snapshot: RoutingSnapshot?
    /// Against the snapshot before; all zero where `snapshot` is nil.
    package let changes: SnapshotChanges
    package let totals: SnapshotTotals
    /// How the endpoints are to be asked whether they are well; those that are not in it are not asked.
    package let probes: [EndpointKey: [Probe]]
    /// Everything the objects ask for that is not done, in the order of the source. All that hold now, not only new ones.
    package let notices: [Diagnostic]
}

/// How much is served.
package struct SnapshotTotals: Sendable, Hashable {
    /// Services with at least one listener.
    package var services = 0
    package var listeners = 0
    /// Endpoints, counted once per Service port.
    package var endpoints = 0

    package init() {}
}

/// The difference of two snapshots in numbers, for one line of log.
package struct SnapshotChanges: Sendable, Hashable {
    package var servicesAdded = 0
    package var servicesChanged = 0
    package var servicesRemoved = 0
    package var listenersAdded = 0
    package var listenersRemoved = 0
    /// Counted once per Service port.
    package var endpointsAdded = 0
    package var endpointsRemoved = 0

    package init() {}
}
