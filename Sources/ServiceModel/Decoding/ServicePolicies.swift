/// Validates the fields of a Service that Ringway does not act on yet, so that a manifest an API server would refuse is refused
/// here with the same words.
struct ServicePolicies {
    private static let sourceRangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges"
    private static let topologyMode = "service.kubernetes.io/topology-mode"
    private static let topologyHints = "service.kubernetes.io/topology-aware-hints"
    private static let onlyLoadBalancer = "may only be used when `type` is 'LoadBalancer'"

    let spec: Field
    let metadata: Field
    let type: Service.ServiceType

    func validate(into findings: inout Findings) {
        validateExternalName(into: &findings)
        validateSourceRanges(into: &findings)
        validateLoadBalancerFields(into: &findings)
        validateTrafficPolicies(into: &findings)
        validateTopologyAnnotations(into: &findings)
    }

    private func validateExternalName(into findings: inout Findings) {
        guard type == .externalName else { return }
        let field = spec.child("externalName")
        guard field.node == nil || field.string != nil else { return }
        var name = field.string ?? ""
        if name.hasSuffix(".") { name.removeLast() }
        if name.isEmpty {
            findings.required(field)
        } else {
            findings.invalid(field, string: name, NameRules.dns1123Subdomain(name))
        }
    }

    private func validateSourceRanges(into findings: inout Findings) {
        // The path an API server prints has a capital L.
        let path = spec.path.child("LoadBalancerSourceRanges")
        let list = spec.child("loadBalancerSourceRanges").renamed(path)
        let annotations = metadata.child("annotations")
        let annotation = Field(
            path: .key(annotations.path, Self.sourceRangesAnnotation), node: annotations.node?[Self.sourceRangesAnnotation],
            parentLocation: annotations.location)
        if !list.elements.isEmpty {
            if type != .loadBalancer { findings.forbidden(list, Self.onlyLoadBalancer) }
            for (text, field) in list.strings where type == .loadBalancer { validateRange(text, field, into: &findings) }
        } else if let text = annotation.string {
            if type != .loadBalancer { findings.forbidden(annotation, Self.onlyLoadBalancer) }
            guard type == .loadBalancer, !trimmed(text).isEmpty else { return }
            for item in text.split(separator: ",", omittingEmptySubsequences: false) {
                validateRange(String(item), annotation, into: &findings)
            }
        }
    }

    private func validateRange(_ text: String, _ field: Field, into findings: inout Findings) {
        if let problem = AddressRules.range(String(trimmed(text))) { findings.invalid(field, string: text, problem) }
    }

    private func validateLoadBalancerFields(into findings: inout Findings) {
        let allocate = spec.child("allocateLoadBalancerNodePorts")
        if type != .loadBalancer, allocate.isPresent { findings.forbidden(allocate, Self.onlyLoadBalancer) }
        let classField = spec.child("loadBalancerClass")
        if type != .loadBalancer {
            if classField.isPresent { findings.forbidden(classField, Self.onlyLoadBalancer) }
        } else if let text = classField.string {
            findings.invalid(classField, string: text, NameRules.qualifiedName(text))
        }
    }

    private func validateTrafficPolicies(into findings: inout Findings) {
        let external = spec.child("externalTrafficPolicy")
        let isAccessible =
            type == .loadBalancer || type == .nodePort || (type == .clusterIP && !spec.child("externalIPs").elements.isEmpty)
        if let text = external.string, !text.isEmpty {
            if !isAccessible {
                findings.invalid(external, string: text, "may only be set for externally-accessible services")
            } else if text != "Cluster", text != "Local" {
                findings.unsupported(external, text, supported: ["Cluster", "Local"])
            }
        }
        let health = spec.child("healthCheckNodePort")
        if let number = health.int32, number != 0, type != .loadBalancer || external.string != "Local" {
            findings.invalid(
                health, String(number), "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
        } else if let number = health.int32, number != 0, !(1...65_535).contains(number) {
            findings.invalid(health, String(number), AddressRules.portRangeMessage)
        }
        let inside = spec.child("internalTrafficPolicy")
        if let text = inside.string, text != "Cluster", text != "Local" {
            findings.unsupported(inside, text, supported: ["Cluster", "Local"])
        }
        let distribution = spec.child("trafficDistribution")
        let distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"]
        if let text = distribution.string, !distributions.contains(text) {
            findings.unsupported(distribution, text, supported: distributions)
        }
    }

    private func validateTopologyAnnotations(into findings: inout Findings) {
        let annotations = metadata.child("annotations")
        guard let mode = annotations.node?[Self.topologyMode], let text = mode.string,
            let hints = annotations.node?[Self.topologyHints]?.string, text != hints
        else { return }
        let field = Field(path: .key(annotations.path, Self.topologyMode), node: mode, parentLocation: mode.location)
        findings.invalid(field, string: text, "must match annotations[\(Self.topologyHints)] when both are specified")
    }
}
