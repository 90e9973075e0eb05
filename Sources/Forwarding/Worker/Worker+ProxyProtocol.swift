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
