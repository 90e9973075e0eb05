import Engine

// Flows: completions become events of a flow, and what it settles on becomes submissions.
extension Worker {
    mutating func receiveCompleted(_ slot: UInt32, _ leg: Leg, _ completion: Completion) {
        if flows[slot].isSettled { received(slot, leg, completion) } else { receivedUnsettled(slot, leg, completion) }
    }

    /// What only the first completions of a connection, and the first after a rest, are looked at for.
    @inline(never)
    private mutating func receivedUnsettled(_ slot: UInt32, _ leg: Leg, _ completion: Completion) {
        var completion = completion
        if completion.result == 0, leg == .server, flows[slot].isUntouched {
            // An end without a byte may be that of a connect which never came off; the driver can tell.
            let errno = driver.connectError(flows[slot].server.socket)
            if errno != 0 {
                completion = Completion(token: completion.token, result: -errno)
                flows[slot].closeReason = CloseReason(connectErrno: errno)
            }
        }
        if leg == .server, completion.result > 0, flows[slot].withholdsACK { withholdAnswer(slot) }
        if flows[slot].isResting, completion.result > 0 {
            // It rests again when nothing has moved for as long once more.
            flows[slot].isResting = false
            flows[slot].movedAt = FlowTime.ticks(at: now)
            if flows[slot].phase == .established { setLook(slot) }
        }
        received(slot, leg, completion)
        if leg == .server, flows[slot].health.isUnproven { judge(slot, completion.result) }
        let isWatched = flows[slot].isUntouched || flows[slot].withholdsACK || flows[slot].isResting || flows[slot].health.isUnproven
        flows[slot].isSettled = flows[slot].phase == .established && !isWatched
    }

    @inline(__always)
    private mutating func received(_ slot: UInt32, _ leg: Leg, _ completion: Completion) {
        if flows[slot].receiveCompleted(leg, completion, bulk: settings.bulk, in: pool) {
            hasUsedPipes = true
            counters.add(1, row: Column.workerRow, column: Column.bulkDirections)
        }
        if flows[slot][leg].receive == .starved {
            counters.add(1, row: Column.workerRow, column: Column.buffersExhausted)
            starved.append(LegName(slot, leg))
        }
    }

    mutating func sendCompleted(_ slot: UInt32, _ leg: Leg, _ result: Int32) {
        flows[slot].sendCompleted(leg, result, in: pool)
        if result > 0 { countBytes(result, to: leg, slot) }
    }

    mutating func transferCompleted(_ slot: UInt32, _ leg: Leg, _ completion: Completion) {
        flows[slot].transferCompleted(leg, completion, bulk: settings.bulk)
        if completion.result > 0 { countBytes(completion.result, to: leg.other, slot) }
        if completion.result < 0, FlowErrno(completion.result) == .starved {
            counters.add(1, row: Column.workerRow, column: Column.transfersRefused)
        }
    }

    /// Counts bytes that a leg's socket has taken.
    private mutating func countBytes(_ count: Int32, to leg: Leg, _ slot: UInt32) {
        let column = leg == .client ? Column.bytesToClients : Column.bytesFromClients
        counters.add(UInt64(count), row: Int(flows[slot].serviceRow), column: column)
        if logsConnections { noteBytes(count, to: leg, slot) }
    }

    /// Brings a flow's operations in line with its state.
    mutating func settle(_ slot: UInt32) {
        let phase = flows[slot].phase
        // Stored values only: a call here would cost every event of every flow.
        let unconnectedMax = phase == .awaitingHeader ? outboxHeaderMax : min(outboxMax, Limits.outboxConnectingMax)
        let room = phase == .established ? outboxMax : unconnectedMax
        let actions = flows[slot].settle(outboxMax: room, in: pool)
        if flows[slot].holdsListener, phase == .established, !flows[slot].isUntouched { releaseListener(slot) }
        if actions.contains(.shutdownClient) || actions.contains(.shutdownServer) {
            // From now on the other direction has the time of a half-closed flow.
            flows[slot].movedAt = FlowTime.ticks(at: now)
            flows[slot].isWatched = false
        }
        if !flows[slot].isWatched { watchIfUnheard(slot) }
        if actions.isEmpty { return }
        if actions.contains(.finish) { return finish(slot) }
        if actions.contains(.retry) {
            retry(slot)
            return settle(slot)
        }
        perform(actions, slot)
    }

