import Engine

import Forwarding

/// Takes what a worker hands over for the log of connections, and holds it against the worker's counters.
final class ConnectionLogReader {
    let logging: ConnectionLogging
    let ring: ConnectionRing
    private var records: [ConnectionRecord] = []

    init(_ logging: ConnectionLogging, ring capacity: Int) {
        self.logging = logging
        ring = ConnectionRing(capacity: capacity)
    }

    func read() {
        while let record = ring.take() { records.append(record) }
    }

    /// What the log and the counters say of the closed connections must be the same, but for those that are counted as not logged.
    func differences(from worker: WorkerUnderTest) -> [String] {
        read()
        guard logging == .all else { return records.isEmpty ? [] : ["\(records.count) connections were logged, though the log is off"] }
        let notLogged = worker.counter(Column.connectionsNotLogged)
        var found: [String] = []
        if UInt64(records.count) + notLogged != worker.closed {
            found.append("\(records.count) connections were logged and \(notLogged) not, of \(worker.closed)")
        }
        guard notLogged == 0 else { return found }
        for reason in CloseReason.allCases {
            let logged = records.count { $0.reason == reason }
            if logged != Int(worker.closed(reason)) {
                found.append("\(reason.name) was logged \(logged) times of \(worker.closed(reason))")
            }
        }
        for row in worker.serviceRows {
            let its = records.filter { Int($0.serviceRow) == row }
            func count(_ column: Int) -> UInt64 { worker.counters.read(row: row, column: column) }
            let bytes = [its.reduce(0) { $0 + $1.bytesFromClient }, its.reduce(0) { $0 + $1.bytesToClient }]
            let counted = [count(Column.bytesFromClients), count(Column.bytesToClients)]
            if bytes != counted { found.append("row \(row): bytes \(bytes) were logged, \(counted) counted") }
        }
        return found
    }
}
