import Addressing
import Engine
import Routing

// The PROXY protocol: headers that clients' balancers send us, and those that we send to endpoints. Only flows of Services that use
// it come here, so nothing of it is inlined into the path of the others.
extension Worker {
    /// Begins a flow whose client's address is needed: from its header where one is due, else from its socket.
    @inline(never)
    mutating func beginKnown(_ slot: UInt32) {
        guard learnAddresses(slot) else { return }
        let group = listeners.frontend(of: flows[slot].listener).frontend.group
        guard group.expectsHeader(from: addresses[Int(slot)].source) else { return beginConnect(slot, otherwise: .noEndpoint) }
        flows[slot].phase = .awaitingHeader
        flows[slot].isInspected = true
        timers.set(slot, deadline: now &+ settings.proxyHeaderNanoseconds)
    }

    /// Notes who connected to what. False where the client is gone already; the flow is closing then.
    @inline(never)
    mutating func learnAddresses(_ slot: UInt32) -> Bool {
        if flows[slot].hasAddresses { return true }
        let socket = flows[slot].client.socket
        let asked = listeners.frontend(of: flows[slot].listener).frontend.key.address
        guard let client = driver.peerAddress(of: socket),
            let destination = asked.address.isUnspecified ? driver.localAddress(of: socket) : asked
        else {
            flows[slot].beginClose(reset: true, reason: .clientReset)
            return false
        }
        addresses[Int(slot)] = ProxyAddresses(source: client, destination: destination)
        flows[slot].hasAddresses = true
        return true
    }

    // MARK: - From clients

    /// Looks at what a client says before it goes anywhere.
    @inline(never)
    mutating func inspect(_ slot: UInt32, _ completion: Completion) {
        if flows[slot].phase == .awaitingHeader {
            receiveCompleted(slot, .client, completion)
            readHeader(slot)
        } else {
            watchForHeader(slot, completion)
        }
    }

    /// Looks at the first bytes of a client that owes no header and may send none.
    ///
    /// **None of them is queued before it is known what they are**: those that could yet become a header are held in a buffer of their
    /// own, for so long as a client may take for one. A client that ends, or says anything else, is believed.
    private mutating func watchForHeader(_ slot: UInt32, _ completion: Completion) {
        let server = flows[slot].server
        // Otherwise what comes is dropped.
        let isHeard = flows[slot].phase != .closing && server.input != .reset && !server.isBroken
        guard isHeard, completion.result > 0 else {
            switch FlowErrno(min(completion.result, 0)) {
            case .end, .reset, .lost: if isHeard { believe(slot) }
            case .cancelled, .starved: break
            }
            return receiveCompleted(slot, .client, completion)
        }
        let held = Int(flows[slot].heldBytes)
        let came = min(Int(completion.result), ProxyHeader.beginningMax)
        if held > 0 { pool.copyFirst(of: flows[slot].held, count: held, to: &headerBytes, at: 0) }
        pool.copyFirst(of: completion.buffer, count: came, to: &headerBytes, at: held)
        switch ProxyHeader.beginning(of: headerBytes.span.extracting(0..<held + came)) {
        case .undecided:
            // Fewer than `beginningMax` in all.
            if held > 0 { pool.release(flows[slot].held) }
            pool.fill(completion.buffer, at: 0, from: headerBytes, at: 0, count: held + came)
            flows[slot].holdCompleted(completion, length: held + came)
            if held == 0 { beginHold(slot) }
            return
        case .header: flows[slot].beginClose(reset: true, reason: .proxyHeaderBad)
        case .other: believe(slot)
        }
        receiveCompleted(slot, .client, completion)
    }

    /// The same of what came behind a header that was due: it is the client's, and a balancer passes on what it was sent.
    private mutating func watchBehindHeader(_ slot: UInt32) {
        let count = flows[slot].server.outbox.copyFirst(to: &headerBytes, from: pool)
        switch ProxyHeader.beginning(of: headerBytes.span.extracting(0..<min(count, ProxyHeader.beginningMax))) {
        case .header: flows[slot].beginClose(reset: true, reason: .proxyHeaderBad)
        case .other: flows[slot].isInspected = false
        case .undecided where count > 0:
            flows[slot].server.outbox.removeAll(in: pool)
            guard let buffer = pool.take() else { preconditionFailure("a buffer that was released is not there") }
            pool.fill(buffer, at: 0, from: headerBytes, at: 0, count: count)
            flows[slot].held = buffer
            flows[slot].heldBytes = UInt8(count)
            beginHold(slot)
        case .undecided: break
        }
    }

