package import Addressing

/// The steps of an API server's create and update on both sides of allocation, which is not this target's.
extension ServiceManifest {
    /// What is left out is taken from the version this one replaces, and fields that follow others follow them.
    package mutating func complete(from old: ServiceManifest?) {
        if let old {
            keepAllocatedValues(of: old)
            normaliseClusterIPs(old: old)
        } else {
            normaliseClusterIPs()
        }
    }

    /// Whether addresses and families are fit to be allocated by. What is wrong with them hides all else.
    package func validateAddresses(into findings: inout Findings) {
        ClusterAddressRules(manifest: self).validate(into: &findings)
    }

    /// All rules, once it is allocated; and what the replaced version had and the new type has no use for is dropped.
    package mutating func validate(replacing old: ServiceManifest?, isAllocated: Bool, into findings: inout Findings) {
        if let old {
            dropWhatTheTypeDoesNotUse(old: old)
            ServiceUpdateRules(manifest: self, old: old).validate(into: &findings)
        }
        ServiceRules(manifest: self, isAllocated: isAllocated).validate(into: &findings)
        findings.append(annotationFindings)
        if !findings.hasErrors { warn(into: &findings) }
    }

    // MARK: Allocation

    /// What it asks an allocator for; nil where a port is no port, which a `Service` can't hold and validation refuses.
    package var request: Service? {
        let service = service
        return service.ports.count == ports.count ? service : nil
    }

    /// Takes what an allocator gave for `request`. Addresses that were written stay as they were written.
    package mutating func take(_ given: Service) {
        guard needsClusterIP else { return }
        ipFamilies = given.ipFamilies.map(\.name)
        ipFamilyPolicy = given.ipFamilyPolicy?.rawValue
        if !isHeadless {
            clusterIPs = given.clusterIPs.map { address in
                clusterIPs.first { ClusterAddressRules.address($0) == address } ?? address.description
            }
            if clusterIP.isEmpty { clusterIP = clusterIPs.first ?? "" }
        }
        for (index, port) in given.ports.enumerated() where needsNodePort && ports[index].nodePort == 0 {
            ports[index].nodePort = port.nodePort.map { Int32($0.rawValue) } ?? 0
        }
        if healthCheckNodePort == 0 { healthCheckNodePort = given.healthCheckNodePort.map { Int32($0.rawValue) } ?? 0 }
    }

    /// Takes an address that a load balancer's controller gave.
    package mutating func takeIngress(_ address: IPAddress) { ingress.append(Ingress(ip: address.description, ipMode: "VIP")) }

    /// An `Invalid value` of a field, found by somebody else.
    package func invalid(_ path: String, _ value: String, _ detail: String) -> Finding {
        Finding(.invalid, field: path, value: value, detail: detail, location: place(of: FieldPath(path)).location)
    }

    private func place(of path: FieldPath) -> Place {
        // Where only `clusterIP` is written, it stands for the list.
        path.description.hasPrefix("spec.clusterIPs") ? atClusterIPs : at(path)
    }

    /// The first number that is asked for and is no port at all.
    package var impossibleNodePort: (index: Int, number: Int32)? {
        guard needsNodePort else { return nil }
        return ports.enumerated().first { $0.element.nodePort != 0 && !(1...65_535).contains($0.element.nodePort) }
            .map { ($0.offset, $0.element.nodePort) }
    }

    /// A health check port that is asked for and is no port at all.
    package var impossibleHealthCheckNodePort: Int32? {
        needsHealthCheckNodePort && healthCheckNodePort != 0 && !(1...65_535).contains(healthCheckNodePort) ? healthCheckNodePort : nil
    }
}
