package import Addressing
import Engine
import Glibc

// The far sides: clients and servers by script.
extension SimulatedNetwork {
    /// Starts a client at a time to come. Answers its place in the table, which is also its number. What it says before its own bytes
    /// counts nowhere.
    @discardableResult
    package func addClient(
        _ script: PeerScript, from local: SocketAddress, to remote: SocketAddress, at time: UInt64? = nil, saying header: [UInt8] = []
    ) -> Int {
        let index = addPeer(script, isServer: false)
        clientsOpen += 1
        saidHeaders[index] = header.isEmpty ? nil : header
        peers[index].headerLength = header.count
        peers[index].number = UInt32(index)
        peers[index].state = .connecting
        peers[index].end = connect(.peer, UInt32(index), from: local, to: remote, at: max(now, time ?? now)) ?? Self.noEnd
        precondition(peers[index].end != Self.noEnd, "no room for another connection")
        peers[index].beganAt = max(now, time ?? now)
        return index
    }

    /// Starts a server: every connection to `address` becomes a peer with this script.
    package func addServer(_ script: PeerScript, at address: SocketAddress, backlog: Int = 1024) {
        if script.expectsHeader, heardHeaders.isEmpty {
            heardHeaders = [UInt8](repeating: 0, count: settings.peersMax * Self.headerMax)
        }
        _ = listen(address, backlog: backlog, owner: .script(script))
    }

    /// Stops the servers at an address: connections to it are refused from now on.
    package func removeServers(at address: SocketAddress) {
        for index in listeners.indices where listeners[index].isOpen && listeners[index].address == address { closeListener(index) }
    }

    /// The PROXY header that a server has heard, or the part of it that came.
    package func header(heardBy index: Int) -> [UInt8] {
        let start = index * Self.headerMax
        return Array(heardHeaders[start..<start + peers[index].headerHeard])
    }

    package func peer(_ index: Int) -> SimulatedPeer { peers[index] }

    /// Forgets all peers, so that their places can be used again. All must be over.
    package func removeAllPeers() {
        for index in 0..<peerCount { precondition(peers[index].isOver, "a peer is not over") }
        peerCount = 0
        saidHeaders.removeAll(keepingCapacity: true)
    }

    /// Makes what lost power answer with a reset, as after a reboot.
    package func rebootVanishedPeers() {
        for index in 0..<peerCount where peers[index].state == .vanished {
            close(peers[index].end, withReset: true)
            peers[index].state = .closed
        }
    }

    private func addPeer(_ script: PeerScript, isServer: Bool) -> Int {
        precondition(peerCount < settings.peersMax, "no room for another peer")
        let index = peerCount
        peerCount += 1
        peers[index] = SimulatedPeer(
            state: .none, isServer: isServer, number: 0, script: script, sent: 0, received: 0, sentFin: false, sawFin: false,
            sawReset: false, didReset: false, wasDisturbed: false, connectErrno: 0, matchesEcho: true, matchesAnswer: true,
            servedPort: 0, beganAt: now, endedAt: 0, headerHeard: 0, headerIsWhole: false, headerSaid: 0, headerLength: 0, end: Self.noEnd,
            isScheduled: false, wakeAt: 0, sentAt: 0)
        return index
    }

    // MARK: - Steps

    func scheduleServer(_ index: Int) {
        guard !listeners[index].isStepping else { return }
        listeners[index].isStepping = true
        events.insert(.serverAccepted, UInt32(index), at: now &+ latency())
    }

    func serverAccepts(_ index: Int) {
        listeners[index].isStepping = false
        guard case .script(let script) = listeners[index].owner else { return }
        while !isQueueEmpty(index), listeners[index].isOpen {
            let peer = addPeer(script, isServer: true)
            guard let end = accept(index, owner: .peer, ownerIndex: UInt32(peer)) else { return }
            peers[peer].end = end
            peers[peer].state = .open
            peers[peer].wasDisturbed = ends[Int(end)].isDisturbed
            peers[peer].servedPort = listeners[index].address.port.rawValue
            schedulePeer(UInt32(peer), after: latency())
            setAlarms(peer)
        }
    }

    func schedulePeer(_ index: UInt32, after delay: UInt64) {
        let time = now &+ delay
        if peers[Int(index)].isScheduled, peers[Int(index)].wakeAt <= time { return }
        peers[Int(index)].isScheduled = true
        peers[Int(index)].wakeAt = time
        events.insert(.peerStepped, index, at: time)
    }

