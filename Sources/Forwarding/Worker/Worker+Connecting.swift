import Addressing
import Engine
import Glibc
import Routing

// Connecting: one endpoint after another, until one answers or the time is over.
extension Worker {
    /// Starts an attempt to connect to an endpoint not tried yet; closes the flow with `reason` when there is none.
    mutating func beginConnect(_ slot: UInt32, otherwise reason: CloseReason) {
        let flow = flows[slot]
        precondition(flow.holdsListener, "a flow chooses an endpoint without its listener")
        let served = served(flow)
        let group = served.frontend.group
        if flow.header != served.proxyProtocol, now < flow.connectDeadline, !prepareHeader(slot, served.proxyProtocol) {
            guard flows[slot].phase != .closing else { return }
            flows[slot].phase = .waiting
            timers.set(slot, deadline: min(now &+ Limits.descriptorRetryNanoseconds, flow.connectDeadline))
            return
        }
        var reason = reason
        guard now < flow.connectDeadline, let choice = chooseEndpoint(slot, served, otherwise: &reason) else {
            flows[slot].beginClose(reset: true, reason: reason)
            return
        }
        let endpoint = group.endpoints[choice]
        let family = endpoint.address.address.family
        let opened = driver.openStream(family, from: settings.sourceAddresses.address(family, at: flows[slot].source))
        guard opened.error == 0 else { return attemptFailed(slot, opened.error, otherwise: CloseReason(connectErrno: opened.error)) }
        if flow.tried.count > 0 { counters.add(1, row: served.serviceRow, column: Column.retries) }
        let row = served.endpointRows[choice]
        counters.add(1, row: row, column: Column.connections)
        counters.add(1, row: row, column: Column.connectionsActive)
        flows[slot].endpointRow = UInt32(row)
        flows[slot].server.socket = opened.socket
        flows[slot].phase = .connecting
        flows[slot].connectPending = true
        if logsConnections { noteAttempt(slot, endpointRow: row) }
        submissions.append(.connect(opened.socket, to: endpoint.address, token(.connect, slot)))
        timers.set(slot, deadline: min(now &+ listeners[flow.listener].connectAttemptNanoseconds, flow.connectDeadline))
    }

    /// The client's address, for a choice that depends on it: the one that its PROXY header named, or its socket's.
    func clientAddress(_ slot: UInt32) -> IPAddress? {
        flows[slot].hasAddresses ? addresses[Int(slot)].source : driver.peerAddress(of: flows[slot].client.socket)?.address
    }

    /// An attempt came to nothing; no socket of the server is left. Another endpoint gets its chance.
    mutating func attemptFailed(_ slot: UInt32, _ errno: Int32, otherwise reason: CloseReason) {
        noteFailed(slot, CloseReason(connectErrno: errno))
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // Our own want, not the endpoint's fault: the client waits while others finish, and no more are accepted.
            flows[slot].phase = .waiting
            timers.set(slot, deadline: min(now &+ Limits.descriptorRetryNanoseconds, flows[slot].connectDeadline))
            pauseAccepting()
        case EADDRNOTAVAIL, EADDRINUSE:
            foundNoPort(slot)
            beginConnect(slot, otherwise: .noSourcePort)
        default:
            flows[slot].connectFailed()
            beginConnect(slot, otherwise: reason)
        }
    }

    mutating func connectCompleted(_ slot: UInt32, _ result: Int32) {
        if flows[slot].phase == .closing {
            flows[slot].connectPending = false
            return
        }
        if result == 0 {
            foundPort(slot)
            flows[slot].connected()
            noteConnected(slot)
            withholdHandshake(slot)
            flows[slot].movedAt = FlowTime.ticks(at: now)
            if logsConnections { noteConnectTime(slot) }
            setLook(slot)
            return
        }
        endAttempt(slot, -result, otherwise: CloseReason(connectErrno: -result))
    }

    /// The server's socket failed after its connect had come off, and before anything was sent or said there.
    mutating func retry(_ slot: UInt32) {
        // With nobody to take its place, the flow ends as it would have without.
        endAttempt(slot, ECONNRESET, otherwise: flows[slot].closeReason)
    }

    /// Ends an attempt: its socket has nothing pending any more.
    private mutating func endAttempt(_ slot: UInt32, _ errno: Int32, otherwise reason: CloseReason) {
        timers.clear(slot)
        let row = Int(flows[slot].endpointRow)
        if CloseReason(connectErrno: errno).blamesEndpoint { counters.add(1, row: row, column: Column.connectFailures) }
        counters.subtract(1, row: row, column: Column.connectionsActive)
        flows[slot].endpointRow = 0
        submissions.append(.close(flows[slot].server.socket))
        flows[slot].attemptEnded()
        attemptFailed(slot, errno, otherwise: reason)
    }

    /// The flow chooses no more endpoints: its listener's row may go.
    mutating func releaseListener(_ slot: UInt32) {
        guard flows[slot].holdsListener else { return }
        flows[slot].holdsListener = false
        listeners[flows[slot].listener].connecting &-= 1
    }
}
