import Addressing
import DNS
import Engine
import Glibc

// Names that are not the cluster's: what is sent to upstream name servers, and what comes back.
extension Worker {
    /// Does what the forwarder says about a question.
    private mutating func act(_ action: Forwarder.Action, on question: UInt32) {
        switch action {
        case .wait: return
        case .ask(let attempt):
            closeSocket(of: question)
            names.forwarding.queue(attempt)
        case .answer:
            closeSocket(of: question)
            tellClients(of: question)
        case .answerAndAsk(let attempt):
            closeSocket(of: question)
            names.forwarding.queue(attempt)
            tellClients(of: question)
        }
    }

    // MARK: - Attempts

    /// Makes the attempts that a tick's events have asked for, and those that follow where one fails at once.
    mutating func makeAttempts() {
        while let attempt = names.forwarding.attempts.take() {
            guard stopDeadline == nil else { continue }
            switch attempt.transport {
            case .udp: askByDatagram(attempt)
            case .tcp: askByStream(attempt)
            }
        }
    }

    private mutating func askByDatagram(_ attempt: Attempt) {
        let opened = driver.openDatagramSocket(to: attempt.server, from: nil)
        guard let slot = admit(opened, attempt) else { return }
        names.forwarding.sockets[slot].isWatching = true
        submissions.append(.watch(opened.socket, questionToken(.watchQuestion, slot)))
        let length = names.forwarding.writeQuestion(attempt.question)
        // The batch is empty between two turns.
        let batch = names.answers
        batch.enqueue(to: nil, source: nil) { bytes in
            names.forwarding.message.withBytes(2..<length) { message in
                for index in 0..<message.count { bytes[index] = message[index] }
            }
            return length - 2
        }
        let failure = driver.sendDatagrams(opened.socket, from: batch)
        batch.removeAll()
        if failure != 0 { attemptFailed(attempt.question, failure) }
    }

    private mutating func askByStream(_ attempt: Attempt) {
        let opened = driver.openStream(attempt.server.address.family)
        guard let slot = admit(opened, attempt) else { return }
        let length = names.forwarding.writeQuestion(attempt.question)
        guard names.forwarding.sockets[slot].outbox.append(names.forwarding.message, count: length, in: pool) else {
            return attemptFailed(attempt.question, ENOBUFS)
        }
        names.forwarding.sockets[slot].isConnecting = true
        submissions.append(.connect(opened.socket, to: attempt.server, questionToken(.connectQuestion, slot)))
    }

    /// A row for a socket that was opened; nil where that or this has failed, which is seen to.
    private mutating func admit(_ opened: Opened, _ attempt: Attempt) -> UInt32? {
        guard opened.error == 0 else {
            attemptFailed(attempt.question, opened.error)
            return nil
        }
        guard let slot = names.forwarding.sockets.insert(opened.socket, attempt) else {
            submissions.append(.close(opened.socket))
            attemptFailed(attempt.question, ENOBUFS)
            return nil
        }
        names.forwarding.timers.set(slot, deadline: attempt.deadline)
        return slot
    }

