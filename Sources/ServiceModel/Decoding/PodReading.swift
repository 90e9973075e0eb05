import Addressing

/// Reads a Pod's addresses, ports and readiness probes, by the rules of `ValidatePod` for these.
struct PodReading {
    let document: Field
    let suggestedPaths: Set<String>

    func read(into findings: inout Findings) -> Pod {
        var pod = Pod()
        let status = document.child("status")
        let addresses = [status.child("podIP")] + status.child("podIPs").elements.map { $0.child("ip") }
        for field in addresses {
            guard let text = field.string, !text.isEmpty, let address = readUsableAddress(text, field, into: &findings) else { continue }
            if !pod.addresses.contains(address) { pod.addresses.append(address) }
        }
        let phase = status.child("phase").string
        pod.isOver = phase == "Succeeded" || phase == "Failed"
        pod.isReady = status.child("conditions").elements.contains {
            $0.child("type").string == "Ready" && $0.child("status").string == "True"
        }
        pod.isTerminating = document.child("metadata").child("deletionTimestamp").string != nil
        let spec = document.child("spec")
        pod.nodeName = spec.child("nodeName").string.flatMap { $0.isEmpty ? nil : $0 }
        pod.hostname = readLabel(spec.child("hostname"), into: &findings)
        pod.subdomain = readLabel(spec.child("subdomain"), into: &findings)
        let containers = spec.child("containers")
        if containers.elements.isEmpty, containers.node == nil || containers.isSequence, !isMisspelled(containers) {
            findings.required(containers)
        }
        let initContainers = spec.child("initContainers").elements
        for (index, container) in (containers.elements + initContainers).enumerated() {
            // Of the others before the Pod's own, only those that stay (sidecars) can be asked.
            let goesOn = index < containers.elements.count || container.child("restartPolicy").string == "Always"
            let names = readPorts(container.child("ports"), goesOn: goesOn, of: &pod, into: &findings)
            let probe = container.child("readinessProbe")
            if probe.isMapping, let read = readProbe(probe, ports: names, into: &findings) { pod.probes.append(read) }
        }
        return pod
    }

    private func readLabel(_ field: Field, into findings: inout Findings) -> String? {
        guard let text = field.string, !text.isEmpty else { return nil }
        findings.invalid(field, string: text, NameRules.dns1123Label(text))
        return text
    }

    private func isMisspelled(_ field: Field) -> Bool {
        !suggestedPaths.isEmpty && suggestedPaths.contains(field.path.description)
    }

    /// The container's ports by their names.
    private func readPorts(_ list: Field, goesOn: Bool, of pod: inout Pod, into findings: inout Findings) -> [String: PortNumber] {
        var named: [String: PortNumber] = [:]
        for element in list.elements {
            let name = element.child("name")
            if let text = name.string, !text.isEmpty { findings.invalid(name, string: text, NameRules.portName(text)) }
            let number = element.child("containerPort")
            if number.node == nil, !isMisspelled(number) { findings.required(number) }
            guard let port = readNumber(number, isRequired: false, into: &findings) else { continue }
            pod.ports.insert(port)
            guard let text = name.string else { continue }
            named[text] = port
            let transport = TransportProtocol(rawValue: element.child("protocol").string ?? "TCP")
            if goesOn, let key = transport.map({ Pod.PortName(text, $0) }), pod.namedPorts[key] == nil { pod.namedPorts[key] = port }
        }
        return named
    }

    // MARK: The probe

    /// nil for what is refused, and, with a warning, for what can't be asked from outside.
    private func readProbe(_ field: Field, ports: [String: PortNumber], into findings: inout Findings) -> HealthProbe? {
        let handlers = ["exec", "httpGet", "tcpSocket", "grpc"].map(field.child).filter(\.isPresent)
        guard let handler = handlers.first else {
            if field.entries.allSatisfy({ !suggestedPaths.contains(field.path.child($0.key).description) }) {
                findings.required(field, "must specify a handler type")
            }
            return nil
        }
        for further in handlers.dropFirst() { findings.forbidden(further, "may not specify more than 1 handler type") }
        var probe: HealthProbe?
        switch handler.path.description.split(separator: ".").last {
        case "httpGet": probe = readHTTPGet(handler, ports: ports, into: &findings)
        case "tcpSocket": probe = readTCPSocket(handler, ports: ports, into: &findings)
        default: findings.warn(handler, "can't be asked from outside the Pod, and is ignored")
        }
        func seconds(_ name: String, _ usual: Int) -> Int {
            let field = field.child(name)
            guard let value = field.int32, value != 0 else { return usual }
            if value < 0 { findings.invalid(field, "\(value)", "must be greater than or equal to 0") }
            return Int(value)
        }
        probe?.initialDelay = .seconds(seconds("initialDelaySeconds", 0))
        probe?.timeout = .seconds(seconds("timeoutSeconds", 1))
        probe?.period = .seconds(seconds("periodSeconds", 10))
        probe?.rise = seconds("successThreshold", 1)
        probe?.fall = seconds("failureThreshold", 3)
        let grace = field.child("terminationGracePeriodSeconds")
        if let value = grace.node, case .scalar(let scalar) = value.content {
            findings.invalid(grace, scalar.text, "must not be set for readinessProbes")
        }
        return probe
    }

