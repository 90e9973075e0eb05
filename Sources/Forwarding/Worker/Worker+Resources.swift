import Engine

// Timers, and what the worker does when buffers are short or flows are to be reset.
extension Worker {
    mutating func fireTimers() {
        for _ in 0..<Limits.timersPerTickMax {
            guard let slot = timers.takeDue(now) else { return }
            timerFired(slot)
            settle(slot)
        }
    }

    mutating func timerFired(_ slot: UInt32) {
        switch flows[slot].phase {
        case .awaitingHeader:
            flows[slot].beginClose(reset: true, reason: .proxyHeaderBad)
        case .connecting:
            guard flows[slot].connectPending, !flows[slot].connectCancelled else { return }
            flows[slot].connectCancelled = true
            submissions.append(.cancel(token(.connect, slot), on: flows[slot].server.socket))
        case .waiting:
            beginConnect(slot, otherwise: .limitProcess)
        case .established where flows[slot].flushBounded:
            flows[slot].beginClose(reset: true)
        case .established: look(slot)
        case .free, .retrying, .closing: break
        }
    }

    /// Looks after an established flow, and sets its timer again. Nothing of that is done when its bytes move.
    mutating func look(_ slot: UInt32) {
        if flows[slot].isWatched {
            flows[slot].isWatched = false
            if flows[slot].client.isUnheard, driver.hasFailed(flows[slot].client.socket) { flows[slot].foundFailed(.client) }
            if flows[slot].server.isUnheard, driver.hasFailed(flows[slot].server.socket) { flows[slot].foundFailed(.server) }
        }
        if let time = flows[slot].heldUntil(now, limit: settings.proxyHeaderNanoseconds), time <= now {
            return flows[slot].beginClose(reset: true, reason: .proxyHeaderBad)
        }
        if case .expired(let reason) = flows[slot].expiry(now) {
            // A FIN would tell both peers that all is said; and one that is gone would keep our socket for its acknowledgement.
            return flows[slot].beginClose(reset: true, reason: reason)
        }
        if mayRest(slot), restAt(slot) <= now { perform(flows[slot].beginRest(), slot) }
        if flows[slot].guardDelay != nil {
            // A server's socket inherits nothing; one that was gone before this look has cost no calls.
            flows[slot].isGuarded = true
            driver.setLiveness(flows[slot].timeouts.liveness, of: flows[slot].server.socket, inPlaceOf: .none)
        }
        // What `settle` finds after this may set it to an earlier time.
        setLook(slot)
    }

    mutating func resumeStarved() {
        guard !starved.isEmpty else {
            shortSince = nil
            return
        }
        // Not more than can be served, or they would starve again at once.
        let most = min(Limits.resumedPerTickMax, driver.receiveBuffers)
        var resumed = 0
        while resumed < most, let name = starved.take() {
            guard flows[name.slot].phase != .free, flows[name.slot][name.leg].receive == .starved else { continue }
            flows[name.slot][name.leg].receive = .idle
            settle(name.slot)
            resumed &+= 1
        }
        shedIfShort()
    }

    /// Peers that don't read can hold every buffer of the pool between them, each no more than its share. When that has gone on
    /// for a while, those that don't move are reset for the sake of those that would.
    mutating func shedIfShort() {
        guard driver.receiveBuffers < Limits.shedBuffers else {
            shortSince = nil
            return
        }
        guard let since = shortSince else {
            shortSince = now
            return
        }
        guard now &- since >= Limits.shedAfterNanoseconds else { return }
        // A few in each tick: their buffers come back with the ticks that follow.
        var shed = 0
        for _ in 0..<min(Limits.shedLooksPerTickMax, flows.touchedSlots) where shed < Limits.shedPerTickMax {
            if shedCursor >= flows.touchedSlots { shedCursor = 0 }
            let slot = shedCursor
            shedCursor &+= 1
            // A send that is pending with more behind it is a full socket.
            guard flows[slot].phase == .established, flows[slot].client.isStuck || flows[slot].server.isStuck else { continue }
            flows[slot].beginClose(reset: true, reason: .limitProcess)
            settle(slot)
            shed += 1
        }
    }

    /// Resets flows in slot order, as many as this tick has room for: closing many must not hold up the rest.
    mutating func resetFlows(from start: UInt32) {
        var slot = start
        while slot < flows.touchedSlots {
            guard submissions.room > Limits.sweepRoom else {
                resetSweep = slot
                return
            }
            if flows[slot].phase != .free {
                flows[slot].beginClose(reset: true, reason: .drain)
                settle(slot)
            }
            slot &+= 1
        }
        resetSweep = nil
    }
}
