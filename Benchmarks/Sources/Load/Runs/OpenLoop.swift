/// Sends requests when they are due, whatever the target does, and measures each from the moment it was due to that at which the
/// kernel got its response.
///
/// A request that finds no connection free waits in line, and its wait counts: a client that sends less while the target is slow
/// would leave out the very times that matter (coordinated omission).
final class OpenLoop {
    struct Settings {
        var rate = 1000.0
        var arrivals = Schedule.Arrivals.poisson
        var seed: UInt64 = 1
        var connections = 32
        /// How long requests are counted.
        var seconds = 3.0
        /// How long requests are sent before that.
        var warmUpSeconds = 0.5
        /// Of a request, since it was due.
        var timeoutSeconds = 2.0
        var path = "/"
        var connectionPerRequest = false
        /// How long before a request is due the loop stops sleeping and asks again and again. Sleeping ends some 30 us late.
        var spinSeconds = 0.0
        /// Requests are due, and responses read, at multiples of this. 0: the loop wakes up for each request and for each response,
        /// which costs more than both.
        var gatherSeconds = 0.0
    }

    private let settings: Settings
    private let connections: Connections
    private var schedule: Schedule
    private var log = RequestLog()
    /// The first request that no connection was found for.
    private var nextUnsent = 0
    /// Requests below this number have been found waiting, and counted as that.
    private var waitedThrough = 0
    /// The request on each slot.
    private var onSlot: [Int]
    /// Slots that may be idle, the longest unused first, so that all connections are used in turn; some may have closed since.
    private var idle = Line()
    private var vacant: [Int] = []
    private var figures: OpenLoopFigures
    private var startNanoseconds: UInt64 = 0
    private var countedFromNanoseconds: UInt64 = 0
    private var lastSettledNanoseconds: UInt64 = 0

    init(_ target: Target, _ settings: Settings) {
        self.settings = settings
        connections = Connections(
            target, path: settings.path, count: settings.connections, closesEach: settings.connectionPerRequest,
            stampsArrivals: true)
        schedule = Schedule(
            rate: settings.rate, arrivals: settings.arrivals, seed: settings.seed,
            endNanoseconds: nanoseconds(settings.warmUpSeconds + settings.seconds), gatherNanoseconds: nanoseconds(settings.gatherSeconds))
        onSlot = [Int](repeating: -1, count: settings.connections)
        figures = OpenLoopFigures(target: target.text, rateAsked: settings.rate)
    }

    /// Runs to the end of the schedule and of all its requests.
    func run() throws(LoadError) -> OpenLoopFigures {
        if !settings.connectionPerRequest {
            let failures = connections.establishAll(timeoutNanoseconds: timeout)
            if connections.established == 0 { throw connections.unreachable(failures) }
        }
        for slot in 0..<connections.count {
            if connections.isIdle(slot) { idle.append(slot) } else { vacant.append(slot) }
        }
        startNanoseconds = Clock.nanoseconds()
        countedFromNanoseconds = startNanoseconds + nanoseconds(settings.warmUpSeconds)
        var nextDue = schedule.next().map { startNanoseconds + $0 }
        var cpuSeconds: Double?
        while nextDue != nil || !log.isEmpty {
            let now = Clock.nanoseconds()
            if cpuSeconds == nil, now >= countedFromNanoseconds { cpuSeconds = Clock.cpuSeconds() }
            while let due = nextDue, due <= now {
                log.append(beganNanoseconds: due)
                if isCounted(due) { figures.scheduled += 1 }
                nextDue = schedule.next().map { startNanoseconds + $0 }
                // Each at once: the one after it may be due by the time this one is written.
                dispatch()
            }
            // Before any time is over: what has come by now has not been looked at since the last gathering.
            if settings.gatherSeconds > 0 { receive(untilNanoseconds: 0) }
            expire(now)
            let expiry = log.oldestNanoseconds.map { $0 + timeout } ?? .max
            let awake = nextDue.map { $0 - nanoseconds(settings.spinSeconds) } ?? .max
            if settings.gatherSeconds > 0, nextDue != nil {
                Clock.sleep(untilNanoseconds: min(awake, log.isEmpty ? .max : nextGathering(now)))
            } else if min(awake, expiry) < .max {
                receive(untilNanoseconds: min(awake, expiry))
            }
        }
        finish(cpuSeconds: cpuSeconds ?? Clock.cpuSeconds())
        if connections.established == 0 { throw connections.unreachable(figures.failures) }
        return figures
    }

    private var timeout: UInt64 { nanoseconds(settings.timeoutSeconds) }

    private func isCounted(_ dueNanoseconds: UInt64) -> Bool { dueNanoseconds >= countedFromNanoseconds }

