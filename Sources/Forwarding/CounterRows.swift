import Addressing
import Engine
import Routing

/// Which row of the workers' counters belongs to which Service port and endpoint. Rows are kept as long as a group that is served names
/// them, or they count an open connection, and are the same on every worker. A change costs what it changes.
struct CounterRows {
    private struct EndpointRow {
        let number: Int
        /// Groups that name it.
        var uses = 0
        var weight: UInt16 = 0
        /// What its probe found where it is down.
        var probeFailure: String?

        init(number: Int) { self.number = number }

        /// Why the endpoint is not well.
        func reason(_ health: EndpointHealth) -> String? {
            switch health.reported {
            case .well: nil
            case .ejected: health.reason?.name
            case .down: probeFailure
            }
        }
    }

    private struct ServiceRow {
        let number: Int
        var uses = 0
        /// What it was last served with.
        var settings = EndpointGroup.Settings()
        var endpoints: [SocketAddress: EndpointRow] = [:]
        /// What endpoints had counted whose rows were given back: the Service's sum must not fall.
        var failuresOfFormer: UInt64 = 0
        var ejectionsOfFormer: UInt64 = 0
        /// Endpoints that found no row of their own.
        var uncounted = 0

        init(number: Int) { self.number = number }
    }

    /// Whom a row belongs to; without an endpoint it is the Service port's own.
    private struct Owner: Hashable {
        let service: ServicePortName
        let endpoint: SocketAddress?
    }

    /// The rows of a group's Service port and endpoints.
    struct Numbers {
        let service: Int
        let endpoints: [Int]
    }

    private struct Served {
        /// Held, so that no other group gets its identity.
        let group: EndpointGroup
        let numbers: Numbers
        var uses = 1
    }

    private let tables: [CounterTable]
    private let health: HealthTable
    private var groups: [ObjectIdentifier: Served] = [:]
    private var services: [ServicePortName: ServiceRow] = [:]
    /// Service ports that no group names since the last `reclaim`: their rows, and what they were served with.
    private(set) var departed: [(row: Int, settings: EndpointGroup.Settings)] = []
    /// Rows that Service ports have got since, again or for the first time.
    private(set) var arrived: [Int] = []
    /// Rows that no group names: they become free when they count no open connection.
    private var leaving: Set<Owner> = []
    private var free: [Int] = []
    /// Whom each row belongs to, or belonged to last.
    private var owners: [Owner?] = Array(repeating: nil, count: Column.firstFreeRow)
    /// What rows had counted before they were given to their present owner: a worker's cells can't be cleared from here.
    private var bases: [Int: [UInt64]] = [:]

    init(tables: [CounterTable], health: HealthTable) {
        self.tables = tables
        self.health = health
    }

    /// Whether rows wait to become free.
    var hasLeaving: Bool { !leaving.isEmpty }

    /// Makes the rows free that nobody named when this was called last time, and that count no open connection: the workers have
    /// acknowledged since then that they are not used.
    ///
    /// - Parameter beforeReuse: called when it is known which rows become free, and before another is given one of them: the last moment
    ///   to ask whose they are.
    mutating func reclaim(beforeReuse: (CounterRows) -> Void = { _ in }) {
        (departed, arrived) = ([], [])
        let unused = leaving.filter { owner in
            guard let service = services[owner.service] else { return true }
            let row = owner.endpoint.map { service.endpoints[$0]?.number } ?? service.number
            return row.map { sum($0, Column.connectionsActive) == 0 } ?? true
        }
        guard !unused.isEmpty else { return }
        beforeReuse(self)
        // Endpoints come before their Service, whose row stays while one of theirs does.
        for owner in unused where owner.endpoint != nil { release(owner) }
        for owner in unused where owner.endpoint == nil { release(owner) }
    }

    private mutating func release(_ owner: Owner) {
        guard let service = services[owner.service] else {
            leaving.remove(owner)
            return
        }
        guard let endpoint = owner.endpoint else {
            guard service.endpoints.isEmpty else { return }
            leaving.remove(owner)
            free.append(service.number)
            services[owner.service] = nil
            return
        }
        leaving.remove(owner)
        guard let row = service.endpoints[endpoint]?.number else { return }
        let (failures, ejections) = (count(row, Column.connectFailures), count(row, Column.ejections))
        services[owner.service]?.failuresOfFormer &+= failures
        services[owner.service]?.ejectionsOfFormer &+= ejections
        services[owner.service]?.endpoints[endpoint] = nil
        health.reset(row)
        free.append(row)
    }

