import Addressing

/// Validates `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`, which only make sense together. An API server does so
/// before it allocates, and once more with everything else.
struct ClusterAddressRules {
    let manifest: ServiceManifest

    private var addresses: [String] { manifest.clusterIPs }

    func validate(into findings: inout Findings) {
        guard manifest.needsClusterIP else { return }
        if manifest.clusterIP.isEmpty {
            if !addresses.isEmpty { invalidList("must be empty when `clusterIP` is not specified", into: &findings) }
        } else if addresses.first != manifest.clusterIP {
            invalidList("first value must match `clusterIP`", into: &findings)
        }
        validateFamilies(into: &findings)
        let policies = IPFamilyPolicy.allCases.map(\.rawValue).sorted()
        if let policy = manifest.ipFamilyPolicy, !policies.contains(policy) {
            findings.unsupported(manifest.at("ipFamilyPolicy"), policy, supported: policies)
        }
        let areSound = validateTexts(into: &findings)
        if addresses.count > 2 { invalidList("may only hold up to 2 values", into: &findings) }
        // What is no address can't be compared with others.
        guard areSound else { return }
        if addresses.count > 1, addresses.count > 2 || Set(addresses.map(Self.family)).count < 2 {
            invalidList("may specify no more than one IP for each IP family", into: &findings)
        }
        guard !manifest.isHeadless else { return }
        for (index, (text, wanted)) in zip(addresses, manifest.ipFamilies).enumerated() {
            guard let family = Self.family(text), IPAddress.Family(name: wanted) != nil, family.name != wanted else { continue }
            findings.invalid(
                manifest.at(clusterIP: index), string: text, "expected an \(wanted) value as indicated by `ipFamilies[\(index)]`")
        }
    }

    static func address(_ text: String) -> IPAddress? { IPAddress(text) }
    static func family(_ text: String) -> IPAddress.Family? { address(text)?.family }

    private func invalidList(_ detail: String, into findings: inout Findings) {
        findings.invalid(manifest.atClusterIPs, jsonList(addresses), detail)
    }

    private func validateFamilies(into findings: inout Findings) {
        var seen: Set<String> = []
        for (index, family) in manifest.ipFamilies.enumerated() {
            let place = manifest.at(ServiceManifest.spec.child("ipFamilies").index(index))
            if IPAddress.Family(name: family) == nil { findings.unsupported(place, family, supported: ["IPv4", "IPv6"]) }
            if !seen.insert(family).inserted { findings.duplicate(place, goQuoted(family)) }
        }
    }

    /// True where each is an address, or the only one is `None`.
    private func validateTexts(into findings: inout Findings) -> Bool {
        var areSound = true
        for (index, text) in addresses.enumerated() {
            if index == 0, text == ServiceManifest.none {
                guard addresses.count > 1 else { continue }
                areSound = false
                invalidList("'None' must be the first and only value", into: &findings)
            } else if let problem = AddressRules.address(text).problem {
                areSound = false
                findings.invalid(manifest.at(clusterIP: index), string: text, problem)
            }
        }
        return areSound
    }
}
