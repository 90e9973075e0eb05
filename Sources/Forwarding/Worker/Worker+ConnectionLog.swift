import Addressing
import Engine
import Routing

// The log of connections: what is noted about one while it lives, and handed over when it is closed. Nothing here is called while
// the log is off, so nothing of it is inlined into the path of every connection.
extension Worker {
    @inline(never)
    mutating func beginNotes(_ slot: UInt32, _ served: ServedFrontend) {
        notes[Int(slot)] = ConnectionNotes(frontend: served.frontend.key.address, acceptedAt: now)
        // Where the PROXY protocol is in use, the client's address is found out, or told, in a moment.
        let client = served.usesProxyProtocol ? nil : driver.peerAddress(of: flows[slot].client.socket)
        addresses[Int(slot)].source = client?.address ?? .anyIPv4
        addresses[Int(slot)].sourcePort = client?.port.rawValue ?? 0
    }

    @inline(never)
    mutating func noteAttempt(_ slot: UInt32, endpointRow: Int) {
        if notes[Int(slot)].attempts == 0 { notes[Int(slot)].connectingAfter = notes[Int(slot)].microseconds(at: now) }
        notes[Int(slot)].attempts &+= 1
        notes[Int(slot)].endpointRow = UInt32(endpointRow)
    }

    @inline(never)
    mutating func noteConnectTime(_ slot: UInt32) {
        notes[Int(slot)].connectedAfter = max(1, notes[Int(slot)].microseconds(at: now))
    }

    @inline(never)
    mutating func noteBytes(_ count: Int32, to leg: Leg, _ slot: UInt32) {
        switch leg {
        case .client: notes[Int(slot)].bytesToClient &+= UInt64(count)
        case .server: notes[Int(slot)].bytesFromClient &+= UInt64(count)
        }
    }

    /// Hands over what was noted about a flow that ends.
    @inline(never)
    mutating func logClosed(_ slot: UInt32) {
        guard settings.connectionLogging == .all || flows[slot].closesWithReset else { return }
        let notes = notes[Int(slot)]
        var record = ConnectionRecord(
            flows[slot].closeReason, frontend: notes.frontend, serviceRow: Int(flows[slot].serviceRow), closedAt: clock.reading)
        record.client = addresses[Int(slot)].source
        record.clientPort = addresses[Int(slot)].sourcePort
        record.attempts = notes.attempts
        record.endpointRow = notes.endpointRow
        record.bytesFromClient = notes.bytesFromClient
        record.bytesToClient = notes.bytesToClient
        record.durationNanoseconds = now &- notes.acceptedAt
        record.isConnected = notes.connectedAfter > 0
        if record.isConnected { record.connectMicroseconds = notes.connectedAfter &- notes.connectingAfter }
        handOver(record)
    }

    /// The same of a connection that was turned away and never was a flow.
    @inline(never)
    mutating func logRefused(_ socket: SocketID, _ served: ServedFrontend, _ reason: CloseReason) {
        var record = ConnectionRecord(
            reason, frontend: served.frontend.key.address, serviceRow: served.serviceRow, closedAt: clock.reading)
        if let client = driver.peerAddress(of: socket) {
            record.client = client.address
            record.clientPort = client.port.rawValue
        }
        handOver(record)
    }

    // MARK: - Sessions

    @inline(never)
    mutating func beginSessionNotes(_ slot: UInt32, _ served: ServedFrontend) {
        let listen = served.frontend.key.address
        let local = sessions[slot].key.local
        sessionNotes[Int(slot)] = SessionNotes(
            frontend: local.isUnspecified ? listen : SocketAddress(local, listen.port), openedAt: now)
    }

    @inline(never)
    mutating func noteBound(_ slot: UInt32) {
        sessionNotes[Int(slot)].attempts &+= 1
        sessionNotes[Int(slot)].endpointRow = sessions[slot].endpointRow
    }

    @inline(never)
    mutating func noteAnswerTime(_ slot: UInt32) {
        guard sessionNotes[Int(slot)].answeredAfter == 0 else { return }
        sessionNotes[Int(slot)].answeredAfter = max(1, UInt32(clamping: (now &- sessionNotes[Int(slot)].openedAt) / 1000))
    }

    /// Hands over what was noted about a session that ends.
    @inline(never)
    mutating func logEnded(_ slot: UInt32, _ reason: CloseReason) {
        guard settings.connectionLogging == .all || !reason.isEndOfSession else { return }
        let session = sessions[slot]
        let notes = sessionNotes[Int(slot)]
        var record = ConnectionRecord(reason, frontend: notes.frontend, serviceRow: Int(session.serviceRow), closedAt: clock.reading)
        record.isSession = true
        record.client = session.key.client.address
        record.clientPort = session.key.client.port.rawValue
        record.attempts = notes.attempts
        record.endpointRow = notes.endpointRow
        record.bytesFromClient = session.requestBytes
        record.bytesToClient = session.replyBytes
        record.datagramsFromClient = notes.datagramsFromClient
        record.datagramsToClient = notes.datagramsToClient
        record.durationNanoseconds = now &- notes.openedAt
        record.isConnected = notes.answeredAfter > 0
        record.connectMicroseconds = notes.answeredAfter
        handOver(record)
    }

    private mutating func handOver(_ record: ConnectionRecord) {
        if !settings.connectionRing.append(record) { counters.add(1, row: Column.workerRow, column: Column.connectionsNotLogged) }
    }
}