    private func readTCPSocket(_ field: Field, ports: [String: PortNumber], into findings: inout Findings) -> HealthProbe? {
        let port = readPort(field.child("port"), ports: ports, into: &findings)
        let host = readHost(field.child("host"), into: &findings)
        guard let port, host.isUsable else { return nil }
        var probe = HealthProbe(.tcp, port: port)
        probe.address = host.address
        return probe
    }

    private func readHTTPGet(_ field: Field, ports: [String: PortNumber], into findings: inout Findings) -> HealthProbe? {
        let path = field.child("path")
        let text = path.string ?? ""
        // What would end the request's line, or begin another.
        if !HealthProbe.isTarget(text) { findings.invalid(path, string: text, HealthProbe.targetMessage) }
        var headers: [HealthProbe.Header] = []
        for element in field.child("httpHeaders").elements {
            let name = element.child("name")
            let value = element.child("value")
            let nameText = name.string ?? ""
            if nameText.isEmpty || !nameText.utf8.allSatisfy(Self.isHeaderByte) {
                findings.invalid(field.child("httpHeaders"), string: nameText, Self.headerMessage)
            } else if let text = value.string, text.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f }) {
                findings.invalid(value, string: text, "must not contain control characters")
            } else {
                headers.append(HealthProbe.Header(name: nameText, value: value.string ?? ""))
            }
        }
        let port = readPort(field.child("port"), ports: ports, into: &findings)
        let host = readHost(field.child("host"), into: &findings)
        let scheme = field.child("scheme")
        switch scheme.string ?? "" {
        case "", "HTTP": break
        case "HTTPS":
            findings.warn(scheme, "Ringway does not speak TLS, and the probe is ignored")
            return nil
        case let text: findings.unsupported(scheme, text, supported: ["HTTP", "HTTPS"])
        }
        guard let port, host.isUsable else { return nil }
        let target = text.hasPrefix("/") ? text : "/" + text
        var probe = HealthProbe(.httpGet(path: target, headers: headers), port: port)
        probe.address = host.address
        return probe
    }

    /// By number, or by the name of one of the container's ports.
    private func readPort(_ field: Field, ports: [String: PortNumber], into findings: inout Findings) -> PortNumber? {
        guard let name = field.string else {
            return isMisspelled(field) ? nil : readNumber(field, isRequired: true, into: &findings)
        }
        let problems = NameRules.portName(name)
        findings.invalid(field, string: name, problems)
        if ports[name] == nil, problems.isEmpty {
            findings.warn(field, "no port of the container has the name \(goQuoted(name)), and the probe is ignored")
        }
        return ports[name]
    }

    /// Where else than to the Pod's address to connect; names are not resolved.
    private func readHost(_ field: Field, into findings: inout Findings) -> (address: IPAddress?, isUsable: Bool) {
        guard let text = field.string, !text.isEmpty else { return (nil, true) }
        if let address = IPAddress(text) { return (address, true) }
        findings.warn(field, "names are not resolved, and the probe is ignored; a Host header stands in httpHeaders")
        return (nil, false)
    }

    private static func isHeaderByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d: true
        default: false
        }
    }

    private static let headerMessage =
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is "
        + "'[-A-Za-z0-9]+')"
}

extension HealthProbe {
    static let targetMessage = "must hold only printable ASCII characters without spaces"

    /// Whether a text can stand in a request's first line.
    static func isTarget(_ text: some StringProtocol) -> Bool { text.utf8.allSatisfy { (0x21...0x7e).contains($0) } }
}