    /// Whose row it is; nil for the one that is shared for want of others.
    func service(of row: UInt32) -> ServicePortName? { owner(of: row)?.service }
    func endpoint(of row: UInt32) -> SocketAddress? { owner(of: row)?.endpoint }

    private func owner(of row: UInt32) -> Owner? { row < UInt32(owners.count) ? owners[Int(row)] : nil }

    /// The rows of a group that is served once more from now on.
    mutating func take(_ group: EndpointGroup) -> Numbers {
        if let served = groups[ObjectIdentifier(group)] {
            groups[ObjectIdentifier(group)]?.uses += 1
            return served.numbers
        }
        let numbers = assign(group)
        groups[ObjectIdentifier(group)] = Served(group: group, numbers: numbers)
        return numbers
    }

    /// A group is served once less.
    mutating func leave(_ group: EndpointGroup) {
        guard let served = groups[ObjectIdentifier(group)] else { return }
        guard served.uses == 1 else {
            groups[ObjectIdentifier(group)]?.uses -= 1
            return
        }
        groups[ObjectIdentifier(group)] = nil
        // Taken out while it is changed, or all of its endpoints would be copied.
        guard served.numbers.service != Column.overflowRow, var service = services.removeValue(forKey: group.service) else { return }
        service.uses -= 1
        if service.uses == 0 {
            leaving.insert(Owner(service: group.service, endpoint: nil))
            departed.append((service.number, service.settings))
        }
        for (endpoint, number) in zip(group.endpoints, served.numbers.endpoints) {
            guard number != Column.overflowRow else {
                service.uncounted -= 1
                continue
            }
            service.endpoints[endpoint.address]?.uses -= 1
            if service.endpoints[endpoint.address]?.uses == 0 { leaving.insert(Owner(service: group.service, endpoint: endpoint.address)) }
        }
        services[group.service] = service
    }

    private mutating func assign(_ group: EndpointGroup) -> Numbers {
        let owner = Owner(service: group.service, endpoint: nil)
        guard var service = services.removeValue(forKey: group.service) ?? newRow(owner).map({ ServiceRow(number: $0) }) else {
            return Numbers(
                service: Column.overflowRow, endpoints: [Int](repeating: Column.overflowRow, count: group.endpoints.count))
        }
        if service.uses == 0 { arrived.append(service.number) }
        service.uses += 1
        service.settings = group.settings
        leaving.remove(owner)
        let numbers = group.endpoints.map { endpoint in
            let owner = Owner(service: group.service, endpoint: endpoint.address)
            guard var row = service.endpoints[endpoint.address] ?? newRow(owner).map({ EndpointRow(number: $0) }) else {
                service.uncounted += 1
                return Column.overflowRow
            }
            row.uses += 1
            row.weight = endpoint.weight
            service.endpoints[endpoint.address] = row
            leaving.remove(owner)
            // Nothing would bring it back any more.
            if group.settings.ejectAfter == 0 { health.update(row.number) { $0.forgive() } }
            return row.number
        }
        services[group.service] = service
        return Numbers(service: service.number, endpoints: numbers)
    }

    /// Nil where there is none left.
    private mutating func newRow(_ owner: Owner) -> Int? {
        let number: Int
        if let reused = free.popLast() {
            number = reused
            owners[number] = owner
            health.reset(number)
            bases[number] = (0..<Column.count).map { sum(number, $0) }
        } else if owners.count < Limits.counterRowsMax {
            number = owners.count
            owners.append(owner)
        } else {
            return nil
        }
        return number
    }

    private func sum(_ row: Int, _ column: Int) -> UInt64 {
        tables.reduce(0) { $0 &+ $1.read(row: row, column: column) }
    }

    /// A late connection of a row's former owner may end under the present one: a gauge does not go below zero for it.
    private func count(_ row: Int, _ column: Int) -> UInt64 {
        let total = sum(row, column)
        return total - min(total, bases[row]?[column] ?? 0)
    }

    /// What a probe has found: nil for a well one, else what is wrong. Nothing where the endpoint has no row of its own.
    mutating func probed(_ endpoint: EndpointKey, _ failure: String?) {
        guard let row = services[endpoint.service]?.endpoints[endpoint.endpoint]?.number else { return }
        services[endpoint.service]?.endpoints[endpoint.endpoint]?.probeFailure = failure
        health.update(row) { $0.isDown = failure != nil }
    }

