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
        let served = listeners.frontend(of: flow.listener)
        let group = served.frontend.group
        if flow.header != served.proxyProtocol, now < flow.connectDeadline, !prepareHeader(slot, served.proxyProtocol) {
            guard flows[slot].phase != .closing else { return }
            flows[slot].phase = .waiting
            timers.set(slot, deadline: min(now &+ Limits.descriptorRetryNanoseconds, flow.connectDeadline))
            return
        }
        guard now < flow.connectDeadline, let choice = chooseEndpoint(slot, served) else {
            flows[slot].beginClose(reset: true, reason: reason)
            return
        }
        let endpoint = group.endpoints[choice]
        flows[slot].endpointIdentity = endpoint.identity
        let opened = driver.openStream(endpoint.address.address.family)
        guard opened.error == 0 else { return attemptFailed(slot, opened.error) }
        if flow.tried.count > 0 { counters.add(1, row: served.serviceRow, column: Column.retries) }
        let row = served.endpointRows[choice]
        counters.add(1, row: row, column: Column.connections)
        counters.add(1, row: row, column: Column.connectionsActive)
        flows[slot].endpointRow = UInt32(row)
        flows[slot].server.socket = opened.socket
        flows[slot].phase = .connecting
        flows[slot].connectPending = true
        submissions.append(.connect(opened.socket, to: endpoint.address, token(.connect, slot)))
        timers.set(slot, deadline: min(now &+ settings.connectAttemptNanoseconds, flow.connectDeadline))
    }

    /// The client's address, for a choice that depends on it: the one that its PROXY header named, or its socket's.
    func clientAddress(_ slot: UInt32) -> IPAddress? {
        flows[slot].hasAddresses ? addresses[Int(slot)].source : driver.peerAddress(of: flows[slot].client.socket)?.address
    }

    /// An attempt came to nothing; no socket of the server is left. Another endpoint gets its chance.
    mutating func attemptFailed(_ slot: UInt32, _ errno: Int32) {
        noteFailed(slot, CloseReason(connectErrno: errno))
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // Our own want, not the endpoint's fault: the client waits while others finish, and no more are accepted.
            flows[slot].phase = .waiting
            timers.set(slot, deadline: min(now &+ Limits.descriptorRetryNanoseconds, flows[slot].connectDeadline))
            pauseAccepting()
        default:
            flows[slot].connectFailed()
            beginConnect(slot, otherwise: CloseReason(connectErrno: errno))
        }
    }

    mutating func connectCompleted(_ slot: UInt32, _ result: Int32) {
        if flows[slot].phase == .closing {
            flows[slot].connectPending = false
            return
        }
        let result = result == 0 ? -driver.connectError(flows[slot].server.socket) : result
        if result == 0 {
            releaseListener(slot)
            flows[slot].connected()
            noteConnected(slot)
            flows[slot].movedAt = FlowTime.ticks(at: now)
            setLook(slot)
            return
        }
        timers.clear(slot)
        // The attempt's end: its socket has nothing pending any more.
        let row = Int(flows[slot].endpointRow)
        if CloseReason(connectErrno: -result).blamesEndpoint { counters.add(1, row: row, column: Column.connectFailures) }
        counters.subtract(1, row: row, column: Column.connectionsActive)
        flows[slot].endpointRow = 0
        submissions.append(.close(flows[slot].server.socket))
        flows[slot].attemptEnded()
        attemptFailed(slot, -result)
    }

    /// The flow chooses no more endpoints: its listener's row may go.
    mutating func releaseListener(_ slot: UInt32) {
        guard flows[slot].holdsListener else { return }
        flows[slot].holdsListener = false
        listeners[flows[slot].listener].connecting &-= 1
    }
}
