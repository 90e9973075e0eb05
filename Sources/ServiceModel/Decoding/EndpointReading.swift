import Addressing

/// Reads an EndpointSlice: the rules of `ValidateEndpointSlice`, but for loopback addresses, which are accepted.
struct EndpointSliceReading {
    private static let endpointsMax = 1000
    private static let addressesMax = 100
    private static let portsMax = 20_000
    private static let hintsMax = 8

    let document: Field
    let metadata: ObjectMetadata
    let suggestedPaths: Set<String>

    func read(into findings: inout Findings) -> EndpointSlice {
        var slice = EndpointSlice()
        slice.serviceName = metadata.labels["kubernetes.io/service-name"].flatMap { $0.isEmpty ? nil : $0 }
        if slice.serviceName == nil {
            findings.warn(
                document.child("metadata").child("labels"),
                "no label kubernetes.io/service-name: the slice belongs to no Service and is not used")
        }
        let isNamed = readAddressType(of: &slice, into: &findings)
        readEndpoints(of: &slice, hasType: isNamed, into: &findings)
        readPorts(of: &slice, into: &findings)
        return slice
    }

    /// True where the address type is one of the three.
    private func readAddressType(of slice: inout EndpointSlice, into findings: inout Findings) -> Bool {
        let field = document.child("addressType")
        switch field.string {
        case "IPv4": slice.addressFamily = .ipv4
        case "IPv6": slice.addressFamily = .ipv6
        case "FQDN": slice.addressFamily = nil
        case let text?:
            if text.isEmpty {
                findings.required(field)
            } else {
                findings.unsupported(field, text, supported: ["FQDN", "IPv4", "IPv6"])
            }
            return false
        case nil:
            if field.node == nil, !suggestedPaths.contains("addressType") { findings.required(field) }
            return false
        }
        return true
    }

    private func readEndpoints(of slice: inout EndpointSlice, hasType: Bool, into findings: inout Findings) {
        let list = document.child("endpoints")
        let elements = list.elements
        if elements.count > Self.endpointsMax {
            findings.tooMany(list, count: elements.count, max: Self.endpointsMax)
            return
        }
        slice.endpoints.reserveCapacity(elements.count)
        for element in elements {
            let addresses = readAddresses(of: element, family: slice.addressFamily, hasType: hasType, into: &findings)
            validateDetails(of: element, into: &findings)
            func hints(_ name: String) -> [String] {
                element.child("hints").child(name).elements.compactMap { $0.child("name").string }
            }
            guard let address = addresses.first else { continue }
            let conditions = element.child("conditions")
            let target = element.child("targetRef")
            slice.endpoints.append(
                EndpointSlice.Endpoint(
                    address: address, ready: conditions.child("ready").boolean ?? true,
                    serving: conditions.child("serving").boolean ?? true,
                    terminating: conditions.child("terminating").boolean ?? false,
                    pod: target.child("kind").string == "Pod" ? target.child("name").string : nil,
                    nodeName: element.child("nodeName").string,
                    hostname: element.child("hostname").string.flatMap { $0.isEmpty ? nil : $0 },
                    zoneHints: hints("forZones"), nodeHints: hints("forNodes")))
        }
    }

    private func readAddresses(
        of element: Field, family: IPAddress.Family?, hasType: Bool, into findings: inout Findings
    ) -> [IPAddress] {
        let list = element.child("addresses")
        let count = list.elements.count
        if count == 0 {
            if list.node == nil || list.isSequence, !isMisspelled(list) {
                findings.required(list, "must contain at least 1 address")
            }
            return []
        }
        if count > Self.addressesMax { findings.tooMany(list, count: count, max: Self.addressesMax) }
        // What is of an unknown type can't be judged.
        guard hasType else { return [] }
        guard let family else {
            // No proxy uses them.
            for (text, field) in list.strings { validateDomainName(text, field, into: &findings) }
            return []
        }
        var addresses: [IPAddress] = []
        for (text, field) in list.strings {
            guard let address = readUsableAddress(text, field, into: &findings) else { continue }
            if address.family == family {
                addresses.append(address)
            } else {
                findings.invalid(field, string: text, family == .ipv4 ? "must be a valid IPv4 address" : "must be a valid IPv6 address")
            }
        }
        if count > 1 {
            findings.warn(
                list, "holds \(count) addresses, of which only the first is used; for more endpoints write one entry of `endpoints` each")
        }
        return addresses
    }

    /// The rules of `IsFullyQualifiedDomainName`.
    private func validateDomainName(_ text: String, _ field: Field, into findings: inout Findings) {
        guard !text.isEmpty else { return findings.required(field) }
        let name = text.hasSuffix(".") ? String(text.dropLast()) : text
        let problems = NameRules.dns1123Subdomain(name)
        guard problems.isEmpty else { return findings.invalid(field, string: name, problems.joined(separator: ",")) }
        let labels = name.split(separator: ".").map(String.init)
        if labels.count < 2 {
            findings.invalid(field, string: name, "should be a domain with at least two segments separated by dots")
        }
        for label in labels { findings.invalid(field, string: label, NameRules.dns1123Label(label)) }
    }