    /// How every endpoint that is served is.
    func endpointReports() -> [EndpointReport] {
        services.flatMap { name, service in
            service.endpoints.compactMap { address, row in
                guard row.uses > 0 else { return nil }
                let health = health[row.number]
                return EndpointReport(
                    EndpointKey(service: name, endpoint: address), weight: row.weight, state: health.reported, reason: row.reason(health))
            }
        }
    }

    /// The Service ports that have a row, in no order.
    var names: [ServicePortName] { Array(services.keys) }

    /// What a Service port has counted, in few bytes; nil where it has no row.
    func reading(of name: ServicePortName) -> ServiceReading? {
        guard let service = services[name] else { return nil }
        var reading = ServiceReading(service: name, counters: (0..<Column.count).map { count(service.number, $0) })
        reading.connectFailures = service.failuresOfFormer
        reading.ejections = service.ejectionsOfFormer
        for row in service.endpoints.values {
            reading.connectFailures &+= count(row.number, Column.connectFailures)
            reading.ejections &+= count(row.number, Column.ejections)
            guard row.uses > 0 else { continue }
            reading.endpoints[health[row.number].stated, default: 0] += 1
        }
        if service.uncounted > 0 { reading.endpoints[.active, default: 0] += service.uncounted }
        return reading
    }

    /// What of a Service port is open now: altogether, and by endpoint, those that have gone among them; nil where it has no row.
    func connections(of name: ServicePortName) -> (total: UInt64, byEndpoint: [SocketAddress: UInt64])? {
        services[name].map { service in
            (
                count(service.number, Column.connectionsActive),
                service.endpoints.mapValues { count($0.number, Column.connectionsActive) }
            )
        }
    }

    /// A reading of every Service port, sorted by name.
    func statistics() -> [DataPlaneStatistics.Service] {
        let now = EndpointHealth.ticks(HostLimits.monotonicNanoseconds())
        return services.sorted { $0.key < $1.key }.map { name, service in
            var reading = DataPlaneStatistics.Service()
            reading.namespace = name.namespace
            reading.name = name.name
            reading.port = name.port
            reading.transport = name.transport.rawValue
            reading.algorithm = service.settings.selection.rawValue
            reading.connectionsMax = service.settings.connectionsMax.map(UInt64.init)
            reading.connectionsPerSourceMax = service.settings.connectionsPerSourceMax.map(UInt64.init)
            reading.connections = count(service.number, Column.connections)
            reading.connectionsActive = count(service.number, Column.connectionsActive)
            reading.bytesFromClients = count(service.number, Column.bytesFromClients)
            reading.bytesToClients = count(service.number, Column.bytesToClients)
            reading.retries = count(service.number, Column.retries)
            reading.datagramsFromClients = count(service.number, Column.datagramsFromClients)
            reading.datagramsToClients = count(service.number, Column.datagramsToClients)
            reading.rebinds = count(service.number, Column.rebinds)
            for reason in DatagramDrop.allCases {
                let dropped = count(service.number, Column.dropped + Int(reason.rawValue))
                if dropped > 0 { reading.dropped[reason.name] = dropped }
            }
            for reason in CloseReason.allCases {
                let closed = count(service.number, Column.closed + Int(reason.rawValue))
                if closed > 0 { reading.closed[reason.name] = closed }
            }
            reading.endpoints = service.endpoints.map { statistics(of: $0, $1, now) }.sorted { $0.address < $1.address }
            return reading
        }
    }

    private func statistics(
        of address: SocketAddress, _ row: EndpointRow, _ now: UInt64
    ) -> DataPlaneStatistics.Endpoint {
        var reading = DataPlaneStatistics.Endpoint()
        reading.address = address.description
        reading.weight = UInt64(row.weight)
        if row.uses > 0 {
            reading.describe(health[row.number], now)
            reading.because = row.reason(health[row.number])
        } else {
            reading.state = "removed"
        }
        reading.connections = count(row.number, Column.connections)
        reading.connectionsActive = count(row.number, Column.connectionsActive)
        reading.connectFailures = count(row.number, Column.connectFailures)
        reading.ejections = count(row.number, Column.ejections)
        return reading
    }
}
