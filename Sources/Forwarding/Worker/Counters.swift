package import Engine

/// The columns of a worker's `CounterTable`. Row 0 is the worker's own; the other rows are Service ports or endpoints, handed
/// out by the data plane and the same on every worker.
package enum Column {
    // Row 0.
    package static let ticks = 0
    package static let systemCalls = 1
    package static let allocations = 2
    package static let accepted = 3
    package static let active = 4
    package static let listeners = 5
    package static let acceptPauses = 6
    package static let buffersExhausted = 7
    package static let staleCompletions = 8
    package static let sourcesUncounted = 9
    package static let bulkDirections = 10
    package static let transfersRefused = 11
    package static let pipesOpen = 12
    package static let connectionsNotLogged = 13
    package static let portsExhausted = 14
    package static let buffersActive = 15
    package static let sessionsActive = 16
    package static let sessionsEvicted = 17
    package static let repliesLate = 18
    package static let socketsActive = 19
    package static let affinitiesEvicted = 20

    // Rows of Service ports and of endpoints.
    package static let connections = 0
    package static let connectionsActive = 1
    package static let connectFailures = 2
    package static let bytesFromClients = 3
    /// Of an endpoint, for which bytes are not counted.
    package static let ejections = 3
    package static let bytesToClients = 4
    package static let retries = 5
    package static let closed = 6

    /// `closed` is followed by one column for each reason.
    package static let datagramsFromClients = closed + CloseReason.allCases.count
    package static let datagramsToClients = datagramsFromClients + 1
    /// Sessions that went on with another endpoint.
    package static let rebinds = datagramsFromClients + 2
    package static let dropped = datagramsFromClients + 3

    /// `dropped` is followed by one column for each reason.
    package static let count = dropped + DatagramDrop.allCases.count
    package static let workerRow = 0
    /// Where everything is counted that found no row of its own.
    package static let overflowRow = 1
    package static let firstFreeRow = 2
}

/// The process's gauges as one worker reads them: its own and the others', at this moment.
///
/// Costs one load for each worker, so it is asked once or twice for a connection, not for each of its bytes.
struct ProcessGauges {
    let own: CounterTable
    let others: [CounterTable]

    /// The sum over all workers. Two cells need not be of one moment, and a row may have changed hands: never below zero.
    func read(row: Int, column: Int) -> Int {
        var sum = own.read(row: row, column: column)
        for other in others { sum &+= other.read(row: row, column: column) }
        return max(0, Int(Int64(bitPattern: sum)))
    }
}

/// Makes the counters of one worker.
package func makeCounterTable() -> CounterTable { CounterTable(rows: Limits.counterRowsMax, columns: Column.count) }
