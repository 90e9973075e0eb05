import Addressing
import Engine
import Glibc
import Routing

// Datagrams of clients: taken in batches, and sent on at once. Nothing is under way in the kernel between two calls but watches.
extension Worker {
    /// A completion of a socket of datagrams.
    mutating func handleWatch(_ kind: OperationKind, _ completion: Completion) {
        let slot = completion.token.slot
        if kind == .watchUpstream {
            guard upstreams.isCurrent(completion.token) else { return dropStale(completion) }
            upstreamCompleted(slot, completion)
        } else {
            guard listeners.isCurrent(completion.token) else { return dropStale(completion) }
            watchCompleted(slot, completion)
        }
    }

    /// After a tick's completions: what was left unread has its turn, and all replies leave, before anything can happen to their listener.
    mutating func finishDatagrams() {
        if names.hasUnread { takeLeftQueries() }
        if !names.forwarding.attempts.isEmpty { makeAttempts() }
        if !unreadListeners.isEmpty || !unreadUpstreams.isEmpty { takeLeftDatagrams() }
        if replies.count > 0 { flushReplies() }
    }

    /// There may be datagrams at a listener, or its watch is over.
    mutating func watchCompleted(_ slot: UInt32, _ completion: Completion) {
        if !completion.more {
            listeners[slot].isAccepting = false
            listeners[slot].acceptCancelled = false
        }
        guard listeners[slot].phase == .open else { return }
        // The host has no room for a watch (ENOMEM): when the pause is over, it is asked again.
        if completion.result < 0, completion.result != -ECANCELED { return pauseAccepting() }
        armWatch(slot)
        if completion.result > 0, !listeners[slot].isUnread { takeDatagrams(slot) }
    }

    mutating func armWatch(_ slot: UInt32) {
        guard !listeners[slot].isAccepting else { return }
        listeners[slot].isAccepting = true
        submissions.append(.watch(listeners[slot].socket, watchToken(slot)))
    }

    func watchToken(_ slot: UInt32) -> OperationToken {
        OperationToken(kind: OperationKind.watchListener.rawValue, generation: listeners[slot].generation, slot: slot)
    }

    /// Listeners and sockets that had more than a turn's worth when it was over.
    mutating func takeLeftDatagrams() {
        for _ in 0..<unreadListeners.count {
            guard let slot = unreadListeners.take() else { break }
            listeners[slot].isUnread = false
            if listeners[slot].phase == .open, listeners[slot].isDatagrams { takeDatagrams(slot) }
        }
        for _ in 0..<unreadUpstreams.count {
            guard let slot = unreadUpstreams.take() else { break }
            upstreams[slot].isUnread = false
            if upstreams[slot].phase != .free, upstreams[slot].phase != .closing { takeReplies(slot) }
        }
    }

    /// A turn of a listener: a few full batches at most, so that others are not kept waiting.
    mutating func takeDatagrams(_ slot: UInt32) {
        let socket = listeners[slot].socket
        healthEpoch = UInt32(truncatingIfNeeded: settings.health.changeCount)
        for _ in 0..<Limits.datagramBatchesPerTurn {
            datagrams.removeAll()
            let taken = driver.receiveDatagrams(socket, into: datagrams, most: DatagramBatch.capacity)
            if taken == -Int(EAGAIN) { return }
            // An error comes before what is queued behind it.
            guard taken > 0 else { break }
            forwardDatagrams(slot)
            if taken < DatagramBatch.capacity { return }
        }
        // At most once, or its turns would multiply.
        guard !listeners[slot].isUnread else { return }
        listeners[slot].isUnread = true
        unreadListeners.append(slot)
    }

    private mutating func forwardDatagrams(_ listener: UInt32) {
        let listened = listeners.frontend(of: listener)
        let settings = listened.frontend.group.settings.datagrams
        var first = 0
        while first < datagrams.count {
            let end = datagrams.endOfSender(from: first)
            let range = first..<end
            first = end
            // One that can't be answered, for its sender has no port, is no client's.
            guard let client = datagrams[range.lowerBound].from else { continue }
            let (bytes, number) = datagrams.totals(range)
            counters.add(UInt64(number), row: listened.serviceRow, column: Column.datagramsFromClients)
            counters.add(UInt64(bytes), row: listened.serviceRow, column: Column.bytesFromClients)
            guard let served = listened.looksAtClients ? route(client.address, number, listened) : listened else { continue }
            if let rate = settings.datagramsPerSourceMax {
                let source = self.settings.sources.key(client: client.address, serviceRow: served.serviceRow)
                guard sourceRates.allows(source, number, rate: rate, now) else {
                    drop(number, .limitRate, served.serviceRow)
                    continue
                }
            }
            let local = datagrams[range.lowerBound].to ?? .anyIPv4
            if settings.udpClass == .perDatagram {
                for place in range { sendOne(place, client, listener, served) }
                continue
            }
            let key = UDPSession.Key(client: client, local: local, listener: listener)
            guard let slot = session(key, served, number) else { continue }
            sessions.touch(slot, FlowTime.ticks(at: now))
            datagrams.enqueueJoined(range)
            guard sendQueued(slot, served) else { continue }
            sessions[slot].requestBytes &+= UInt64(bytes)
            sessions[slot].awaited &+= Int32(truncatingIfNeeded: number)
            if logsConnections { sessionNotes[Int(slot)].datagramsFromClient &+= UInt32(truncatingIfNeeded: number) }
        }
    }

