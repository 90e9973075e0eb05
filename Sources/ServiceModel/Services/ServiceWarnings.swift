import Addressing

extension ServiceManifest {
    /// What an API server warns of. Ringway serves `externalIPs` and does not tell its users that some clusters won't, unless they ask
    /// what clusters say.
    func warn(into findings: inout Findings) {
        let hints = ServiceRules.topologyHints
        if metadata.annotations[hints] != nil {
            findings.warn(
                at: at(annotation: hints), "annotation \(hints) is deprecated, please use \(ServiceRules.topologyMode) instead")
        }
        if !isHeadless { for index in clusterIPs.indices { warnOfForm(clusterIPs[index], at(clusterIP: index), into: &findings) } }
        if isHeadless, isType(.clusterIP) { warnOfWhatHeadlessIgnores(into: &findings) }
        let external = at("externalIPs")
        for (index, text) in externalIPs.enumerated() { warnOfForm(text, at(external.path.index(index)), into: &findings) }
        if !externalIPs.isEmpty, !isHeadless, !isType(.externalName), findings.strictness == .kubernetes {
            findings.warn(at: external, "spec.externalIPs is deprecated and may no longer be implemented in some clusters")
        }
        if !loadBalancerIP.isEmpty { warnOfForm(loadBalancerIP, at("loadBalancerIP"), into: &findings) }
        if isType(.externalName), !externalIPs.isEmpty {
            findings.warn(at: external, "spec.externalIPs is ignored when spec.type is \"ExternalName\"")
        }
        if !isType(.externalName), !externalName.isEmpty {
            findings.warn(at: at("externalName"), "spec.externalName is ignored when spec.type is not \"ExternalName\"")
        }
        if trafficDistribution == TrafficDistribution.preferClose.rawValue {
            findings.warn(
                at: at("trafficDistribution"), "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"")
        }
    }

    private func warnOfWhatHeadlessIgnores(into findings: inout Findings) {
        if !loadBalancerIP.isEmpty { findings.warn(at: at("loadBalancerIP"), "spec.loadBalancerIP is ignored for headless services") }
        if !externalIPs.isEmpty { findings.warn(at: at("externalIPs"), "spec.externalIPs is ignored for headless services") }
        if sessionAffinity != Service.Affinity.none.rawValue {
            findings.warn(at: at("sessionAffinity"), "spec.SessionAffinity is ignored for headless services")
        }
    }

    /// An IPv6 address that is not written as RFC 5952 asks.
    private func warnOfForm(_ text: String, _ place: Place, into findings: inout Findings) {
        guard let address = IPAddress(text), address.family == .ipv6, address.description != text else { return }
        findings.warn(at: place, "\(place.path): IPv6 address \(goQuoted(text)) should be in RFC 5952 canonical format (\"\(address)\")")
    }
}