    private func setAlarms(_ index: Int) {
        let patience = peers[index].script.patienceNanoseconds
        if patience > 0 { events.insert(.peerStepped, UInt32(index), at: now &+ patience) }
        let hold = peers[index].script.holdNanoseconds
        if hold > 0 { events.insert(.peerStepped, UInt32(index), at: peers[index].beganAt &+ hold) }
    }

    func stepPeer(_ index: UInt32) {
        let index = Int(index)
        // An event that another has overtaken does no harm: a step does what there is to do.
        if peers[index].wakeAt <= now { peers[index].isScheduled = false }
        switch peers[index].state {
        case .none, .vanished, .closed: return
        case .connecting:
            switch connectState(peers[index].end) {
            case .pending: return
            case .failed(let errno):
                peers[index].connectErrno = errno
                finish(index, withReset: false)
                return
            case .done:
                peers[index].state = .open
                setAlarms(index)
            }
        case .open: break
        }
        let script = peers[index].script
        if script.patienceNanoseconds > 0, now &- peers[index].beganAt >= script.patienceNanoseconds {
            peers[index].didReset = true
            return finish(index, withReset: true)
        }
        var hasMore = false
        if script.reads { hasMore = readStep(index) }
        if peers[index].state == .open, script.speaking != .echo { hasMore = sendStep(index) || hasMore }
        if peers[index].state == .open { endStep(index) }
        guard hasMore, peers[index].state == .open else { return }
        schedulePeer(UInt32(index), after: 1 + UInt64(random.below(Int(script.pauseNanosecondsMax))))
    }

    /// Reads once, and sends back at once what a server that echoes has read. True when there may be more.
    private func readStep(_ index: Int) -> Bool {
        let end = peers[index].end
        let script = peers[index].script
        switch readable(end) {
        case .nothing: return false
        case .ended:
            peers[index].sawFin = ends[Int(end)].finArrived
            if !peers[index].sawFin { sawReset(index) }
            return false
        case .failed:
            sawReset(index)
            return false
        case .bytes(let available):
            if script.expectsHeader, !peers[index].headerIsWhole {
                hearHeader(index, available)
                return true
            }
            var count = amount(min(available, script.readMax), script)
            var room = Int.max
            if script.speaking == .echo {
                switch writable(end) {
                case .full: return false
                case .failed:
                    sawReset(index)
                    return false
                case .room(let free): room = free
                }
            }
            count = min(count, room)
            if script.speaking == .echo { echo(index, count) } else { consume(index, count) }
            return true
        }
    }

    /// Takes what belongs to the header. Bytes that can't be one end it, too: whoever looks at it will see.
    private func hearHeader(_ index: Int, _ available: Int) {
        let start = index * Self.headerMax
        for _ in 0..<available where !peers[index].headerIsWhole {
            let place = start + peers[index].headerHeard
            read(peers[index].end, count: 1) { position, _, _ in heardHeaders[place] = arena[position] }
            peers[index].headerHeard += 1
            let count = peers[index].headerHeard
            let first = heardHeaders[start]
            let isLine = first == UInt8(ascii: "P") && heardHeaders[place] == UInt8(ascii: "\n")
            let isBinary = first == 13 && count >= 16 && count == 16 + Int(heardHeaders[start + 15])
            let isNone = first != 13 && first != UInt8(ascii: "P")
            peers[index].headerIsWhole = isLine || isBinary || isNone || count == Self.headerMax
        }
    }

    /// Says the next part of a client's header. True when there may be more to say.
    private func sayHeader(_ index: Int) -> Bool {
        switch writable(peers[index].end) {
        case .full: return false
        case .failed:
            sawReset(index)
            return false
        case .room(let room):
            let script = peers[index].script
            let begin = peers[index].headerSaid
            let count = amount(min(peers[index].headerLength - begin, room, script.sendMax), script)
            write(peers[index].end, count: count) { position, offset, length in
                for step in 0..<length { arena[position + step] = saidHeaders[index]![begin + offset + step] }
            }
            peers[index].headerSaid += count
            return true
        }
    }

    private func consume(_ index: Int, _ count: Int) {
        read(peers[index].end, count: count) { position, _, length in check(index, position, length) }
    }

    private func echo(_ index: Int, _ count: Int) {
        let end = peers[index].end
        let base = Int(end) * settings.pipeBytes
        let head = Int(ends[Int(end)].head)
        let capacity = Int(ends[Int(end)].capacity)
        write(end, count: count) { position, offset, length in
            for step in 0..<length { arena[position + step] = arena[base + (head + offset + step) % capacity] }
        }
        peers[index].sent += count
        consume(index, count)
    }

