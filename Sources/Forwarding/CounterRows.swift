import Addressing
import Engine
import Routing

/// Which row of the workers' counters belongs to which Service port and endpoint. Rows are kept as long as they are named by
/// a snapshot or count an open connection, and are the same on every worker.
struct CounterRows {
    private struct EndpointRow {
        let number: Int
        /// The assignment that named it last.
        var round: Int
        var weight: UInt16
        /// What its probe found where it is down.
        var probeFailure: String?

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
        var round: Int
        /// What it was last served with.
        var settings = EndpointGroup.Settings()
        var endpoints: [SocketAddress: EndpointRow] = [:]
        /// What endpoints had counted whose rows were given back: the Service's sum must not fall.
        var failuresOfFormer: UInt64 = 0
        var ejectionsOfFormer: UInt64 = 0
        /// Endpoints that found no row of their own.
        var uncounted: Set<SocketAddress> = []
    }

    /// Whom a row belongs to; without an endpoint it is the Service port's own.
    private struct Owner {
        let service: ServicePortName
        let endpoint: SocketAddress?
    }

    private var services: [ServicePortName: ServiceRow] = [:]
    /// Raised by each assignment: a row that does not have its number is not in the snapshot.
    private var round = 0
    private var free: [Int] = []
    private var next = Column.firstFreeRow
    /// What rows had counted before they were given to their present owner: a worker's cells can't be cleared from here.
    private var bases: [Int: [UInt64]] = [:]
    private var tables: [CounterTable] = []
    /// Whom each row belongs to, or belonged to last.
    private var owners: [Int: Owner] = [:]

    /// Starts a new assignment: rows that nobody asks for again and that count no open connection become free at the next one.
    ///
    /// - Parameter beforeReuse: called when it is known which rows become free, and before another is given one of them: the last moment
    ///   to ask whose they are.
    mutating func begin(_ tables: [CounterTable], beforeReuse: (CounterRows) -> Void = { _ in }) {
        self.tables = tables
        func isUnused(_ number: Int, _ round: Int) -> Bool {
            round != self.round && sum(number, Column.connectionsActive) == 0
        }
        var unused: [Owner] = []
        for (service, row) in services {
            for (endpoint, row) in row.endpoints where isUnused(row.number, row.round) {
                unused.append(Owner(service: service, endpoint: endpoint))
            }
            if isUnused(row.number, row.round) { unused.append(Owner(service: service, endpoint: nil)) }
        }
        beforeReuse(self)
        for owner in unused { release(owner) }
        round += 1
    }

    /// Endpoints come before their Service, whose row stays while one of theirs does.
    private mutating func release(_ owner: Owner) {
        guard let service = services[owner.service] else { return }
        guard let endpoint = owner.endpoint else {
            guard service.endpoints.isEmpty else { return }
            free.append(service.number)
            services[owner.service] = nil
            return
        }
        guard let row = service.endpoints[endpoint]?.number else { return }
        let (failures, ejections) = (count(row, Column.connectFailures), count(row, Column.ejections))
        services[owner.service]?.failuresOfFormer &+= failures
        services[owner.service]?.ejectionsOfFormer &+= ejections
        services[owner.service]?.endpoints[endpoint] = nil
        free.append(row)
    }

    /// Whose row it is; nil for the one that is shared for want of others.
    func service(of row: UInt32) -> ServicePortName? { owners[Int(row)]?.service }
    func endpoint(of row: UInt32) -> SocketAddress? { owners[Int(row)]?.endpoint }

    /// The rows of a group's Service port and endpoints.
    mutating func assign(_ group: EndpointGroup, _ health: HealthTable) -> (service: Int, endpoints: [Int]) {
        guard var service = services.removeValue(forKey: group.service) ?? newService(group.service, health) else {
            return (Column.overflowRow, [Int](repeating: Column.overflowRow, count: group.endpoints.count))
        }
        if service.round != round { service.uncounted = [] }
        service.round = round
        service.settings = group.settings
        let numbers = group.endpoints.map { endpoint in
            let known = service.endpoints[endpoint.address]
            guard let number = known?.number ?? newRow(Owner(service: group.service, endpoint: endpoint.address), health) else {
                service.uncounted.insert(endpoint.address)
                return Column.overflowRow
            }
            service.endpoints[endpoint.address] = EndpointRow(
                number: number, round: round, weight: endpoint.weight, probeFailure: known?.probeFailure)
            // Nothing would bring it back any more.
            if group.settings.ejectAfter == 0 { health.update(number) { $0.forgive() } }
            return number
        }
        services[group.service] = service
        return (service.number, numbers)
    }

    private mutating func newService(_ name: ServicePortName, _ health: HealthTable) -> ServiceRow? {
        newRow(Owner(service: name, endpoint: nil), health).map { ServiceRow(number: $0, round: round) }
    }

    /// Nil where there is none left.
    private mutating func newRow(_ owner: Owner, _ health: HealthTable) -> Int? {
        let number: Int
        if let reused = free.popLast() {
            number = reused
        } else if next < Limits.counterRowsMax {
            number = next
            next += 1
        } else {
            return nil
        }
        owners[number] = owner
        health.reset(number)
        bases[number] = (0..<Column.count).map { sum(number, $0) }
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
    mutating func probed(_ endpoint: EndpointKey, _ failure: String?, _ health: HealthTable) {
        guard let row = services[endpoint.service]?.endpoints[endpoint.endpoint]?.number else { return }
        services[endpoint.service]?.endpoints[endpoint.endpoint]?.probeFailure = failure
        health.update(row) { $0.isDown = failure != nil }
    }

    /// How every endpoint of the snapshot is.
    func endpointReports(_ health: HealthTable) -> [EndpointReport] {
        services.flatMap { name, service in
            service.endpoints.compactMap { address, row in
                guard row.round == round else { return nil }
                let health = health[row.number]
                return EndpointReport(
                    EndpointKey(service: name, endpoint: address), weight: row.weight, state: health.reported, reason: row.reason(health))
            }
        }
    }

    /// The Service ports that have a row, in no order.
    var names: [ServicePortName] { Array(services.keys) }

    /// What a Service port has counted, in few bytes; nil where it has no row.
    func reading(of name: ServicePortName, _ health: HealthTable) -> ServiceReading? {
        guard let service = services[name] else { return nil }
        var reading = ServiceReading(service: name, counters: (0..<Column.count).map { count(service.number, $0) })
        reading.connectFailures = service.failuresOfFormer
        reading.ejections = service.ejectionsOfFormer
        for row in service.endpoints.values {
            reading.connectFailures &+= count(row.number, Column.connectFailures)
            reading.ejections &+= count(row.number, Column.ejections)
            guard row.round == round else { continue }
            reading.endpoints[health[row.number].stated, default: 0] += 1
        }
        if service.round == round, !service.uncounted.isEmpty { reading.endpoints[.active, default: 0] += service.uncounted.count }
        return reading
    }

    /// A reading of every Service port, sorted by name.
    func statistics(_ health: HealthTable) -> [DataPlaneStatistics.Service] {
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
            reading.endpoints = service.endpoints.map { statistics(of: $0, $1, health, now) }.sorted { $0.address < $1.address }
            return reading
        }
    }

    private func statistics(
        of address: SocketAddress, _ row: EndpointRow, _ health: HealthTable, _ now: UInt64
    ) -> DataPlaneStatistics.Endpoint {
        var reading = DataPlaneStatistics.Endpoint()
        reading.address = address.description
        reading.weight = UInt64(row.weight)
        if row.round == round {
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
