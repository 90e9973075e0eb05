import Addressing
import Engine
import Glibc
import Routing

// Commands: what the control side wants, and closing listeners without losing what is queued.
extension Worker {
    mutating func drainMailbox() {
        isWoken = false
        while let command = mailbox.take() {
            switch command {
            case .apply(let open, let replace, let close, let acknowledge):
                if !open.isEmpty { readConnectionsMax() }
                apply(open: open, replace: replace, close: close)
                let reply = self.reply
                self.reply = WorkerReply()
                acknowledge(reply)
            case .serveNames(let handover, let acknowledge):
                acknowledge(serveNames(handover))
            case .resetDeleted(let rows):
                for (row, after) in rows { deletions.append(Deletion(serviceRow: UInt32(row), at: now &+ after)) }
                nextChoreAt = now
            case .spare(let rows):
                deletions.removeAll { rows.contains(Int($0.serviceRow)) }
            case .stopAccepting:
                for slot in 0..<UInt32(listeners.touched) where listeners[slot].isAcceptor { closeListener(slot) }
            case .resetAll:
                resetSweep = 0
            case .stop:
                stopDeadline = now &+ Limits.stopNanoseconds
                // UDP goes on until now: it has nothing that could be finished.
                for slot in 0..<UInt32(listeners.touched) where listeners[slot].phase == .open { closeListener(slot) }
                sessionSweep = 0
                stopNames()
            }
        }
    }

    mutating func apply(open: [ServedFrontend], replace: [ServedFrontend], close: [FrontendKey]) {
        for key in close {
            if let slot = listeners.slot(of: key) { closeListener(slot) }
        }
        for served in replace {
            guard let slot = listeners.slot(of: served.frontend.key) else { continue }
            if let old = listeners.replace(slot, with: served) {
                reply.retired.append(old)
                if !listeners[slot].isDatagrams, old.arrivals != served.arrivals {
                    driver.setArrivals(served.arrivals, of: listeners[slot].socket)
                }
            }
            if !listeners[slot].isDatagrams { setTimeouts(slot, served) }
        }
        let turn = Turn(worker: settings.index, of: settings.others.count + 1)
        for served in open where listeners.slot(of: served.frontend.key) == nil {
            if let home = served.sharedAt {
                admitGuest(served, at: home, turn)
                continue
            }
            let key = served.frontend.key
            let isDatagrams = key.transport == .udp
            let opened =
                isDatagrams
                ? driver.openDatagramListener(key.address) : driver.openListener(key.address, backlog: Limits.backlog, served.arrivals)
            guard opened.error == 0 else {
                reply.failures.append((key, opened.error))
                continue
            }
            guard let slot = listeners.insert(served, socket: opened.socket, turn: turn) else {
                submissions.append(.close(opened.socket))
                reply.failures.append((key, ENFILE))
                continue
            }
            if isDatagrams {
                hasServedDatagrams = true
                armWatch(slot)
            } else {
                setTimeouts(slot, served)
                armAccept(slot)
            }
        }
        counters.set(UInt64(listeners.openCount), row: Column.workerRow, column: Column.listeners)
    }

    /// Lets a frontend listen where others do; the socket is opened with the first.
    private mutating func admitGuest(_ served: ServedFrontend, at home: SocketAddress, _ turn: Turn) {
        var host = listeners.shared(at: home)
        if host == nil {
            let opened = driver.openListener(home, backlog: Limits.backlog)
            guard opened.error == 0 else {
                reply.failures.append((served.frontend.key, opened.error))
                return
            }
            host = listeners.insertShared(at: home, socket: opened.socket)
            if let host {
                listeners[host].timeouts = FlowTimeouts(settings.timeouts)
                driver.setLiveness(listeners[host].timeouts.liveness, of: opened.socket, inPlaceOf: FlowTimeouts().liveness)
                if let descriptor = driver.descriptor(of: opened.socket) { reply.shared.append((home, descriptor)) }
                armAccept(host)
            } else {
                submissions.append(.close(opened.socket))
            }
        }
        guard host != nil, let slot = listeners.insertGuest(served, turn: turn) else {
            reply.failures.append((served.frontend.key, ENFILE))
            return
        }
        setTimeouts(slot, served)
    }

    /// What the connections that a listener accepts from now on are given. Sockets inherit a part of it: it costs them no calls.
    mutating func setTimeouts(_ slot: UInt32, _ served: ServedFrontend) {
        let timeouts = served.frontend.group.settings.timeouts
        listeners[slot].connectNanoseconds = timeouts.connect?.clampedNanoseconds ?? settings.connectNanoseconds
        listeners[slot].connectAttemptNanoseconds = timeouts.connectAttempt?.clampedNanoseconds ?? settings.connectAttemptNanoseconds
        let old = listeners[slot].timeouts
        let new = FlowTimeouts(timeouts.filled(with: settings.timeouts))
        guard new != old else { return }
        listeners[slot].timeouts = new
        // Guests' sockets inherit from the one that is shared, and are told what is different as they come.
        guard new.liveness != old.liveness, !listeners[slot].isGuest else { return }
        driver.setLiveness(new.liveness, of: listeners[slot].socket, inPlaceOf: old.liveness)
    }

    /// Begins to close a listener: what is in its queue is still served, what comes now is not.
    mutating func closeListener(_ slot: UInt32) {
        defer { counters.set(UInt64(listeners.openCount), row: Column.workerRow, column: Column.listeners) }
        if listeners[slot].isGuest {
            listeners.beginLeaving(slot, until: now &+ Limits.guestLeaveNanoseconds)
            nextChoreAt = min(nextChoreAt, now &+ Limits.guestLeaveNanoseconds)
            return
        }
        // Datagrams in its queue are dropped with the socket, and their senders told by ICMP with the next.
        if !listeners[slot].isDatagrams { driver.stopArrivals(listeners[slot].socket) }
        cancelAccept(slot)
        listeners.beginDrain(slot)
        if listeners[slot].isDatagrams { sessionSweep = 0 }
    }

    /// Forgets guests whose time is over.
    mutating func forgetGuests() {
        for _ in 0..<Limits.departuresPerTickMax {
            guard let time = listeners.nextDeparture, now >= time else { return }
            listeners.depart()
        }
    }

    /// Empties the queues of closing listeners, as there is room, and closes them once they are empty. A row stays until no flow
    /// that came through it can need another endpoint.
    mutating func drainListeners() {
        var position = 0
        while position < listeners.draining.count, submissions.room > Limits.sweepRoom {
            let slot = listeners.draining[position]
            position += 1
            if listeners[slot].socket != .none {
                guard !listeners[slot].isAccepting, drainQueue(of: slot) else { continue }
                submissions.append(.close(listeners[slot].socket))
                listeners[slot].socket = .none
            }
            guard listeners[slot].connecting == 0 else { continue }
            position -= 1
            if let old = listeners.finishDrain(at: position) { reply.retired.append(old) }
        }
    }

    /// Takes connections from a closing listener's queue; true when it is empty.
    mutating func drainQueue(of slot: UInt32) -> Bool {
        if listeners[slot].isDatagrams { return true }
        for _ in 0..<Limits.drainedPerTickMax {
            if case .until = acceptPause { return false }
            guard room > 0 else { return false }
            let opened = driver.acceptQueued(listeners[slot].socket)
            switch opened.error {
            case 0: beginFlow(opened.socket, listener: slot)
            case EAGAIN: return true
            default:
                pauseAccepting()
                return false
            }
        }
        return false
    }
}
