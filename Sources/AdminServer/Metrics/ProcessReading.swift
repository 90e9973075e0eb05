package import Forwarding

/// What `/metrics` says of the process as a whole.
package struct ProcessReading: Sendable {
    /// What the control loop has done so far. Times are seconds since 1970.
    package struct Programming: Sendable {
        /// From the first event of a change to the acknowledgement of all workers.
        package var sinceEvent: Histogram.Reading?
        /// The same, in kube-proxy's buckets.
        package var sinceEventCoarse: Histogram.Reading?
        /// One round of it: from the reading of the files to that acknowledgement.
        package var round: Histogram.Reading?
        package var lastQueued = 0.0
        package var lastApplied = 0.0

        package init() {}
    }

    package var version = ""
    package var isReady = false
    package var configuration = AdminReport.Configuration()
    package var programming = Programming()
    package var dataPlane = DataPlaneStatistics()
    /// Frontends by their state.
    package var listenersOpen = 0
    package var listenersWithoutEndpoints = 0
    package var listenersFailed = 0

    package init() {}
}
