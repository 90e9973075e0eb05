package import Addressing

/// What a Service's annotation says about asking its endpoints.
package enum HealthCheck: Hashable, Sendable {
    /// Nobody is asked, whatever a Pod's `readinessProbe` says.
    case off
    case probe(HealthProbe.Action, port: PortNumber?)
}

extension AnnotationReader where Value == HealthCheck {
    /// `tcp`, `http://[HOST][:PORT]/PATH` or `off`. The host is what the request asks for; the connection goes to the endpoint.
    static var healthCheck: Self {
        Self { text, field, findings in
            let word = trimmed(text)
            if word == "off" { return .off }
            if word == "tcp" { return .probe(.tcp, port: nil) }
            let scheme = "http://"
            guard word.hasPrefix(scheme), let slash = word.dropFirst(scheme.count).firstIndex(of: "/") else {
                findings.invalid(field, string: text, "must be tcp, http://[HOST][:PORT]/PATH such as http:///healthz, or off")
                return nil
            }
            let path = word[slash...]
            var host = word.dropFirst(scheme.count).prefix(upTo: slash)
            var port: PortNumber?
            if let colon = host.lastIndex(of: ":"), host.last != "]" {
                guard let number = PortNumber(host[host.index(after: colon)...]) else {
                    findings.invalid(field, string: text, "the port \(AddressRules.portRangeMessage)")
                    return nil
                }
                port = number
                host = host[..<colon]
            }
            guard HealthProbe.isTarget(path), HealthProbe.isTarget(host) else {
                findings.invalid(field, string: text, HealthProbe.targetMessage)
                return nil
            }
            let headers = host.isEmpty ? [] : [HealthProbe.Header(name: "Host", value: String(host))]
            return .probe(.httpGet(path: String(path), headers: headers), port: port)
        }
    }
}

extension Service.Settings {
    /// Intervals and counts that the annotations set, put into a probe.
    package func timed(_ probe: HealthProbe) -> HealthProbe {
        var probe = probe
        probe.period = healthCheckInterval ?? probe.period
        probe.timeout = healthCheckTimeout ?? probe.timeout
        probe.rise = healthCheckRise ?? probe.rise
        probe.fall = healthCheckFall ?? probe.fall
        return probe
    }
}
