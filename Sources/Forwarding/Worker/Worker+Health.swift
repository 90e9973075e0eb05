import Addressing
import Engine
import Glibc
import Routing

// Health: what a flow tells about its endpoint, and endpoints that are passed over. The table is the process's, so its times are too.
extension Worker {
    var healthNow: UInt64 { EndpointHealth.ticks(clock.reading) }

    /// An endpoint for a flow's next attempt: its place in the group; nil when there is none left.
    // Inlined by order, into the one place that calls it.
    @inline(__always) mutating func chooseByHealth(_ slot: UInt32, _ served: ServedFrontend) -> Int? {
        let group = served.frontend.group
        let client = group.selection == .clientIP ? clientAddress(slot) : nil
        let listener = flows[slot].listener
        var isProbe = false
        let choice: Int?
        if settings.health.isQuiet, group.settings.affinityTimeout == 0 {
            let gauges = gauges
            choice = group.choose(
                client: client, tried: flows[slot].tried, turn: &listeners[listener].turn, random: &random,
                connectionsActive: { gauges.read(row: served.endpointRows[$0], column: Column.connectionsActive) })
        } else {
            choice = chooseWellEndpoint(listener, served, client, flows[slot].tried, &isProbe)
        }
        guard let choice else { return nil }
        flows[slot].health = FlowHealth(row: served.endpointRows[choice], ejectAfter: group.settings.ejectAfter)
        flows[slot].health.isProbe = isProbe
        return choice
    }

    /// The same for whatever is to be sent on, where an endpoint, of whatever Service, is not well, or clients return to theirs.
    /// `isProbe` becomes true where it is to try an endpoint that had been ejected.
    @inline(never)
    mutating func chooseWellEndpoint(
        _ listener: UInt32, _ served: ServedFrontend, _ client: IPAddress?, _ tried: Tried, _ isProbe: inout Bool
    ) -> Int? {
        let group = served.frontend.group
        let (health, gauges, now, affinities) = (settings.health, gauges, healthNow, settings.affinities)
        let ejects = group.settings.ejectAfter > 0
        let timeout = group.settings.affinityTimeout
        let seconds = clock.reading / 1_000_000_000
        let key = timeout == 0 ? nil : client.map { affinities.key(client: $0, service: group.identity) }
        func isUsable(_ place: Int) -> Bool { health[served.endpointRows[place]].isUsable(now, asFirst: tried.count == 0, ejects: ejects) }
        // An endpoint that another worker has begun to try since we looked is not chosen; but with none left, even that one is.
        for look in 0..<4 {
            var choice = key.flatMap { affinities.endpoint(of: $0, in: group, timeout: timeout, now: seconds) }
            if let place = choice, group.endpoints[place].weight == 0 || tried.contains(group.endpoints[place]) || !isUsable(place) {
                choice = nil
            }
            choice =
                choice
                ?? group.choose(
                    client: client, tried: tried, turn: &listeners[listener].turn, random: &random,
                    connectionsActive: { gauges.read(row: served.endpointRows[$0], column: Column.connectionsActive) },
                    passesOver: !health.isQuiet, isUsable: isUsable)
            guard let choice else { return nil }
            let row = served.endpointRows[choice]
            if ejects, tried.count == 0, row != Column.overflowRow, !health.isQuiet {
                switch health.began(row, now) {
                case .taken where look < 3: continue
                case .probe: isProbe = true
                case .plain, .taken: break
                }
            }
            if let key, !affinities.remember(group.endpoints[choice], for: key, timeout: timeout, now: seconds) {
                counters.add(1, row: Column.workerRow, column: Column.affinitiesEvicted)
            }
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
