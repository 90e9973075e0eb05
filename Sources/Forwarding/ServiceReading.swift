package import Routing

/// What one Service port has counted so far, at one moment. Small, for whoever reads those of thousands.
package struct ServiceReading: Sendable {
    /// How an endpoint of the snapshot is.
    package enum EndpointState: String, Sendable, CaseIterable {
        case active, ejected, probing, down
    }

    package let service: ServicePortName
    /// By `Column`.
    package let counters: [UInt64]
    /// Endpoints of the snapshot.
    package var endpoints: [EndpointState: Int] = [:]
    /// Of all its endpoints, those included that have gone.
    package var connectFailures: UInt64 = 0
    package var ejections: UInt64 = 0

    package init(service: ServicePortName, counters: [UInt64]) {
        self.service = service
        self.counters = counters
    }

    package func closed(_ reason: CloseReason) -> UInt64 { counters[Column.closed + Int(reason.rawValue)] }
    package func dropped(_ reason: DatagramDrop) -> UInt64 { counters[Column.dropped + Int(reason.rawValue)] }
}
