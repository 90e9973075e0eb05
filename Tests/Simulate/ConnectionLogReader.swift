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

    /// What the log and the counters say of connections and sessions that have ended must be the same, but for those that are counted as
    /// not logged.
    func differences(from worker: WorkerUnderTest) -> [String] {
        read()
        guard logging == .all else { return records.isEmpty ? [] : ["\(records.count) connections were logged, though the log is off"] }
        let notLogged = worker.counter(Column.connectionsNotLogged)
        let sessions = CloseReason.allCases.map { worker.datagramCount(Column.closed + Int($0.rawValue)) }
        let ended = Int(worker.closed) + sessions.reduce(0, +)
        var found: [String] = []
        if records.count + Int(notLogged) != ended {
            found.append("\(records.count) ends were logged and \(notLogged) not, of \(ended)")
        }
        guard notLogged == 0 else { return found }
        for (reason, count) in zip(CloseReason.allCases, sessions) {
            for (name, isSession, ended) in [("connections", false, Int(worker.closed(reason))), ("sessions", true, count)] {
                let logged = records.count { $0.reason == reason && $0.isSession == isSession }
                if logged != ended { found.append("\(reason.name) was logged for \(logged) \(name) of \(ended)") }
            }
        }
        for row in worker.serviceRows {
            let its = records.filter { Int($0.serviceRow) == row }
            func count(_ column: Int) -> UInt64 { worker.counters.read(row: row, column: column) }
            let bytes = [its.reduce(0) { $0 + $1.bytesFromClient }, its.reduce(0) { $0 + $1.bytesToClient }]
            let counted = [count(Column.bytesFromClients), count(Column.bytesToClients)]
            if bytes != counted { found.append("row \(row): bytes \(bytes) were logged, \(counted) counted") }
        }
        // Requests that were dropped are counted, and no session's.
        let replies = records.reduce(0) { $0 + Int($1.datagramsToClient) }
        let counted = worker.datagramCount(Column.datagramsToClients)
        if replies != counted { found.append("\(replies) datagrams to clients were logged, \(counted) counted") }
        return found
    }
}
