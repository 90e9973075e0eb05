import Addressing

extension ServiceManifest {
    /// What can be said of it without a cluster to ask and an older version to compare with, all at once; and the Service it means,
    /// where nothing is wrong.
    func judgedAlone(findings: inout Findings) -> KubernetesObject? {
        var manifest = self
        manifest.normaliseClusterIPs()
        ServiceRules(manifest: manifest, isAllocated: false).validate(into: &findings)
        manifest.validateFamiliesAlone(into: &findings)
        manifest.validateNodePortsAlone(into: &findings)
        findings.append(annotationFindings)
        manifest.warn(into: &findings)
        return findings.hasErrors ? nil : manifest.object
    }

    /// What any allocator says of the numbers that are given, whatever its range.
    private func validateNodePortsAlone(into findings: inout Findings) {
        guard needsNodePort else { return }
        var owners: [Int32: Int32] = [:]
        for (index, port) in ports.enumerated() {
            let place = at(port: index, "nodePort")
            if port.nodePort == 0 {
                guard !isType(.loadBalancer) || allocateLoadBalancerNodePorts != false, !findings.isReported(place.path) else { continue }
                findings.warn(
                    place, "not given, and node ports are not allocated yet: none will be opened for this port; set nodePort to open one")
            } else if !(1...65_535).contains(port.nodePort) {
                findings.invalid(place, String(port.nodePort), AddressRules.portRangeMessage)
            } else if let owner = owners.updateValue(port.port, forKey: port.nodePort), owner != port.port {
                findings.invalid(place, String(port.nodePort), "provided port is already allocated")
            }
        }
    }

    /// What an API server would find out about the families before it allocates, as far as that needs no cluster.
    private func validateFamiliesAlone(into findings: inout Findings) {
        guard needsClusterIP, ipFamilyPolicy ?? IPFamilyPolicy.singleStack.rawValue == IPFamilyPolicy.singleStack.rawValue else { return }
        let advice = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
        func refuse(_ what: String) {
            findings.invalid(at("ipFamilyPolicy"), string: IPFamilyPolicy.singleStack.rawValue, "\(advice) \(what) are specified")
        }
        if clusterIPs.count == 2 { refuse("cluster IPs") }
        if ipFamilies.count == 2 { refuse("IP families") }
    }
}