    /// Makes submissions of what a flow wants done.
    // Inlined by order, into the path of every completion.
    @inline(__always) mutating func perform(_ actions: FlowActions, _ slot: UInt32) {
        let client = flows[slot].client.socket
        let server = flows[slot].server.socket
        if actions.contains(.sendToClient) { submissions.append(.send(client, flows[slot].client.outbox, token(.sendToClient, slot))) }
        if actions.contains(.sendToServer) { submissions.append(.send(server, flows[slot].server.outbox, token(.sendToServer, slot))) }
        if actions.contains(.shutdownClient) { submissions.append(.shutdownWrite(client)) }
        if actions.contains(.shutdownServer) { submissions.append(.shutdownWrite(server)) }
        let rests = flows[slot].isResting
        if actions.contains(.receiveFromClient) {
            submissions.append(.receive(client, token(.receiveFromClient, slot), isResting: rests))
        }
        if actions.contains(.receiveFromServer) {
            submissions.append(.receive(server, token(.receiveFromServer, slot), isResting: rests))
        }
        if actions.contains(.cancelReceiveFromClient) { submissions.append(.cancel(token(.receiveFromClient, slot), on: client)) }
        if actions.contains(.cancelReceiveFromServer) { submissions.append(.cancel(token(.receiveFromServer, slot), on: server)) }
        if actions.contains(.cancelSendToClient) { submissions.append(.cancel(token(.sendToClient, slot), on: client)) }
        if actions.contains(.cancelSendToServer) { submissions.append(.cancel(token(.sendToServer, slot), on: server)) }
        if actions.contains(.transferFromClient) {
            submissions.append(.transfer(from: client, to: server, token(.transferFromClient, slot)))
        }
        if actions.contains(.transferFromServer) {
            submissions.append(.transfer(from: server, to: client, token(.transferFromServer, slot)))
        }
        if actions.contains(.cancelTransferFromClient) { submissions.append(.cancel(token(.transferFromClient, slot), on: client)) }
        if actions.contains(.cancelTransferFromServer) { submissions.append(.cancel(token(.transferFromServer, slot), on: server)) }
        if actions.contains(.cancelConnect) { submissions.append(.cancel(token(.connect, slot), on: server)) }
        if actions.contains(.boundFlush) { timers.set(slot, deadline: now &+ Limits.resetFlushNanoseconds) }
    }

    mutating func watchIfUnheard(_ slot: UInt32) {
        guard flows[slot].phase == .established, !flows[slot].flushBounded,
            flows[slot].client.isUnheard || flows[slot].server.isUnheard
        else { return }
        flows[slot].isWatched = true
        setLook(slot)
    }

    /// Sets the timer of an established flow for what comes first: its peers' turn to be looked at, if nothing would tell of them,
    /// its server's socket to be guarded, or its end for want of bytes.
    mutating func setLook(_ slot: UInt32) {
        var deadline = UInt64.max
        if flows[slot].isWatched { deadline = now &+ Limits.watchNanoseconds }
        if let delay = flows[slot].guardDelay { deadline = min(deadline, now &+ delay) }
        if mayRest(slot) { deadline = min(deadline, restAt(slot)) }
        if let time = flows[slot].heldUntil(now, limit: settings.proxyHeaderNanoseconds) { deadline = min(deadline, time) }
        switch flows[slot].expiry(now) {
        case .none: break
        case .later(let time): deadline = min(deadline, time)
        case .expired: deadline = now
        }
        if deadline == .max { timers.clear(slot) } else { timers.set(slot, deadline: deadline) }
    }

    func mayRest(_ slot: UInt32) -> Bool { restsReceives && !flows[slot].isResting }

    /// When the flow's receives may rest, if no byte moves until then: nanoseconds.
    func restAt(_ slot: UInt32) -> UInt64 {
        let elapsed = FlowTime.ticks(at: now) &- flows[slot].movedAt
        return (now >> TimerWheel.bucketShift &- UInt64(elapsed)) << TimerWheel.bucketShift &+ Limits.restNanoseconds
    }

    /// The last step of a close: nothing of the flow is in the kernel.
    mutating func finish(_ slot: UInt32) {
        timers.clear(slot)
        releaseListener(slot)
        noteEnded(slot)
        flows[slot].client.outbox.removeAll(in: pool)
        flows[slot].server.outbox.removeAll(in: pool)
        if flows[slot].heldBytes > 0 { pool.release(flows[slot].held) }
        let resets = flows[slot].closesWithReset
        let client = flows[slot].client.socket
        let server = flows[slot].server.socket
        if logsConnections { logClosed(slot) }
        submissions.append(resets ? .closeWithReset(client) : .close(client))
        if server != .none { submissions.append(resets ? .closeWithReset(server) : .close(server)) }
        let row = Int(flows[slot].serviceRow)
        counters.add(1, row: row, column: Column.closed + Int(flows[slot].closeReason.rawValue))
        counters.subtract(1, row: row, column: Column.connectionsActive)
        if flows[slot].phase == .closing, flows[slot].endpointRow != 0 {
            counters.subtract(1, row: Int(flows[slot].endpointRow), column: Column.connectionsActive)
        }
        if flows[slot].sourceCell != 0 { settings.sources.subtract(flows[slot].sourceCell) }
        flows.free(slot)
        publishActive()
    }

    func token(_ kind: OperationKind, _ slot: UInt32) -> OperationToken {
        OperationToken(kind: kind.rawValue, generation: flows[slot].generation, slot: slot)
    }
}
