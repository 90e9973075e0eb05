package import ControlPlane
package import Forwarding
package import Routing

/// What the admin server asks the process. Each call is one of a request, on a thread of the Swift runtime; the workers hear nothing of it.
package struct AdminSubject: Sendable {
    /// Everything, for `ringway stats`.
    package var report: @Sendable () -> AdminReport
    /// What `/readyz` and `/livez` go by.
    package var readiness: @Sendable () -> [HealthCheck]
    package var liveness: @Sendable () -> [HealthCheck]
    /// The process as a whole, for `/metrics`.
    package var metrics: @Sendable () -> ProcessReading
    /// The Service ports there are, and what a few of them have counted.
    package var servicePorts: @Sendable () -> [ServicePortName]
    package var readings: @Sendable (ArraySlice<ServicePortName>) -> [ServiceReading]
    /// What was asked of the cluster's DNS; nothing where nobody answers.
    package var names: @Sendable () -> [NameReading] = { [] }
    /// The names that are answered, to be explained; nil where nobody answers.
    package var asking: @Sendable () -> NameAsking? = { nil }
    /// What became of names that others were asked for; nil where nobody is.
    package var forwarding: @Sendable () -> ForwardingReading? = { nil }
    /// The objects in force.
    package var inventory = InventoryStore()
    /// What a change of the manifests would come to; nil where that can't be told any more, for the process ends.
    package var preview: @Sendable (PreviewRequest) async -> ChangePreview? = { _ in nil }

    package init(
        report: @escaping @Sendable () -> AdminReport, readiness: @escaping @Sendable () -> [HealthCheck] = { [] },
        liveness: @escaping @Sendable () -> [HealthCheck] = { [] },
        metrics: @escaping @Sendable () -> ProcessReading = { ProcessReading() },
        servicePorts: @escaping @Sendable () -> [ServicePortName] = { [] },
        readings: @escaping @Sendable (ArraySlice<ServicePortName>) -> [ServiceReading] = { _ in [] }
    ) {
        self.report = report
        self.readiness = readiness
        self.liveness = liveness
        self.metrics = metrics
        self.servicePorts = servicePorts
        self.readings = readings
    }
}
