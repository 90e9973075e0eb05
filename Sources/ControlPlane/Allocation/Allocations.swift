package import Addressing
internal import Routing
package import ServiceModel

/// Who holds which cluster IP and which port of the nodes.
///
/// A Service's change is one transaction: `allocate` takes what the new version needs, and then comes either `commit`, with what
/// became of the Service, or `revert`, which leaves everything as it was. Only `commit` releases what the old version had. Between
/// the two nothing else is asked of this value. All of it costs what the one Service needs, however many there are.
///
/// A Service that has gone keeps what it had for `retention` seconds, unless another asks for that by number: so an editor that
/// deletes and creates anew, or a restart, changes no address.
package struct Allocations: Sendable {
    package static let retention: Int64 = 600

    package struct Settings: Hashable, Sendable {
        /// One, or two of different families; the first one's family is the default.
        package var serviceRanges: [IPRange]
        package var nodePorts: ClosedRange<PortNumber>
        /// Loopback addresses may be cluster IPs though no range has them: they need no route and no rights. They are held by
        /// nobody, so that several Services may share one on different ports.
        package var acceptsLoopback: Bool
        /// In the order in which they are used up.
        package var loadBalancerPools: [LoadBalancerPool]

        package init(
            serviceRanges: [IPRange], nodePorts: ClosedRange<PortNumber>, acceptsLoopback: Bool = false,
            loadBalancerPools: [LoadBalancerPool] = []
        ) {
            self.serviceRanges = serviceRanges
            self.nodePorts = nodePorts
            self.acceptsLoopback = acceptsLoopback
            self.loadBalancerPools = loadBalancerPools
        }
    }

    package enum UnusableRange: Error, Hashable, Sendable, CustomStringConvertible {
        case tooSmall(IPRange)
        case tooLarge(IPRange)
        /// Not one or two, or two of one family.
        case wrongSet

        package var description: String {
            switch self {
            case .tooSmall(let range): "\(range) is too small: give at least /30 for IPv4 or /126 for IPv6"
            case .tooLarge(let range): "\(range) is too large: give /64 or smaller for IPv6"
            case .wrongSet: "give one range, or two of different families"
            }
        }
    }

    /// What `allocate` has taken, to be committed or reverted.
    package struct Transaction {
        let key: ServiceKey
        let uid: String?
        fileprivate(set) var taken: [Allocation.Item] = []
        /// What Services that have gone would have got again.
        fileprivate(set) var takenOver: [(item: Allocation.Item, from: ServiceKey)] = []
    }

    let acceptsLoopback: Bool
    private(set) var addressPools: [AddressPool]
    private(set) var nodePorts: NodePortPool
    var loadBalancer: LoadBalancerAddresses
    private var random: RandomSource
    /// Of Services that are there, and of those that have gone or have yet to come back after a restart.
    private var held: [ServiceKey: Allocation] = [:]
    private var retained: [ServiceKey: AllocationRecord] = [:]
    private var changed: Set<ServiceKey> = []

    /// The same seed and the same calls give the same addresses and ports.
    package init(_ settings: Settings, seed: UInt64) throws(UnusableRange) {
        let ranges = settings.serviceRanges
        guard (1...2).contains(ranges.count), Set(ranges.map(\.address.family)).count == ranges.count else { throw .wrongSet }
        addressPools = []
        for range in ranges {
            do throws(AddressPool.Unusable) {
                addressPools.append(try AddressPool(range))
            } catch {
                throw error == .tooSmall ? .tooSmall(range) : .tooLarge(range)
            }
        }
        acceptsLoopback = settings.acceptsLoopback
        nodePorts = NodePortPool(settings.nodePorts)
        loadBalancer = LoadBalancerAddresses(settings.loadBalancerPools)
        random = RandomSource(seed: seed)
    }

    /// What the Service of that name holds, or will get again if it comes back.
    package func allocation(of key: ServiceKey) -> Allocation? { held[key] ?? retained[key]?.allocation }

    package var addressCount: Int { addressPools.reduce(0) { $0 + $1.count } }
    package var portCount: Int { nodePorts.count }

    /// The detail of the error for a port that isn't in the range, for what is no port at all and so can't be asked of this value.
    package var portRangeDetail: String {
        "provided port is not in the valid range. The range of valid ports is \(nodePorts.range.lowerBound)-\(nodePorts.range.upperBound)"
    }

    // MARK: Transactions

    /// Fills in `ipFamilies`, `ipFamilyPolicy`, `clusterIPs`, node ports and `healthCheckNodePort`.
    ///
    /// Defaults have been filled in, and what an update leaves open has been copied from the old version.
    package mutating func allocate(
        _ service: inout Service, for key: ServiceKey, uid: String? = nil, old: Service?
    ) throws(AllocationError) -> Transaction {
        var transaction = Transaction(key: key, uid: uid)
        var result = service
        do throws(AllocationError) {
            try IPFamilyDefaults(families: addressPools.map(\.range.address.family), acceptsLoopback: acceptsLoopback)
                .fill(&result, old: old)
            if old == nil, let past = retained[key]?.allocation, !isAnother(past, uid: uid) {
                recall(past, for: key, into: &result)
            }
            try allocateClusterIPs(of: &result, old: old, in: &transaction)
            try allocatePorts(of: &result, old: old, in: &transaction)
        } catch {
            revert(transaction)
            throw error
        }
        service = result
        return transaction
    }

    /// The Service has been admitted as `service`: what it no longer uses is free.
    package mutating func commit(_ transaction: Transaction, as service: Service) {
        let key = transaction.key
        var allocation = Allocation(of: service, uid: transaction.uid)
        let old = held[key] ?? retained[key]?.allocation
        if isAnother(old, uid: transaction.uid) {
            for address in old?.loadBalancerIPs ?? [] { loadBalancer.release(address, of: key) }
        } else {
            allocation.loadBalancerIPs = old?.loadBalancerIPs ?? []
        }
        let kept = allocation.items
        for item in transaction.taken + transaction.takenOver.map(\.item) + Array(old?.items ?? []) where !kept.contains(item) {
            release(item, of: key)
        }
        for (item, from) in transaction.takenOver {
            retained[from]?.allocation.remove(item)
            changed.insert(from)
        }
        if old != allocation || retained[key]?.goneSince != nil { changed.insert(key) }
        held[key] = allocation
        retained[key] = nil
    }

    /// The Service has not been admitted: its old version keeps what it has.
    package mutating func revert(_ transaction: Transaction) {
        for item in transaction.taken { release(item, of: transaction.key) }
        for (item, from) in transaction.takenOver { give(item, to: from) }
    }

    // MARK: Services that come and go

    /// Takes what was kept from an earlier run. What the ranges no longer have is kept in the record, but not given again.
    package mutating func restore(_ records: [ServiceKey: AllocationRecord]) {
        for (key, record) in records {
            retained[key] = record
            for item in record.allocation.items where owner(of: item) == nil { give(item, to: key) }
            for address in record.allocation.loadBalancerIPs where loadBalancer.pool(of: address) != nil {
                loadBalancer.give(address, to: key, for: nil)
            }
        }
    }

    /// The Services of these names are about to come: until then nobody else gets what was theirs.
    package mutating func expect(_ keys: some Sequence<ServiceKey>) {
        for key in keys where retained[key]?.goneSince != nil {
            retained[key]?.goneSince = nil
            changed.insert(key)
        }
    }

    /// The Services of all other names have gone. For the time after a restart, when the sources have been read.
    package mutating func retain(only keys: Set<ServiceKey>, at now: Int64) {
        for key in Array(held.keys) + Array(retained.keys) where !keys.contains(key) { gone(key, at: now) }
    }

    package mutating func gone(_ key: ServiceKey, at now: Int64) {
        if let allocation = held.removeValue(forKey: key) {
            retained[key] = AllocationRecord(allocation: allocation, goneSince: now)
        } else if retained[key] != nil, retained[key]?.goneSince == nil {
            retained[key]?.goneSince = now
        } else {
            return
        }
        changed.insert(key)
    }

    /// Its last Service has gone, and no other is expected under that name.
    func isGone(_ key: ServiceKey) -> Bool { retained[key]?.goneSince != nil }

    /// The allocation was that of another object of the same name.
    private func isAnother(_ allocation: Allocation?, uid: String?) -> Bool {
        guard let past = allocation?.uid, let uid else { return false }
        return past != uid
    }

    mutating func setLoadBalancerIPs(_ addresses: [IPAddress], of key: ServiceKey) {
        held[key]?.loadBalancerIPs = addresses
        retained[key]?.allocation.loadBalancerIPs = addresses
        changed.insert(key)
    }

    /// Releases what was kept for Services that have been gone for long enough.
    ///
    /// - Returns: whether there was any.
    @discardableResult
    package mutating func expire(at now: Int64) -> Bool {
        var isAnythingReleased = false
        for (key, record) in retained {
            guard let gone = record.goneSince else { continue }
            if now - gone >= Self.retention {
                for item in record.allocation.items { release(item, of: key) }
                for address in record.allocation.loadBalancerIPs { loadBalancer.release(address, of: key) }
                retained[key] = nil
                isAnythingReleased = true
            } else if now < gone {
                // The clock was set back: its time begins again, so that nothing is kept for ever, or lost at once.
                retained[key]?.goneSince = now
            } else {
                continue
            }
            changed.insert(key)
        }
        return isAnythingReleased
    }

    /// When `expire` will next have something to do.
    package var nextExpiry: Int64? { retained.values.compactMap(\.goneSince).min().map { $0 + Self.retention } }

    /// What has changed since the last time, to be kept across restarts; nil for what nobody holds any more.
    package mutating func takeChanges() -> [ServiceKey: AllocationRecord?] {
        var changes: [ServiceKey: AllocationRecord?] = [:]
        for key in changed {
            let record = held[key].map { AllocationRecord(allocation: $0) } ?? retained[key]
            changes[key] = .some(record?.allocation.isEmpty == false ? record : nil)
        }
        changed.removeAll(keepingCapacity: true)
        return changes
    }

    // MARK: Items

    private func owner(of item: Allocation.Item) -> ServiceKey? {
        switch item {
        case .address(let address): pool(of: address.family).flatMap { addressPools[$0].owner(of: address) }
        case .port(let port): nodePorts.owner(of: port)
        }
    }

    private mutating func give(_ item: Allocation.Item, to key: ServiceKey) {
        switch item {
        case .address(let address): if let pool = pool(of: address.family) { addressPools[pool].give(address, to: key) }
        case .port(let port): nodePorts.give(port, to: key)
        }
    }

    private mutating func release(_ item: Allocation.Item, of key: ServiceKey) {
        guard owner(of: item) == key else { return }
        switch item {
        case .address(let address): if let pool = pool(of: address.family) { addressPools[pool].release(address) }
        case .port(let port): nodePorts.release(port)
        }
    }

    private func pool(of family: IPAddress.Family) -> Int? {
        addressPools.firstIndex { $0.range.address.family == family }
    }

    /// Takes what is asked for by number.
    mutating func claim(_ item: Allocation.Item, in transaction: inout Transaction) -> Refusal? {
        let isInRange =
            switch item {
            case .address(let address): pool(of: address.family).map { addressPools[$0].contains(address) } ?? false
            case .port(let port): nodePorts.contains(port)
            }
        guard isInRange else { return .outOfRange }
        switch owner(of: item) {
        case nil: transaction.taken.append(item)
        case transaction.key?: return nil
        case let other?:
            guard retained[other]?.goneSince != nil else { return .taken }
            transaction.takenOver.append((item, other))
        }
        give(item, to: transaction.key)
        return nil
    }

    mutating func takeAnyAddress(of family: IPAddress.Family, in transaction: inout Transaction) -> IPAddress? {
        guard let pool = pool(of: family),
            let address = addressPools[pool].takeAny(for: transaction.key, using: &random)
        else { return nil }
        transaction.taken.append(.address(address))
        return address
    }

    mutating func takeAnyPort(in transaction: inout Transaction) -> PortNumber? {
        guard let port = nodePorts.takeAny(for: transaction.key, using: &random) else { return nil }
        transaction.taken.append(.port(port))
        return port
    }

    /// A Service that comes back, or comes again after a restart, asks for what it had wherever its new version leaves that open.
    private func recall(_ past: Allocation, for key: ServiceKey, into service: inout Service) {
        if service.type != .externalName, !service.isHeadless {
            for family in service.ipFamilies.dropFirst(service.clusterIPs.count) {
                guard let address = past.clusterIPs.first(where: { $0.family == family }), owner(of: .address(address)) == key
                else { break }
                service.clusterIPs.append(address)
            }
        }
        if service.wantsNodePorts {
            // One number stands for one `port`, as when a Service is new.
            var users = Dictionary(service.ports.compactMap { port in port.nodePort.map { ($0, port.port) } }) { first, _ in first }
            let chosen = Set(service.ports.filter { $0.nodePort != nil }.map(\.port))
            for (index, port) in service.ports.enumerated() where port.nodePort == nil && !chosen.contains(port.port) {
                guard let number = past.nodePorts[port.name], owner(of: .port(number)) == key,
                    users[number, default: port.port] == port.port
                else { continue }
                users[number] = port.port
                service.ports[index].nodePort = number
            }
        }
        if service.needsHealthCheckNodePort, service.healthCheckNodePort == nil, let port = past.healthCheckNodePort,
            owner(of: .port(port)) == key
        {
            service.healthCheckNodePort = port
        }
    }
}
