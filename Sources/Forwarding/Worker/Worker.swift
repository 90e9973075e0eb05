package import Engine
import Routing

/// A worker: one thread's engine, listeners and flows. Nothing in it is shared; not `Sendable`.
///
/// A tick takes completions, handles each, drains the mailbox, fires timers, and leaves submissions for the next exchange.
/// Handlers append submissions and never recurse.
///
/// A method that is called for each connection or datagram is `mutating` even where it changes nothing, unless it is inlined: the compiler
/// hands a borrowed `self` of this size over as a copy (2642 bytes, 280 instructions), an exclusive one as an address.
package struct Worker: ~Copyable {
    let driver: any Driver
    let pool: BufferPool
    let counters: CounterTable
    let mailbox: Mailbox
    let settings: WorkerSettings
    let gauges: ProcessGauges
    let restsReceives: Bool

    var submissions = SubmissionQueue(capacity: Engine.Limits.submissionsMax)
    var completions = CompletionQueue(capacity: Engine.Limits.completionsMax)
    package internal(set) var flows: FlowTable
    var listeners = ListenerTable()
    var portShortage = PortShortage()
    var timers: TimerWheel
    var random: RandomSource
    var starved: StarvedLegs
    /// ACKs that are held back, see `Worker+Acknowledging`.
    var handshakes: RingQueue<OperationToken>
    var answers: RingQueue<OperationToken>
    /// How many of the answers have waited for a turn already, and when it ends.
    var answersDue = 0
    var answersTurnAt: UInt64 = 0
    // UDP, see `Worker+Datagrams`.
    package internal(set) var sessions: SessionTable
    package internal(set) var upstreams: UpstreamTable
    /// Of sessions, and behind these of sockets.
    var sessionTimers: TimerWheel
    var sourceRates = SourceRates()
    /// What was taken from a listener, and is sent on before anything else happens.
    let datagrams = DatagramBatch(takesNames: true)
    /// What was taken from endpoints in this tick, for clients of one listener.
    let replies = DatagramBatch(takesNames: false)
    var repliesListener: UInt32 = 0
    /// Listeners and sockets with more to read than a turn takes.
    var unreadListeners = RingQueue<UInt32>(capacity: Limits.listenersMax)
    var unreadUpstreams: RingQueue<UInt32>
    var sessionsMax: Int
    /// No port was free for a UDP socket: when the next one is looked for.
    var portsLookAt: UInt64 = 0
    /// Whether there has ever been a listener of datagrams: until then nothing of them has to be looked at.
    var hasServedDatagrams = false
    /// Changes of endpoints' health so far, in the whole process; read as datagrams are taken.
    var healthEpoch: UInt32 = 0
    /// The next slot of a sweep that closes sessions without a listener; nil when there is none.
    var sessionSweep: UInt32?
    var reply = WorkerReply()
    var names: NameServer
    /// Who connected to what, of flows that say so (`TCPFlow.hasAddresses`), by slot; of all others at least the client's address while
    /// connections are logged.
    var addresses: FixedTable<ProxyAddresses>
    /// What is noted about flows for the log of connections, by slot; not touched while it is off.
    var notes: FixedTable<ConnectionNotes>
    /// The same of UDP sessions.
    var sessionNotes: FixedTable<SessionNotes>
    let logsConnections: Bool
    /// Room for one PROXY header, to read or to write it.
    var headerBytes = [UInt8](repeating: 0, count: ProxyHeader.lengthMax)

    /// Read once per tick.
    var clock: TickClock
    /// Buffers an outbox may hold in this tick.
    var outboxMax: UInt16 = 1
    /// Buffers that may wait for a header: twice what the longest one needs, for reading resumes at half of it.
    let outboxHeaderMax: UInt16
    var connectionsMax: Int
    var limitReadAt: UInt64
    var othersActive = 0
    var acceptPause = AcceptPause.none
    var armsMany = true
    /// A listener found no room when its accept was to be armed: it is armed as soon as there is some.
    var missedArming = false
    /// Since when buffers have been short, and the slot where the next look for flows to shed begins.
    var shortSince: UInt64?
    var shedCursor: UInt32 = 0
    var isWoken = true
    /// Whether a direction has ever gone into bulk: until then nobody need be asked about pipes.
    var hasUsedPipes = false
    /// The next slot of a sweep that resets every flow; nil when there is none.
    var resetSweep: UInt32?
    var deletions: [Deletion] = []
    /// When a guest is to be forgotten, or a deletion goes on: rarely at all, so that a tick looks at one time for both.
    var nextChoreAt = UInt64.max
    /// When the worker stops at the latest, once told to; it stops before that when its last flow is closed.
    var stopDeadline: UInt64?
    package internal(set) var isStopped = false

    enum AcceptPause: Equatable {
        case none
        /// All connection slots are taken.
        case untilRoom
        /// The kernel had no descriptor to give.
        case until(UInt64)
    }

    /// - Parameter names: nil where it answers no queries.
    package init(
        driver: any Driver, mailbox: Mailbox, counters: CounterTable, settings: WorkerSettings, names: WorkerNames? = nil
    ) {
        self.driver = driver
        self.mailbox = mailbox
        self.counters = counters
        self.settings = settings
        gauges = ProcessGauges(own: counters, others: settings.others)
        restsReceives = driver.restsReceives
        pool = driver.buffers
        outboxHeaderMax = UInt16(clamping: 2 * (ProxyHeader.lengthMax / driver.buffers.bufferSize + 2))
        clock = TickClock(reading: driver.monotonicNanoseconds())
        let now = clock.now
        flows = FlowTable(capacity: settings.flowsMax)
        timers = TimerWheel(capacity: settings.flowsMax, now: now)
        addresses = FixedTable(zeroedCapacity: settings.flowsMax)
        notes = FixedTable(zeroedCapacity: settings.flowsMax)
        logsConnections = settings.connectionLogging != .off
        sessions = SessionTable(capacity: settings.sessionsMax, secret: Mixer.mix(settings.seed ^ 0x7365_7373_696f_6e73))
        upstreams = UpstreamTable(capacity: 2 * settings.sessionsMax)
        sessionNotes = FixedTable(zeroedCapacity: settings.sessionsMax)
        sessionTimers = TimerWheel(capacity: 3 * settings.sessionsMax, now: now)
        unreadUpstreams = RingQueue(capacity: 2 * settings.sessionsMax)
        sessionsMax = settings.sessionsMax
        starved = StarvedLegs(flowsMax: settings.flowsMax)
        handshakes = RingQueue(capacity: Limits.withheldACKsMax)
        answers = RingQueue(capacity: Limits.withheldACKsMax)
        random = RandomSource(seed: settings.seed)
        connectionsMax = settings.connectionsMax?() ?? settings.flowsMax
        limitReadAt = now
        self.names = NameServer(names, seed: settings.seed, now: now, unused: counters, replies)
    }

    /// The tick's time in nanoseconds.
    var now: UInt64 { clock.now }

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
        let wait = min(waitMax, waitNanoseconds())
        driver.exchange(&submissions, &completions, waitNanoseconds: wait)
        clock.advance(to: driver.monotonicNanoseconds(), waited: wait)
        readLimits()
        let handshakesDue = handshakes.count
        for index in 0..<completions.count { handle(completions[index]) }
        if hasServedDatagrams { finishDatagrams() }
        if handshakesDue > 0 { acknowledgeHandshakes(handshakesDue) }
        if !answers.isEmpty { acknowledgeAnswers() }
        if isWoken { drainMailbox() }
        if let slot = resetSweep { resetFlows(from: slot) }
        if hasServedDatagrams { lookAfterSessions() }
        fireTimers()
        resumeStarved()
        if now >= nextChoreAt { doChores() }
        if !listeners.draining.isEmpty { drainListeners() }
        settleAccepting()
        publishCounters()
        let isDone = flows.active == 0 && upstreams.active == 0 && submissions.isEmpty && listeners.draining.isEmpty
        if let stopDeadline, isDone && !names.isBusy || now >= stopDeadline { isStopped = true }
    }

    mutating func waitNanoseconds() -> UInt64 {
        if isWoken || resetSweep != nil { return 0 }
        var wait = timers.waitNanoseconds(now)
        if hasServedDatagrams {
            if sessionSweep != nil || names.hasUnread || !unreadListeners.isEmpty || !unreadUpstreams.isEmpty { return 0 }
            wait = min(wait, sessionTimers.waitNanoseconds(now), names.forwarding.timers.waitNanoseconds(now))
        }
        if let stopDeadline { wait = min(wait, stopDeadline > now ? stopDeadline - now : 0, 10_000_000) }
        switch acceptPause {
        case .none: break
        case .until(let time): wait = min(wait, time > now ? time - now : 0)
        // Room comes without an event of ours when another worker closes a connection or the limit of open files is raised.
        case .untilRoom: wait = min(wait, Limits.acceptPauseNanoseconds)
        }
        // What these wait for comes without an event of their own: look again soon.
        if !starved.isEmpty || listeners.hasOpenDraining { wait = min(wait, 1_000_000) }
        if nextChoreAt != .max { wait = min(wait, nextChoreAt > now ? nextChoreAt - now : 0) }
        if !handshakes.isEmpty { wait = min(wait, Limits.handshakeACKNanoseconds) }
        if !answers.isEmpty { wait = min(wait, answersTurnAt > now ? answersTurnAt - now : 0) }
        return wait
    }

    mutating func readLimits() {
        outboxMax = UInt16(
            clamping: max(1, min(Limits.outboxBytesMax / pool.bufferSize, pool.freeCount / Limits.outboxShare)))
        othersActive = 0
        for other in settings.others { othersActive &+= Int(other.read(row: Column.workerRow, column: Column.active)) }
        if now &- limitReadAt >= Limits.limitRefreshNanoseconds { readConnectionsMax() }
    }

    mutating func readConnectionsMax() {
        guard let read = settings.connectionsMax else { return }
        limitReadAt = now
        connectionsMax = read()
        if let read = settings.sessionsLimit { sessionsMax = min(settings.sessionsMax, max(1, read())) }
    }

    mutating func publishCounters() {
        counters.add(1, row: Column.workerRow, column: Column.ticks)
        counters.set(driver.systemCalls, row: Column.workerRow, column: Column.systemCalls)
        counters.set(UInt64(pool.capacity &- driver.receiveBuffers), row: Column.workerRow, column: Column.buffersActive)
        publishActive()
        if hasServedDatagrams {
            counters.set(UInt64(upstreams.active), row: Column.workerRow, column: Column.socketsActive)
            if names.forwarding.isUsed { names.forwarding.publish(to: names.counters) }
        }
        if hasUsedPipes { counters.set(UInt64(driver.pipesOpen), row: Column.workerRow, column: Column.pipesOpen) }
        if let count = settings.allocationCount { counters.set(count(), row: Column.workerRow, column: Column.allocations) }
    }

    // Inlined by order, into the one place that calls it.
    @inline(__always) mutating func handle(_ completion: Completion) {
        if completion.token.rawValue == OperationToken.wakeUp.rawValue {
            isWoken = true
            return
        }
        guard let kind = OperationKind(rawValue: completion.token.kind) else { return namesCompleted(completion) }
        if kind == .accept {
            guard listeners.isCurrent(completion.token) else { return dropStale(completion) }
            acceptCompleted(completion)
            return
        }
        if kind.rawValue >= OperationKind.watchListener.rawValue { return handleWatch(kind, completion) }
        guard flows.isCurrent(completion.token) else { return dropStale(completion) }
        let slot = completion.token.slot
        switch kind {
        case .accept, .watchListener, .watchUpstream: break
        case .connect: connectCompleted(slot, completion.result)
        case .receiveFromClient:
            if flows[slot].isInspected { inspect(slot, completion) } else { receiveCompleted(slot, .client, completion) }
        case .receiveFromServer: receiveCompleted(slot, .server, completion)
        case .sendToClient: sendCompleted(slot, .client, completion.result)
        case .sendToServer: sendCompleted(slot, .server, completion.result)
        case .transferFromClient: transferCompleted(slot, .client, completion)
        case .transferFromServer: transferCompleted(slot, .server, completion)
        }
        // The one place where it is noted that bytes moved.
        if completion.result > 0 { flows[slot].movedAt = FlowTime.ticks(at: now) }
        settle(slot)
    }

    /// A completion of a slot's former life: its buffer and its socket go back.
    mutating func dropStale(_ completion: Completion) {
        counters.add(1, row: Column.workerRow, column: Column.staleCompletions)
        if completion.buffer != .none { pool.release(completion.buffer) }
        if completion.socket != .none { submissions.append(.closeWithReset(completion.socket)) }
    }
}
