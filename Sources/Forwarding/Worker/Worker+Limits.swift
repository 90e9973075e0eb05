import Addressing
import Engine
import Routing

// Limits that users set: beyond one, a connection is reset as soon as it is accepted.
//
// They hold for the whole process. A worker looks at its own counts and those of the others at the moment of the accept, and
// counts what it takes at once; two that look at the same moment may both take the last place. So at most one connection for
// each further worker is taken too many, and none is refused while there is room.
extension Worker {
    /// Why a connection to that frontend may not be taken on; nil if it may.
    mutating func refusal(_ served: ServedFrontend, source: UInt64?) -> CloseReason? {
        if let max = settings.connectionsLimit, gauges.read(row: Column.workerRow, column: Column.active) >= max { return .limitProcess }
        return serviceRefusal(served, source: source)
    }

    /// The same of the limits that a Service has.
    mutating func serviceRefusal(_ served: ServedFrontend, source: UInt64?) -> CloseReason? {
        // Services that share a row are counted together, which says nothing about any of them.
        guard served.serviceRow != Column.overflowRow else { return nil }
        let limits = served.frontend.group.settings
        if let max = limits.connectionsMax, gauges.read(row: served.serviceRow, column: Column.connectionsActive) >= max {
            return .limitService
        }
        if let max = limits.connectionsPerSourceMax, let source, connections(of: source) >= max { return .limitSource }
        return nil
    }

    /// Connections of a client, on all workers.
    private mutating func connections(of source: UInt64) -> Int {
        var count = settings.sources.read(source)
        for other in settings.otherSources { count &+= other.read(source) }
        return count
    }

    /// What a connection's client is counted under; nil for Services without a limit for clients, for a client that has gone, and for
    /// one that will say whose connection it is in a PROXY header.
    mutating func sourceKey(_ socket: SocketID, _ served: ServedFrontend) -> UInt64? {
        let group = served.frontend.group
        guard group.settings.connectionsPerSourceMax != nil, served.serviceRow != Column.overflowRow,
            let client = driver.peerAddress(of: socket)?.address, !group.expectsHeader(from: client)
        else { return nil }
        return settings.sources.key(client: client, serviceRow: served.serviceRow)
    }

    /// Counts a connection for the client that its PROXY header named, within the limit that holds for each; false beyond it.
    mutating func countTold(_ slot: UInt32) -> Bool {
        let served = listeners.frontend(of: flows[slot].listener)
        guard let max = served.frontend.group.settings.connectionsPerSourceMax, served.serviceRow != Column.overflowRow,
            flows[slot].sourceCell == 0
        else { return true }
        let source = settings.sources.key(client: addresses[Int(slot)].source, serviceRow: served.serviceRow)
        guard connections(of: source) < max else { return false }
        flows[slot].sourceCell = countSource(source)
        return true
    }

    /// Counts a connection for its client; 0 where there is no place to count it.
    func countSource(_ key: UInt64) -> UInt32 {
        if let cell = settings.sources.add(key) { return cell }
        counters.add(1, row: Column.workerRow, column: Column.sourcesUncounted)
        return 0
    }

    /// Says how many connections there are, at once: other workers hold their limits by it.
    func publishActive() { counters.set(UInt64(flows.active), row: Column.workerRow, column: Column.active) }

    /// Turns away a connection that was accepted.
    mutating func refuse(_ socket: SocketID, _ served: ServedFrontend, _ reason: CloseReason) {
        counters.add(1, row: served.serviceRow, column: Column.closed + Int(reason.rawValue))
        if logsConnections { logRefused(socket, served, reason) }
        submissions.append(.closeWithReset(socket))
    }
}
