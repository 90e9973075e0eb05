package import Addressing
package import Engine
import Glibc

/// The third driver: a kernel made of tables, with virtual time and faults drawn from a seed. It also checks that its caller
/// keeps the contract of `Submission`, and writes down every breach.
///
/// ```
///  submission ──► armed ──ready──► done, posted ──delivered──► completion        cancel: done first (race), or ECANCELED posted
///                   ▲                │ more
///                   └────────────────┘
/// ```
/// An operation is pending until its last completion is *delivered*; between done and delivered lies the time in which a real
/// completion stands in the ring, too late for a cancel.
package final class SimulatedDriver: Driver {
    package struct Settings: Sendable {
        package var bufferSize = 512
        package var buffers = 1024
        package var pipes = 8
        package var pipeBytes = 2048
        package var transferTurnBytes = 4096
        /// What the worker is told; a resting receive is one like another here.
        package var restsReceives = false
        /// Every so many exchanges the pool is looked through for buffers that were released twice or too early; 0 for never.
        package var auditInterval: UInt64 = 1
        /// How long a wait without end, with nothing to come in the simulation, may wait for another thread's wake-up.
        package var wakeUpGraceMilliseconds: Int32 = 0

        package init() {}
    }

    package let buffers: BufferPool
    package let wakeUp = WakeUp()
    package let network: SimulatedNetwork
    package var receiveBuffers: Int { buffers.freeCount }
    package internal(set) var systemCalls: UInt64 = 0
    /// Receives that were submitted as ones that rest.
    package internal(set) var receivesRested = 0
    package var pipesOpen: Int { (0..<settings.pipes).count { pipes[$0].isTaken } }
    /// What the caller did against the contract; empty is right. At most `breachesMax` are kept.
    package private(set) var breaches: [String] = []
    /// Whether listeners can be told whose connections to take.
    package var grantsFilters = true
    /// Sockets that can be open at once; may be changed at any time.
    package var descriptorLimit: Int
    package private(set) var socketsOpen = 0
    /// Nanoseconds that the clock is ahead of what happens: as if the process had been stopped for so long, with the network.
    package var clockAhead: UInt64 = 0
    /// Bytes that transfers have delivered, and transfers that were cancelled with bytes on their way.
    package internal(set) var bytesTransferred: UInt64 = 0
    package internal(set) var transfersCancelledWithBytes = 0
    /// Datagrams that were handed over and taken, by listeners and by sockets that are connected.
    package internal(set) var datagramsTakenFromClients = 0
    package internal(set) var datagramsTakenFromEndpoints = 0
    package internal(set) var datagramsSentToClients = 0
    package internal(set) var datagramsSentToEndpoints = 0
    /// Told of each datagram to an endpoint, as it is sent.
    package var onDatagramToEndpoint: ((SocketAddress) -> Void)?
    /// The most submissions and completions of one exchange: what a tick has asked for, and what it was given.
    package private(set) var submissionsMost = 0
    package private(set) var completionsMost = 0

    let settings: Settings
    var sockets: FixedTable<Socket>
    private var freeSockets: FixedTable<UInt32>
    private var freeSocketCount = 0
    private var socketsTouched = 0

    /// Outcomes not yet handed over, in order.
    private var posted: [Posted]
    private var postedHead = 0
    private var postedCount = 0

    /// What the driver has of each buffer: nothing (it is the caller's or the pool's), received bytes not yet handed over, or a
    /// part of a pending send.
    var bufferUses: FixedTable<BufferUse>
    private var bufferAudits: FixedTable<UInt64>
    /// The buffers of each socket's pending send, `ByteQueue.gatherMax` places a socket.
    var sendBuffers: FixedTable<BufferID>

    var pipes: FixedTable<SimulatedPipe>
    /// What is in the pipes, `Settings.pipeBytes` for each.
    var pipeBytes: [UInt8]

    /// Completions of sockets that are closed, to come yet.
    var late: [Late] = []

    var exchanges: UInt64 = 0
    private var deadlocks = 0

    private static let breachesMax = 20
    /// Virtual time an exchange takes, so that a caller that never waits still gets on.
    private static let exchangeNanoseconds: UInt64 = 1000

    enum BufferUse: UInt8, BitwiseCopyable { case none, received, sending }

    struct Socket: BitwiseCopyable {
        enum Kind: UInt8, BitwiseCopyable { case closed, fresh, stream, listener, datagramListener, datagramSocket }

        var kind: Kind
        var generation: UInt32
        /// The network's end, listener or UDP socket.
        var place: UInt32
        var family: IPAddress.Family
        /// What a fresh stream was bound to.
        var source: IPAddress?
        var isWriteShut: Bool
        /// It came of an accept, and was not opened to connect.
        var isAccepted = false
        /// Of datagrams: whether those that are too long are cut on their way.
        var fragments = true
        var watchIsSingle = false
        var input: Pending
        var output: Pending
        var sendCount: UInt16
        var sendDigest: UInt64
        /// Of a source, where its transfer goes and what pipe it has; of a destination, where it comes from.
        var destination: UInt32 = 0
        var feeder: UInt32 = 0
        var pipe = SimulatedDriver.noPipe
        /// The exchange in which completions of this socket are held back.
        var heldIn: UInt64
    }

    /// An operation of a socket: `accept`, `receive` or `watch` as input, `connect` or `send` as output; a `transfer` is the input of
    /// one and the output of another.
    struct Pending: BitwiseCopyable {
        enum State: UInt8, BitwiseCopyable {
            case none, armed
            /// Its last completion is on the way.
            case posted
        }

        var state: State
        var operation: Submission.Operation
        var token: OperationToken
    }

    enum Ends: UInt8, BitwiseCopyable { case nothing, input, output, transfer }

    struct Posted: BitwiseCopyable {
        var completion: Completion
        var socket: UInt32
        /// The destination of a transfer, which has seen what happened just as well; otherwise the same socket.
        var otherSocket: UInt32
        /// Which operation is over with this completion.
        var ends: Ends

        func concerns(_ other: Posted) -> Bool {
            socket == other.socket || socket == other.otherSocket || otherSocket == other.socket || otherSocket == other.otherSocket
        }
    }

    package init(network: SimulatedNetwork, _ settings: Settings = Settings()) {
        self.network = network
        self.settings = settings
        buffers = BufferPool(bufferSize: settings.bufferSize, capacity: settings.buffers)
        let socketsMax = network.settings.socketsMax
        descriptorLimit = socketsMax
        sockets = FixedTable(zeroedCapacity: socketsMax)
        freeSockets = FixedTable(zeroedCapacity: socketsMax)
        sendBuffers = FixedTable(zeroedCapacity: socketsMax * Int(ByteQueue.gatherMax))
        pipes = FixedTable(zeroedCapacity: settings.pipes)
        pipeBytes = [UInt8](repeating: 0, count: settings.pipes * settings.pipeBytes)
        bufferUses = FixedTable(zeroedCapacity: settings.buffers)
        bufferAudits = FixedTable(zeroedCapacity: settings.buffers)
        let nothing = Completion(token: .wakeUp, result: 0)
        posted = Array(repeating: Posted(completion: nothing, socket: 0, otherSocket: 0, ends: .nothing), count: socketsMax * 4 + 1024)
    }

    package func monotonicNanoseconds() -> UInt64 { network.now &+ clockAhead }

    // MARK: - Sockets

    package func openListener(_ address: SocketAddress, backlog: Int32, _ arrivals: ArrivalFilter) -> Opened {
        systemCalls &+= 1
        if let errno = network.bindErrors[address] { return Opened(error: errno) }
        let opened = open(.listener, place: 0, address.address.family)
        guard opened.error == 0 else { return opened }
        let index = network.listen(address, backlog: Int(backlog), owner: .socket(opened.socket.index))
        network.setArrivals(grantsFilters ? arrivals : nil, of: index)
        sockets[Int(opened.socket.index)].place = UInt32(index)
        return opened
    }

    package func openStream(_ family: IPAddress.Family, from source: IPAddress?) -> Opened {
        systemCalls &+= source == nil ? 1 : 3
        if network.happens(.openNoDescriptor) { return Opened(error: either(EMFILE, ENFILE)) }
        if network.happens(.openNoMemory) { return Opened(error: either(ENOBUFS, ENOMEM)) }
        if let source {
            if source.family != family { breach("a socket is bound to an address of another family") }
            if network.foreignAddresses.contains(source) { return Opened(error: EADDRNOTAVAIL) }
        }
        let opened = open(.fresh, place: SimulatedNetwork.noEnd, family)
        if opened.error == 0 { sockets[Int(opened.socket.index)].source = source }
        return opened
    }

    package func descriptor(of socket: SocketID) -> Int32? { nil }

    package func stopWithholdingACK(_ socket: SocketID) {}

    package func setLiveness(_ liveness: Liveness, of socket: SocketID, inPlaceOf old: Liveness) {
        // As many as a real kernel is asked for.
        if liveness.keepaliveSeconds != old.keepaliveSeconds { systemCalls &+= liveness.keepaliveSeconds > 0 ? 4 : 1 }
        if liveness.userTimeoutMilliseconds != old.userTimeoutMilliseconds { systemCalls &+= 1 }
        if !isCurrent(socket) { breach("setLiveness of a socket that is not open") }
    }

    package func peerAddress(of socket: SocketID) -> SocketAddress? { addresses(of: socket)?.remote }

    package func localAddress(of socket: SocketID) -> SocketAddress? { addresses(of: socket)?.local }

    /// Those of a connection that lives, or of a UDP socket.
    private func addresses(of socket: SocketID) -> (local: SocketAddress, remote: SocketAddress?)? {
        systemCalls &+= 1
        guard isCurrent(socket) else {
            breach("the address of a socket that is not open is asked for")
            return nil
        }
        let row = sockets[Int(socket.index)]
        switch row.kind {
        case .stream where !network.ends[Int(row.place)].isReset:
            return (network.ends[Int(row.place)].local, network.ends[Int(row.place)].remote)
        case .datagramListener, .datagramSocket: return network.datagramAddresses(Int(row.place))
        default: return nil
        }
    }

    package var restsReceives: Bool { settings.restsReceives }

    package func connectError(_ socket: SocketID) -> Int32 { 0 }

    package func hasFailed(_ socket: SocketID) -> Bool {
        systemCalls &+= 1
        guard isCurrent(socket) else {
            breach("hasFailed of a socket that is not open")
            return false
        }
        let row = sockets[Int(socket.index)]
        return row.kind == .stream && network.ends[Int(row.place)].isReset
    }

    @discardableResult
    package func setArrivals(_ arrivals: ArrivalFilter, of listener: SocketID) -> Bool {
        systemCalls &+= 1
        guard isCurrent(listener), sockets[Int(listener.index)].kind == .listener else {
            breach("setArrivals on what is no open listener")
            return false
        }
        network.setArrivals(grantsFilters ? arrivals : nil, of: Int(sockets[Int(listener.index)].place))
        return grantsFilters || arrivals.isOpenToAll
    }

    @discardableResult
    package func stopArrivals(_ listener: SocketID) -> Bool {
        systemCalls &+= 1
        guard isCurrent(listener), sockets[Int(listener.index)].kind == .listener else {
            breach("stopArrivals on what is no open listener")
            return false
        }
        network.stopArrivals(Int(sockets[Int(listener.index)].place))
        return true
    }

    package func acceptQueued(_ listener: SocketID) -> Opened {
        systemCalls &+= 1
        guard isCurrent(listener), sockets[Int(listener.index)].kind == .listener else {
            breach("acceptQueued on what is no open listener")
            return Opened(error: EBADF)
        }
        if sockets[Int(listener.index)].input.state != .none { breach("acceptQueued with an accept pending") }
        return accept(Int(sockets[Int(listener.index)].place))
    }

    /// Takes a connection from a listener's queue.
    func accept(_ listener: Int) -> Opened {
        guard !network.isQueueEmpty(listener) else { return Opened(error: EAGAIN) }
        if network.happens(.acceptNoDescriptor) { return Opened(error: either(EMFILE, ENFILE)) }
        if network.happens(.acceptNoMemory) { return Opened(error: either(ENOBUFS, ENOMEM)) }
        if network.happens(.acceptAborted) { return Opened(error: either(ECONNABORTED, EINTR)) }
        let opened = open(.stream, place: 0, network.listeners[listener].address.address.family)
        guard opened.error == 0 else { return opened }
        guard let end = network.accept(listener, owner: .socket, ownerIndex: opened.socket.index) else {
            preconditionFailure("the queue is not empty")
        }
        sockets[Int(opened.socket.index)].place = end
        sockets[Int(opened.socket.index)].isAccepted = true
        return opened
    }

    /// One of two errnos that mean the same to a caller.
    func either(_ first: Int32, _ second: Int32) -> Int32 { network.random.below(2) == 0 ? first : second }

    func open(_ kind: Socket.Kind, place: UInt32, _ family: IPAddress.Family) -> Opened {
        guard socketsOpen < descriptorLimit else {
            network.note(.descriptorsRanOut)
            return Opened(error: EMFILE)
        }
        let index: UInt32
        if freeSocketCount > 0 {
            freeSocketCount -= 1
            index = freeSockets[freeSocketCount]
        } else {
            guard socketsTouched < sockets.capacity else { return Opened(error: EMFILE) }
            index = UInt32(socketsTouched)
            socketsTouched += 1
        }
        socketsOpen += 1
        let idle = Pending(state: .none, operation: .close, token: .wakeUp)
        let generation = sockets[Int(index)].generation &+ 1
        sockets[Int(index)] = Socket(
            kind: kind, generation: generation, place: place, family: family, isWriteShut: false, input: idle, output: idle, sendCount: 0,
            sendDigest: 0, heldIn: 0)
        return Opened(socket: SocketID(index: index, generation: generation))
    }

    /// Gives a socket's number up; it is the first to be used again.
    func retire(_ index: Int) {
        sockets[index].kind = .closed
        freeSockets[freeSocketCount] = UInt32(index)
        freeSocketCount += 1
        socketsOpen -= 1
    }

    func isCurrent(_ socket: SocketID) -> Bool {
        guard socket.index < UInt32(sockets.capacity) else { return false }
        let row = sockets[Int(socket.index)]
        return row.kind != .closed && row.generation == socket.generation
    }

    // MARK: - Exchange

    package func exchange(_ submissions: inout SubmissionQueue, _ completions: inout CompletionQueue, waitNanoseconds: UInt64) {
        if !completions.isEmpty { breach("exchange with completions of the last one still there") }
        systemCalls &+= 1
        exchanges &+= 1
        if settings.auditInterval > 0, exchanges % settings.auditInterval == 0 { auditBuffers() }
        submissionsMost = max(submissionsMost, submissions.count)
        if network.happens(.clockJump) { clockAhead &+= UInt64(network.random.within(1...24)) * 3_600_000_000_000 }
        var taken = submissions.count
        if taken > 0, network.happens(.submissionsLeft) { taken = network.random.below(taken) }
        for index in 0..<taken { submit(submissions[index]) }
        submissions.removeFirst(taken)
        network.now &+= Self.exchangeNanoseconds
        if network.happens(.emptyReturn) { return }
        let deadline = waitNanoseconds > .max - network.now ? UInt64.max : network.now + waitNanoseconds
        if wakeUp.wait(milliseconds: 0) { completions.append(Completion(token: .wakeUp, result: 0)) }
        while true {
            network.runDueEvents()
            performReady()
            deliver(&completions)
            if !late.isEmpty { deliverLate(&completions) }
            completionsMost = max(completionsMost, completions.count)
            if !completions.isEmpty {
                deadlocks = 0
                return
            }
            if waitNanoseconds == 0 || !submissions.isEmpty { return }
            if postedCount > 0 || network.readyCount > 0 {
                // Held back: it comes with what would have been the next exchange.
                exchanges &+= 1
                network.now &+= Self.exchangeNanoseconds
            } else if let next = network.nextEventTime, next <= deadline {
                network.now = max(network.now, next)
            } else if deadline != .max {
                network.now = deadline
                return
            } else {
                return waitForEver(&completions)
            }
        }
    }

    /// Nothing is to come in the simulation, so only another thread's wake-up can end the wait.
    private func waitForEver(_ completions: inout CompletionQueue) {
        if settings.wakeUpGraceMilliseconds > 0, wakeUp.wait(milliseconds: settings.wakeUpGraceMilliseconds) {
            completions.append(Completion(token: .wakeUp, result: 0))
            return
        }
        breach("deadlock: a wait for ever, and nothing is to come")
        deadlocks += 1
        precondition(deadlocks < 100, "the caller waits again and again for nothing: \(breaches)")
    }

    private func performReady() {
        // Each socket once; what is notified meanwhile, and is not settled by its turn, comes with the next round.
        for _ in 0..<network.readyCount {
            guard postedCount + 4 * Self.batchMax < posted.count, let index = network.takeReady() else { return }
            perform(index)
        }
    }

    /// Completions of one operation in one go.
    static let batchMax = 16

    // MARK: - Outcomes

    func post(_ completion: Completion, socket: UInt32, ends: Ends) {
        precondition(postedCount < posted.count, "more outcomes than there is room for")
        let input = sockets[Int(socket)].input
        let isTransfer = input.operation == .transfer && input.token == completion.token
        posted[(postedHead + postedCount) % posted.count] = Posted(
            completion: completion, socket: socket, otherSocket: isTransfer ? sockets[Int(socket)].destination : socket, ends: ends)
        postedCount += 1
        switch ends {
        case .nothing: break
        case .input: sockets[Int(socket)].input.state = .posted
        case .output: sockets[Int(socket)].output.state = .posted
        case .transfer:
            sockets[Int(socket)].input.state = .posted
            sockets[Int(sockets[Int(socket)].destination)].output.state = .posted
        }
    }

    private func deliver(_ completions: inout CompletionQueue) {
        var room = completions.room
        if postedCount > 1, network.happens(.completionsLeft) { room = min(room, 1 + network.random.below(min(8, postedCount - 1))) }
        guard network.faults[.delayedCompletion] > 0 || network.faults[.reorderedCompletion] > 0 else {
            while postedCount > 0, room > 0 {
                hand(posted[postedHead], &completions)
                postedHead = (postedHead + 1) % posted.count
                postedCount -= 1
                room -= 1
            }
            return
        }
        var kept = 0
        for position in 0..<postedCount {
            if network.random.chance(network.faults[.reorderedCompletion]) { exchangePlaces(position) }
            let outcome = posted[(postedHead + position) % posted.count]
            let isHeld =
                sockets[Int(outcome.socket)].heldIn == exchanges || sockets[Int(outcome.otherSocket)].heldIn == exchanges
                || room == 0 || network.happens(.delayedCompletion)
            if isHeld {
                sockets[Int(outcome.socket)].heldIn = exchanges
                sockets[Int(outcome.otherSocket)].heldIn = exchanges
                posted[(postedHead + kept) % posted.count] = outcome
                kept += 1
            } else {
                hand(outcome, &completions)
                room -= 1
            }
        }
        postedCount = kept
    }

    /// Lets an outcome close behind `position` overtake, if nothing of its socket lies between.
    private func exchangePlaces(_ position: Int) {
        let other = position + 1 + network.random.below(8)
        guard other < postedCount else { return }
        func place(_ position: Int) -> Int { (postedHead + position) % posted.count }
        let first = posted[place(position)]
        let second = posted[place(other)]
        for between in position..<other where posted[place(between)].concerns(second) { return }
        for between in position + 1...other where posted[place(between)].concerns(first) { return }
        posted.swapAt(place(position), place(other))
        network.note(.reorderedCompletion)
    }

    private func hand(_ outcome: Posted, _ completions: inout CompletionQueue) {
        let index = Int(outcome.socket)
        if outcome.completion.buffer != .none { bufferUses[Int(outcome.completion.buffer.rawValue)] = .none }
        switch outcome.ends {
        case .nothing: break
        case .input: sockets[index].input.state = .none
        case .output:
            if sockets[index].output.operation == .send { endSend(index) }
            sockets[index].output.state = .none
        case .transfer:
            sockets[index].input.state = .none
            sockets[Int(sockets[index].destination)].output.state = .none
        }
        completions.append(outcome.completion)
    }

    // MARK: - The contract

    func breach(_ what: String) {
        if breaches.count < Self.breachesMax { breaches.append(what) }
    }

    /// Looks for buffers that the caller gave back although they are the driver's, or gave back twice.
    private func auditBuffers() {
        buffers.forEachReleased { buffer in
            let index = Int(buffer.rawValue)
            if bufferAudits[index] == exchanges { breach("buffer \(index) was released twice") }
            bufferAudits[index] = exchanges
            switch bufferUses[index] {
            case .none: break
            case .received: breach("buffer \(index) was released before it was delivered")
            case .sending: breach("buffer \(index) was released while its send was pending")
            }
        }
    }

    /// A socket in words, for a person at work on a seed.
    package func describe(_ socket: SocketID) -> String {
        guard isCurrent(socket) else { return "not open" }
        let row = sockets[Int(socket.index)]
        var words = "\(row.kind), \(row.input.operation) \(row.input.state), \(row.output.operation) \(row.output.state)"
        if row.kind == .stream { words += ", here \(network.ends[Int(row.place)]), there \(network.ends[Int(row.place ^ 1)])" }
        return words
    }

    /// What is still there when everything should be over; empty is right.
    package func leaks() -> [String] {
        var found: [String] = []
        for index in 0..<socketsTouched where sockets[index].kind != .closed {
            found.append("socket \(index) is open (\(sockets[index].kind))")
            for pending in [sockets[index].input, sockets[index].output] where pending.state != .none {
                found.append("socket \(index) has a pending \(pending.operation)")
            }
        }
        for index in 0..<settings.pipes where pipes[index].isTaken { found.append("pipe \(index) holds \(pipes[index].count) bytes") }
        if postedCount > 0 { found.append("\(postedCount) completions were not taken") }
        if buffers.freeCount != buffers.capacity { found.append("\(buffers.capacity - buffers.freeCount) buffers are not back") }
        return found
    }
}
