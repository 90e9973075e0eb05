import Addressing

/// Validates a Service after defaulting and allocation: the rules of `ValidateService`, in its order and words.
struct ServiceRules {
    static let sourceRangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges"
    static let topologyMode = "service.kubernetes.io/topology-mode"
    static let topologyHints = "service.kubernetes.io/topology-aware-hints"
    private static let onlyLoadBalancer = "may only be used when `type` is 'LoadBalancer'"

    let manifest: ServiceManifest
    /// Allocation has run: what it fills in must be there.
    let isAllocated: Bool

    func validate(into findings: inout Findings) {
        findings.append(manifest.metadataFindings)
        validateTopologyAnnotations(into: &findings)
        validateType(into: &findings)
        validatePorts(into: &findings)
        if let selector = manifest.selector { validateSelector(selector, into: &findings) }
        validateAffinity(into: &findings)
        ClusterAddressRules(manifest: manifest).validate(into: &findings)
        for (index, text) in manifest.externalIPs.enumerated() {
            validateUsableAddress(text, manifest.at(ServiceManifest.spec.child("externalIPs").index(index)), into: &findings)
        }
        if Service.ServiceType(rawValue: manifest.type) == nil {
            findings.unsupported(manifest.at("type"), manifest.type, supported: Service.ServiceType.allCases.map(\.rawValue).sorted())
        }
        validateUniqueness(into: &findings)
        validateSourceRanges(into: &findings)
        validateLoadBalancerFields(into: &findings)
        validateTrafficPolicies(into: &findings)
        if manifest.isType(.loadBalancer) { validateIngress(into: &findings) }
    }

    // MARK: What a type asks for

    private func validateType(into findings: inout Findings) {
        if manifest.ports.isEmpty, !manifest.isHeadless, manifest.needsClusterIP { findings.required(manifest.at("ports")) }
        switch Service.ServiceType(rawValue: manifest.type) {
        case .loadBalancer, .nodePort: forbidHeadless(into: &findings)
        case .externalName: validateExternalName(into: &findings)
        case .clusterIP, nil: break
        }
    }

    private func forbidHeadless(into findings: inout Findings) {
        guard manifest.isHeadless else { return }
        let place = manifest.at(clusterIP: 0)
        findings.invalid(place, string: ServiceManifest.none, "may not be set to 'None' for \(manifest.type) services")
    }

    private func validateExternalName(into findings: inout Findings) {
        let reason = "may not be set for ExternalName services"
        if !manifest.clusterIPs.isEmpty { findings.forbidden(manifest.atClusterIPs, reason) }
        if !manifest.ipFamilies.isEmpty { findings.forbidden(manifest.at("ipFamilies"), reason) }
        if manifest.ipFamilyPolicy != nil { findings.forbidden(manifest.at("ipFamilyPolicy"), reason) }
        let place = manifest.at("externalName")
        let name = manifest.externalName.hasSuffix(".") ? String(manifest.externalName.dropLast()) : manifest.externalName
        if name.isEmpty {
            findings.required(place)
        } else {
            findings.invalid(place, string: name, NameRules.dns1123Subdomain(name))
        }
    }

    // MARK: Ports

    private func validatePorts(into findings: inout Findings) {
        var names: Set<String> = []
        for (index, port) in manifest.ports.enumerated() {
            let name = manifest.at(port: index, "name")
            if port.name.isEmpty {
                if manifest.ports.count > 1 { findings.required(name) }
            } else {
                findings.invalid(name, string: port.name, NameRules.dns1123Label(port.name))
                if !names.insert(port.name).inserted { findings.duplicate(name, goQuoted(port.name)) }
            }
            validateNumber(port.port, manifest.at(port: index, "port"), into: &findings)
            if TransportProtocol(rawValue: port.transport) == nil {
                findings.unsupported(
                    manifest.at(port: index, "protocol"), port.transport, supported: TransportProtocol.allCases.map(\.rawValue).sorted())
            }
            validateTarget(of: port, index, into: &findings)
            if let text = port.appProtocol {
                findings.invalid(manifest.at(port: index, "appProtocol"), string: text, NameRules.qualifiedName(text))
            }
        }
    }

