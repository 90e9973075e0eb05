import Addressing

/// Reads and validates `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`, which only make sense together.
struct ClusterIPReading {
    private static let families = ["IPv4", "IPv6"]
    private static let none = "None"

    let spec: Field
    let type: Service.ServiceType

    func read(into service: inout Service, findings: inout Findings) {
        let list = spec.child("clusterIPs")
        let single = spec.child("clusterIP")
        let singleText = single.string ?? ""
        // On create, an API server copies clusterIP into an empty clusterIPs.
        let texts = list.elements.isEmpty && !singleText.isEmpty ? [singleText] : list.strings.map(\.text)
        if type == .externalName {
            forbid(list.isPresent ? list : single, isSet: !texts.isEmpty, as: "clusterIPs", into: &findings)
            forbid(spec.child("ipFamilies"), isSet: !spec.child("ipFamilies").elements.isEmpty, as: "ipFamilies", into: &findings)
            forbid(spec.child("ipFamilyPolicy"), isSet: spec.child("ipFamilyPolicy").isPresent, as: "ipFamilyPolicy", into: &findings)
            return
        }
        service.isHeadless = texts.first == Self.none
        if single.isEmptyText, !texts.isEmpty {
            findings.invalid(list, jsonList(texts), "must be empty when `clusterIP` is not specified")
        } else if single.string != nil, let first = texts.first, first != singleText {
            findings.invalid(list, jsonList(texts), "first value must match `clusterIP`")
        }
        validateFamilies(into: &findings)
        validatePolicy(addressCount: texts.count, into: &findings)
        let fields = list.elements.isEmpty ? [spec.child("clusterIP").renamed(.index(list.path, 0))] : list.strings.map(\.field)
        service.clusterIPs = readAddresses(texts, fields: fields, list: list, into: &findings)
    }

    private func forbid(_ field: Field, isSet: Bool, as name: String, into findings: inout Findings) {
        guard isSet else { return }
        findings.forbidden(field.renamed(spec.path.child(name)), "may not be set for ExternalName services")
    }

    private func validateFamilies(into findings: inout Findings) {
        var seen: Set<String> = []
        for (family, field) in spec.child("ipFamilies").strings {
            if !Self.families.contains(family) { findings.unsupported(field, family, supported: Self.families) }
            if !seen.insert(family).inserted { findings.duplicate(field, goQuoted(family)) }
        }
    }

    private func validatePolicy(addressCount: Int, into findings: inout Findings) {
        let field = spec.child("ipFamilyPolicy")
        guard field.node == nil || field.string != nil else { return }
        let policy = field.string ?? "SingleStack"
        guard ["PreferDualStack", "RequireDualStack", "SingleStack"].contains(policy) else {
            findings.unsupported(field, policy, supported: ["PreferDualStack", "RequireDualStack", "SingleStack"])
            return
        }
        guard policy == "SingleStack" else { return }
        let advice = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
        if addressCount > 1 { findings.invalid(field, string: policy, "\(advice) cluster IPs are specified") }
        if spec.child("ipFamilies").elements.count > 1 {
            findings.invalid(field, string: policy, "\(advice) IP families are specified")
        }
    }

    private func readAddresses(
        _ texts: [String], fields: [Field], list: Field, into findings: inout Findings
    ) -> [IPAddress] {
        var addresses: [IPAddress] = []
        var isSound = true
        for (index, (text, field)) in zip(texts, fields).enumerated() {
            if text == Self.none, index == 0 {
                if texts.count > 1 {
                    findings.invalid(list, jsonList(texts), "'None' must be the first and only value")
                    isSound = false
                } else if type != .clusterIP {
                    findings.invalid(field, string: text, "may not be set to 'None' for \(type.rawValue) services")
                }
                continue
            }
            let (address, problem) = AddressRules.address(text)
            if let address {
                addresses.append(address)
            } else if let problem {
                findings.invalid(field, string: text, problem)
                isSound = false
            }
        }
        if texts.count > 2 { findings.invalid(list, jsonList(texts), "may only hold up to 2 values") }
        guard isSound else { return addresses }
        if addresses.count > 1, Set(addresses.map(\.family)).count < 2 || addresses.count > 2 {
            findings.invalid(list, jsonList(texts), "may specify no more than one IP for each IP family")
        }
        validateMatch(of: addresses, fields: fields, into: &findings)
        return addresses
    }

    private func validateMatch(of addresses: [IPAddress], fields: [Field], into findings: inout Findings) {
        for (index, (address, family)) in zip(addresses, spec.child("ipFamilies").strings).enumerated() {
            let actual = address.family == .ipv4 ? "IPv4" : "IPv6"
            guard Self.families.contains(family.text), family.text != actual else { continue }
            findings.invalid(
                fields[index], string: address.description, "expected an \(family.text) value as indicated by `ipFamilies[\(index)]`")
        }
    }
}

extension Field {
    /// The same place under the path an API server would name.
    func renamed(_ path: FieldPath) -> Field {
        Field(path: path, node: node, parentLocation: location)
    }
}