    private mutating func attemptFailed(_ question: UInt32, _ errno: Int32) {
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM, EAGAIN, EADDRNOTAVAIL, EADDRINUSE:
            act(names.forwarding.forwarder.failedHere(question, now: now), on: question)
        default:
            let id = names.forwarding.nextID
            act(names.forwarding.forwarder.unreachable(question, now: now, id: id, random: &random), on: question)
        }
    }

    /// Attempts whose time is over.
    mutating func endAttempts() {
        for _ in 0..<Limits.timersPerTickMax {
            guard let slot = names.forwarding.timers.takeDue(now) else { break }
            attemptTimedOut(names.forwarding.sockets[slot].question)
        }
        if !names.forwarding.attempts.isEmpty { makeAttempts() }
    }

    private mutating func attemptTimedOut(_ question: UInt32) {
        let id = names.forwarding.nextID
        act(names.forwarding.forwarder.timedOut(question, now: now, id: id, random: &random), on: question)
    }

    // MARK: - Replies

    /// A completion of a socket to an upstream.
    mutating func questionCompleted(_ kind: NameOperation, _ completion: Completion) {
        guard names.forwarding.sockets.isCurrent(completion.token) else { return dropStale(completion) }
        let slot = completion.token.slot
        if !completion.more {
            switch kind {
            case .watchQuestion: names.forwarding.sockets[slot].isWatching = false
            case .connectQuestion: names.forwarding.sockets[slot].isConnecting = false
            case .sendQuestion: names.forwarding.sockets[slot].isSending = false
            default: names.forwarding.sockets[slot].isReceiving = false
            }
        }
        if kind == .receiveReply, completion.result > 0 {
            names.forwarding.sockets[slot].inbox.append(completion.buffer, length: Int(completion.result), in: pool)
        }
        if kind == .sendQuestion, completion.result > 0 {
            names.forwarding.sockets[slot].outbox.consume(Int(completion.result), in: pool)
        }
        guard names.forwarding.sockets[slot].phase == .open else { return finishQuestion(slot) }
        let question = names.forwarding.sockets[slot].question
        if completion.result < 0 || completion.result == 0 && kind == .receiveReply {
            return attemptFailed(question, completion.result == 0 ? ECONNRESET : -completion.result)
        }
        switch kind {
        case .watchQuestion:
            if !completion.more { watchQuestion(slot) }
            takeReplies(of: slot)
        case .connectQuestion:
            sendQuestion(slot)
            receiveReply(slot)
        case .sendQuestion:
            if !names.forwarding.sockets[slot].outbox.isEmpty { sendQuestion(slot) }
        default:
            if !completion.more { receiveReply(slot) }
            act(names.forwarding.streamReceived(slot, in: pool, now, random: &random), on: question)
        }
    }

    private mutating func watchQuestion(_ slot: UInt32) {
        names.forwarding.sockets[slot].isWatching = true
        submissions.append(.watch(names.forwarding.sockets[slot].socket, questionToken(.watchQuestion, slot)))
    }

    private mutating func sendQuestion(_ slot: UInt32) {
        names.forwarding.sockets[slot].isSending = true
        let socket = names.forwarding.sockets[slot]
        submissions.append(.send(socket.socket, socket.outbox, questionToken(.sendQuestion, slot)))
    }

    private mutating func receiveReply(_ slot: UInt32) {
        names.forwarding.sockets[slot].isReceiving = true
        submissions.append(.receive(names.forwarding.sockets[slot].socket, questionToken(.receiveReply, slot)))
    }

    private func questionToken(_ kind: NameOperation, _ slot: UInt32) -> OperationToken {
        OperationToken(kind: kind.rawValue, generation: names.forwarding.sockets[slot].generation, slot: slot)
    }

    /// Looks through what has come by UDP until the reply is among it.
    private mutating func takeReplies(of slot: UInt32) {
        let (socket, question) = (names.forwarding.sockets[slot].socket, names.forwarding.sockets[slot].question)
        var strangers = 0
        while true {
            datagrams.removeAll()
            let taken = driver.receiveDatagrams(socket, into: datagrams, most: Limits.repliesPerCall)
            if taken == -Int(EAGAIN) { return }
            guard taken > 0 else { return attemptFailed(question, Int32(truncatingIfNeeded: -taken)) }
            for place in 0..<datagrams.count {
                let datagram = datagrams[place]
                let step = datagram.segment == 0 ? max(1, datagram.length) : datagram.segment
                var offset = 0
                repeat {
                    var action = Forwarder.Action.wait
                    datagrams.withBytes(of: place, offset..<min(offset &+ step, datagram.length)) { message in
                        action = names.forwarding.received(message, for: question, now, random: &random)
                    }
                    guard case .wait = action else { return act(action, on: question) }
                    strangers += 1
                    offset &+= step
                } while offset < datagram.length
            }
            if taken < Limits.repliesPerCall { return }
            // Somebody tries to be the server: let him begin anew.
            if strangers >= Limits.strangersMax { return attemptTimedOut(question) }
        }
    }

    // MARK: - Clients

    /// Tells the clients of a question its answer.
    private mutating func tellClients(of question: UInt32) {
        var socket: Int?
        while let told = names.forwarding.takeAnswer(question) {
            let slot = told.asker.slot
            if told.asker.transport == .tcp {
                guard names.connections.isOpen(slot, generation: told.asker.generation) else { continue }
                count(told, at: Int(names.connections[slot].origin))
                tellConnection(slot, told.length)
                continue
            }
            let index = Int(slot)
            guard names.sockets[index].phase == .open, names.sockets[index].generation == told.asker.generation,
                let client = told.asker.client
            else { continue }
            if let other = socket, other != index || names.answers.room == 0 { sendAnswers(other) }
            socket = index
            count(told, at: index)
            names.answers.enqueue(to: client, source: told.asker.local) { reply in
                names.forwarding.message.withBytes(2..<2 + told.length) { message in
                    for place in 0..<message.count { reply[place] = message[place] }
                }
                return told.length
            }
        }
        if let socket { sendAnswers(socket) }
    }

    private func count(_ told: Forwarder.Told, at socket: Int) {
        names.forwarding.message.withBytes(2..<2 + told.length) { message in
            names.answering.countResponse(told.length, MessageFacts(of: message).code, told.isAlias ? .cluster : .other, at: socket)
        }
    }

    private mutating func tellConnection(_ slot: UInt32, _ length: Int) {
        names.connections[slot].awaited &-= 1
        // A client that doesn't read has asked before that was known; it is held to twice the bound.
        guard names.connections[slot].outbox.count < 2 * Int(outboxMax),
            names.connections[slot].outbox.append(names.forwarding.message, count: 2 + length, in: pool)
        else { return closeNameConnection(slot, .noBuffer) }
        names.connections[slot].movedAt = now
        settleNameConnection(slot)
    }

    // MARK: - Closing

    /// First step: the question has no socket any more, and what is pending on it is to end.
    private mutating func closeSocket(of question: UInt32) {
        guard let slot = names.forwarding.sockets.slot(of: question) else { return }
        names.forwarding.timers.clear(slot)
        names.forwarding.sockets.beginClose(slot)
        let row = names.forwarding.sockets[slot]
        if row.isWatching { submissions.append(.cancel(questionToken(.watchQuestion, slot), on: row.socket)) }
        if row.isConnecting { submissions.append(.cancel(questionToken(.connectQuestion, slot), on: row.socket)) }
        if row.isSending { submissions.append(.cancel(questionToken(.sendQuestion, slot), on: row.socket)) }
        if row.isReceiving { submissions.append(.cancel(questionToken(.receiveReply, slot), on: row.socket)) }
        finishQuestion(slot)
    }

    /// Last step, once nothing of it is in the kernel.
    private mutating func finishQuestion(_ slot: UInt32) {
        guard !names.forwarding.sockets[slot].isPending else { return }
        names.forwarding.sockets[slot].inbox.removeAll(in: pool)
        names.forwarding.sockets[slot].outbox.removeAll(in: pool)
        submissions.append(.close(names.forwarding.sockets[slot].socket))
        names.forwarding.sockets.free(slot)
    }

    /// The worker stops: nobody is told any more.
    mutating func stopAsking() {
        while names.forwarding.attempts.take() != nil {}
        for slot in 0..<names.forwarding.sockets.touched where names.forwarding.sockets[slot].phase == .open {
            closeSocket(of: names.forwarding.sockets[slot].question)
        }
    }
}
