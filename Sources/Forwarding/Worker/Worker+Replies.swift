import Addressing
import Engine
import Glibc
import Routing

// Datagrams of endpoints: gathered from all sockets of a tick, and sent to the clients in as few calls as there are listeners.
extension Worker {
    /// There may be replies at a socket, or an error; or its watch is over.
    mutating func upstreamCompleted(_ slot: UInt32, _ completion: Completion) {
        if !completion.more {
            upstreams[slot].isWatched = false
            upstreams[slot].isCancelled = false
        }
        if upstreams[slot].phase == .closing {
            if !upstreams[slot].isWatched { finishClose(slot) }
            return
        }
        if completion.result < 0, completion.result != -ECANCELED {
            // The host has no room for a watch (ENOMEM): without one nobody would hear of replies.
            if upstreams[slot].phase == .bound { unbind(upstreams[slot].session) }
            return beginClose(slot)
        }
        watch(slot)
        if completion.result > 0, !upstreams[slot].isUnread { takeReplies(slot) }
    }

    mutating func watch(_ slot: UInt32) {
        guard !upstreams[slot].isWatched else { return }
        upstreams[slot].isWatched = true
        submissions.append(.watch(upstreams[slot].socket, upstreamToken(slot)))
    }

    func upstreamToken(_ slot: UInt32) -> OperationToken {
        OperationToken(kind: OperationKind.watchUpstream.rawValue, generation: upstreams[slot].generation, slot: slot)
    }

    /// A turn of a socket.
    mutating func takeReplies(_ slot: UInt32) {
        let upstream = upstreams[slot]
        let isBound = upstream.phase == .bound
        if isBound, replies.queuedCount > 0, sessions[upstream.session].key.listener != repliesListener { flushReplies() }
        for _ in 0..<Limits.replyCallsPerTurn {
            if replies.room == 0 { flushReplies() }
            let first = replies.count
            let most = min(Limits.repliesPerCall, replies.room)
            let taken = driver.receiveDatagrams(upstream.socket, into: replies, most: most)
            guard taken > 0 else {
                if taken == -Int(EAGAIN) { return }
                // An error comes before what is queued behind it.
                let errno = Int32(truncatingIfNeeded: -taken)
                if UpstreamErrno(errno) == .endpoint { upstreamFailed(slot, errno) }
                break
            }
            if isBound { reply(first..<first &+ taken, upstream.session) } else { dropLate(first..<first &+ taken, slot) }
            if taken < most { return }
            guard upstreams[slot].phase == upstream.phase else { break }
        }
        guard upstreams[slot].phase != .closing, upstreams[slot].phase != .free, !upstreams[slot].isUnread else { return }
        upstreams[slot].isUnread = true
        unreadUpstreams.append(slot)
    }

    /// Whether nothing has come on a socket that is to have a new owner.
    mutating func isDry(_ slot: UInt32) -> Bool {
        if replies.room == 0 { flushReplies() }
        let first = replies.count
        let taken = driver.receiveDatagrams(upstreams[slot].socket, into: replies, most: 1)
        if taken > 0 { dropLate(first..<first &+ taken, slot) }
        return taken == -Int(EAGAIN)
    }

    /// Whoever waited for it has gone, or never would.
    private mutating func dropLate(_ range: Range<Int>, _ slot: UInt32) {
        quarantineAnew(slot)
        counters.add(UInt64(replies.totals(range).datagrams), row: Column.workerRow, column: Column.repliesLate)
    }

    private mutating func reply(_ range: Range<Int>, _ slot: UInt32) {
        let session = sessions[slot]
        let listener = session.key.listener
        guard isServed(session) else { return dropLate(range, session.upstream) }
        let served = listeners.frontend(of: listener)
        let settings = served.frontend.group.settings.datagrams
        var range = range
        if let ratio = settings.replyRatioMax {
            let most = session.requestBytes &* UInt64(ratio)
            let end = replies.endWithin(range, bytes: most &- min(most, session.replyBytes))
            if end < range.upperBound {
                drop(replies.totals(end..<range.upperBound).datagrams, .replyRatio, served.serviceRow)
                guard end > range.lowerBound else { return }
                range = range.lowerBound..<end
            }
        }
        let (bytes, number) = replies.totals(range)
        repliesListener = listener
        replies.enqueueJoined(range, to: session.key.client, source: session.key.local.isUnspecified ? nil : session.key.local)
        counters.add(UInt64(number), row: served.serviceRow, column: Column.datagramsToClients)
        counters.add(UInt64(bytes), row: served.serviceRow, column: Column.bytesToClients)
        sessions[slot].replyBytes &+= UInt64(bytes)
        if logsConnections { sessionNotes[Int(slot)].datagramsToClient &+= UInt32(truncatingIfNeeded: number) }
        sessions[slot].awaited &-= Int32(truncatingIfNeeded: number)
        sessions.touch(slot, FlowTime.ticks(at: now))
        if !session.isAnswered { noteAnswered(slot) }
        if settings.udpClass == .oneReply, sessions[slot].awaited <= 0 { closeSession(slot, .serverFin, isSettled: true) }
    }

    /// Sends what is gathered. Before anything happens to the listener that it is to leave by.
    mutating func flushReplies() {
        if replies.queuedCount > 0 {
            let socket = listeners[repliesListener].socket
            let row = listeners.frontend(of: repliesListener).serviceRow
            while replies.firstQueued != nil {
                let failure = driver.sendDatagrams(socket, from: replies)
                if failure != 0 { dropUnsent(failure, replies, row) }
            }
        }
        replies.removeAll()
    }
}
