import Engine
import Routing
import Synchronization

/// A running worker, seen from outside: its mailbox, its counters, its thread.
final class WorkerHandle: Sendable {
    let index: Int
    let cpu: Int?
    let counters: CounterTable
    /// nil where no query is answered.
    let names: WorkerNames?
    private let ring: ConnectionRing
    /// Closed connections that were taken from the ring and did not make it into the log.
    private let notLogged = Atomic<UInt64>(0)
    private let mailbox: Mailbox
    private let thread: WorkerThread
    private let countsAllocations: Bool

    private init(
        index: Int, cpu: Int?, counters: CounterTable, names: WorkerNames?, mailbox: Mailbox, thread: WorkerThread,
        ring: ConnectionRing, countsAllocations: Bool
    ) {
        self.index = index
        self.cpu = cpu
        self.counters = counters
        self.names = names
        self.mailbox = mailbox
        self.thread = thread
        self.ring = ring
        self.countsAllocations = countsAllocations
    }

    /// Starts all workers; either all of them run or none.
    static func start(
        _ engine: EngineSelection.Name, settings: DataPlaneSettings, health: HealthTable, connectionsMax: @escaping @Sendable () -> Int,
        sessionsMax: @escaping @Sendable () -> Int
    ) throws(DataPlaneError) -> [WorkerHandle] {
        let tables = (0..<settings.workers).map { _ in makeCounterTable() }
        let secret = Mixer.mix(settings.seed ^ 0x736f_7572_6365_7321)
        let sources = tables.map { _ in SourceCounts(secret: secret) }
        let affinities = AffinityTable(secret: Mixer.mix(settings.seed ^ 0x6166_6669_6e69_7479))
        let cpus = CPUSet.allowed()
        var handles: [WorkerHandle] = []
        for index in 0..<settings.workers {
            var worker = WorkerSettings()
            worker.index = index
            worker.seed = settings.seed &+ UInt64(index)
            worker.connectAttemptNanoseconds = settings.connectAttemptTimeout.clampedNanoseconds
            worker.connectNanoseconds = settings.connectTimeout.clampedNanoseconds
            worker.proxyHeaderNanoseconds = settings.proxyHeaderTimeout.clampedNanoseconds
            worker.timeouts = settings.timeouts
            worker.connectionsMax = connectionsMax
            worker.sessionsLimit = sessionsMax
            worker.others = tables.indices.filter { $0 != index }.map { tables[$0] }
            worker.connectionsLimit = settings.connectionsMax
            worker.sources = sources[index]
            worker.otherSources = sources.indices.filter { $0 != index }.map { sources[$0] }
            worker.affinities = affinities
            worker.sourceAddresses = SourceAddresses(settings.sourceAddresses)
            worker.connectionLogging = settings.connectionLogging
            if settings.connectionLogging != .off { worker.connectionRing = ConnectionRing(capacity: Limits.connectionRecordsMax) }
            worker.health = health
            worker.allocationCount = settings.allocationCount
            let names = settings.names.map { names in
                let openFiles = HostLimits.openFiles()
                var names = names
                names.forwarding.questionsMax = DescriptorBudget.questionsOfWorker(openFiles: openFiles, workers: settings.workers)
                let most = DescriptorBudget.nameConnectionsOfWorker(openFiles: openFiles, workers: settings.workers)
                return WorkerNames(names, connectionsMax: most)
            }
            worker.pipesMax = DescriptorBudget.pipesOfWorker(openFiles: HostLimits.openFiles(), workers: settings.workers)
            let cpu = settings.pinsWorkers ? cpus[index % cpus.count] : nil
            do throws(DataPlaneError) {
                handles.append(try start(engine, index: index, cpu: cpu, counters: tables[index], settings: worker, names: names))
            } catch {
                for handle in handles { handle.post(.stop) }
                for handle in handles { handle.join() }
                throw error
            }
        }
        return handles
    }

