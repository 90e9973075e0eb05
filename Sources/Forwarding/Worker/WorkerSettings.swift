package import Engine
package import Routing

/// What a worker is told at birth.
package struct WorkerSettings: Sendable {
    /// Which of the process's workers it is, from 0.
    package var index = 0
    package var seed: UInt64 = 0
    package var connectAttemptNanoseconds: UInt64 = 1_000_000_000
    package var connectNanoseconds: UInt64 = 3_000_000_000
    package var proxyHeaderNanoseconds: UInt64 = 3_000_000_000
    /// For Services that set none of their own.
    package var timeouts = Timeouts.standard
    /// Flows this worker's table can hold.
    package var flowsMax = Limits.flowsMax
    /// The process's limit of connections, asked for once a second; nil means no limit but the table.
    package var connectionsMax: (@Sendable () -> Int)?
    /// UDP sessions this worker's table can hold; a power of two.
    package var sessionsMax = Limits.sessionsMax
    /// How many of them the limit of open files leaves room for, asked with `connectionsMax`.
    package var sessionsLimit: (@Sendable () -> Int)?
    /// Counters of the process's other workers, for limits that hold for all together.
    package var others: [CounterTable] = []
    /// The limit that the user set: a connection beyond it is reset. nil means none.
    package var connectionsLimit: Int?
    /// Connections by client, of this worker and of the others.
    package var sources = SourceCounts()
    package var otherSources: [SourceCounts] = []
    /// Endpoints of clients, shared by the process's workers.
    package var affinities = AffinityTable(setBits: 8)
    package var sourceAddresses = SourceAddresses()
    package var connectionLogging = ConnectionLogging.off
    /// Where closed connections are handed over to be logged; one that finds it full is counted and not logged.
    package var connectionRing = ConnectionRing(capacity: 1)
    /// Of all endpoints, shared by the process's workers.
    package var health = HealthTable()
    package var bulk = BulkRule()
    /// Pipes the worker's driver may have open for transfers.
    package var pipesMax = Engine.Limits.pipesMax
    package var allocationCount: (@Sendable () -> UInt64)?

    package init() {}
}
