import Addressing
import Engine
import Glibc
import Routing

// Accepting: within the room there is for connections.
extension Worker {
    mutating func acceptCompleted(_ completion: Completion) {
        let slot = completion.token.slot
        if !completion.more {
            listeners[slot].isAccepting = false
            listeners[slot].acceptCancelled = false
        }
        if completion.result == 0 {
            beginFlow(completion.socket, listener: slot)
        } else {
            switch -completion.result {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: pauseAccepting()
            default: break  // cancelled, or a connection that died in the queue
            }
        }
        if listeners[slot].phase == .open { armAccept(slot) }
    }

    /// Connections that may still be taken on.
    var room: Int { min(connectionsMax &- othersActive, flows.capacity) &- flows.active }

    mutating func armAccept(_ slot: UInt32) {
        guard acceptPause == .none, !listeners[slot].isAccepting else { return }
        guard room > 0 else {
            missedArming = true
            return
        }
        let socket = listeners[slot].socket
        listeners[slot].isAccepting = true
        submissions.append(armsMany ? .accept(socket, acceptToken(slot)) : .acceptOne(socket, acceptToken(slot)))
    }

    /// Keeps accepting within the room there is. A multishot accept may take a whole backlog before we hear of it, so it is
    /// used only while there is room for one; short of that connections are taken singly, and with no room not at all.
    mutating func settleAccepting() {
        let room = self.room
        let many = room > Int(Limits.backlog) &* (1 &+ settings.others.count)
        if many != armsMany {
            armsMany = many
            if !many { cancelAccepts() }
        }
        if case .until(let time) = acceptPause, now >= time {
            // There may be no room now: that is found out below, and is a pause of its own, which looks again.
            acceptPause = .none
            missedArming = true
            // Datagrams need no room for connections.
            for slot in 0..<UInt32(listeners.touched) where listeners[slot].phase == .open && listeners[slot].isDatagrams { armWatch(slot) }
        }
        switch acceptPause {
        case .none:
            guard room <= 0 else {
                if missedArming { armAllAccepts() }
                return
            }
            acceptPause = .untilRoom
            counters.add(1, row: Column.workerRow, column: Column.acceptPauses)
            cancelAccepts()
        case .untilRoom:
            guard room > 0 else { return }
            acceptPause = .none
            armAllAccepts()
        case .until: break
        }
    }

    /// The host is short of descriptors or memory: no accept is left in the kernel, or it would take what comes free before the
    /// flows that wait for it.
    mutating func pauseAccepting() {
        if acceptPause == .none { counters.add(1, row: Column.workerRow, column: Column.acceptPauses) }
        acceptPause = .until(now &+ Limits.acceptPauseNanoseconds)
        cancelAccepts()
    }

    mutating func armAllAccepts() {
        missedArming = false
        for slot in 0..<UInt32(listeners.touched) where listeners[slot].isAcceptor { armAccept(slot) }
    }

    mutating func cancelAccepts() {
        for slot in 0..<UInt32(listeners.touched) where listeners[slot].isAcceptor { cancelAccept(slot) }
    }

    mutating func cancelAccept(_ slot: UInt32) {
        guard listeners[slot].isAccepting, !listeners[slot].acceptCancelled else { return }
        listeners[slot].acceptCancelled = true
        let token = listeners[slot].isDatagrams ? watchToken(slot) : acceptToken(slot)
        submissions.append(.cancel(token, on: listeners[slot].socket))
    }

    func acceptToken(_ slot: UInt32) -> OperationToken {
        OperationToken(kind: OperationKind.accept.rawValue, generation: listeners[slot].generation, slot: slot)
    }

    /// The guest that a connection of a shared listener asked for, with its socket told what it could not inherit; nil where it is reset.
    @inline(never)
    private mutating func welcome(_ socket: SocketID, host: UInt32) -> UInt32? {
        guard let asked = driver.localAddress(of: socket), let guest = listeners.guest(at: FrontendKey(asked, .tcp)) else {
            submissions.append(.closeWithReset(socket))
            return nil
        }
        let (liveness, inherited) = (listeners[guest].timeouts.liveness, listeners[host].timeouts.liveness)
        if liveness != inherited { driver.setLiveness(liveness, of: socket, inPlaceOf: inherited) }
        return guest
    }

    mutating func beginFlow(_ socket: SocketID, listener accepting: UInt32) {
        var listener = accepting
        // A shared socket has no frontend.
        if !listeners.hasFrontend(accepting) {
            guard let guest = welcome(socket, host: accepting) else { return }
            listener = guest
        }
        counters.add(1, row: Column.workerRow, column: Column.accepted)
        let served = listeners.frontend(of: listener)
        counters.add(1, row: served.serviceRow, column: Column.connections)
        var isShortCircuit = false
        if served.looksAtClients {
            guard let route = route(socket, served) else { return }
            isShortCircuit = route !== served
        }
        let source = sourceKey(socket, served)
        if let reason = refusal(served, source: source) { return refuse(socket, served, reason) }
        guard let slot = flows.allocate() else { return refuse(socket, served, .limitProcess) }
        publishActive()
        if let source { flows[slot].sourceCell = countSource(source) }
        counters.add(1, row: served.serviceRow, column: Column.connectionsActive)
        listeners[listener].connecting &+= 1
        flows[slot].holdsListener = true
        flows[slot].client.socket = socket
        flows[slot].phase = .connecting
        flows[slot].listener = listener
        flows[slot].serviceRow = UInt32(served.serviceRow)
        flows[slot].timeouts = listeners[listener].timeouts
        flows[slot].connectDeadline = now &+ listeners[listener].connectNanoseconds
        flows[slot].isInspected = served.refusesHeaders
        if isShortCircuit { flows[slot].isShortCircuit = true }
        if logsConnections { beginNotes(slot, served) }
        if served.usesProxyProtocol { beginKnown(slot) } else { beginConnect(slot, otherwise: .noEndpoint) }
        settle(slot)
    }
}