    private func finish(cpuSeconds before: Double) {
        let windowEnd = startNanoseconds + schedule.endNanoseconds
        let nanoseconds = max(lastSettledNanoseconds, windowEnd) - countedFromNanoseconds
        figures.seconds = Double(nanoseconds) / 1e9
        figures.clientCPUSeconds = Clock.cpuSeconds() - before
        figures.failureTimeline.extend(toNanoseconds: nanoseconds)
        connections.closeAll()
    }

    // MARK: - Requests

    private func receive(untilNanoseconds deadline: UInt64) {
        connections.wait(untilNanoseconds: deadline) { slot, event in handle(slot, event) }
        dispatch()
    }

    /// Connections may become free then, for requests that wait for one.
    private func nextGathering(_ now: UInt64) -> UInt64 {
        let length = schedule.gatherNanoseconds
        return startNanoseconds + ((now - startNanoseconds) / length + 1) * length
    }

    /// Gives waiting requests to connections, in order, as long as there are connections.
    private func dispatch() {
        nextUnsent = max(nextUnsent, log.numbers.lowerBound)
        while nextUnsent < log.numbers.upperBound {
            guard !log[nextUnsent].isSettled else {
                nextUnsent += 1
                continue
            }
            guard let slot = freeSlot() else { break }
            let number = nextUnsent
            nextUnsent += 1
            start(number, on: slot)
        }
        let newlyWaiting = max(nextUnsent, waitedThrough)..<max(log.numbers.upperBound, nextUnsent, waitedThrough)
        for number in newlyWaiting where isCounted(log[number].beganNanoseconds) { figures.queuedForConnection += 1 }
        waitedThrough = newlyWaiting.upperBound
    }

    private func freeSlot() -> Int? {
        while let slot = idle.popFirst() {
            if connections.isIdle(slot) { return slot }
        }
        return vacant.popLast()
    }

    private func start(_ number: Int, on slot: Int) {
        let due = log[number].beganNanoseconds
        log[number].slot = slot
        onSlot[slot] = number
        if number >= waitedThrough, isCounted(due) { figures.sendLag.record(nanoseconds: Clock.nanoseconds() - due) }
        let failure = connections.isIdle(slot) ? connections.send(slot) : connections.open(slot, sending: true)
        if let failure {
            vacant.append(slot)
            failed(number, failure, Clock.nanoseconds())
        }
    }

    private func handle(_ slot: Int, _ event: Connections.Event) {
        let now = Clock.nanoseconds()
        switch event {
        case .completed(let status, let arrived):
            if settings.connectionPerRequest { connections.close(slot) }
            release(slot)
            (200..<300).contains(status) ? completed(onSlot[slot], arrived) : failed(onSlot[slot], .status, now)
        case .failed(let kind):
            release(slot)
            failed(onSlot[slot], kind, now)
        case .closedWhileIdle:
            figures.closedWhileIdle += 1
            release(slot)
        case .connected, .inputReady:
            preconditionFailure("every connection made during a run carries a request")
        }
    }

    private func release(_ slot: Int) {
        if connections.isIdle(slot) { idle.append(slot) } else { vacant.append(slot) }
    }

    /// Ends the requests whose time is over; their connections may still be answered and are of no use any more.
    private func expire(_ now: UInt64) {
        while let began = log.oldestNanoseconds, began + timeout <= now {
            let number = log.numbers.lowerBound
            if let slot = log[number].slot {
                connections.close(slot)
                vacant.append(slot)
            }
            failed(number, .timeout, now)
        }
    }

    private func completed(_ number: Int, _ now: UInt64) {
        let due = log[number].beganNanoseconds
        settle(number, now)
        guard isCounted(due) else { return }
        figures.latency.record(nanoseconds: now > due ? now - due : 0)
    }

    private func failed(_ number: Int, _ kind: FailureKind, _ now: UInt64) {
        let due = log[number].beganNanoseconds
        settle(number, now)
        guard isCounted(due) else { return }
        figures.failures[kind] += 1
        figures.failureTimeline.count(atNanoseconds: now - countedFromNanoseconds)
    }

    private func settle(_ number: Int, _ now: UInt64) {
        log.settle(number)
        lastSettledNanoseconds = max(lastSettledNanoseconds, now)
    }

    /// First come, first served.
    private struct Line {
        private var slots: [Int] = []
        private var head = 0

        mutating func append(_ slot: Int) { slots.append(slot) }

        mutating func popFirst() -> Int? {
            guard head < slots.count else { return nil }
            let slot = slots[head]
            head += 1
            if head >= 1024, head * 2 >= slots.count {
                slots.removeFirst(head)
                head = 0
            }
            return slot
        }
    }
}