    private mutating func beginHold(_ slot: UInt32) {
        flows[slot].heldSince = FlowTime.ticks(at: now)
        if flows[slot].phase == .established { setLook(slot) }
    }

    /// What the client says is no header: what was held goes on, and nothing is looked at any more.
    private mutating func believe(_ slot: UInt32) {
        flows[slot].isInspected = false
        guard flows[slot].heldBytes > 0 else { return }
        flows[slot].server.outbox.append(flows[slot].held, length: Int(flows[slot].heldBytes), in: pool)
        flows[slot].heldBytes = 0
    }

    /// Looks at what came, or ended, while a flow waits for its client's header. An endpoint is chosen when the header is whole.
    @inline(never)
    mutating func readHeader(_ slot: UInt32) {
        let count = flows[slot].server.outbox.copyFirst(to: &headerBytes, from: pool)
        switch ProxyHeader.read(headerBytes.span.extracting(0..<count)) {
        case .header(let told, let length):
            timers.clear(slot)
            flows[slot].server.outbox.consume(length, in: pool)
            if let told { addresses[Int(slot)] = told }
            flows[slot].connectDeadline = now &+ listeners[flows[slot].listener].connectNanoseconds
            flows[slot].isInspected = listeners.frontend(of: flows[slot].listener).refusesHeaders
            if flows[slot].isInspected { watchBehindHeader(slot) }
            guard flows[slot].phase != .closing else { return }
            guard countTold(slot) else { return flows[slot].beginClose(reset: true, reason: .limitSource) }
            beginConnect(slot, otherwise: .noEndpoint)
        case .malformed:
            flows[slot].beginClose(reset: true, reason: .proxyHeaderBad)
        case .incomplete where flows[slot].client.input == .fin && count == 0:
            // Who comes and goes without a byte looks whether the port is open.
            flows[slot].beginClose(reset: false)
        case .incomplete where flows[slot].client.input == .fin:
            flows[slot].beginClose(reset: true, reason: .proxyHeaderBad)
        case .incomplete:
            // A header may come byte by byte, each in a buffer of its own: all of them go into as few as they need.
            guard flows[slot].server.outbox.count > 1 else { return }
            flows[slot].server.outbox.removeAll(in: pool)
            let isPacked = flows[slot].server.outbox.prepend(headerBytes, count: count, in: pool)
            precondition(isPacked, "fewer buffers were released than the same bytes need")
        }
    }

    // MARK: - To endpoints

    /// Makes the outbox of the server's leg begin with the header that the group asks for, or with none.
    ///
    /// **No byte goes to an endpoint before its header**: a connect is submitted only after this has answered true for the group that
    /// the endpoint was chosen from. Nothing of the outbox is sent before a connect is done, so that what a failed attempt leaves
    /// begins with the header for the next one; and a send takes the outbox from its head.
    ///
    /// - Returns: false where the pool has no buffer for it, or the client is gone.
    @inline(never)
    mutating func prepareHeader(_ slot: UInt32, _ version: ProxyProtocolVersion?) -> Bool {
        if flows[slot].header == version { return true }
        // The group was replaced between two attempts: the header in the outbox is one that nobody asks for any more.
        flows[slot].server.outbox.consume(Int(flows[slot].headerLength), in: pool)
        flows[slot].header = nil
        flows[slot].headerLength = 0
        guard let version else { return true }
        guard learnAddresses(slot) else { return false }
        let length = ProxyHeader.write(version, addresses[Int(slot)], to: &headerBytes)
        guard flows[slot].server.outbox.prepend(headerBytes, count: length, in: pool) else { return false }
        flows[slot].header = version
        flows[slot].headerLength = UInt8(length)
        return true
    }
}
