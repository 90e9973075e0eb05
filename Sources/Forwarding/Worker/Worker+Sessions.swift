import Addressing
import Engine
import Glibc
import Routing

// Sessions: how they begin, which endpoint they are bound to, and how they end.
extension Worker {
    // MARK: - Sessions

    /// The session of a client; a new one where there is none. nil where it may have none: its datagrams are dropped then, and counted.
    mutating func session(_ key: UDPSession.Key, _ served: ServedFrontend, _ datagrams: Int) -> UInt32? {
        if let slot = sessions.find(key) {
            if sessions[slot].listenerGeneration == listeners[key.listener].generation {
                if sessions[slot].epoch != epoch(of: key.listener) { checkEndpoint(slot, served) }
                return slot
            }
            // Of a listener that had the slot before, and the sweep has not come here yet.
            closeSession(slot, .noEndpoint)
        }
        let limits = served.frontend.group.settings
        let source =
            limits.connectionsPerSourceMax == nil || served.serviceRow == Column.overflowRow
            ? nil : settings.sources.key(client: key.client.address, serviceRow: served.serviceRow)
        if let reason = serviceRefusal(served, source: source) {
            drop(datagrams, reason == .limitService ? .limitService : .limitSource, served.serviceRow)
            return nil
        }
        if sessions.active >= sessionsMax, let oldest = sessions.oldest {
            counters.add(1, row: Column.workerRow, column: Column.sessionsEvicted)
            closeSession(oldest, .limitProcess)
        }
        let new = UDPSession(
            key, listenerGeneration: listeners[key.listener].generation, epoch: epoch(of: key.listener),
            serviceRow: UInt32(served.serviceRow), movedAt: FlowTime.ticks(at: now))
        guard let slot = sessions.insert(new) else {
            drop(datagrams, .limitProcess, served.serviceRow)
            return nil
        }
        if let source { sessions[slot].sourceCell = countSource(source) }
        if logsConnections { beginSessionNotes(slot, served) }
        counters.add(1, row: served.serviceRow, column: Column.connections)
        counters.add(1, row: served.serviceRow, column: Column.connectionsActive)
        publishSessions()
        sessionTimers.set(slot, deadline: sessions[slot].expiry(limits.datagrams, now))
        return slot
    }

    /// Goes on whenever a session of the listener has to look at its endpoint again: both of its parts only rise.
    private func epoch(of listener: UInt32) -> UInt32 { listeners[listener].epoch &+ healthEpoch }

    /// The listener has another group, or an endpoint's health has changed, since the session was last looked at. If its endpoint is not
    /// there any more, or is not well while another one is, the next datagram goes to another one.
    private mutating func checkEndpoint(_ slot: UInt32, _ served: ServedFrontend) {
        sessions[slot].epoch = epoch(of: sessions[slot].key.listener)
        checkUpstream(slot)
        guard sessions[slot].isBound else { return }
        let group = served.frontend.group
        let isShared = upstreams[sessions[slot].upstream].phase == .shared
        if let place = group.place(of: sessions[slot].endpointIdentity), isShared == (group.settings.datagrams.udpClass == .oneWay) {
            guard settings.health[served.endpointRows[place]].isSuspect, !sessions[slot].isProbe else { return }
            let isAnyWell = group.endpoints.indices.contains {
                group.endpoints[$0].weight > 0 && !settings.health[served.endpointRows[$0]].isSuspect
            }
            guard isAnyWell else { return }
        }
        leaveEndpoint(slot)
    }

    /// The session's next datagram goes to another endpoint.
    private mutating func leaveEndpoint(_ slot: UInt32) {
        counters.add(1, row: Int(sessions[slot].serviceRow), column: Column.rebinds)
        unbind(slot)
    }

    /// A shared socket may have been closed since the session last used it: because its endpoint refused a datagram, as a rule. Nothing of
    /// what has its slot now may be touched.
    mutating func checkUpstream(_ slot: UInt32) {
        // Field by field: with every datagram.
        let upstream = sessions[slot].upstream
        guard upstream != UDPSession.noUpstream else { return }
        let phase = upstreams[upstream].phase
        if upstreams[upstream].generation == sessions[slot].upstreamGeneration, phase == .bound || phase == .shared { return }
        sessions[slot].refusedBy = sessions[slot].endpointIdentity
        leaveEndpoint(slot)
    }

