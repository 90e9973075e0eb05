import Engine
import Glibc
import Routing

// Health: what a flow tells about its endpoint, and endpoints that are passed over. The table is the process's, so its times are too.
extension Worker {
    var healthNow: UInt64 { EndpointHealth.ticks(clock.reading) }

    /// An endpoint for a flow's next attempt: its place in the group; nil when there is none left.
    // Inlined by order, into the one place that calls it.
    @inline(__always) mutating func chooseByHealth(_ slot: UInt32, _ served: ServedFrontend) -> Int? {
        guard settings.health.isQuiet else { return chooseWellEndpoint(slot, served) }
        let group = served.frontend.group
        let gauges = gauges
        let choice = group.choose(
            client: group.selection == .clientIP ? clientAddress(slot) : nil, tried: flows[slot].tried,
            turn: &listeners[flows[slot].listener].turn, random: &random,
            connectionsActive: { gauges.read(row: served.endpointRows[$0], column: Column.connectionsActive) })
        guard let choice else { return nil }
        flows[slot].health = FlowHealth(row: served.endpointRows[choice], ejectAfter: group.settings.ejectAfter)
        return choice
    }

    /// The same where an endpoint, of whatever Service, is not well.
    @inline(never)
    private mutating func chooseWellEndpoint(_ slot: UInt32, _ served: ServedFrontend) -> Int? {
        let group = served.frontend.group
        let client = group.selection == .clientIP ? clientAddress(slot) : nil
        let (health, gauges, now) = (settings.health, gauges, healthNow)
        let listener = flows[slot].listener
        let tried = flows[slot].tried
        let ejectAfter = group.settings.ejectAfter
        // An endpoint that another worker has begun to try since we looked is not chosen; but with none left, even that one is.
        var looks = 3
        while let choice = group.choose(
            client: client, tried: tried, turn: &listeners[listener].turn, random: &random,
            connectionsActive: { gauges.read(row: served.endpointRows[$0], column: Column.connectionsActive) },
            passesOver: true,
            isUsable: { health[served.endpointRows[$0]].isUsable(now, asFirst: tried.count == 0, ejects: ejectAfter > 0) })
        {
            var flow = FlowHealth(row: served.endpointRows[choice], ejectAfter: ejectAfter)
            looks -= 1
            if flow.row != 0, tried.count == 0 {
                switch health.began(Int(flow.row), now) {
                case .taken where looks > 0: continue
                case .probe: flow.isProbe = true
                case .plain, .taken: break
                }
            }
            flows[slot].health = flow
            return choice
        }
        return nil
    }

    mutating func noteConnected(_ slot: UInt32) {
        var flow = flows[slot].health
        guard flow.row != 0 else { return }
        settings.health.connected(Int(flow.row), isProbe: flow.isProbe, healthNow)
        flow.isUnproven = true
        flow.connectedAt = FlowTime.ticks(at: now)
        flows[slot].health = flow
    }

    /// The attempt, or the connection, has failed; what failed for a fault of ours is no fault of the endpoint.
    mutating func noteFailed(_ slot: UInt32, _ reason: CloseReason) {
        let flow = flows[slot].health
        guard flow.row != 0 else { return }
        flows[slot].health = FlowHealth()
        guard reason.blamesEndpoint else {
            if flow.isProbe { settings.health.abandoned(Int(flow.row), healthNow) }
            return
        }
        if settings.health.failed(Int(flow.row), reason, limit: flow.ejectAfter, isProbe: flow.isProbe, healthNow) {
            counters.add(1, row: Int(flow.row), column: Column.ejections)
        }
    }

    /// Looks at the first byte of the server, or at its end without one. Only a connection that nobody else has ended can have
    /// failed: a server that closes after its client does nothing wrong.
    mutating func judge(_ slot: UInt32, _ result: Int32) {
        if result > 0 { return noteProved(slot) }
        let reason: CloseReason
        switch FlowErrno(result) {
        case .end: reason = .serverFin
        case .reset: reason = .serverReset
        case .lost: reason = .serverLost
        case .cancelled, .starved: return
        }
        if flows[slot].phase == .established, flows[slot].client.input == .open, !flows[slot].client.isBroken, !hasLasted(slot) {
            noteFailed(slot, reason)
        } else {
            noteEnded(slot)
        }
    }

    /// The flow ends. One that has lasted speaks for its endpoint; of another nothing is known.
    mutating func noteEnded(_ slot: UInt32) {
        let flow = flows[slot].health
        guard flow.row != 0 else { return }
        if flow.isUnproven, hasLasted(slot) { return noteProved(slot) }
        flows[slot].health = FlowHealth()
        if flow.isProbe { settings.health.abandoned(Int(flow.row), healthNow) }
    }

    private mutating func noteProved(_ slot: UInt32) {
        settings.health.proved(Int(flows[slot].health.row), healthNow)
        flows[slot].health = FlowHealth()
    }

    private func hasLasted(_ slot: UInt32) -> Bool {
        let ticks = FlowTime.ticks(at: now) &- flows[slot].health.connectedAt
        return UInt64(ticks) << TimerWheel.bucketShift >= Limits.earlyCloseNanoseconds
    }
}