    mutating func drop(_ datagrams: Int, _ reason: DatagramDrop, _ serviceRow: Int) {
        counters.add(UInt64(datagrams), row: serviceRow, column: Column.dropped + Int(reason.rawValue))
    }

    /// Sends what is queued to a session's endpoint, or to another one where that has gone or refuses; false where something was dropped.
    private mutating func sendQueued(_ slot: UInt32, _ served: ServedFrontend) -> Bool {
        var tried = Tried()
        var refusals = 0
        var isWhole = true
        while datagrams.firstQueued != nil {
            checkUpstream(slot)
            if !sessions[slot].isBound, let reason = bind(slot, served, tried) { return dropQueued(reason, served) }
            let upstream = sessions[slot].upstream
            let identity = sessions[slot].endpointIdentity
            let failure = driver.sendDatagrams(upstreams[upstream].socket, from: datagrams)
            if upstreams[upstream].phase == .shared { sharedWasUsed(upstream, hasFailed: failure != 0) }
            guard failure != 0 else { return isWhole }
            guard UpstreamErrno(failure) == .endpoint else {
                dropUnsent(failure, datagrams, served.serviceRow)
                isWhole = false
                continue
            }
            // The first error may be an earlier datagram's: what is queued was not sent, and not refused.
            refusals += 1
            if refusals > 1 { tried.insert(identity) }
            endpointRefused(slot, failure)
            if refusals > Tried.max { return dropQueued(.noEndpoint, served) }
        }
        return isWhole
    }

    private mutating func dropQueued(_ reason: DatagramDrop, _ served: ServedFrontend) -> Bool {
        drop(datagrams.queuedDatagrams, reason, served.serviceRow)
        datagrams.removeQueued()
        return false
    }

    /// The kernel would not send the message that is first in the queue, or has no room for any.
    mutating func dropUnsent(_ errno: Int32, _ batch: DatagramBatch, _ serviceRow: Int) {
        if UpstreamErrno(errno) == .full {
            drop(batch.queuedDatagrams, .notSent, serviceRow)
            batch.removeQueued()
        } else {
            drop(batch.firstQueued?.datagrams ?? 0, .notSent, serviceRow)
            batch.dropFirstQueued()
        }
    }

    /// A datagram that is balanced by itself: nothing is kept of it.
    private mutating func sendOne(_ place: Int, _ client: SocketAddress, _ listener: UInt32, _ served: ServedFrontend) {
        var tried = Tried()
        var refusals = 0
        datagrams.enqueueJoined(place..<place + 1)
        while datagrams.firstQueued != nil {
            var isProbe = false
            guard let choice = chooseWellEndpoint(listener, served, client.address, tried, &isProbe) else {
                // An error may have been an earlier datagram's: whoever is left is asked once more.
                guard refusals == Int(tried.count), refusals > 0 else { return _ = dropQueued(.noEndpoint, served) }
                tried = Tried()
                continue
            }
            let endpoint = served.frontend.group.endpoints[choice]
            let row = served.endpointRows[choice]
            let ejectAfter = served.frontend.group.settings.ejectAfter
            switch sharedUpstream(to: endpoint.address, row: row, ejectAfter: ejectAfter) {
            case .failure(let reason):
                if isProbe { settings.health.abandoned(row, healthNow) }
                return _ = dropQueued(reason, served)
            case .success(let upstream):
                let failure = driver.sendDatagrams(upstreams[upstream].socket, from: datagrams)
                sharedWasUsed(upstream, hasFailed: failure != 0)
                if failure == 0 {
                    counters.add(1, row: row, column: Column.connections)
                } else if UpstreamErrno(failure) == .endpoint {
                    refusals += 1
                    tried.insert(endpoint.identity)
                    noteRefused(row, failure, ejectAfter, isProbe: isProbe)
                } else {
                    if isProbe { settings.health.abandoned(row, healthNow) }
                    dropUnsent(failure, datagrams, served.serviceRow)
                }
            }
        }
    }
}

/// What an error of a connected UDP socket means.
enum UpstreamErrno: Equatable {
    /// The endpoint, or the network on the way there, has refused an earlier datagram (ICMP; EACCES is ICMPv6's "prohibited"), or there is
    /// no way.
    case endpoint
    /// The kernel has no room at this moment.
    case full
    /// This datagram can't be sent: too long for the way, or forbidden by a filter.
    case datagram

    init(_ errno: Int32) {
        switch errno {
        case ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN, EACCES, ENOPROTOOPT, EPROTO, ETIMEDOUT, EOPNOTSUPP:
            self = .endpoint
        case EAGAIN, ENOBUFS, ENOMEM: self = .full
        default: self = .datagram
        }
    }
}