    /// Chooses an endpoint that has not been tried, and a socket to it; answers why there is none.
    mutating func bind(_ slot: UInt32, _ served: ServedFrontend, _ tried: Tried) -> DatagramDrop? {
        let key = sessions[slot].key
        let limits = served.frontend.group.settings
        let isShared = limits.datagrams.udpClass == .oneWay
        var tried = tried
        // With no other endpoint left, even that one may be asked again.
        var avoided = tried
        if sessions[slot].refusedBy != 0 { avoided.insert(sessions[slot].refusedBy) }
        while true {
            var isProbe = false
            guard let choice = chooseWellEndpoint(key.listener, served, key.client.address, avoided, &isProbe) else {
                guard avoided.count > tried.count else { return .noEndpoint }
                avoided = tried
                continue
            }
            let endpoint = served.frontend.group.endpoints[choice]
            let row = served.endpointRows[choice]
            let outcome =
                isShared
                ? sharedUpstream(to: endpoint.address, row: row, ejectAfter: limits.ejectAfter)
                : ownUpstream(to: endpoint.address, row: row)
            switch outcome {
            case .success(let upstream):
                if tried.count > 0 { counters.add(1, row: Int(sessions[slot].serviceRow), column: Column.retries) }
                sessions[slot].upstream = upstream
                sessions[slot].upstreamGeneration = upstreams[upstream].generation
                sessions[slot].endpointIdentity = endpoint.identity
                sessions[slot].endpointRow = UInt32(row)
                sessions[slot].isProbe = isProbe
                if logsConnections { noteBound(slot) }
                if !isShared { upstreams[upstream].session = slot }
                counters.add(1, row: row, column: Column.connections)
                counters.add(1, row: row, column: Column.connectionsActive)
                sessionTimers.set(slot, deadline: sessions[slot].expiry(limits.datagrams, now))
                return nil
            case .failure(let failure):
                if isProbe { settings.health.abandoned(row, healthNow) }
                // Another endpoint may be within reach; what the host has none of is wanting there as well.
                guard failure == .noEndpoint else { return failure }
                tried.insert(endpoint.identity)
                avoided.insert(endpoint.identity)
            }
        }
    }

    /// The session is left by its endpoint: its socket goes, and replies that come on it are nobody's.
    mutating func unbind(_ slot: UInt32, isSettled: Bool = false) {
        let session = sessions[slot]
        guard session.isBound else { return }
        let owns = upstreams[session.upstream].generation == session.upstreamGeneration && upstreams[session.upstream].phase == .bound
        if session.isProbe { settings.health.abandoned(Int(session.endpointRow), healthNow) }
        counters.subtract(1, row: Int(session.endpointRow), column: Column.connectionsActive)
        sessions[slot].upstream = UDPSession.noUpstream
        sessions[slot].endpointRow = 0
        sessions[slot].isProbe = false
        sessions[slot].isAnswered = false
        sessions[slot].awaited = 0
        if owns { release(session.upstream, isSettled ? Limits.settledQuarantineNanoseconds : quarantine(of: session)) }
    }

    /// How long replies to a session may be on their way: as long as it would have waited for the first.
    private mutating func quarantine(of session: UDPSession) -> UInt64 {
        guard isServed(session) else { return Limits.quarantineNanoseconds }
        let settings = listeners.frontend(of: session.key.listener).frontend.group.settings.datagrams
        return max(Limits.quarantineNanoseconds, settings.unansweredTimeout.clampedNanoseconds)
    }

    /// Whether the listener that a session came by is still there, and not another one in its slot.
    mutating func isServed(_ session: UDPSession) -> Bool {
        listeners[session.key.listener].generation == session.listenerGeneration && listeners[session.key.listener].phase == .open
    }

