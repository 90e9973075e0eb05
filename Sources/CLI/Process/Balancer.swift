internal import Addressing
internal import AdminServer
internal import ControlPlane
internal import Forwarding
internal import HostNetwork
internal import Logging
internal import ObjectSources
internal import Probing
internal import Routing
internal import ServiceModel
internal import StateStore

/// The control loop of `ringway run`: loads, compiles, applies, waits for a change or a signal, and does it again.
///
///     start ─► load ─► start workers ─► admin socket ─► apply ─► greet ─► wait ─┬─ manifests changed ─► load, apply ─► wait
///                                                                              ├─ a listener failed, 10 s ago ─► apply ─► wait
///                                                                              └─ signal ─► drain ─► end
///
/// One task; every call of the data plane is made from it, in order. A second signal does not wait for this loop.
struct Balancer {
    struct Options {
        var settings: DataPlaneSettings
        /// Files, directories, `-`.
        var roots: [String]
        /// Whether a source may lose all of many Services at once.
        var allowsEmptySources: Bool
        var shorthands: [Shorthand]
        var grace: Duration
        var virtualAddresses: VirtualAddresses
        var allocations: Allocations
        var loadBalancerClass: String?
        /// Where what Services are given is kept.
        var stateDirectory: String?
        var node: ThisNode
        /// Which proxy this is, where Services are left to one by name.
        var proxyName: String?
        var adminSocket: AdminSocketArgument?
        var adminListen: AdminListenArgument?
        var logFormat: LogFormat
        /// What the user gave, for "nothing to serve in …".
        var arguments: [String]
        /// What of that is not done as it says.
        var notices: [String] = []
    }

    private enum Event {
        case manifestsChanged(since: ContinuousClock.Instant)
        /// Endpoints have been ejected, or brought back.
        case healthChanged
        /// Addresses of the host have come or gone, or its default routes.
        case hostChanged
        /// Some listeners could not be opened a while ago.
        case retryDue
        /// Something that Services had is to be released, or to be kept at last.
        case admissionDue
        case terminationRequested(signal: Int32)
        /// Somebody wants to know what a change would come to.
        case previewRequested
    }

    /// Whoever has a port may give it up: failed listeners are tried again this often, and at once when an address comes.
    private static let listenRetryInterval = Duration.seconds(10)

    /// Addresses come several at a time: so long after the first all of them are one change.
    private static let hostChangesInterval = Duration.milliseconds(100)

    /// How often the log looks for endpoints that were ejected or brought back; connections are spread at once.
    private static let healthInterval = Duration.seconds(1)

    /// Exit codes besides those of signals (128 and the number) and usage errors (64).
    private enum ExitStatus {
        static let success: Int32 = 0
        static let failure: Int32 = 1
    }

    private let options: Options
    private let sink: LogSink
    private let logger: Logger
    private let status = ProcessStatus()
    private let events: AsyncStream<Event>
    private let eventsContinuation: AsyncStream<Event>.Continuation
    private var isRetryDue = false
    private var isSharingProblemSaid = false
    private var admission: ServiceAdmission
    private var nextAdmission: Task<Void, Never>?
    private var compiler: SnapshotCompiler
    private var journal = Journal()
    private var prober: Prober?
    private var virtualAddresses: VirtualAddresses
    private let serviceHealth: ServiceHealthServers
    private var healthCheckPorts: [HealthCheckPort] = []
    private var node: ThisNode
    /// What was loaded last; its change until it is compiled.
    private var state = ServiceAdmission.Admitted()
    private var objectCount = 0
    private var commandLine: CommandLineObjects

    init(options: Options) {
        self.options = options
        virtualAddresses = options.virtualAddresses
        admission = ServiceAdmission(allocations: options.allocations, loadBalancerClass: options.loadBalancerClass)
        commandLine = CommandLineObjects(options.shorthands)
        node = options.node
        compiler = SnapshotCompiler(node: options.node.node, proxyName: options.proxyName, names: options.settings.names?.scope)
        let status = status
        serviceHealth = ServiceHealthServers { status.phase == .serving && !status.liveness().contains(where: \.isFailure) }
        let sink = LogSink(format: options.logFormat)
        self.sink = sink
        logger = Logger(label: "ringway") { _ in LineLogHandler(sink: sink) }
        (events, eventsContinuation) = AsyncStream<Event>.makeStream()
    }