    private func validateTarget(of port: ServiceManifest.Port, _ index: Int, into findings: inout Findings) {
        let place = manifest.at(port: index, "targetPort")
        switch port.targetPort {
        case .name(let text): findings.invalid(place, string: text, NameRules.portName(text))
        case .number(let number):
            // A target that is not written is the port's number, and stands where that does.
            guard !manifest.places.contains(place.path) else { return validateNumber(number, place, into: &findings) }
            let origin = manifest.at(port: index, "port")
            guard !findings.isReported(origin.path) else { return }
            validateNumber(number, Place(path: place.path, places: manifest.places, origin: origin.path), into: &findings)
        }
    }

    private func validateNumber(_ number: Int32, _ place: Place, into findings: inout Findings) {
        if PortNumber(number) == nil { findings.invalid(place, String(number), AddressRules.portRangeMessage) }
    }

    private struct Pair: Hashable {
        let transport: String
        let number: Int32
    }

    private func validateUniqueness(into findings: inout Findings) {
        if manifest.isType(.clusterIP) {
            for (index, port) in manifest.ports.enumerated() where port.nodePort != 0 {
                findings.forbidden(manifest.at(port: index, "nodePort"), "may not be used when `type` is 'ClusterIP'")
            }
        }
        var nodePorts: Set<Pair> = []
        for (index, port) in manifest.ports.enumerated() where port.nodePort != 0 {
            guard !nodePorts.insert(Pair(transport: port.transport, number: port.nodePort)).inserted else { continue }
            findings.duplicate(manifest.at(port: index, "nodePort"), String(port.nodePort))
        }
        var ports: Set<Pair> = []
        for (index, port) in manifest.ports.enumerated() where !findings.isReported(manifest.at(port: index, "port").path) {
            guard !ports.insert(Pair(transport: port.transport, number: port.port)).inserted else { continue }
            let key = "{\"Name\":\"\",\"Protocol\":\"\(port.transport)\",\"AppProtocol\":null,\"Port\":\(port.port)"
            findings.duplicate(manifest.at(port: index), key + ",\"TargetPort\":0,\"NodePort\":0}")
        }
    }

    // MARK: Selector and affinity

    private func validateSelector(_ selector: [String: String], into findings: inout Findings) {
        let path = ServiceManifest.spec.child("selector")
        for (key, value) in selector.sorted(by: { $0.key < $1.key }) {
            let place = Place(path: path, places: manifest.places, origin: .key(path, key))
            findings.invalid(place, string: key, NameRules.qualifiedName(key))
            findings.invalid(place, string: value, NameRules.labelValue(value))
        }
    }

    private func validateAffinity(into findings: inout Findings) {
        guard let affinity = Service.Affinity(rawValue: manifest.sessionAffinity) else {
            findings.unsupported(
                manifest.at("sessionAffinity"), manifest.sessionAffinity, supported: Service.Affinity.allCases.map(\.rawValue).sorted())
            return
        }
        guard affinity == .clientIP, let seconds = manifest.affinityTimeout, !(1...86_400).contains(seconds) else { return }
        let path = ServiceManifest.spec.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds")
        findings.invalid(manifest.at(path), String(seconds), "must be greater than 0 and less than 86400")
    }

    // MARK: Load balancers