    /// The endpoint has refused a datagram. A session that has no other to go to stays with it, and with its socket.
    mutating func endpointRefused(_ slot: UInt32, _ errno: Int32) {
        let session = sessions[slot]
        guard isServed(session) else { return closeSession(slot, .noEndpoint) }
        let group = served(session).frontend.group
        noteRefused(Int(session.endpointRow), errno, group.settings.ejectAfter, isProbe: session.isProbe)
        sessions[slot].isProbe = false
        guard group.endpoints.contains(where: { $0.weight > 0 && $0.identity != session.endpointIdentity }) else { return }
        sessions[slot].refusedBy = session.endpointIdentity
        leaveEndpoint(slot)
    }

    /// A reply has come: the endpoint is well.
    mutating func noteAnswered(_ slot: UInt32) {
        sessions[slot].isAnswered = true
        sessions[slot].refusedBy = 0
        if logsConnections { noteAnswerTime(slot) }
        let row = Int(sessions[slot].endpointRow)
        settings.health.connected(row, isProbe: sessions[slot].isProbe, healthNow)
        settings.health.proved(row, healthNow)
        sessions[slot].isProbe = false
    }

    func noteRefused(_ row: Int, _ errno: Int32, _ ejectAfter: UInt8, isProbe: Bool) {
        guard row >= Column.firstFreeRow else { return }
        counters.add(1, row: row, column: Column.connectFailures)
        guard ejectAfter > 0 else { return }
        if settings.health.failed(row, CloseReason(connectErrno: errno), limit: ejectAfter, isProbe: isProbe, healthNow) {
            counters.add(1, row: row, column: Column.ejections)
        }
    }

    mutating func closeSession(_ slot: UInt32, _ reason: CloseReason, isSettled: Bool = false) {
        let session = sessions[slot]
        if logsConnections { logEnded(slot, reason) }
        unbind(slot, isSettled: isSettled)
        sessionTimers.clear(slot)
        if session.sourceCell != 0 { settings.sources.subtract(session.sourceCell) }
        counters.subtract(1, row: Int(session.serviceRow), column: Column.connectionsActive)
        counters.add(1, row: Int(session.serviceRow), column: Column.closed + Int(reason.rawValue))
        sessions.remove(slot)
        publishSessions()
    }

    private func publishSessions() { counters.set(UInt64(sessions.active), row: Column.workerRow, column: Column.sessionsActive) }

    /// Closes sessions whose listener is gone, and at the end everything, as many in a tick as there is room for.
    mutating func sweepSessions(from start: UInt32) {
        var slot = start
        let end = max(sessions.touched, upstreams.touched)
        while slot < end {
            guard submissions.room > Limits.sweepRoom, slot &- start < Limits.sessionsSweptPerTick else {
                sessionSweep = slot
                return
            }
            if slot < sessions.touched, sessions[slot].isOpen, !isServed(sessions[slot]) {
                closeSession(slot, stopDeadline == nil ? .noEndpoint : .drain)
            }
            if stopDeadline != nil, slot < upstreams.touched, upstreams[slot].phase != .free { beginClose(slot) }
            slot &+= 1
        }
        sessionSweep = nil
    }

    // MARK: - Timers

    mutating func lookAfterSessions() {
        if names.forwarding.timers.count > 0 { endAttempts() }
        if let slot = sessionSweep { sweepSessions(from: slot) }
        for _ in 0..<Limits.timersPerTickMax {
            guard let slot = sessionTimers.takeDue(now) else { return }
            if slot < UInt32(sessions.capacity) { lookAtSession(slot) } else { lookAtUpstream(slot &- UInt32(sessions.capacity)) }
        }
    }

    private mutating func lookAtSession(_ slot: UInt32) {
        guard isServed(sessions[slot]) else { return closeSession(slot, .noEndpoint) }
        let settings = listeners.frontend(of: sessions[slot].key.listener).frontend.group.settings.datagrams
        let expiry = sessions[slot].expiry(settings, now)
        guard expiry <= now else { return sessionTimers.set(slot, deadline: expiry) }
        // Where no replies are expected none was missing.
        let isUnanswered = settings.udpClass != .oneWay && sessions[slot].awaited > 0
        closeSession(slot, isUnanswered ? .serverIdle : .clientIdle)
    }
}
