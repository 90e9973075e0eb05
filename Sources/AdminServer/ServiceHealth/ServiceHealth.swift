package import ControlPlane

/// What a Service's `healthCheckNodePort` says, to the byte as the Kubernetes proxy says it.
package struct ServiceHealth: Sendable {
    package let passed: Bool
    package let headers: [(String, String)]
    package let body: String

    /// - Parameter isHealthy: whether this process serves at all.
    package init(_ port: HealthCheckPort, isHealthy: Bool) {
        passed = isHealthy && port.endpointsHere > 0
        body = """
            {
            \t"service": {
            \t\t"namespace": "\(port.service.namespace)",
            \t\t"name": "\(port.service.name)"
            \t},
            \t"localEndpoints": \(port.endpointsHere),
            \t"serviceProxyHealthy": \(isHealthy)
            }
            """
        headers = [
            ("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"),
            ("X-Load-Balancing-Endpoint-Weight", "\(port.endpointsHere)"), ("Content-Length", "\(body.utf8.count)"),
        ]
    }
}
