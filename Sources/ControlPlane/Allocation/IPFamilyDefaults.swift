internal import Addressing
internal import ServiceModel

/// Fills in `ipFamilies` and `ipFamilyPolicy`, and says what of them this cluster can't give. An API server does this before it allocates.
///
/// `families` are the cluster's, the first one the default. The Service has been looked at before: its addresses are well-formed and of the
/// families it names.
struct IPFamilyDefaults {
    let families: [IPAddress.Family]
    /// An address of this host's own is of a family the host has.
    let acceptsLoopback: Bool

    func fill(_ service: inout Service, old: Service?) throws(AllocationError) {
        guard service.type != .externalName, !keepsWhatItPreferred(service, old: old) else { return }
        let isSelectorless = service.isHeadless && service.selector?.isEmpty ?? true
        // Without a word from the user a Service never changes between one family and two.
        let policy = service.ipFamilyPolicy ?? old?.ipFamilyPolicy ?? (isSelectorless ? .requireDualStack : .singleStack)
        service.ipFamilyPolicy = policy

        var problems = reduce(&service, old: old, policy: policy)
        if policy == .singleStack { problems += tooMuchForOneStack(service) }
        problems += inferFamilies(of: &service)
        guard problems.isEmpty else { throw .invalid(problems) }

        if !isSelectorless {
            problems = notConfigured(service, policy: policy)
            guard problems.isEmpty else { throw .invalid(problems) }
        }
        if service.ipFamilies.isEmpty { service.ipFamilies = [families[0]] }
        // A headless Service without a selector has no addresses of its own, so it may name a family that the cluster hasn't.
        if policy != .singleStack, service.ipFamilies.count == 1, isSelectorless || families.count == 2 {
            service.ipFamilies.append(service.ipFamilies[0] == .ipv4 ? .ipv6 : .ipv4)
        }
    }

    /// What prefers two families keeps the number it has when the cluster gains or loses one.
    private func keepsWhatItPreferred(_ service: Service, old: Service?) -> Bool {
        guard let old, service.ipFamilyPolicy == .preferDualStack, old.type == service.type else { return false }
        return (old.ipFamilyPolicy ?? .preferDualStack) == .preferDualStack && old.clusterIPs == service.clusterIPs
            && old.isHeadless == service.isHeadless && old.ipFamilies == service.ipFamilies
    }

    /// A change to one family takes off the second of what stands unchanged beside it; without that word nothing may be taken off.
    private func reduce(
        _ service: inout Service, old: Service?, policy: IPFamilyPolicy
    ) -> [AllocationError.InvalidValue] {
        guard let old else { return [] }
        if policy == .singleStack {
            if service.clusterIPs == old.clusterIPs { service.clusterIPs = Array(service.clusterIPs.prefix(1)) }
            if service.ipFamilies == old.ipFamilies { service.ipFamilies = Array(service.ipFamilies.prefix(1)) }
            return []
        }
        var problems: [AllocationError.InvalidValue] = []
        func refuse(_ what: String) {
            problems.append(policyProblem(policy, "must be 'SingleStack' to release the secondary \(what)"))
        }
        // "None" counts as an address here, as it does in the field.
        func count(_ service: Service) -> Int { service.isHeadless ? 1 : service.clusterIPs.count }
        if count(service) > 0, count(service) < count(old) { refuse("cluster IP") }
        if !service.ipFamilies.isEmpty, service.ipFamilies.count < old.ipFamilies.count { refuse("IP family") }
        return problems
    }

    private func tooMuchForOneStack(_ service: Service) -> [AllocationError.InvalidValue] {
        var problems: [AllocationError.InvalidValue] = []
        func refuse(_ what: String) {
            problems.append(
                policyProblem(.singleStack, "must be 'RequireDualStack' or 'PreferDualStack' when multiple \(what) are specified"))
        }
        if service.clusterIPs.count == 2 { refuse("cluster IPs") }
        if service.ipFamilies.count == 2 { refuse("IP families") }
        return problems
    }

    /// An address that is asked for tells its family.
    private func inferFamilies(of service: inout Service) -> [AllocationError.InvalidValue] {
        var problems: [AllocationError.InvalidValue] = []
        for (index, address) in service.clusterIPs.enumerated() where index >= service.ipFamilies.count {
            if families.contains(address.family) || acceptsLoopback && address.isLoopback {
                service.ipFamilies.append(address.family)
            } else {
                problems.append(
                    .init(
                        path: "spec.clusterIPs[\(index)]", value: jsonList(service.clusterIPs),
                        detail: "\(address.family.name) is not configured on this cluster"))
            }
        }
        return problems
    }

    private func notConfigured(_ service: Service, policy: IPFamilyPolicy) -> [AllocationError.InvalidValue] {
        var problems: [AllocationError.InvalidValue] = []
        if policy == .requireDualStack, families.count < 2 {
            problems.append(policyProblem(policy, "this cluster is not configured for dual-stack services"))
        }
        for (index, family) in service.ipFamilies.enumerated() where !families.contains(family) {
            if acceptsLoopback, index < service.clusterIPs.count, service.clusterIPs[index].isLoopback { continue }
            problems.append(
                .init(path: "spec.ipFamilies[\(index)]", value: "\"\(family.name)\"", detail: "not configured on this cluster"))
        }
        return problems
    }

    private func policyProblem(_ policy: IPFamilyPolicy, _ detail: String) -> AllocationError.InvalidValue {
        .init(path: "spec.ipFamilyPolicy", value: "\"\(policy.rawValue)\"", detail: detail)
    }
}

/// Addresses as compact JSON, filled up to `count` with empty ones.
func jsonList(_ addresses: [IPAddress], count: Int = 0) -> String {
    let texts = addresses.map(\.description) + Array(repeating: "", count: max(0, count - addresses.count))
    return "[" + texts.map { "\"\($0)\"" }.joined(separator: ",") + "]"
}