    /// Compares what has arrived with what ought to.
    private func check(_ index: Int, _ position: Int, _ length: Int) {
        var place = peers[index].received
        var number = peers[index].number
        var matchesEcho = peers[index].matchesEcho
        var matchesAnswer = peers[index].matchesAnswer
        let isServer = peers[index].isServer
        for step in 0..<length {
            let byte = arena[position + step]
            if isServer, place < 4 {
                number |= UInt32(byte) << UInt32(8 * place)
            } else if byte != Self.clientByte(number, place) {
                matchesEcho = false
            }
            if byte != Self.answerByte(place) { matchesAnswer = false }
            place += 1
        }
        peers[index].received = place
        peers[index].number = number
        peers[index].matchesEcho = matchesEcho
        peers[index].matchesAnswer = matchesAnswer
    }

    static func clientByte(_ number: UInt32, _ place: Int) -> UInt8 {
        if place < 4 { return UInt8(truncatingIfNeeded: number >> UInt32(8 * place)) }
        return UInt8(truncatingIfNeeded: place &* 31 &+ place >> 8 &* 7 &+ Int(number) &* 131)
    }

    static func answerByte(_ place: Int) -> UInt8 { UInt8(truncatingIfNeeded: place &* 37 &+ place >> 8 &* 11 &+ 5) }

    /// Sends once. True when there may be more to send.
    private func sendStep(_ index: Int) -> Bool {
        let script = peers[index].script
        if script.expectsHeader, !peers[index].headerIsWhole { return false }
        if peers[index].headerSaid < peers[index].headerLength { return sayHeader(index) }
        let left = script.bytes - peers[index].sent
        guard left > 0, !peers[index].sentFin else { return false }
        switch script.speaking {
        case .atOnce, .echo: break
        case .afterRequest: if peers[index].received < script.requestBytes && !peers[index].sawFin { return false }
        case .afterFin: if !peers[index].sawFin { return false }
        }
        let next = peers[index].sentAt &+ script.sendIntervalNanoseconds
        guard now >= next || peers[index].sent == 0 else {
            schedulePeer(UInt32(index), after: next &- now)
            return false
        }
        let end = peers[index].end
        switch writable(end) {
        case .full: return false
        case .failed:
            sawReset(index)
            return false
        case .room(let room):
            peers[index].sentAt = now
            let count = amount(min(left, room, script.sendMax), script)
            let begin = peers[index].sent
            let number = peers[index].number
            let isServer = peers[index].isServer
            write(end, count: count) { position, offset, length in
                for step in 0..<length {
                    let place = begin + offset + step
                    arena[position + step] = isServer ? Self.answerByte(place) : Self.clientByte(number, place)
                }
            }
            peers[index].sent += count
            return true
        }
    }

    private func amount(_ most: Int, _ script: PeerScript) -> Int { script.varies ? 1 + random.below(most) : most }

    private func endStep(_ index: Int) {
        let peer = peers[index]
        let script = peer.script
        let hasSaid = peer.sent >= script.bytes && peer.headerSaid == peer.headerLength
        let hasSent = script.speaking == .echo ? peer.sawFin : hasSaid
        let unread = ends[Int(peer.end)].count > 0
        switch script.ending {
        case .finWhenSent:
            if now &- peer.beganAt < script.holdNanoseconds { return }
            if hasSent, !peer.sentFin {
                peers[index].sentFin = true
                shutdownWrite(peer.end)
            }
            if hasSent, peer.sawFin { finish(index, withReset: false) }
        case .closeAfterFin:
            if hasSent, peer.sawFin { finish(index, withReset: false) }
        case .closeWhenSent:
            if hasSent { finish(index, withReset: false) }
        case .closeWhenReceived:
            if hasSent, peer.received >= script.endingBytes || peer.sawFin { finish(index, withReset: unread) }
        case .resetAfter:
            if peer.sent + peer.received >= script.endingBytes { finish(index, withReset: true) }
        case .vanishAfter:
            if peer.sent + peer.received >= script.endingBytes {
                peers[index].state = .vanished
                clientsOpen -= peer.isServer ? 0 : 1
                note(.peerVanished)
            }
        }
    }

    private func sawReset(_ index: Int) {
        peers[index].sawReset = true
        finish(index, withReset: false)
    }

    private func finish(_ index: Int, withReset: Bool) {
        let end = peers[index].end
        let state = ends[Int(end)]
        if state.phase == .open, !state.isReset {
            if withReset || state.count > 0 {
                if !(state.finSent && state.finArrived) { peers[index].didReset = true }
            } else {
                peers[index].sentFin = true
            }
        }
        close(end, withReset: withReset)
        peers[index].state = .closed
        clientsOpen -= peers[index].isServer ? 0 : 1
        peers[index].endedAt = now
        peers[index].end = Self.noEnd
    }
}