    /// Runs until a signal ends it.
    ///
    /// - Returns: the exit code: 0 after a drain, 1 where it could not begin.
    mutating func run() async -> Int32 {
        defer { sink.flush() }
        let eventsContinuation = eventsContinuation
        let termination = Termination(status: status) { eventsContinuation.yield(.terminationRequested(signal: $0)) }

        let source =
            options.roots.isEmpty
            ? nil : ManifestSource(roots: options.roots, judgesServices: false, holdsLosses: !options.allowsEmptySources)
        do {
            if source != nil { try openStore() }
        } catch {
            logger.error("\(error)")
            return ExitStatus.failure
        }
        for notice in options.notices { logger.warning("\(notice)") }
        load(from: source, andShorthands: true)
        log(journal.found(state.diagnostics))
        guard !isLost else {
            logger.error(
                state.rejectedObjects > 0 ? "nothing to serve: every object was rejected" : "nothing to serve: no source could be read")
            return ExitStatus.failure
        }

        let dataPlane: DataPlane
        do {
            dataPlane = try DataPlane(settings: options.settings)
        } catch {
            logger.error("can't start the workers", metadata: ["reason": "\(error)"])
            return ExitStatus.failure
        }
        status.began(with: dataPlane)
        let connections = ConnectionLog(dataPlane: dataPlane, sink: sink)
        let logging = options.settings.connectionLogging == .off ? nil : Task { await connections.run() }
        prober = Prober { dataPlane.endpointProbed($0, failure: $1) }

        let admin: AdminServers
        do {
            admin = try await AdminServers.start(
                socket: options.adminSocket, address: options.adminListen, subject: status.adminSubject, logger: logger)
        } catch {
            logger.error("\(error)")
            return ExitStatus.failure
        }
        termination.adminServersStarted(admin.all)

        followHost()
        log(node.look())
        let failures = await begin(on: dataPlane, admin: admin, watching: source?.watchDescription)
        guard failures.isEmpty else {
            for failure in failures { logger.error("\(failure.message)") }
            log(virtualAddresses.end())
            await admin.stop()
            return ExitStatus.failure
        }
        if let source {
            Task {
                for await since in source.changes { eventsContinuation.yield(.manifestsChanged(since: since)) }
            }
        }

        Task {
            var seen = dataPlane.healthChangeCount
            while (try? await Task.sleep(for: Self.healthInterval)) != nil {
                guard dataPlane.healthChangeCount != seen else { continue }
                seen = dataPlane.healthChangeCount
                eventsContinuation.yield(.healthChanged)
            }
        }

        status.previews.open { eventsContinuation.yield(.previewRequested) }

        loop: for await event in events {
            switch event {
            case .manifestsChanged(let since):
                let began = ContinuousClock.now
                load(from: source)
                if await reconcile(on: dataPlane) { status.programmed(since: since, began: began) }
            case .healthChanged:
                log(journal.endpointsReported(dataPlane.endpointReports()))
            case .hostChanged:
                await hostChanged(on: dataPlane)
            case .retryDue:
                isRetryDue = false
                await retryListeners(on: dataPlane)
                _ = await answerHealthChecks(at: healthCheckPorts)
            case .admissionDue:
                load(from: source)
                _ = await reconcile(on: dataPlane)
            case .previewRequested:
                status.previews.answer(with: previewBasis)
            case .terminationRequested(let signal):
                status.previews.close()
                // Nothing is given any more, and whoever takes over needn't wait for the last connection.
                nextAdmission?.cancel()
                admission.stopKeeping()
                await drain(dataPlane, signal: signal) {
                    logging?.cancel()
                    await logging?.value
                    connections.write()
                }
                break loop
            }
        }
        log(virtualAddresses.end())
        source?.stop()
        await serviceHealth.stop()
        await admin.stop()
        return ExitStatus.success
    }

    // MARK: Loading

    /// Takes what has changed in the sources; for the first time everything, shorthands among it.
    private mutating func load(from source: ManifestSource?, andShorthands isFirst: Bool = false) {
        if let source {
            let now = Host.wallClockMicroseconds / 1_000_000
            state = admission.admit(source.loadChange(), at: now)
            awaitAdmission(after: now)
            commandLine.prevail(over: &state)
        }
        if isFirst { state.change.changed += options.shorthands.map(\.object) }
    }

    /// Nothing at all could be loaded, for want of readable sources or valid objects.
    private var isLost: Bool {
        let unreadable = Set(state.diagnostics.filter { $0.severity == .error }.map(\.location))
        return state.change.changed.isEmpty
            && (state.rejectedObjects > 0 || options.roots.allSatisfy { unreadable.contains(SourceLocation(file: $0)) })
    }

    private mutating func awaitAdmission(after now: Int64) {
        nextAdmission?.cancel()
        guard let next = admission.nextAdmission(after: now) else { return }
        let eventsContinuation = eventsContinuation
        nextAdmission = Task {
            guard (try? await Task.sleep(for: .seconds(max(1, next - now)))) != nil else { return }
            eventsContinuation.yield(.admissionDue)
        }
    }

