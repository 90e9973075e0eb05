package import Addressing
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
    /// Whether the last objects have made them other ones.
    package let probesChanged: Bool
    /// Where load balancers ask whether this node has endpoints, and what they are to hear; by port.
    package let healthCheckPorts: [HealthCheckPort]
    /// Everything the objects ask for that is not done, in the order of the source. All that hold now, not only new ones.
    package let notices: [Diagnostic]
}

/// `spec.healthCheckNodePort`: asked by whoever balances between nodes, which is to leave out those without endpoints of the Service.
package struct HealthCheckPort: Hashable, Sendable {
    package let service: ServiceKey
    package let port: PortNumber
    /// Addresses of endpoints on this node that are ready. One that terminates is not among them, though it may still serve.
    package var endpointsHere = 0
    /// Where the Service stands in its source.
    package let location: SourceLocation

    package init(service: ServiceKey, port: PortNumber, endpointsHere: Int = 0, location: SourceLocation) {
        self.service = service
        self.port = port
        self.endpointsHere = endpointsHere
        self.location = location
    }
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
