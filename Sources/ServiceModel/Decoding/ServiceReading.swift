import Addressing

/// Reads a Service out of its document: defaults filled in, every rule of `ValidateService` that needs no cluster.
///
/// The strict pass has run before: a field of the wrong type reads as absent here, and `isMisspelled` keeps a missing field that
/// stands there under a wrong name from being a second error.
struct ServiceReading {
    let spec: Field
    let metadata: Field
    let status: Field
    let suggestedPaths: Set<String>

    init(document: Field, suggestedPaths: Set<String>) {
        spec = document.child("spec")
        metadata = document.child("metadata")
        status = document.child("status")
        self.suggestedPaths = suggestedPaths
    }

    func read(into findings: inout Findings) -> Service {
        var service = Service()
        service.type = readType(into: &findings)
        let clusterIPs = ClusterIPReading(spec: spec, type: service.type)
        clusterIPs.read(into: &service, findings: &findings)
        readPorts(of: &service, into: &findings)
        readAffinity(of: &service, into: &findings)
        service.externalIPs = readExternalIPs(into: &findings)
        validateLabelMap(spec.child("selector"), into: &findings)
        ServicePolicies(spec: spec, metadata: metadata, type: service.type).validate(into: &findings)
        if service.type == .loadBalancer { service.loadBalancerIPs = readIngress(into: &findings) }
        readAnnotations(of: &service, into: &findings)
        return service
    }

    private func readType(into findings: inout Findings) -> Service.ServiceType {
        let field = spec.child("type")
        guard let text = field.string, !text.isEmpty else { return .clusterIP }
        guard let type = Service.ServiceType(rawValue: text) else {
            findings.unsupported(field, text, supported: Service.ServiceType.allCases.map(\.rawValue).sorted())
            return .clusterIP
        }
        return type
    }

    /// A field that is not there because it stands there misspelled has been reported under its wrong name.
    private func isMisspelled(_ field: Field) -> Bool {
        !suggestedPaths.isEmpty && suggestedPaths.contains(field.path.description)
    }

    // MARK: Ports

    private func readPorts(of service: inout Service, into findings: inout Findings) {
        let field = spec.child("ports")
        let elements = field.elements
        if elements.isEmpty, !service.isHeadless, service.type != .externalName, !hasUnknownType,
            field.node == nil || field.isSequence, spec.node == nil || spec.isMapping, !isMisspelled(field), !isMisspelled(spec)
        {
            findings.required(field)
        }
        var seen = SeenPorts()
        for element in elements {
            if let port = readPort(element, needsName: elements.count > 1, type: service.type, seen: &seen, into: &findings) {
                service.ports.append(port)
            }
        }
    }

    /// With an unknown type nothing that depends on the type can be said.
    private var hasUnknownType: Bool {
        spec.child("type").string.map { !$0.isEmpty && Service.ServiceType(rawValue: $0) == nil } ?? false
    }

    private struct SeenPorts {
        struct Pair: Hashable {
            let transport: TransportProtocol
            let port: PortNumber
        }

        var names: Set<String> = []
        var ports: Set<Pair> = []
        var nodePorts: Set<Pair> = []
    }

    private func readPort(
        _ element: Field, needsName: Bool, type: Service.ServiceType, seen: inout SeenPorts, into findings: inout Findings
    ) -> Service.Port? {
        let nameField = element.child("name")
        let name = nameField.string ?? ""
        if name.isEmpty {
            if needsName, nameField.isEmptyText, !isMisspelled(nameField) { findings.required(nameField) }
        } else {
            findings.invalid(nameField, string: name, NameRules.dns1123Label(name))
            if !seen.names.insert(name).inserted { findings.duplicate(nameField, goQuoted(name)) }
        }
        let transport = readTransport(element.child("protocol"), into: &findings)
        let port =
            isMisspelled(element.child("port"))
            ? nil : readNumber(element.child("port"), isRequired: true, into: &findings)
        let targetPort = readTargetPort(element.child("targetPort"), into: &findings)
        let nodePort = readNodePort(element.child("nodePort"), transport: transport, type: type, seen: &seen, into: &findings)
        let appProtocol = element.child("appProtocol")
        validateAppProtocol(appProtocol, into: &findings)
        guard let transport, let port else { return nil }
        if !seen.ports.insert(.init(transport: transport, port: port)).inserted {
            let key =
                "{\"Name\":\"\",\"Protocol\":\"\(transport.rawValue)\",\"AppProtocol\":null,\"Port\":\(port),"
                + "\"TargetPort\":0,\"NodePort\":0}"
            findings.duplicate(element, key)
        }
        return Service.Port(
            name: name, transport: transport, port: port, targetPort: targetPort.isName ? nil : targetPort.number ?? port,
            nodePort: nodePort, appProtocol: appProtocol.string, location: element.location)
    }

    private func readTargetPort(_ field: Field, into findings: inout Findings) -> (number: PortNumber?, isName: Bool) {
        if let text = field.string {
            findings.invalid(field, string: text, NameRules.portName(text))
            return (nil, true)
        }
        return (readNumber(field, isRequired: false, into: &findings), false)
    }