    private func validateSourceRanges(into findings: inout Findings) {
        // The path an API server prints has a capital L.
        let printed = ServiceManifest.spec.child("LoadBalancerSourceRanges")
        let list = ServiceManifest.spec.child("loadBalancerSourceRanges")
        let place = manifest.at(annotation: Self.sourceRangesAnnotation)
        if !manifest.loadBalancerSourceRanges.isEmpty {
            guard manifest.isType(.loadBalancer) else {
                findings.forbidden(Place(path: printed, places: manifest.places, origin: list), Self.onlyLoadBalancer)
                return
            }
            for (index, text) in manifest.loadBalancerSourceRanges.enumerated() {
                let place = Place(path: printed.index(index), places: manifest.places, origin: list.index(index))
                validateRange(text, place, into: &findings)
            }
        } else if let text = manifest.metadata.annotations[Self.sourceRangesAnnotation] {
            guard manifest.isType(.loadBalancer) else {
                findings.forbidden(place, Self.onlyLoadBalancer)
                return
            }
            guard !trimmed(text).isEmpty else { return }
            for item in text.split(separator: ",", omittingEmptySubsequences: false) {
                validateRange(String(item), place, into: &findings)
            }
        }
    }

    private func validateRange(_ text: String, _ place: Place, into findings: inout Findings) {
        if let problem = AddressRules.range(String(trimmed(text))) { findings.invalid(place, string: text, problem) }
    }

    private func validateLoadBalancerFields(into findings: inout Findings) {
        if let text = manifest.loadBalancerClass, manifest.isType(.loadBalancer) {
            findings.invalid(manifest.at("loadBalancerClass"), string: text, NameRules.qualifiedName(text))
        }
        guard !manifest.isType(.loadBalancer) else { return }
        if manifest.allocateLoadBalancerNodePorts != nil {
            findings.forbidden(manifest.at("allocateLoadBalancerNodePorts"), Self.onlyLoadBalancer)
        }
        if manifest.loadBalancerClass != nil { findings.forbidden(manifest.at("loadBalancerClass"), Self.onlyLoadBalancer) }
    }

    private func validateIngress(into findings: inout Findings) {
        let list = FieldPath.root.child("status").child("loadBalancer").child("ingress")
        for (index, entry) in manifest.ingress.enumerated() {
            if let mode = entry.ipMode, mode != "VIP", mode != "Proxy" {
                findings.unsupported(manifest.at(list.index(index).child("ipMode")), mode, supported: ["Proxy", "VIP"])
            }
            if !entry.ip.isEmpty { validateUsableAddress(entry.ip, manifest.at(list.index(index).child("ip")), into: &findings) }
        }
    }

    // MARK: Policies

    private func validateTrafficPolicies(into findings: inout Findings) {
        let external = manifest.externalTrafficPolicy
        if !manifest.isExternallyAccessible {
            if !external.isEmpty {
                findings.invalid(
                    manifest.at("externalTrafficPolicy"), string: external, "may only be set for externally-accessible services")
            }
        } else if TrafficPolicy(rawValue: external) == nil {
            findings.unsupported(manifest.at("externalTrafficPolicy"), external, supported: ["Cluster", "Local"])
        }
        let health = manifest.healthCheckNodePort
        if !manifest.needsHealthCheckNodePort {
            if health != 0 {
                findings.invalid(
                    manifest.at("healthCheckNodePort"), String(health),
                    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
            }
        } else if health == 0 {
            if isAllocated { findings.required(manifest.at("healthCheckNodePort")) }
        } else {
            validateNumber(health, manifest.at("healthCheckNodePort"), into: &findings)
        }
        if let text = manifest.internalTrafficPolicy, TrafficPolicy(rawValue: text) == nil {
            findings.unsupported(manifest.at("internalTrafficPolicy"), text, supported: ["Cluster", "Local"])
        }
        if let text = manifest.trafficDistribution, TrafficDistribution(rawValue: text) == nil {
            findings.unsupported(manifest.at("trafficDistribution"), text, supported: TrafficDistribution.allCases.map(\.rawValue))
        }
    }

    private func validateTopologyAnnotations(into findings: inout Findings) {
        let annotations = manifest.metadata.annotations
        guard let mode = annotations[Self.topologyMode], let hints = annotations[Self.topologyHints], mode != hints else { return }
        findings.invalid(
            manifest.at(annotation: Self.topologyMode), string: mode,
            "must match annotations[\(Self.topologyHints)] when both are specified")
    }
}
