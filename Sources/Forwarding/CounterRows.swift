import Addressing
import Engine
import Routing

/// Which row of the workers' counters belongs to which Service port and endpoint. Rows are kept as long as they are named by
/// a snapshot or count an open connection, and are the same on every worker.
struct CounterRows {
    private struct Key: Hashable {
        let service: ServicePortName
        /// nil for the Service port's own row.
        let endpoint: SocketAddress?
    }

    private struct Row {
        let number: Int
        var isCurrent: Bool
        /// Of a Service port's own row: the settings it was last served with.
        var settings = EndpointGroup.Settings()
        /// Of an endpoint's row: its last weight, and what its probe found where it is down.
        var weight: UInt16 = 1
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

    private var rows: [Key: Row] = [:]
    private var free: [Int] = []
    private var next = Column.firstFreeRow
    /// What rows had counted before they were given to their present owner: a worker's cells can't be cleared from here.
    private var bases: [Int: [UInt64]] = [:]
    private var tables: [CounterTable] = []
    /// Whom each row belongs to, or belonged to last.
    private var owners: [Int: Key] = [:]

    /// Starts a new assignment: rows that nobody asks for again and that count no open connection become free at the next one.
    ///
    /// - Parameter beforeReuse: called when it is known which rows become free, and before another is given one of them: the last moment
    ///   to ask whose they are.
    mutating func begin(_ tables: [CounterTable], beforeReuse: (CounterRows) -> Void = { _ in }) {
        self.tables = tables
        let unused = rows.filter { !$0.value.isCurrent && sum($0.value.number, Column.connectionsActive) == 0 }
        beforeReuse(self)
        for key in rows.keys { rows[key]?.isCurrent = false }
        for (key, row) in unused {
            free.append(row.number)
            rows[key] = nil
        }
    }

    /// Whose row it is; nil for the one that is shared for want of others.
    func service(of row: UInt32) -> ServicePortName? { owners[Int(row)]?.service }
    func endpoint(of row: UInt32) -> SocketAddress? { owners[Int(row)]?.endpoint }

    /// The rows of a group's Service port and endpoints.
    mutating func assign(_ group: EndpointGroup, _ health: HealthTable) -> (service: Int, endpoints: [Int]) {
        let service = row(Key(service: group.service, endpoint: nil), health)
        rows[Key(service: group.service, endpoint: nil)]?.settings = group.settings
        let endpoints = group.endpoints.map { endpoint in
            let key = Key(service: group.service, endpoint: endpoint.address)
            let number = row(key, health)
            rows[key]?.weight = endpoint.weight
            // Nothing would bring it back any more.
            if group.settings.ejectAfter == 0 { health.update(number) { $0.forgive() } }
            return number
        }
        return (service, endpoints)
    }

    private mutating func row(_ key: Key, _ health: HealthTable) -> Int {
        if let row = rows[key] {
            rows[key]?.isCurrent = true
            return row.number
        }
        let number: Int
        if let reused = free.popLast() {
            number = reused
        } else if next < Limits.counterRowsMax {
            number = next
            next += 1
        } else {
            return Column.overflowRow
        }
        owners[number] = key
        health.reset(number)
        bases[number] = (0..<Column.count).map { sum(number, $0) }
        rows[key] = Row(number: number, isCurrent: true)
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
        let key = Key(service: endpoint.service, endpoint: endpoint.endpoint)
        guard let row = rows[key]?.number, row != Column.overflowRow else { return }
        rows[key]?.probeFailure = failure
        health.update(row) { $0.isDown = failure != nil }
    }

    /// How every endpoint of the snapshot is.
    func endpointReports(_ health: HealthTable) -> [EndpointReport] {
        rows.compactMap { key, row in
            guard let endpoint = key.endpoint, row.isCurrent, row.number != Column.overflowRow else { return nil }
            let health = health[row.number]
            return EndpointReport(
                EndpointKey(service: key.service, endpoint: endpoint), weight: row.weight, state: health.reported,
                reason: row.reason(health))
        }
    }

    /// A reading of every Service port, sorted by name.
    func statistics(_ health: HealthTable) -> [DataPlaneStatistics.Service] {
        let now = EndpointHealth.ticks(HostLimits.monotonicNanoseconds())
        var endpoints: [ServicePortName: [DataPlaneStatistics.Endpoint]] = [:]
        for (key, row) in rows {
            guard let endpoint = key.endpoint else { continue }
            var reading = DataPlaneStatistics.Endpoint()
            reading.address = endpoint.description
            reading.weight = UInt64(row.weight)
            if row.isCurrent {
                reading.describe(health[row.number], now)
                reading.because = row.reason(health[row.number])
            } else {
                reading.state = "removed"
            }
            reading.connections = count(row.number, Column.connections)
            reading.connectionsActive = count(row.number, Column.connectionsActive)
            reading.connectFailures = count(row.number, Column.connectFailures)
            reading.ejections = count(row.number, Column.ejections)
            endpoints[key.service, default: []].append(reading)
        }
        return rows.filter { $0.key.endpoint == nil }.sorted { $0.key.service < $1.key.service }.map { key, row in
            var reading = DataPlaneStatistics.Service()
            reading.namespace = key.service.namespace
            reading.name = key.service.name
            reading.port = key.service.port
            reading.transport = key.service.transport.rawValue
            reading.algorithm = row.settings.selection.rawValue
            reading.connectionsMax = row.settings.connectionsMax.map(UInt64.init)
            reading.connectionsPerSourceMax = row.settings.connectionsPerSourceMax.map(UInt64.init)
            reading.connections = count(row.number, Column.connections)
            reading.connectionsActive = count(row.number, Column.connectionsActive)
            reading.bytesFromClients = count(row.number, Column.bytesFromClients)
            reading.bytesToClients = count(row.number, Column.bytesToClients)
            reading.retries = count(row.number, Column.retries)
            reading.datagramsFromClients = count(row.number, Column.datagramsFromClients)
            reading.datagramsToClients = count(row.number, Column.datagramsToClients)
            reading.rebinds = count(row.number, Column.rebinds)
            for reason in DatagramDrop.allCases {
                let dropped = count(row.number, Column.dropped + Int(reason.rawValue))
                if dropped > 0 { reading.dropped[reason.name] = dropped }
            }
            for reason in CloseReason.allCases {
                let closed = count(row.number, Column.closed + Int(reason.rawValue))
                if closed > 0 { reading.closed[reason.name] = closed }
            }
            reading.endpoints = (endpoints[key.service] ?? []).sorted { $0.address < $1.address }
            return reading
        }
    }
}
