import Addressing
import DNS
import Engine
import Glibc
import Routing

// The cluster's DNS: its sockets, and queries over UDP, which are answered where they are taken.
extension Worker {
    /// Answers from these names from now on; the first ones open the sockets.
    mutating func serveNames(_ handover: ZoneHandover) -> [(socket: Int, errno: Int32)] {
        names.serve(handover)
        var failures: [(socket: Int, errno: Int32)] = []
        for index in 0..<names.socketCount where names.sockets[index].phase == .closed {
            let address = names.address(of: index)
            let opened =
                index % 2 == 0
                ? driver.openDatagramListener(address, fragments: false) : driver.openListener(address, backlog: Limits.nameBacklog)
            guard opened.error == 0 else {
                failures.append((index, opened.error))
                continue
            }
            names.sockets[index].socket = opened.socket
            names.sockets[index].phase = .open
            armNameSocket(index)
        }
        // Where datagrams come from, a tick looks at what was left unread.
        hasServedDatagrams = true
        return failures
    }

    /// A completion of a socket or a connection for queries.
    @inline(never)
    mutating func namesCompleted(_ completion: Completion) {
        guard let kind = NameOperation(rawValue: completion.token.kind) else { preconditionFailure("a token nobody made") }
        if kind.rawValue >= NameOperation.watchQuestion.rawValue { return questionCompleted(kind, completion) }
        let slot = completion.token.slot
        if kind == .receiveQuery || kind == .sendAnswer {
            guard names.connections.isCurrent(completion.token) else { return dropStale(completion) }
            return nameConnectionCompleted(slot, kind, completion)
        }
        let index = Int(slot)
        guard index < names.socketCount, names.sockets[index].phase != .closed,
            names.sockets[index].generation == completion.token.generation
        else { return dropStale(completion) }
        if !completion.more {
            names.sockets[index].isArmed = false
            names.sockets[index].isCancelled = false
        }
        if kind == .acceptNames, completion.result == 0 { beginNameConnection(completion.socket, at: index) }
        guard names.sockets[index].phase == .open else {
            if !names.sockets[index].isArmed { finishNameSocket(index) }
            return
        }
        switch -completion.result {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // The host is short: whoever waits for a descriptor of ours comes first.
            return lookAtNames(by: now &+ Limits.acceptPauseNanoseconds)
        default: break
        }
        armNameSocket(index)
        if kind == .watchNames, completion.result > 0, !names.sockets[index].isUnread { takeQueries(index) }
    }

    private mutating func armNameSocket(_ index: Int) {
        guard names.sockets[index].phase == .open, !names.sockets[index].isArmed else { return }
        names.sockets[index].isArmed = true
        let socket = names.sockets[index].socket
        submissions.append(index % 2 == 0 ? .watch(socket, nameToken(index), isSingle: true) : .accept(socket, nameToken(index)))
    }

    private func nameToken(_ index: Int) -> OperationToken {
        let kind = index % 2 == 0 ? NameOperation.watchNames : .acceptNames
        return OperationToken(kind: kind.rawValue, generation: names.sockets[index].generation, slot: UInt32(index))
    }

    private mutating func finishNameSocket(_ index: Int) {
        submissions.append(.close(names.sockets[index].socket))
        names.sockets[index].socket = .none
        names.sockets[index].phase = .closed
        names.sockets[index].generation = names.sockets[index].generation &+ 1 & OperationToken.generationMask
    }

    /// Closes everything: the worker stops.
    mutating func stopNames() {
        for index in 0..<names.socketCount where names.sockets[index].phase == .open {
            names.sockets[index].phase = .closing
            if !names.sockets[index].isArmed {
                finishNameSocket(index)
            } else if !names.sockets[index].isCancelled {
                names.sockets[index].isCancelled = true
                submissions.append(.cancel(nameToken(index), on: names.sockets[index].socket))
            }
        }
        for slot in 0..<names.connections.touchedSlots { closeNameConnection(slot, .stopped) }
        stopAsking()
    }

    // MARK: - UDP

    /// A turn of a socket: a few full batches at most, so that others are not kept waiting.
    private mutating func takeQueries(_ index: Int) {
        let socket = names.sockets[index].socket
        for _ in 0..<Limits.datagramBatchesPerTurn {
            datagrams.removeAll()
            let taken = driver.receiveDatagrams(socket, into: datagrams, most: DatagramBatch.capacity)
            if taken == -Int(EAGAIN) { return }
            // An error comes before what is queued behind it.
            guard taken > 0 else { break }
            var next: (place: Int, offset: Int)? = (0, 0)
            while let start = next {
                next = names.answer(datagrams, at: index, from: start, now, random: &random)
                sendAnswers(index)
            }
            if taken < DatagramBatch.capacity { return }
        }
        names.sockets[index].isUnread = true
        names.hasUnread = true
    }

    mutating func sendAnswers(_ index: Int) {
        let answers = names.answers
        while answers.firstQueued != nil {
            let failure = driver.sendDatagrams(names.sockets[index].socket, from: answers)
            guard failure != 0 else { break }
            // Longer than the link takes, and no answer is cut on its way (RFC 9715): this client has to ask by TCP.
            if failure == EMSGSIZE, answers.shortenFirstQueued({ MessageFacts.truncate(&$0, $1) }) { continue }
            // No room for any, or this one's client can't be sent to.
            let isFull = UpstreamErrno(failure) == .full
            let lost = isFull ? answers.queuedDatagrams : 1
            names.counters.add(UInt64(lost), row: index, column: NameColumn.dropped + QueryDrop.notSent.rawValue)
            if isFull { answers.removeQueued() } else { answers.dropFirstQueued() }
        }
        answers.removeAll()
    }

    /// Sockets that had more than a turn's worth when it was over.
    mutating func takeLeftQueries() {
        names.hasUnread = false
        for index in 0..<names.socketCount where names.sockets[index].isUnread {
            names.sockets[index].isUnread = false
            if names.sockets[index].phase == .open { takeQueries(index) }
        }
    }

    // MARK: - What has to be looked at now and then

    mutating func lookAtNames(by time: UInt64) {
        names.lookAt = min(names.lookAt, time)
        nextChoreAt = min(nextChoreAt, names.lookAt)
    }

    /// Ends connections that nothing moves on, and tries again what the host had no room for.
    mutating func lookAfterNames() {
        guard now >= names.lookAt else { return }
        names.lookAt = .max
        for index in 0..<names.socketCount { armNameSocket(index) }
        for slot in 0..<names.connections.touchedSlots where names.connections[slot].phase == .open {
            if now &- names.connections[slot].movedAt >= Limits.nameIdleNanoseconds {
                closeNameConnection(slot, .idle)
            } else if names.connections[slot].isStarved {
                names.connections[slot].isStarved = false
                settleNameConnection(slot)
            }
        }
        if names.connections.active > 0 { lookAtNames(by: now &+ Limits.nameLookNanoseconds) }
    }
}