    private func readNodePort(
        _ field: Field, transport: TransportProtocol?, type: Service.ServiceType, seen: inout SeenPorts, into findings: inout Findings
    ) -> PortNumber? {
        guard let given = field.int32, given != 0 else {
            if field.node == nil || field.int32 == 0, !isMisspelled(field) { warnOfNoNodePort(field, type: type, into: &findings) }
            return nil
        }
        guard type == .nodePort || type == .loadBalancer || hasUnknownType else {
            // kubectl of an ExternalName Service may carry what an earlier type left behind; a ClusterIP one may not.
            if type == .clusterIP { findings.forbidden(field, "may not be used when `type` is 'ClusterIP'") }
            return nil
        }
        guard let port = readNumber(field, isRequired: false, into: &findings) else { return nil }
        if let transport, !seen.nodePorts.insert(.init(transport: transport, port: port)).inserted {
            findings.invalid(field, port.description, "provided port is already allocated")
        }
        return port
    }

    private func warnOfNoNodePort(_ field: Field, type: Service.ServiceType, into findings: inout Findings) {
        switch type {
        case .nodePort: break
        case .loadBalancer where spec.child("allocateLoadBalancerNodePorts").boolean != false: break
        default: return
        }
        findings.warn(
            field, "not given, and node ports are not allocated yet: none will be opened for this port; set nodePort to open one")
    }

    // MARK: Session affinity

    private func readAffinity(of service: inout Service, into findings: inout Findings) {
        let field = spec.child("sessionAffinity")
        if let text = field.string, !text.isEmpty {
            guard let affinity = Service.Affinity(rawValue: text) else {
                findings.unsupported(field, text, supported: Service.Affinity.allCases.map(\.rawValue).sorted())
                return
            }
            service.affinity = affinity
        }
        // Without ClientIP, defaulting drops the configuration; with it, an absent timeout is 10,800 seconds.
        guard service.affinity == .clientIP else { return }
        let timeout = spec.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds")
        guard let seconds = timeout.int32 else { return }
        guard (1...86_400).contains(seconds) else {
            return findings.invalid(timeout, String(seconds), "must be greater than 0 and less than 86400")
        }
        service.affinityTimeout = Int(seconds)
    }

    // MARK: Addresses

    private func readExternalIPs(into findings: inout Findings) -> [IPAddress] {
        spec.child("externalIPs").strings.compactMap { text, field in
            readUsableAddress(text, field, into: &findings)
        }
    }

    private func readIngress(into findings: inout Findings) -> [IPAddress] {
        var addresses: [IPAddress] = []
        for ingress in status.child("loadBalancer").child("ingress").elements {
            let modeField = ingress.child("ipMode")
            let mode = modeField.string ?? "VIP"
            if mode != "VIP", mode != "Proxy" { findings.unsupported(modeField, mode, supported: ["Proxy", "VIP"]) }
            let field = ingress.child("ip")
            guard let text = field.string, !text.isEmpty, let address = readUsableAddress(text, field, into: &findings),
                mode == "VIP"
            else { continue }
            addresses.append(address)
        }
        return addresses
    }

    // MARK: Annotations

    private func readAnnotations(of service: inout Service, into findings: inout Findings) {
        let annotations = metadata.child("annotations")
        for annotation in RingwayAnnotation.all { annotation.read(from: annotations, into: &service, findings: &findings) }
        // One number on TCP and UDP is one server, as a rule.
        if service.inlineEndpoints != nil, Set(service.ports.map(\.port)).count > 1,
            let field = ServiceAnnotation.field(RingwayAnnotation.endpoints, in: annotations)
        {
            findings.warn(field, "the Service has \(service.ports.count) ports, and each of them will use these same endpoints")
        }
        if let endpoints = service.inlineEndpoints, let weights = service.settings.weights,
            let field = ServiceAnnotation.field(RingwayAnnotation.weights, in: annotations)
        {
            for weight in weights where !endpoints.contains(where: weight.matches) {
                let name = weight.port.map { SocketAddress(weight.address, $0).description } ?? weight.address.description
                findings.warn(field, "\(name) is none of the endpoints in \(RingwayAnnotation.endpoints)")
            }
        }
        if let ranges = service.settings.acceptProxyProtocolFrom,
            let field = ServiceAnnotation.field(RingwayAnnotation.acceptProxyProtocolFrom, in: annotations)
        {
            for range in ranges where range.prefix == 0 {
                findings.warn(field, "\(range) lets every client say which address it has")
            }
        }
        if service.affinity == .clientIP, let algorithm = service.settings.algorithm, algorithm != .consistentHash,
            let field = ServiceAnnotation.field(RingwayAnnotation.algorithm, in: annotations)
        {
            findings.invalid(
                field, string: algorithm.rawValue,
                "may not be used when `sessionAffinity` is 'ClientIP', which means consistent-hash: remove one of the two")
        }
    }
}