    // MARK: State

    private mutating func openStore() throws(StateStoreError) {
        guard let directory = options.stateDirectory else { return }
        let store = try StateStore(directory: directory)
        admission.resume(
            from: try store.records(),
            keepingIn: .init(file: store.file) { changes throws(StateStoreError) in try store.save(changes) })
    }

    // MARK: Previews

    /// Copies of what is in force, for others to try a change on.
    private var previewBasis: ChangePreviews.Basis {
        ChangePreviews.Basis(
            rehearsal: admission.rehearsal(compiler, status.inventory.inventory), snapshot: compiler.snapshot,
            commandLine: commandLine.locations, unclaimedRanges: virtualAddresses.unclaimed, claimsRanges: virtualAddresses.choice != .off,
            node: node, holdsLosses: !options.allowsEmptySources)
    }

    // MARK: Applying

    /// The first snapshot, and the greeting.
    ///
    /// - Returns: where names can't be asked for, though somebody wants it: then nothing has begun.
    private mutating func begin(on dataPlane: DataPlane, admin: AdminServers, watching: String?) async -> [NameFailure] {
        let (compilation, news) = compile()
        var reports = ListenerChanges()
        // Where there is nothing to serve, there may be something to say.
        let asked = options.settings.names == nil ? nil : compiler.snapshot
        if let snapshot = compilation.snapshot ?? asked { reports = await apply(snapshot, on: dataPlane) }
        guard reports.nameFailures.isEmpty else { return reports.nameFailures }
        show(news)
        prober?.probe(compilation.probes)
        status.configured(objects: objectCount, rejectedObjects: state.rejectedObjects, generation: compiler.snapshot.generation)
        status.phase = .serving

        let unanswered = await answerHealthChecks(at: compilation.healthCheckPorts)
        log(journal.found(state.diagnostics + compilation.notices + unanswered))
        let limits = LimitsReport(budget: dataPlane.descriptorBudget, connectionsMax: options.settings.connectionsMax)
        if let warning = limits.warning { logger.warning("\(warning)") }
        let greeting = StartReport(
            engine: dataPlane.engine, limits: limits, snapshot: compiler.snapshot, reports: reports.reports, sources: options.arguments,
            adminSocket: admin.socket?.place.description,
            adminSocketIsDefault: admin.socket?.place.description == AdminSocketLocation.ofThisUser.path,
            adminAddress: admin.listener?.place.description, names: options.settings.names)
        switch options.logFormat {
        case .text:
            Host.write(greeting.lines.joined(separator: "\n") + "\n", to: .output)
            _ = journal.listenersReported(reports)
        case .json:
            // Whoever asks for JSON collects it by machine: no other line may come between.
            logger.info("engine", metadata: ["engine": "\(dataPlane.engine.name)", "reason": "\(dataPlane.engine.reason)"])
            logger.info("limits", metadata: ["connectionsMax": "\(limits.connections)", "reason": "\(limits.text)"])
            log(journal.listenersReported(reports))
        }
        if options.stateDirectory == nil, !admission.givenAddresses.isEmpty {
            logger.info(
                "what Services are given may be other after a restart: --state-directory DIR keeps it",
                metadata: ["addressesGiven": "\(admission.givenAddresses.count)"])
        }
        let totals = compilation.totals
        logger.info(
            "started",
            metadata: [
                "version": "\(Ringway.version)", "pid": "\(Host.processID)", "workers": "\(options.settings.workers)",
                "pinned": "\(options.settings.pinsWorkers)", "services": "\(totals.services)", "listeners": "\(totals.listeners)",
                "endpoints": "\(totals.endpoints)", "rejectedObjects": "\(state.rejectedObjects)",
                "adminSocket": "\(admin.socket?.place.description ?? "none")",
                "adminListen": "\(admin.listener?.place.description ?? "none")",
                "dnsListen": "\(options.settings.names?.places.joined(separator: ",") ?? "none")",
                "watching": "\(watching ?? "nothing")",
            ])
        return []
    }

    /// What a compilation has for those who ask what there is.
    private struct News {
        var change: ObjectChange
        var changed: [ServiceKey]
        var removed: [ServiceKey]
    }

    /// Compiles what is in force from now on; its news are to be shown once it is served.
    private mutating func compile() -> (Compilation, News) {
        let change = state.change
        state.change = ObjectChange()
        log(node.found(change))
        compiler.nodeChanged(to: node.node)
        compiler.missesSources = state.missesSources
        let compilation = compiler.compile(change)
        return (compilation, News(change: change, changed: compiler.servicesChanged, removed: compiler.servicesRemoved))
    }

