import Engine
import Glibc
import Routing

// Health: what a flow tells about its endpoint, and endpoints that are passed over. The table is the process's, so its times are too.
extension Worker {
    private var healthNow: UInt64 { EndpointHealth.ticks(clock.reading) }

    /// An endpoint for a flow's next attempt: its place in the group; nil when there is none left.
    mutating func chooseWellEndpoint(_ slot: UInt32, _ served: ServedFrontend) -> Int? {
        let group = served.frontend.group
        let client = group.selection == .clientIP ? clientAddress(slot) : nil
        let (health, gauges, now) = (settings.health, gauges, healthNow)
        let listener = flows[slot].listener
        let tried = flows[slot].tried
        let ejectAfter = group.settings.ejectAfter
        let passesOver = !health.isQuiet
        flows[slot].health = FlowHealth()
        // An endpoint that another worker has begun to try since we looked is not chosen; but with none left, even that one is.
        var looks = 3
        while let choice = group.choose(
            client: client, tried: tried, turn: &listeners[listener].turn, random: &random,
            connectionsActive: { gauges.read(row: served.endpointRows[$0], column: Column.connectionsActive) },
            passesOver: passesOver,
            isUsable: { health[served.endpointRows[$0]].isUsable(now, asFirst: tried.count == 0, ejects: ejectAfter > 0) })
        {
            let row = served.endpointRows[choice]
            guard ejectAfter > 0, row != Column.overflowRow else { return choice }
            looks -= 1
            if passesOver, tried.count == 0 {
                switch health.began(row, now) {
                case .taken where looks > 0: continue
                case .probe: flows[slot].health.isProbe = true
                case .plain, .taken: break
                }
            }
            watchHealth(slot, served, choice)
            return choice
        }
        return nil
    }

    /// What becomes of the attempt tells of the endpoint at that place.
    mutating func watchHealth(_ slot: UInt32, _ served: ServedFrontend, _ choice: Int) {
        let row = served.endpointRows[choice]
        let ejectAfter = served.frontend.group.settings.ejectAfter
        guard ejectAfter > 0, row != Column.overflowRow else { return }
        flows[slot].health.row = UInt32(row)
        flows[slot].health.ejectAfter = ejectAfter
    }

    mutating func noteConnected(_ slot: UInt32) {
        guard flows[slot].health.row != 0 else { return }
        settings.health.connected(Int(flows[slot].health.row), isProbe: flows[slot].health.isProbe, healthNow)
        flows[slot].health.isUnproven = true
        flows[slot].health.connectedAt = FlowTime.ticks(at: now)
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
