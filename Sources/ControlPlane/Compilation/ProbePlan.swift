internal import Addressing
internal import Routing
internal import ServiceModel

/// What one Service says about asking its endpoints.
struct HealthPlan: Equatable {
    var check: HealthCheck?
    var settings = Service.Settings()
    /// Names of Pods by their endpoints, as slices have them.
    var podNames: [SocketAddress: String] = [:]

    /// How an endpoint is asked; nothing where nobody wants to know.
    func probes(of endpoint: SocketAddress, in namespace: String, pods: PodIndex, proxyProtocol: ProxyProtocolVersion?) -> [Probe] {
        let wanted: [HealthProbe]
        switch check {
        case .off: wanted = []
        case .probe(let action, let port): wanted = [HealthProbe(action, port: port)]
        case nil: wanted = pods.pod(at: endpoint, named: podNames[endpoint], in: namespace)?.probes ?? []
        }
        return wanted.map { Probe(settings.timed($0), of: endpoint, proxyProtocol) }
    }
}

extension Probe {
    init(_ probe: HealthProbe, of endpoint: SocketAddress, _ proxyProtocol: ProxyProtocolVersion?) {
        let destination = SocketAddress(probe.address ?? endpoint.address, probe.port ?? endpoint.port)
        switch probe.action {
        case .tcp: self.init(.tcp, at: destination)
        case .httpGet(let path, let headers): self.init(.http(request: Self.request(path, headers, destination)), at: destination)
        }
        // Only the endpoint's own port expects what its clients' connections begin with.
        self.proxyProtocol = destination == endpoint ? proxyProtocol : nil
        initialDelay = probe.initialDelay
        period = probe.period
        timeout = probe.timeout
        rise = probe.rise
        fall = probe.fall
    }

    private static func request(_ path: String, _ headers: [HealthProbe.Header], _ destination: SocketAddress) -> String {
        var lines = ["GET \(path) HTTP/1.1"]
        let own = [("Host", "\(destination)"), ("User-Agent", "ringway-health-check"), ("Accept", "*/*")]
        for (name, value) in own where !headers.contains(where: { $0.name.lowercased() == name.lowercased() }) {
            lines.append("\(name): \(value)")
        }
        lines += headers.filter { $0.name.lowercased() != "connection" }.map { "\($0.name): \($0.value)" }
        return (lines + ["Connection: close", "", ""]).joined(separator: "\r\n")
    }
}
