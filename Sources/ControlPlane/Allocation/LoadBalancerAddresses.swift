package import Addressing

/// `--load-balancer-pool`: addresses that Services of type LoadBalancer are given from.
package struct LoadBalancerPool: Hashable, Sendable {
    package var name: String
    package var spans: [IPSpan]

    package init(name: String, spans: [IPSpan]) {
        self.name = name
        self.spans = spans
    }
}

/// Who has which address of the pools. Unlike a cluster IP, one may be had by several Services that agree to it.
struct LoadBalancerAddresses {
    typealias Use = LoadBalancerRequest.Use

    let pools: [LoadBalancerPool]
    /// What each holder does with it; `.some(nil)` where a restart has left that unknown.
    private var holders: [IPAddress: [ServiceKey: Use?]] = [:]
    /// By sharing key, the addresses where there may be room for another.
    private var shared: [String: Set<IPAddress>] = [:]
    /// Of each span, before which address none is free.
    private var firstFree: [IPSpan: IPAddress] = [:]
    /// Goes on whenever somebody might have better luck than before.
    private(set) var releases: UInt64 = 0

    init(_ pools: [LoadBalancerPool]) { self.pools = pools }

    func pool(of address: IPAddress) -> LoadBalancerPool? {
        pools.first { pool in pool.spans.contains { $0.contains(address) } }
    }

    func holders(of address: IPAddress) -> [ServiceKey: Use?] { holders[address] ?? [:] }

    var count: Int { holders.count }

    mutating func give(_ address: IPAddress, to key: ServiceKey, for use: Use?) {
        if let before = holders[address]?[key], before != use { releases += 1 }
        holders[address, default: [:]].updateValue(use, forKey: key)
        if let sharingKey = use?.sharingKey, !sharingKey.isEmpty { shared[sharingKey, default: []].insert(address) }
    }

    mutating func release(_ address: IPAddress, of key: ServiceKey) {
        guard let use = holders[address]?.removeValue(forKey: key) else { return }
        releases += 1
        if let sharingKey = use?.sharingKey, holders[address]?.values.contains(where: { $0?.sharingKey == sharingKey }) != true {
            shared[sharingKey]?.remove(address)
            if shared[sharingKey]?.isEmpty == true { shared[sharingKey] = nil }
        }
        guard holders[address]?.isEmpty == true else { return }
        holders[address] = nil
        for span in pools.lazy.flatMap(\.spans) where span.contains(address) {
            firstFree[span] = min(firstFree[span] ?? span.first, address)
        }
    }

    /// Addresses of the pool that others have under that sharing key, in order.
    func shared(_ sharingKey: String, of family: IPAddress.Family, in pool: LoadBalancerPool) -> [IPAddress] {
        guard !sharingKey.isEmpty, let addresses = shared[sharingKey] else { return [] }
        return addresses.filter { address in address.family == family && pool.spans.contains { $0.contains(address) } }.sorted()
    }

    /// The first address of the pool that nobody has. Costs nothing for those before it that are taken, the second time.
    mutating func free(of family: IPAddress.Family, in pool: LoadBalancerPool) -> IPAddress? {
        for span in pool.spans where span.first.family == family {
            var candidate = Optional(firstFree[span] ?? span.first)
            while let address = candidate, span.contains(address), holders[address] != nil { candidate = address.next }
            // Behind the end there is nothing free, until something is released.
            firstFree[span] = candidate ?? span.last
            if let candidate, span.contains(candidate) { return candidate }
        }
        return nil
    }
}
