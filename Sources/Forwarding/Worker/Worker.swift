import Addressing
package import Engine
import Glibc
import Routing

/// A worker: one thread's engine, listeners and flows. Nothing in it is shared; not `Sendable`.
///
/// A tick takes completions, handles each, drains the mailbox, fires timers, and leaves submissions for the next exchange.
/// Handlers append submissions and never recurse.
package struct Worker: ~Copyable {
    let driver: any Driver
    let pool: BufferPool
    let counters: CounterTable
    private let mailbox: Mailbox
    private let settings: WorkerSettings

    var submissions = SubmissionQueue(capacity: Engine.Limits.submissionsMax)
    private var completions = CompletionQueue(capacity: Engine.Limits.completionsMax)
    var flows: FlowTable
    var listeners = ListenerTable()
    private var timers: TimerWheel
    private var random: RandomSource
    /// Flows with a starved receive; old entries are told by their generation.
    private var starved: StarvedQueue
    private var reply = WorkerReply()

    /// The tick's time in nanoseconds, read once per tick.
    private(set) var now: UInt64
    /// Buffers an outbox may hold in this tick.
    private var outboxMax: UInt16 = 1
    private var connectionsMax: Int
    private var limitReadAt: UInt64
    private var othersActive = 0
    private var acceptPause = AcceptPause.none
    private var armsMany = true
    /// A listener found no room when its accept was to be armed: it is armed as soon as there is some.
    private var missedArming = false
    /// Since when buffers have been short, and the slot where the next look for flows to shed begins.
    private var shortSince: UInt64?
    private var shedCursor: UInt32 = 0
    private var isWoken = true
    /// The next slot of a sweep that resets every flow; nil when there is none.
    private var resetSweep: UInt32?
    /// When the worker stops at the latest, once told to; it stops before that when its last flow is closed.
    private var stopDeadline: UInt64?
    package private(set) var isStopped = false

    private enum AcceptPause: Equatable {
        case none
        /// All connection slots are taken.
        case untilRoom
        /// The kernel had no descriptor to give.
        case until(UInt64)
    }

    package init(driver: any Driver, mailbox: Mailbox, counters: CounterTable, settings: WorkerSettings) {
        self.driver = driver
        self.mailbox = mailbox
        self.counters = counters
        self.settings = settings
        pool = driver.buffers
        now = driver.monotonicNanoseconds()
        flows = FlowTable(capacity: settings.flowsMax)
        timers = TimerWheel(capacity: settings.flowsMax, now: now)
        starved = StarvedQueue(capacity: settings.flowsMax * 2)
        random = RandomSource(seed: settings.seed)
        connectionsMax = settings.connectionsMax?() ?? settings.flowsMax
        limitReadAt = now
    }

    /// Connections open now.
    package var connectionsActive: Int { flows.active }

    /// Runs until told to stop.
    package mutating func run() {
        while !isStopped { tick() }
    }

    // MARK: - The tick

    /// One turn. Waits in the engine at most until the next timer, or `waitMax` nanoseconds.
    package mutating func tick(waitMax: UInt64 = .max) {
        completions.removeAll()
        driver.exchange(&submissions, &completions, waitNanoseconds: min(waitMax, waitNanoseconds()))
        now = driver.monotonicNanoseconds()
        readLimits()
        for index in 0..<completions.count { handle(completions[index]) }
        if isWoken { drainMailbox() }
        if let slot = resetSweep { resetFlows(from: slot) }
        fireTimers()
        resumeStarved()
        if !listeners.draining.isEmpty { drainListeners() }
        settleAccepting()
        publishCounters()
        let isDone = flows.active == 0 && submissions.isEmpty && listeners.draining.isEmpty
        if let stopDeadline, isDone || now >= stopDeadline { isStopped = true }
    }

    private func waitNanoseconds() -> UInt64 {
        if isWoken || resetSweep != nil { return 0 }
        var wait = timers.waitNanoseconds(now)
        if let stopDeadline { wait = min(wait, stopDeadline > now ? stopDeadline - now : 0, 10_000_000) }
        switch acceptPause {
        case .none: break
        case .until(let time): wait = min(wait, time > now ? time - now : 0)
        // Room comes without an event of ours when another worker closes a connection or the limit of open files is raised.
        case .untilRoom: wait = min(wait, Limits.acceptPauseNanoseconds)
        }
        // What these wait for comes without an event of their own: look again soon.
        if !starved.isEmpty || listeners.hasOpenDraining { wait = min(wait, 1_000_000) }
        return wait
    }

    private mutating func readLimits() {
        outboxMax = UInt16(
            clamping: max(1, min(Limits.outboxBytesMax / pool.bufferSize, pool.freeCount / Limits.outboxShare)))
        othersActive = 0
        for other in settings.others { othersActive &+= Int(other.read(row: Column.workerRow, column: Column.active)) }
        if now &- limitReadAt >= Limits.limitRefreshNanoseconds, let read = settings.connectionsMax {
            limitReadAt = now
            connectionsMax = read()
        }
    }

    private mutating func publishCounters() {
        counters.add(1, row: Column.workerRow, column: Column.ticks)
        counters.set(driver.systemCalls, row: Column.workerRow, column: Column.systemCalls)
        counters.set(UInt64(flows.active), row: Column.workerRow, column: Column.active)
        if let count = settings.allocationCount { counters.set(count(), row: Column.workerRow, column: Column.allocations) }
    }

    private mutating func handle(_ completion: Completion) {
        if completion.token.rawValue == OperationToken.wakeUp.rawValue {
            isWoken = true
            return
        }
        guard let kind = OperationKind(rawValue: completion.token.kind) else { preconditionFailure("a token nobody made") }
        if kind == .accept {
            guard listeners.isCurrent(completion.token) else { return dropStale(completion) }
            acceptCompleted(completion)
            return
        }
        guard flows.isCurrent(completion.token) else { return dropStale(completion) }
        let slot = completion.token.slot
        switch kind {
        case .accept: break
        case .connect: connectCompleted(slot, completion.result)
        case .receiveFromClient: receiveCompleted(slot, .client, completion)
        case .receiveFromServer: receiveCompleted(slot, .server, completion)
        case .sendToClient: sendCompleted(slot, .client, completion.result)
        case .sendToServer: sendCompleted(slot, .server, completion.result)
        }
        settle(slot)
    }

    /// A completion of a slot's former life: its buffer and its socket go back.
    private mutating func dropStale(_ completion: Completion) {
        counters.add(1, row: Column.workerRow, column: Column.staleCompletions)
        if completion.buffer != .none { pool.release(completion.buffer) }
        if completion.socket != .none { submissions.append(.closeWithReset(completion.socket)) }
    }

    // MARK: - Flows

    private mutating func receiveCompleted(_ slot: UInt32, _ leg: Leg, _ completion: Completion) {
        flows[slot].receiveCompleted(leg, completion, in: pool)
        if flows[slot][leg].receive == .starved {
            counters.add(1, row: Column.workerRow, column: Column.buffersExhausted)
            starved.append(token(leg == .client ? .receiveFromClient : .receiveFromServer, slot))
        }
    }

    private mutating func sendCompleted(_ slot: UInt32, _ leg: Leg, _ result: Int32) {
        flows[slot].sendCompleted(leg, result, in: pool)
        if result > 0 {
            let column = leg == .client ? Column.bytesToClients : Column.bytesFromClients
            counters.add(UInt64(result), row: Int(flows[slot].serviceRow), column: column)
        }
    }

    /// Brings a flow's operations in line with its state.
    private mutating func settle(_ slot: UInt32) {
        let room = flows[slot].phase == .established ? outboxMax : min(outboxMax, Limits.outboxConnectingMax)
        let actions = flows[slot].settle(outboxMax: room, in: pool)
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
        if actions.contains(.cancelConnect) { submissions.append(.cancel(token(.connect, slot), on: server)) }
        if actions.contains(.boundFlush) { timers.set(slot, deadline: now &+ Limits.resetFlushNanoseconds) }
    }

    private mutating func watchIfUnheard(_ slot: UInt32) {
        guard flows[slot].phase == .established, !flows[slot].flushBounded,
            flows[slot].isUnheard(.client) || flows[slot].isUnheard(.server)
        else { return }
        flows[slot].isWatched = true
        timers.set(slot, deadline: now &+ Limits.watchNanoseconds)
    }

    /// The last step of a close: nothing of the flow is in the kernel.
    private mutating func finish(_ slot: UInt32) {
        timers.clear(slot)
        releaseListener(slot)
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
        flows.free(slot)
    }

    private func token(_ kind: OperationKind, _ slot: UInt32) -> OperationToken {
        OperationToken(kind: kind.rawValue, generation: flows[slot].generation, slot: slot)
    }

    // MARK: - Accepting

    private mutating func acceptCompleted(_ completion: Completion) {
        let slot = completion.token.slot
        if !completion.more {
            listeners[slot].accept = .none
            listeners[slot].acceptCancelled = false
        }
        if completion.result == 0 {
            beginFlow(completion.socket, listener: slot)
        } else {
            switch -completion.result {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: pauseAccepting()
            default: break  // cancelled, or a connection that died in the queue
            }
        }
        if listeners[slot].phase == .open { armAccept(slot) }
    }

    /// Connections that may still be taken on.
    private var room: Int { min(connectionsMax &- othersActive, flows.capacity) &- flows.active }

    private mutating func armAccept(_ slot: UInt32) {
        guard acceptPause == .none, listeners[slot].accept == .none else { return }
        guard room > 0 else {
            missedArming = true
            return
        }
        let token = OperationToken(kind: OperationKind.accept.rawValue, generation: listeners[slot].generation, slot: slot)
        listeners[slot].accept = armsMany ? .many : .one
        submissions.append(armsMany ? .accept(listeners[slot].socket, token) : .acceptOne(listeners[slot].socket, token))
    }

    /// Keeps accepting within the room there is. A multishot accept may take a whole backlog before we hear of it, so it is
    /// used only while there is room for one; short of that connections are taken singly, and with no room not at all.
    private mutating func settleAccepting() {
        let room = self.room
        let many = room > Int(Limits.backlog) &* (1 &+ settings.others.count)
        if many != armsMany {
            armsMany = many
            if !many { cancelAccepts() }
        }
        if case .until(let time) = acceptPause, now >= time {
            // There may be no room now: that is found out below, and is a pause of its own, which looks again.
            acceptPause = .none
            missedArming = true
        }
        switch acceptPause {
        case .none:
            guard room <= 0 else {
                if missedArming { armAllAccepts() }
                return
            }
            acceptPause = .untilRoom
            counters.add(1, row: Column.workerRow, column: Column.acceptPauses)
            cancelAccepts()
        case .untilRoom:
            guard room > 0 else { return }
            acceptPause = .none
            armAllAccepts()
        case .until: break
        }
    }

    /// The host is short of descriptors or memory: no accept is left in the kernel, or it would take what comes free before the
    /// flows that wait for it.
    private mutating func pauseAccepting() {
        if acceptPause == .none { counters.add(1, row: Column.workerRow, column: Column.acceptPauses) }
        acceptPause = .until(now &+ Limits.acceptPauseNanoseconds)
        cancelAccepts()
    }

    private mutating func armAllAccepts() {
        missedArming = false
        for slot in 0..<UInt32(listeners.touched) where listeners[slot].phase == .open { armAccept(slot) }
    }

    private mutating func cancelAccepts() {
        for slot in 0..<UInt32(listeners.touched) where listeners[slot].phase == .open { cancelAccept(slot) }
    }

    private mutating func cancelAccept(_ slot: UInt32) {
        guard listeners[slot].accept != .none, !listeners[slot].acceptCancelled else { return }
        listeners[slot].acceptCancelled = true
        let token = OperationToken(kind: OperationKind.accept.rawValue, generation: listeners[slot].generation, slot: slot)
        submissions.append(.cancel(token, on: listeners[slot].socket))
    }

    private mutating func beginFlow(_ socket: SocketID, listener: UInt32) {
        counters.add(1, row: Column.workerRow, column: Column.accepted)
        guard let served = listeners.frontends[Int(listener)] else { preconditionFailure("a listener without a frontend") }
        counters.add(1, row: served.serviceRow, column: Column.connections)
        guard let slot = flows.allocate() else {
            counters.add(1, row: served.serviceRow, column: Column.closed + Int(CloseReason.limitProcess.rawValue))
            submissions.append(.closeWithReset(socket))
            return
        }
        counters.add(1, row: served.serviceRow, column: Column.connectionsActive)
        listeners[listener].connecting &+= 1
        flows[slot].holdsListener = true
        flows[slot].client.socket = socket
        flows[slot].phase = .connecting
        flows[slot].listener = listener
        flows[slot].listenerGeneration = listeners[listener].generation
        flows[slot].serviceRow = UInt32(served.serviceRow)
        flows[slot].connectDeadline = now &+ settings.connectNanoseconds
        beginConnect(slot, otherwise: .noEndpoint)
        settle(slot)
    }

    // MARK: - Connecting

    /// Starts an attempt to connect to an endpoint not tried yet; closes the flow with `reason` when there is none.
    private mutating func beginConnect(_ slot: UInt32, otherwise reason: CloseReason) {
        let flow = flows[slot]
        guard let served = listeners.frontend(slot: flow.listener, generation: flow.listenerGeneration) else {
            flows[slot].beginClose(reset: true, reason: reason)
            return
        }
        let group = served.frontend.group
        let client = group.selection == .clientIP ? driver.peerAddress(of: flow.client.socket) : nil
        guard now < flow.connectDeadline, let choice = group.choose(client: client, tried: flow.tried, random: &random) else {
            flows[slot].beginClose(reset: true, reason: reason)
            return
        }
        let endpoint = group.endpoints[choice]
        flows[slot].endpointIdentity = endpoint.identity
        let opened = driver.openStream(endpoint.address.address.family)
        guard opened.error == 0 else { return attemptFailed(slot, opened.error) }
        if flow.tried.count > 0 { counters.add(1, row: served.serviceRow, column: Column.retries) }
        let row = served.endpointRows[choice]
        counters.add(1, row: row, column: Column.connections)
        counters.add(1, row: row, column: Column.connectionsActive)
        flows[slot].endpointRow = UInt32(row)
        flows[slot].server.socket = opened.socket
        flows[slot].phase = .connecting
        flows[slot].connectPending = true
        submissions.append(.connect(opened.socket, to: endpoint.address, token(.connect, slot)))
        timers.set(slot, deadline: min(now &+ settings.connectAttemptNanoseconds, flow.connectDeadline))
    }

    /// An attempt came to nothing; no socket of the server is left. Another endpoint gets its chance.
    private mutating func attemptFailed(_ slot: UInt32, _ errno: Int32) {
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // Our own want, not the endpoint's fault: the client waits while others finish, and no more are accepted.
            flows[slot].phase = .waiting
            timers.set(slot, deadline: min(now &+ Limits.descriptorRetryNanoseconds, flows[slot].connectDeadline))
            pauseAccepting()
        default:
            flows[slot].connectFailed()
            beginConnect(slot, otherwise: CloseReason(connectErrno: errno))
        }
    }

    private mutating func connectCompleted(_ slot: UInt32, _ result: Int32) {
        if flows[slot].phase == .closing {
            flows[slot].connectPending = false
            return
        }
        timers.clear(slot)
        let result = result == 0 ? -driver.connectError(flows[slot].server.socket) : result
        if result == 0 {
            releaseListener(slot)
            flows[slot].connected()
            return
        }
        // The attempt's end: its socket has nothing pending any more.
        let row = Int(flows[slot].endpointRow)
        if CloseReason(connectErrno: -result).blamesEndpoint { counters.add(1, row: row, column: Column.connectFailures) }
        counters.subtract(1, row: row, column: Column.connectionsActive)
        flows[slot].endpointRow = 0
        submissions.append(.close(flows[slot].server.socket))
        flows[slot].attemptEnded()
        attemptFailed(slot, -result)
    }

    /// The flow chooses no more endpoints: its listener's row may go.
    private mutating func releaseListener(_ slot: UInt32) {
        guard flows[slot].holdsListener else { return }
        flows[slot].holdsListener = false
        listeners[flows[slot].listener].connecting &-= 1
    }

    // MARK: - Timers and resources

    private mutating func fireTimers() {
        for _ in 0..<Limits.timersPerTickMax {
            guard let slot = timers.takeDue(now) else { return }
            timerFired(slot)
            settle(slot)
        }
    }

    private mutating func timerFired(_ slot: UInt32) {
        switch flows[slot].phase {
        case .connecting:
            guard flows[slot].connectPending, !flows[slot].connectCancelled else { return }
            flows[slot].connectCancelled = true
            submissions.append(.cancel(token(.connect, slot), on: flows[slot].server.socket))
        case .waiting:
            beginConnect(slot, otherwise: .limitProcess)
        case .established where flows[slot].flushBounded:
            flows[slot].beginClose(reset: true)
        case .established:
            flows[slot].isWatched = false
            if flows[slot].isUnheard(.client), driver.hasFailed(flows[slot].client.socket) { flows[slot].foundFailed(.client) }
            if flows[slot].isUnheard(.server), driver.hasFailed(flows[slot].server.socket) { flows[slot].foundFailed(.server) }
        case .free, .closing: break
        }
    }

    private mutating func resumeStarved() {
        guard !starved.isEmpty else {
            shortSince = nil
            return
        }
        // Not more than can be served, or they would starve again at once.
        let most = min(Limits.resumedPerTickMax, driver.receiveBuffers)
        var resumed = 0
        while resumed < most, let token = starved.take() {
            guard flows.isCurrent(token) else { continue }
            let leg: Leg = token.kind == OperationKind.receiveFromClient.rawValue ? .client : .server
            guard flows[token.slot][leg].receive == .starved else { continue }
            flows[token.slot][leg].receive = .idle
            settle(token.slot)
            resumed &+= 1
        }
        shedIfShort()
    }

    /// Peers that don't read can hold every buffer of the pool between them, each no more than its share. When that has gone on
    /// for a while, those that don't move are reset for the sake of those that would.
    private mutating func shedIfShort() {
        guard driver.receiveBuffers < Limits.shedBuffers else {
            shortSince = nil
            return
        }
        guard let since = shortSince else {
            shortSince = now
            return
        }
        guard now &- since >= Limits.shedAfterNanoseconds else { return }
        for _ in 0..<min(Limits.shedPerTickMax, flows.touchedSlots) {
            if shedCursor >= flows.touchedSlots { shedCursor = 0 }
            let slot = shedCursor
            shedCursor &+= 1
            // A send that is pending with more behind it is a full socket.
            guard flows[slot].phase == .established, flows[slot].client.isStuck || flows[slot].server.isStuck else { continue }
            flows[slot].beginClose(reset: true, reason: .limitProcess)
            settle(slot)
            if driver.receiveBuffers >= Limits.shedBuffers { return }
        }
    }

    /// Resets flows in slot order, as many as this tick has room for: closing many must not hold up the rest.
    private mutating func resetFlows(from start: UInt32) {
        var slot = start
        while slot < flows.touchedSlots {
            guard submissions.room > Limits.sweepRoom else {
                resetSweep = slot
                return
            }
            if flows[slot].phase != .free {
                flows[slot].beginClose(reset: true, reason: .drain)
                settle(slot)
            }
            slot &+= 1
        }
        resetSweep = nil
    }

    // MARK: - Commands

    private mutating func drainMailbox() {
        isWoken = false
        while let command = mailbox.take() {
            switch command {
            case .apply(let open, let replace, let close, let acknowledge):
                apply(open: open, replace: replace, close: close)
                let reply = self.reply
                self.reply = WorkerReply()
                acknowledge(reply)
            case .stopAccepting:
                for slot in 0..<UInt32(listeners.touched) where listeners[slot].phase == .open { closeListener(slot) }
            case .resetAll:
                resetSweep = 0
            case .stop:
                stopDeadline = now &+ Limits.stopNanoseconds
            }
        }
    }

    private mutating func apply(open: [ServedFrontend], replace: [ServedFrontend], close: [FrontendKey]) {
        for key in close {
            if let slot = listeners.slot(of: key) { closeListener(slot) }
        }
        for served in replace {
            guard let slot = listeners.slot(of: served.frontend.key) else { continue }
            if let old = listeners.replace(slot, with: served) { reply.retired.append(old) }
        }
        for served in open where listeners.slot(of: served.frontend.key) == nil {
            let key = served.frontend.key
            let opened = driver.openListener(key.address, backlog: Limits.backlog)
            guard opened.error == 0 else {
                reply.failures.append((key, opened.error))
                continue
            }
            guard let slot = listeners.insert(served, socket: opened.socket) else {
                submissions.append(.close(opened.socket))
                reply.failures.append((key, ENFILE))
                continue
            }
            armAccept(slot)
        }
        counters.set(UInt64(listeners.openCount), row: Column.workerRow, column: Column.listeners)
    }

    /// Begins to close a listener: what is in its queue is still served, what comes now is not.
    private mutating func closeListener(_ slot: UInt32) {
        driver.stopArrivals(listeners[slot].socket)
        cancelAccept(slot)
        listeners.beginDrain(slot)
        counters.set(UInt64(listeners.openCount), row: Column.workerRow, column: Column.listeners)
    }

    /// Empties the queues of closing listeners, as there is room, and closes them once they are empty. A row stays until no flow
    /// that came through it can need another endpoint.
    private mutating func drainListeners() {
        var position = 0
        while position < listeners.draining.count, submissions.room > Limits.sweepRoom {
            let slot = listeners.draining[position]
            position += 1
            if listeners[slot].socket != .none {
                guard listeners[slot].accept == .none, drainQueue(of: slot) else { continue }
                submissions.append(.close(listeners[slot].socket))
                listeners[slot].socket = .none
            }
            guard listeners[slot].connecting == 0 else { continue }
            position -= 1
            if let old = listeners.finishDrain(at: position) { reply.retired.append(old) }
        }
    }

    /// Takes connections from a closing listener's queue; true when it is empty.
    private mutating func drainQueue(of slot: UInt32) -> Bool {
        for _ in 0..<Limits.drainedPerTickMax {
            if case .until = acceptPause { return false }
            guard room > 0 else { return false }
            let opened = driver.acceptQueued(listeners[slot].socket)
            switch opened.error {
            case 0: beginFlow(opened.socket, listener: slot)
            case EAGAIN: return true
            default:
                pauseAccepting()
                return false
            }
        }
        return false
    }
}
