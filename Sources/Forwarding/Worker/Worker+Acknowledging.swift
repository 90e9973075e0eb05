import Engine

// Acknowledging: a server's socket holds two ACKs back for a moment, since something else will most likely take them along: the first
// bytes of the client that of the handshake, a FIN that of the server's first bytes. Each is a packet less, on both sides. Neither may
// be held back for long: a server that speaks first would not hear of the connection, and one that sends an answer in two pieces (and
// lets Nagle's algorithm have its way) would wait for the ACK of the first.
extension Worker {
    /// The server's socket has just connected.
    mutating func withholdHandshake(_ slot: UInt32) {
        if handshakes.isFull { stopWithholding(slot) } else { handshakes.append(token(.receiveFromServer, slot)) }
    }

    /// The server has said its first bytes.
    mutating func withholdAnswer(_ slot: UInt32) {
        if answers.isFull { return stopWithholding(slot) }
        flows[slot].withholdsACK = false
        answers.append(token(.receiveFromServer, slot))
    }

    private mutating func stopWithholding(_ slot: UInt32) {
        flows[slot].withholdsACK = false
        driver.stopWithholdingACK(flows[slot].server.socket)
    }

    /// Acknowledges handshakes of an earlier tick whose client has not spoken yet.
    mutating func acknowledgeHandshakes(_ count: Int) {
        for _ in 0..<count {
            guard let token = handshakes.take() else { return }
            // Bytes that wait are sent with it in this tick, and those that were sent had it with them.
            guard isOpen(token), flows[token.slot].isUntouched, flows[token.slot].server.outbox.isEmpty else { continue }
            stopWithholding(token.slot)
        }
    }

    /// Acknowledges first bytes of servers that have not ended since. They wait for one turn at least and for two at most.
    mutating func acknowledgeAnswers() {
        guard now >= answersTurnAt else { return }
        for _ in 0..<answersDue {
            guard let token = answers.take() else { break }
            if isOpen(token) { driver.stopWithholdingACK(flows[token.slot].server.socket) }
        }
        answersDue = answers.count
        answersTurnAt = now &+ Limits.answerACKNanoseconds
    }

    private func isOpen(_ token: OperationToken) -> Bool {
        flows.isCurrent(token) && flows[token.slot].phase == .established && flows[token.slot].server.input == .open
    }
}
