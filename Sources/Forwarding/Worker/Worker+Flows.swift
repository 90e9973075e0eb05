import Engine

// Flows: completions become events of a flow, and what it settles on becomes submissions.
extension Worker {
    mutating func receiveCompleted(_ slot: UInt32, _ leg: Leg, _ completion: Completion) {
        let isUnproven = flows[slot].receiveCompleted(leg, completion, bulk: settings.bulk, in: pool)
        if isUnproven, leg == .server { judge(slot, completion.result) }
        if flows[slot][leg].receive == .starved {
            counters.add(1, row: Column.workerRow, column: Column.buffersExhausted)
            starved.append(token(leg == .client ? .receiveFromClient : .receiveFromServer, slot))
        }
    }

    mutating func sendCompleted(_ slot: UInt32, _ leg: Leg, _ result: Int32) {
        flows[slot].sendCompleted(leg, result, in: pool)
        if result > 0 { countBytes(result, to: leg, slot) }
    }

    mutating func transferCompleted(_ slot: UInt32, _ leg: Leg, _ completion: Completion) {
        flows[slot].transferCompleted(leg, completion, bulk: settings.bulk)
        if completion.result > 0 { countBytes(completion.result, to: leg.other, slot) }
    }

    /// Counts bytes that a leg's socket has taken.
    private mutating func countBytes(_ count: Int32, to leg: Leg, _ slot: UInt32) {
        let column = leg == .client ? Column.bytesToClients : Column.bytesFromClients
        counters.add(UInt64(count), row: Int(flows[slot].serviceRow), column: column)
    }

    /// Brings a flow's operations in line with its state.
    mutating func settle(_ slot: UInt32) {
        let phase = flows[slot].phase
        // Stored values only: a call here would cost every event of every flow.
        let unconnectedMax = phase == .awaitingHeader ? outboxHeaderMax : min(outboxMax, Limits.outboxConnectingMax)
        let room = phase == .established ? outboxMax : unconnectedMax
        let actions = flows[slot].settle(outboxMax: room, in: pool)
        if actions.contains(.shutdownClient) || actions.contains(.shutdownServer) {
            // From now on the other direction has the time of a half-closed flow.
            flows[slot].movedAt = FlowTime.ticks(at: now)
            flows[slot].isWatched = false
        }
        if !flows[slot].isWatched { watchIfUnheard(slot) }
        if actions.isEmpty { return }
        if actions.contains(.finish) { return finish(slot) }
        let client = flows[slot].client.socket
        let server = flows[slot].server.socket
        if actions.contains(.sendToClient) { submissions.append(.send(client, flows[slot].client.outbox, token(.sendToClient, slot))) }
        if actions.contains(.sendToServer) { submissions.append(.send(server, flows[slot].server.outbox, token(.sendToServer, slot))) }
        if actions.contains(.shutdownClient) { submissions.append(.shutdownWrite(client)) }
        if actions.contains(.shutdownServer) { submissions.append(.shutdownWrite(server)) }
        if actions.contains(.receiveFromClient) { submissions.append(.receive(client, token(.receiveFromClient, slot))) }
        if actions.contains(.receiveFromServer) { submissions.append(.receive(server, token(.receiveFromServer, slot))) }
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
        switch flows[slot].expiry(now) {
        case .none: break
        case .later(let time): deadline = min(deadline, time)
        case .expired: deadline = now
        }
        if deadline == .max { timers.clear(slot) } else { timers.set(slot, deadline: deadline) }
    }

    /// The last step of a close: nothing of the flow is in the kernel.
    mutating func finish(_ slot: UInt32) {
        timers.clear(slot)
        releaseListener(slot)
        noteEnded(slot)
        flows[slot].client.outbox.removeAll(in: pool)
        flows[slot].server.outbox.removeAll(in: pool)
        let resets = flows[slot].closesWithReset
        let client = flows[slot].client.socket
        let server = flows[slot].server.socket
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
