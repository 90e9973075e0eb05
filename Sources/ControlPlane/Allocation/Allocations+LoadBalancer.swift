package import Addressing

/// Addresses of load balancers. A Service is served with or without one, so this is no part of its transaction: it comes after `commit`.
extension Allocations {
    package var loadBalancerPools: [LoadBalancerPool] { loadBalancer.pools }

    /// What is given there may be had by a Service that got nothing before, once this has changed.
    package var loadBalancerReleases: UInt64 { loadBalancer.releases }

    package func isInLoadBalancerPool(_ address: IPAddress) -> Bool { loadBalancer.pool(of: address) != nil }

    /// Gives an admitted Service what it asks for; or, where that can't be had, leaves it what it has, as far as it may keep that.
    ///
    /// - Returns: what it has now, and why that is not what it asks for.
    package mutating func assign(
        _ request: LoadBalancerRequest, to key: ServiceKey
    ) -> (addresses: [IPAddress], refusal: LoadBalancerRefusal?) {
        let current = allocation(of: key)?.loadBalancerIPs ?? []
        do throws(LoadBalancerRefusal) {
            let addresses = try choose(request, current: current, for: key)
            hold(addresses, for: request.use, by: key)
            return (addresses, nil)
        } catch {
            let kept = current.filter { mayKeep($0, request, key) }
            let isEnough = !request.needsAllFamilies || Set(kept.map(\.family)).isSuperset(of: request.families)
            hold(isEnough ? kept : [], for: request.use, by: key)
            return (isEnough ? kept : [], error)
        }
    }

    /// It is no Service for the pools, or not any more.
    package mutating func releaseLoadBalancer(of key: ServiceKey) { hold([], for: nil, by: key) }

    // MARK: Choosing

    private mutating func choose(
        _ request: LoadBalancerRequest, current: [IPAddress], for key: ServiceKey
    ) throws(LoadBalancerRefusal) -> [IPAddress] {
        if loadBalancer.pools.isEmpty { throw .noPools }
        if let name = request.pool, !loadBalancer.pools.contains(where: { $0.name == name }) { throw .unknownPool(name) }
        for address in request.addresses {
            guard request.families.contains(address.family) else { throw .notOfItsFamilies(address) }
            if let refusal = refusal(of: address, request, to: key) { throw refusal }
        }
        let wished = Set(request.addresses.map(\.family))
        var kept = request.addresses + current.filter { !wished.contains($0.family) && mayKeep($0, request, key) }
        let candidates = loadBalancer.pools.filter { request.pool == nil || request.pool == $0.name }
        if kept.isEmpty {
            // Best from one pool; else one may give what another hasn't.
            for pool in candidates {
                let addresses = fill([], request, from: pool, for: key)
                if missing(addresses, request).isEmpty { return addresses }
            }
        }
        for pool in [kept.first.flatMap(loadBalancer.pool)].compactMap(\.self) + candidates {
            kept = fill(kept, request, from: pool, for: key)
        }
        let missing = missing(kept, request)
        guard missing.isEmpty || !request.needsAllFamilies && !kept.isEmpty else { throw .exhausted(missing, pool: request.pool) }
        return kept
    }

    private mutating func fill(
        _ kept: [IPAddress], _ request: LoadBalancerRequest, from pool: LoadBalancerPool, for key: ServiceKey
    ) -> [IPAddress] {
        var addresses = kept
        for family in missing(kept, request) {
            let sharable = loadBalancer.shared(request.use.sharingKey, of: family, in: pool).first { address in
                loadBalancer.holders(of: address).allSatisfy { $0.key == key || Self.clash(request.use, $0.value) == nil }
            }
            if let address = sharable ?? loadBalancer.free(of: family, in: pool) { addresses.append(address) }
        }
        // In the order of the Service's families.
        return request.families.flatMap { family in addresses.filter { $0.family == family } }
    }

    private func missing(_ addresses: [IPAddress], _ request: LoadBalancerRequest) -> [IPAddress.Family] {
        request.families.filter { family in !addresses.contains { $0.family == family } }
    }

    private func mayKeep(_ address: IPAddress, _ request: LoadBalancerRequest, _ key: ServiceKey) -> Bool {
        request.families.contains(address.family) && refusal(of: address, request, to: key) == nil
    }

    /// Why the Service can't have that address; what others left who have gone is no reason.
    private func refusal(of address: IPAddress, _ request: LoadBalancerRequest, to key: ServiceKey) -> LoadBalancerRefusal? {
        guard let pool = loadBalancer.pool(of: address) else { return .notInAnyPool(address) }
        if let wanted = request.pool, wanted != pool.name { return .inOtherPool(address, has: pool.name, wanted: wanted) }
        let holders = loadBalancer.holders(of: address)
        for (other, use) in holders.sorted(by: { $0.key < $1.key }) where other != key && !isGone(other) {
            // Before a restart the two have shared it.
            if use == nil, holders.keys.contains(key) { continue }
            if let reason = Self.clash(request.use, use) { return .taken(address, by: other, because: reason) }
        }
        return nil
    }

    /// Why two Services can't share an address; nil where they can.
    private static func clash(_ use: LoadBalancerRequest.Use, _ other: LoadBalancerRequest.Use?) -> String? {
        guard let other else { return "which is expected to come back" }
        let annotation = LoadBalancerAnnotation.sharing.name
        guard !use.sharingKey.isEmpty, use.sharingKey == other.sharingKey else {
            return "and the two don't have the same \(annotation)"
        }
        guard use.backend == other.backend else {
            return "and with externalTrafficPolicy Local only Services of one selector can share it"
        }
        let common = use.ports.intersection(other.ports).sorted { ($0.transport.rawValue, $0.port) < ($1.transport.rawValue, $1.port) }
        return common.first.map { "with the same port \($0.port)/\($0.transport.rawValue)" }
    }

    // MARK: Holding

    private mutating func hold(_ addresses: [IPAddress], for use: LoadBalancerRequest.Use?, by key: ServiceKey) {
        let before = allocation(of: key)?.loadBalancerIPs ?? []
        for address in before where !addresses.contains(address) { loadBalancer.release(address, of: key) }
        for address in addresses {
            if let use { displace(address, for: use, by: key) }
            loadBalancer.give(address, to: key, for: use)
        }
        if before != addresses { setLoadBalancerIPs(addresses, of: key) }
    }

    /// Who has gone loses what a Service asks for, unless the two could share it.
    private mutating func displace(_ address: IPAddress, for use: LoadBalancerRequest.Use, by key: ServiceKey) {
        for (other, theirs) in loadBalancer.holders(of: address)
        where other != key && isGone(other) && Self.clash(use, theirs) != nil {
            loadBalancer.release(address, of: other)
            setLoadBalancerIPs((allocation(of: other)?.loadBalancerIPs ?? []).filter { $0 != address }, of: other)
        }
    }
}
