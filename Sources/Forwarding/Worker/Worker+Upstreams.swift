import Addressing
import Engine
import Glibc
import Routing

// Sockets to endpoints: whose they are, how long they rest between two owners, and how they are closed.
extension Worker {
    /// A socket without an owner: it may have one again, or it has waited for long enough.
    mutating func lookAtUpstream(_ slot: UInt32) {
        switch upstreams[slot].phase {
        case .quarantined where upstreams[slot].row != UInt32(Column.overflowRow):
            upstreams.pool(slot)
            setUpstreamTimer(slot, Limits.upstreamUnusedNanoseconds)
        case .shared where sharedUnused(slot) < Limits.upstreamUnusedNanoseconds:
            setUpstreamTimer(slot, Limits.upstreamUnusedNanoseconds &- sharedUnused(slot))
        case .quarantined, .pooled, .shared: beginClose(slot)
        case .free, .bound, .closing: break
        }
    }

    /// How long nothing was sent by a shared socket.
    private func sharedUnused(_ slot: UInt32) -> UInt64 {
        UInt64(FlowTime.ticks(at: now) &- upstreams[slot].usedAt) << TimerWheel.bucketShift
    }

    private mutating func setUpstreamTimer(_ slot: UInt32, _ nanoseconds: UInt64) {
        sessionTimers.set(UInt32(sessions.capacity) &+ slot, deadline: now &+ nanoseconds)
    }

    enum UpstreamOutcome {
        case success(UInt32)
        case failure(DatagramDrop)
    }

    /// A socket to an endpoint for one session: a pooled one, or a new one.
    mutating func ownUpstream(to peer: SocketAddress, row: Int) -> UpstreamOutcome {
        while row != Column.overflowRow, let slot = upstreams.take(row: UInt32(row)) {
            sessionTimers.clear(UInt32(sessions.capacity) &+ slot)
            // Nothing was to come any more. Where something has come all the same, more may follow, and it is not the new owner's.
            if upstreams[slot].peer == peer, isDry(slot) { return .success(slot) }
            beginClose(slot)
        }
        return openUpstream(to: peer, row: row)
    }

    /// The one for all clients of an endpoint.
    mutating func sharedUpstream(to peer: SocketAddress, row: Int, ejectAfter: UInt8) -> UpstreamOutcome {
        if let slot = upstreams.sharedSocket(row: UInt32(row), peer: peer) { return .success(slot) }
        let outcome = openUpstream(to: peer, row: row)
        if case .success(let slot) = outcome {
            upstreams.share(slot)
            upstreams[slot].ejectAfter = ejectAfter
            setUpstreamTimer(slot, Limits.upstreamUnusedNanoseconds)
        }
        return outcome
    }

    /// Something was sent on a shared socket, or could not be. Nobody replies there, so an endpoint is well when a while after a datagram
    /// no error has come.
    mutating func sharedWasUsed(_ slot: UInt32, hasFailed: Bool) {
        let ticks = FlowTime.ticks(at: now)
        upstreams.touchShared(slot, ticks)
        if hasFailed {
            upstreams[slot].wellSince = 0
        } else if upstreams[slot].wellSince == 0 {
            upstreams[slot].wellSince = max(1, ticks)
        } else if ticks &- upstreams[slot].wellSince > FlowTime.ticks(.seconds(1)) {
            upstreams[slot].wellSince = max(1, ticks)
            settings.health.connected(Int(upstreams[slot].row), isProbe: true, healthNow)
            settings.health.proved(Int(upstreams[slot].row), healthNow)
        }
    }

    private mutating func openUpstream(to peer: SocketAddress, row: Int) -> UpstreamOutcome {
        // To search for a port costs the kernel milliseconds where there is none.
        guard now >= portsLookAt else { return .failure(.noSourcePort) }
        if upstreams.active >= sessionsMax, let idle = upstreams.oldestIdle { beginClose(idle) }
        let family = peer.address.family
        let count = max(1, settings.sourceAddresses.count(family))
        for turn in 0..<count {
            let source = settings.sourceAddresses.address(family, at: UInt8((upstreams.active + settings.index + turn) % count))
            let opened = driver.openDatagramSocket(to: peer, from: source)
            switch opened.error {
            case 0:
                guard let slot = upstreams.insert(opened.socket, to: peer, row: UInt32(row)) else {
                    submissions.append(.close(opened.socket))
                    return .failure(.limitProcess)
                }
                watch(slot)
                return .success(slot)
            case EAGAIN, EADDRNOTAVAIL, EADDRINUSE: counters.add(1, row: Column.workerRow, column: Column.portsExhausted)
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                giveUpOldest()
                return .failure(.limitProcess)
            default: return .failure(.noEndpoint)
            }
        }
        // A UDP port is taken for all endpoints alike.
        giveUpOldest()
        portsLookAt = now &+ Limits.portLookNanoseconds
        return .failure(.noSourcePort)
    }

    /// The host has no more descriptors or ports: the next session gets what this gives up.
    private mutating func giveUpOldest() {
        if upstreams.oldestIdle == nil, let oldest = sessions.oldest, sessions[oldest].isBound {
            counters.add(1, row: Column.workerRow, column: Column.sessionsEvicted)
            closeSession(oldest, .limitProcess)
        }
        if let idle = upstreams.oldestIdle { beginClose(idle) }
    }

    /// A socket loses its owner, and what is still to come for that one is waited for.
    mutating func release(_ slot: UInt32, _ quarantine: UInt64) {
        if upstreams[slot].row == UInt32(Column.overflowRow) || upstreams.active > sessionsMax || stopDeadline != nil {
            return beginClose(slot)
        }
        upstreams.quarantine(slot)
        setUpstreamTimer(slot, quarantine)
    }

    /// Something has come for a former owner: more may follow.
    mutating func quarantineAnew(_ slot: UInt32) {
        guard upstreams[slot].phase == .quarantined || upstreams[slot].phase == .pooled else { return }
        upstreams.quarantine(slot)
        setUpstreamTimer(slot, Limits.quarantineNanoseconds)
    }

    /// ICMP has told that a datagram of this socket was refused, and nothing was sent since.
    mutating func upstreamFailed(_ slot: UInt32, _ errno: Int32) {
        let upstream = upstreams[slot]
        switch upstream.phase {
        case .bound: endpointRefused(upstream.session, errno)
        case .shared:
            noteRefused(Int(upstream.row), errno, upstream.ejectAfter, isProbe: true)
            // Its sessions find out by its generation, and go elsewhere.
            beginClose(slot)
        case .free, .quarantined, .pooled, .closing: break
        }
    }

    /// First step of a close: nothing is sent there any more, and the watch is to end.
    mutating func beginClose(_ slot: UInt32) {
        guard upstreams[slot].phase != .closing, upstreams[slot].phase != .free else { return }
        sessionTimers.clear(UInt32(sessions.capacity) &+ slot)
        upstreams.beginClose(slot)
        guard upstreams[slot].isWatched else { return finishClose(slot) }
        guard !upstreams[slot].isCancelled else { return }
        upstreams[slot].isCancelled = true
        submissions.append(.cancel(upstreamToken(slot), on: upstreams[slot].socket))
    }

    /// Last step: nothing of it is in the kernel.
    mutating func finishClose(_ slot: UInt32) {
        submissions.append(.close(upstreams[slot].socket))
        upstreams.free(slot)
    }
}
