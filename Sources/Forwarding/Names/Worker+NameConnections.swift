import DNS
import Engine

// Queries over TCP.
extension Worker {
    mutating func beginNameConnection(_ socket: SocketID, at index: Int) {
        names.counters.add(1, row: index, column: NameColumn.connections)
        if names.connections.openCount >= names.connections.openMax, let oldest = names.connections.oldest {
            closeNameConnection(oldest, .evicted)
        }
        guard names.sockets[index].phase == .open, let slot = names.connections.allocate() else {
            names.counters.add(1, row: index, column: NameColumn.closed + Int(NameConnection.Ending.evicted.rawValue))
            return submissions.append(.closeWithReset(socket))
        }
        names.counters.add(1, row: index, column: NameColumn.connectionsActive)
        names.connections[slot].socket = socket
        names.connections[slot].origin = UInt8(truncatingIfNeeded: index)
        names.connections[slot].movedAt = now
        lookAtNames(by: now &+ Limits.nameLookNanoseconds)
        settleNameConnection(slot)
    }

    mutating func nameConnectionCompleted(_ slot: UInt32, _ kind: NameOperation, _ completion: Completion) {
        if kind == .sendAnswer {
            names.connections[slot].sendCompleted(completion.result, in: pool)
            if completion.result > 0 { names.connections[slot].movedAt = now }
        } else {
            if completion.result > 0 { names.connections[slot].inbox.append(completion.buffer, length: Int(completion.result), in: pool) }
            if !completion.more { names.connections[slot].receiveEnded() }
        }
        guard names.connections[slot].phase == .open else { return settleNameConnection(slot) }
        if completion.result <= 0 {
            switch FlowErrno(completion.result) {
            case .end: names.connections[slot].hasEnded = true
            case .cancelled: break
            case .starved where kind == .receiveQuery:
                names.connections[slot].isStarved = true
                lookAtNames(by: now &+ Limits.nameRetryNanoseconds)
            case .starved: break
            case .reset, .lost: return closeNameConnection(slot, .client)
            }
        }
        let ending = names.answer(connection: slot, outboxMax: outboxMax, in: pool, now, random: &random)
        if let ending { closeNameConnection(slot, ending) } else { settleNameConnection(slot) }
    }

    /// Begins to close an open connection; nothing where it is not.
    mutating func closeNameConnection(_ slot: UInt32, _ ending: NameConnection.Ending) {
        guard names.connections[slot].phase == .open else { return }
        noteClosing(slot, ending)
        names.connections[slot].beginClose(reset: ending != .idle)
        settleNameConnection(slot)
    }

    private mutating func noteClosing(_ slot: UInt32, _ ending: NameConnection.Ending) {
        names.connections.noteClosing()
        let row = Int(names.connections[slot].origin)
        names.counters.add(1, row: row, column: NameColumn.closed + Int(ending.rawValue))
        names.counters.subtract(1, row: row, column: NameColumn.connectionsActive)
    }

    /// Brings a connection's operations in line with its state.
    mutating func settleNameConnection(_ slot: UInt32) {
        let wasOpen = names.connections[slot].phase == .open
        let actions = names.connections[slot].settle(outboxMax: outboxMax)
        if wasOpen, names.connections[slot].phase != .open { noteClosing(slot, .client) }
        if actions.isEmpty { return }
        let socket = names.connections[slot].socket
        if actions.contains(.receive) { submissions.append(.receive(socket, nameToken(.receiveQuery, slot))) }
        if actions.contains(.send) {
            submissions.append(.send(socket, names.connections[slot].outbox, nameToken(.sendAnswer, slot)))
        }
        if actions.contains(.cancelReceive) { submissions.append(.cancel(nameToken(.receiveQuery, slot), on: socket)) }
        if actions.contains(.cancelSend) { submissions.append(.cancel(nameToken(.sendAnswer, slot), on: socket)) }
        if actions.contains(.finish) {
            names.connections[slot].inbox.removeAll(in: pool)
            names.connections[slot].outbox.removeAll(in: pool)
            submissions.append(names.connections[slot].resets ? .closeWithReset(socket) : .close(socket))
            names.connections.free(slot)
        }
    }

    private func nameToken(_ kind: NameOperation, _ slot: UInt32) -> OperationToken {
        OperationToken(kind: kind.rawValue, generation: names.connections[slot].generation, slot: slot)
    }
}