    private func isMisspelled(_ field: Field) -> Bool {
        !suggestedPaths.isEmpty && suggestedPaths.contains(field.path.description)
    }

    private func validateDetails(of element: Field, into findings: inout Findings) {
        let hostname = element.child("hostname")
        if let text = hostname.string { findings.invalid(hostname, string: text, NameRules.dns1123Label(text)) }
        let node = element.child("nodeName")
        if let text = node.string { findings.invalid(node, string: text, NameRules.dns1123Subdomain(text)) }
        for name in ["forZones", "forNodes"] {
            let hints = element.child("hints").child(name)
            let elements = hints.elements
            if elements.count > Self.hintsMax { findings.tooMany(hints, count: elements.count, max: Self.hintsMax) }
            var seen: Set<String> = []
            for hint in elements {
                let field = hint.child("name")
                guard let text = field.string else { continue }
                if !seen.insert(text).inserted { findings.duplicate(field, goQuoted(text)) }
            }
        }
    }

    private func readPorts(of slice: inout EndpointSlice, into findings: inout Findings) {
        let list = document.child("ports")
        let elements = list.elements
        if elements.count > Self.portsMax {
            findings.tooMany(list, count: elements.count, max: Self.portsMax)
            return
        }
        var names: Set<String> = []
        for element in elements {
            let nameField = element.child("name")
            let name = nameField.string ?? ""
            if !name.isEmpty { findings.invalid(nameField, string: name, NameRules.dns1123Label(name)) }
            if !names.insert(name).inserted { findings.duplicate(nameField, goQuoted(name)) }
            let transport = readTransport(element.child("protocol"), into: &findings)
            let portField = element.child("port")
            let number = portField.int32
            // Absent and 0 mean "all ports", which no proxy implements.
            let port = number == 0 ? nil : readNumber(portField, isRequired: false, into: &findings)
            if portField.node == nil || number == 0, !isMisspelled(portField) {
                findings.warn(portField, "not given, which means all ports; no proxy can forward to that, so the port is not used")
            }
            validateAppProtocol(element.child("appProtocol"), into: &findings)
            if let transport { slice.ports.append(EndpointSlice.Port(name: name, transport: transport, port: port)) }
        }
    }
}

/// Reads classic Endpoints: the rules of `ValidateEndpoints`, but for loopback addresses, which are accepted.
struct EndpointsReading {
    let document: Field
    let suggestedPaths: Set<String>

    func read(into findings: inout Findings) -> Endpoints {
        var endpoints = Endpoints()
        for element in document.child("subsets").elements {
            endpoints.subsets.append(readSubset(element, into: &findings))
        }
        return endpoints
    }

    private func readSubset(_ element: Field, into findings: inout Findings) -> Endpoints.Subset {
        var subset = Endpoints.Subset()
        let ready = element.child("addresses")
        let notReady = element.child("notReadyAddresses")
        let isMisspelled = [ready, notReady].contains { suggestedPaths.contains($0.path.description) }
        if ready.elements.isEmpty, notReady.elements.isEmpty, !isMisspelled,
            [ready, notReady].allSatisfy({ $0.node == nil || $0.isSequence })
        {
            findings.required(element, "must specify `addresses` or `notReadyAddresses`")
        }
        subset.addresses = ready.elements.compactMap { readAddress($0, into: &findings) }
        subset.notReadyAddresses = notReady.elements.compactMap { readAddress($0, into: &findings) }
        let ports = element.child("ports").elements
        subset.ports = ports.compactMap { readPort($0, needsName: ports.count > 1, into: &findings) }
        return subset
    }

    private func readAddress(_ element: Field, into findings: inout Findings) -> Endpoints.Address? {
        let hostname = element.child("hostname")
        if let text = hostname.string, !text.isEmpty { findings.invalid(hostname, string: text, NameRules.dns1123Label(text)) }
        let field = element.child("ip")
        guard field.node == nil || field.string != nil, !suggestedPaths.contains(field.path.description) else { return nil }
        guard let usable = readUsableAddress(field.string ?? "", field, into: &findings) else { return nil }
        var address = Endpoints.Address(usable)
        address.hostname = hostname.string.flatMap { $0.isEmpty ? nil : $0 }
        address.nodeName = element.child("nodeName").string
        let target = element.child("targetRef")
        if target.child("kind").string == "Pod" { address.pod = target.child("name").string }
        return address
    }

    private func readPort(_ element: Field, needsName: Bool, into findings: inout Findings) -> EndpointSlice.Port? {
        let nameField = element.child("name")
        let name = nameField.string ?? ""
        if !name.isEmpty {
            findings.invalid(nameField, string: name, NameRules.dns1123Label(name))
        } else if needsName, nameField.isEmptyText, !suggestedPaths.contains(nameField.path.description) {
            findings.required(nameField)
        }
        let transport = readTransport(element.child("protocol"), into: &findings)
        let portField = element.child("port")
        let port =
            suggestedPaths.contains(portField.path.description) ? nil : readNumber(portField, isRequired: true, into: &findings)
        validateAppProtocol(element.child("appProtocol"), into: &findings)
        guard let transport, let port else { return nil }
        return EndpointSlice.Port(name: name, transport: transport, port: port)
    }
}