    /// Starts one worker and waits until its engine stands: a ring belongs to the thread that made it.
    private static func start(
        _ engine: EngineSelection.Name, index: Int, cpu: Int?, counters: CounterTable, settings: WorkerSettings, names: WorkerNames?
    ) throws(DataPlaneError) -> WorkerHandle {
        let birth = Birth()
        let thread = WorkerThread(name: "ringway-\(index)", cpu: cpu) {
            let driver: any Driver
            do throws(UringUnavailable) {
                driver = try engine.makeDriver(pipesMax: settings.pipesMax)
            } catch {
                return birth.announce(.failure(DataPlaneError("worker \(index): \(error)")))
            }
            let mailbox = Mailbox(wakeUp: driver.wakeUp)
            birth.announce(.success(mailbox))
            var worker = Worker(driver: driver, mailbox: mailbox, counters: counters, settings: settings, names: names)
            worker.run()
        }
        switch birth.wait() {
        case .success(let mailbox):
            return WorkerHandle(
                index: index, cpu: cpu, counters: counters, names: names, mailbox: mailbox, thread: thread,
                ring: settings.connectionRing, countsAllocations: settings.allocationCount != nil)
        case .failure(let error):
            thread.join()
            throw error
        }
    }

    /// Leaves a command. The ring holds far more than the few commands that may be under way (see `DataPlane.apply`).
    func post(_ command: WorkerCommand) {
        let isPosted = mailbox.post(command)
        precondition(isPosted, "a worker's mailbox is full")
    }

    /// Sends a delta and waits for the worker's answer.
    func apply(open: [ServedFrontend], replace: [ServedFrontend], close: [FrontendKey]) async -> WorkerReply {
        await withCheckedContinuation { continuation in
            post(.apply(open: open, replace: replace, close: close) { continuation.resume(returning: $0) })
        }
    }

    /// Hands over the names to answer from, and waits until the worker does.
    func serveNames(_ handover: ZoneHandover) async -> [(socket: Int, errno: Int32)] {
        await withCheckedContinuation { continuation in
            post(.serveNames(handover) { continuation.resume(returning: $0) })
        }
    }

    func join() { thread.join() }

    /// The closed connection that was handed over first. One thread at a time.
    func takeRecord() -> ConnectionRecord? { ring.take() }

    func countNotLogged() { notLogged.add(1, ordering: .relaxed) }

    func statistics() -> DataPlaneStatistics.Worker {
        func read(_ column: Int) -> UInt64 { counters.read(row: Column.workerRow, column: column) }
        var reading = DataPlaneStatistics.Worker()
        reading.index = index
        reading.cpu = cpu
        reading.ticks = read(Column.ticks)
        reading.systemCalls = read(Column.systemCalls)
        reading.allocations = countsAllocations ? read(Column.allocations) : nil
        reading.connectionsAccepted = read(Column.accepted)
        reading.connectionsActive = read(Column.active)
        reading.listeners = read(Column.listeners)
        reading.acceptPauses = read(Column.acceptPauses)
        reading.buffersActive = read(Column.buffersActive)
        reading.buffersExhausted = read(Column.buffersExhausted)
        reading.staleCompletions = read(Column.staleCompletions)
        reading.sourcesUncounted = read(Column.sourcesUncounted)
        reading.affinitiesEvicted = read(Column.affinitiesEvicted)
        reading.portsExhausted = read(Column.portsExhausted)
        reading.bulkDirections = read(Column.bulkDirections)
        reading.transfersRefused = read(Column.transfersRefused)
        reading.pipesOpen = read(Column.pipesOpen)
        reading.sessionsActive = read(Column.sessionsActive)
        reading.sessionsEvicted = read(Column.sessionsEvicted)
        reading.socketsActive = read(Column.socketsActive)
        reading.repliesLate = read(Column.repliesLate)
        reading.connectionsNotLogged = read(Column.connectionsNotLogged) &+ notLogged.load(ordering: .relaxed)
        return reading
    }
}

/// How a thread that is being born says what became of it.
private final class Birth: Sendable {
    private let outcome = Mutex<Result<Mailbox, DataPlaneError>?>(nil)
    private let gate = ThreadGate()

    func announce(_ result: Result<Mailbox, DataPlaneError>) {
        outcome.withLock { $0 = result }
        gate.open()
    }

    func wait() -> Result<Mailbox, DataPlaneError> {
        gate.waitUntilOpen()
        return outcome.withLock { $0 } ?? .failure(DataPlaneError("a worker ended before it began"))
    }
}

extension Duration {
    /// Whole nanoseconds; 0 for a negative duration, the greatest number for one beyond 584 years.
    var clampedNanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : product &+ UInt64(attoseconds / 1_000_000_000)
    }
}
