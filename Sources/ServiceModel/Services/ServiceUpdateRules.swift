import Addressing

/// What a new version of a Service may not change.
struct ServiceUpdateRules {
    private static let unchanging = "may not change once set"

    let manifest: ServiceManifest
    let old: ServiceManifest

    func validate(into findings: inout Findings) {
        // Addresses and families come and go with the type ExternalName.
        if manifest.needsClusterIP, old.needsClusterIP {
            if !manifest.isHeadless || !old.isHeadless { validateAddresses(into: &findings) }
            if !manifest.isHeadless, !old.isHeadless { validateFamilies(into: &findings) }
        }
        if manifest.isType(.loadBalancer), old.isType(.loadBalancer), manifest.loadBalancerClass != old.loadBalancerClass {
            let value = manifest.loadBalancerClass.map(goQuoted) ?? "null"
            findings.invalid(manifest.at("loadBalancerClass"), value, Self.unchanging)
        }
        if manifest.needsHealthCheckNodePort, old.needsHealthCheckNodePort,
            manifest.healthCheckNodePort != old.healthCheckNodePort
        {
            findings.forbidden(manifest.at("healthCheckNodePort"), "field is immutable")
        }
    }

    private func validateAddresses(into findings: inout Findings) {
        let (before, now) = (old.clusterIPs, manifest.clusterIPs)
        let list = jsonList(now)
        if before.count == now.count {
            for index in now.indices where before[index] != now[index] {
                findings.invalid(manifest.at(clusterIP: index), list, Self.unchanging)
            }
            return
        }
        if now.isEmpty { findings.invalid(manifest.at(clusterIP: 0), list, "primary clusterIP can not be unset") }
        if let first = before.first, let new = now.first, first != new {
            findings.invalid(manifest.at(clusterIP: 0), list, Self.unchanging)
        }
        if now.count == 1, before.count > 1 { requireSingleStack("when releasing the secondary clusterIP", into: &findings) }
    }

    private func validateFamilies(into findings: inout Findings) {
        let (before, now) = (old.ipFamilies, manifest.ipFamilies)
        let place = manifest.at(ServiceManifest.spec.child("ipFamilies").index(0))
        if before.count == now.count {
            if before != now { findings.invalid(place, jsonList(now), Self.unchanging) }
            return
        }
        if let first = before.first, let new = now.first, first != new {
            findings.invalid(place, jsonList(manifest.clusterIPs), Self.unchanging)
        }
        if now.count == 1, before.count > 1 { requireSingleStack("when releasing the secondary ipFamily", into: &findings) }
    }

    private func requireSingleStack(_ occasion: String, into findings: inout Findings) {
        guard manifest.ipFamilyPolicy != IPFamilyPolicy.singleStack.rawValue else { return }
        findings.invalid(
            manifest.at("ipFamilyPolicy"), manifest.ipFamilyPolicy.map(goQuoted) ?? "null", "must be set to 'SingleStack' \(occasion)")
    }
}