    /// Shows what is served now to whoever asks: a script that waits for a Service to be there may use it then.
    private mutating func show(_ news: News) {
        status.inventory.update {
            $0.update(news.change, changed: news.changed, removed: news.removed, now: Host.wallClockMicroseconds / 1_000_000)
            objectCount = $0.keys.count
        }
    }

    /// Makes the workers serve the snapshot, and sees to it that listeners which fail are tried again.
    private mutating func apply(_ snapshot: RoutingSnapshot, on dataPlane: DataPlane) async -> ListenerChanges {
        log(virtualAddresses.prepare(for: snapshot))
        status.willApply()
        let reports = await dataPlane.apply(virtualAddresses.reachable(snapshot, given: admission.givenAddresses))
        status.didApply()
        if let problem = dataPlane.sharingProblem, !isSharingProblemSaid {
            isSharingProblemSaid = true
            logger.warning("every cluster IP has listeners of its own, also beyond --listeners-max", metadata: ["reason": "\(problem)"])
        }
        if reports.reports.contains(where: \.isFailed) { retryLater() }
        return reports
    }

    private mutating func retryLater() {
        guard !isRetryDue else { return }
        isRetryDue = true
        let eventsContinuation = eventsContinuation
        Task {
            try? await Task.sleep(for: Self.listenRetryInterval)
            eventsContinuation.yield(.retryDue)
        }
    }

    /// Answers load balancers at these ports, and says at which it can't; those are tried again.
    private mutating func answerHealthChecks(at ports: [HealthCheckPort]) async -> [Diagnostic] {
        healthCheckPorts = ports
        let failures = await serviceHealth.serve(ports)
        if !failures.isEmpty { retryLater() }
        return failures.map { port, reason in
            Diagnostic(
                severity: .warning, location: port.location,
                object: ObjectKey(kind: .service, namespace: port.service.namespace, name: port.service.name),
                message: "failed to start healthcheck \"\(port.service)\" on port \(port.port): \(reason)")
        }
    }

    /// - Returns: whether the workers had to be told anything.
    private mutating func reconcile(on dataPlane: DataPlane) async -> Bool {
        let (compilation, news) = compile()
        let unanswered = await answerHealthChecks(at: compilation.healthCheckPorts)
        log(journal.found(state.diagnostics + compilation.notices + unanswered))
        if let snapshot = compilation.snapshot {
            let reports = await apply(snapshot, on: dataPlane)
            log(journal.applied(compilation, listeners: reports, rejectedObjects: state.rejectedObjects))
        }
        show(news)
        if compilation.probesChanged { prober?.probe(compilation.probes) }
        status.configured(objects: objectCount, rejectedObjects: state.rejectedObjects, generation: compiler.snapshot.generation)
        return compilation.snapshot != nil
    }

    /// Signals changes of the host's addresses, in batches.
    private func followHost() {
        let (signals, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingOldest(1))
        log(node.follow { continuation.yield() })
        let eventsContinuation = eventsContinuation
        Task {
            for await _ in signals {
                try? await Task.sleep(for: Self.hostChangesInterval)
                eventsContinuation.yield(.hostChanged)
            }
        }
    }

    private mutating func hostChanged(on dataPlane: DataPlane) async {
        let before = node.node
        log(node.look())
        if node.node != before {
            _ = await reconcile(on: dataPlane)
        } else if dataPlane.hasFailedListeners {
            // Its address may have come.
            await retryListeners(on: dataPlane)
        }
    }

    private mutating func retryListeners(on dataPlane: DataPlane) async {
        let reports = await apply(compiler.snapshot, on: dataPlane)
        log(journal.listenersReported(reports))
    }

    private func log(_ entries: [Journal.Entry]) {
        for entry in entries {
            let metadata = entry.fields.mapValues { Logger.MetadataValue.string($0) }
            switch entry.level {
            case .info: logger.info("\(entry.message)", metadata: metadata)
            case .warning: logger.warning("\(entry.message)", metadata: metadata)
            case .error: logger.error("\(entry.message)", metadata: metadata)
            }
        }
    }

    // MARK: Beginning and end

    private func drain(_ dataPlane: DataPlane, signal: Int32, onceEmpty: () async -> Void) async {
        status.phase = .draining
        logger.info(
            "draining: no new connections; a second signal ends at once",
            metadata: [
                "signal": "\(Host.signalName(signal))", "connections": "\(dataPlane.connectionsActive)",
                "grace": "\(DurationText.text(of: options.grace))",
            ])
        let reset = await dataPlane.drain(grace: options.grace)
        await onceEmpty()
        logger.info("stopped", metadata: ["connectionsReset": "\(reset)"])
    }
}
