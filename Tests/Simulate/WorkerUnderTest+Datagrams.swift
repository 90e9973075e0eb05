import Addressing
import Engine
import EngineSimulator
import Forwarding
import Routing

// UDP ports of the worker, and what must come out even of what is counted for them.
extension WorkerUnderTest {
    /// - Parameter acknowledge: called once the worker has done it.
    func openDatagrams(
        _ address: SocketAddress, to endpoints: [SocketAddress], settings: EndpointGroup.Settings = EndpointGroup.Settings(),
        clients: Clients = Clients(), acknowledge: @escaping @Sendable (WorkerReply) -> Void = { _ in }
    ) {
        let served = serveDatagrams(address, to: endpoints, settings: settings, clients: clients)
        post(.apply(open: [served], replace: [], close: [], acknowledge: acknowledge))
    }

    func replaceDatagrams(
        _ address: SocketAddress, to endpoints: [SocketAddress], settings: EndpointGroup.Settings = EndpointGroup.Settings(),
        clients: Clients = Clients(), acknowledge: @escaping @Sendable (WorkerReply) -> Void = { _ in }
    ) {
        let served = serveDatagrams(address, to: endpoints, settings: settings, clients: clients)
        post(.apply(open: [], replace: [served], close: [], acknowledge: acknowledge))
    }

    func closeDatagrams(_ address: SocketAddress, acknowledge: @escaping @Sendable (WorkerReply) -> Void = { _ in }) {
        post(.apply(open: [], replace: [], close: [FrontendKey(address, .udp)], acknowledge: acknowledge))
    }

    func datagramCount(_ column: Int) -> Int { datagramRows.values.reduce(0) { $0 + Int(counters.read(row: $1, column: column)) } }

    /// Datagrams of all UDP ports that were dropped for a reason.
    func dropped(_ reason: DatagramDrop) -> Int { datagramCount(Column.dropped + Int(reason.rawValue)) }

    /// Every datagram that was taken from a socket was sent on by another or dropped for one reason, and every session ended for one.
    func datagramsMiscounted() -> [String] {
        var found: [String] = []
        func check(_ what: String, _ taken: Int, _ counted: Int) {
            if taken != counted { found.append("\(what): \(taken), and \(counted) are accounted for") }
        }
        let (requests, replies) = (datagramCount(Column.datagramsFromClients), datagramCount(Column.datagramsToClients))
        let late = Int(counter(Column.repliesLate))
        check("requests taken", driver.datagramsTakenFromClients, requests)
        check("replies taken", driver.datagramsTakenFromEndpoints, replies + dropped(.replyRatio) + late)
        // Of either direction: what the kernel would not send.
        let reasons = DatagramDrop.allCases.filter { $0 != .replyRatio }
        let passed = driver.datagramsSentToEndpoints + driver.datagramsSentToClients
        check("requests and replies", requests + replies, passed + reasons.reduce(0) { $0 + dropped($1) })
        let closed = CloseReason.allCases.reduce(0) { $0 + datagramCount(Column.closed + Int($1.rawValue)) }
        check("sessions", datagramCount(Column.connections), closed + datagramCount(Column.connectionsActive))
        check("open sessions", sessionsActive, datagramCount(Column.connectionsActive))
        return found
    }

    /// What must not be there once everything is over.
    func datagramImbalances() -> [String] {
        var found = datagramsMiscounted()
        if sessionsActive != 0 { found.append("\(sessionsActive) sessions are left") }
        if upstreamsActive != 0 { found.append("\(upstreamsActive) sockets to endpoints are left") }
        for (column, name) in [(Column.sessionsActive, "sessions"), (Column.socketsActive, "sockets")] where counter(column) != 0 {
            found.append("\(counter(column)) \(name) are counted")
        }
        for (address, row) in datagramRows.merging(datagramEndpointRows, uniquingKeysWith: { first, _ in first }) {
            let active = Int64(bitPattern: counters.read(row: row, column: Column.connectionsActive))
            if active != 0 { found.append("\(address) counts \(active) as active") }
        }
        return found
    }
}
