internal import Addressing
internal import AdminServer
internal import ControlPlane
internal import Dispatch
internal import Forwarding
internal import ObjectSources
internal import Routing
internal import ServiceModel
internal import Synchronization

/// Answers `ringway diff`. The control loop gives copies of what is in force, for the price of copying a few references; whoever asks plays
/// the change on them.
///
/// Copies are asked for with each request and dropped with its answer: as long as one is held, the loop's next change has to copy what it
/// changes, too.
final class ChangePreviews: Sendable {
    /// What is in force at one moment.
    struct Basis: Sendable {
        var rehearsal: Rehearsal
        var snapshot: RoutingSnapshot
        var commandLine: [ObjectKey: SourceLocation]
        /// Ranges of virtual addresses that are not this host's own, and whether they are made so for the first Service in one.
        var unclaimedRanges: [IPRange]
        var claimsRanges: Bool
        var node: ThisNode
        /// A source of ten Services or more that loses all of them at once keeps them.
        var holdsLosses: Bool
    }

    private struct State {
        var waiting: [CheckedContinuation<Basis?, Never>] = []
        var signal: (@Sendable () -> Void)?
        var isClosed = false
    }

    private let state = Mutex(State())

    /// Calls `signal` when somebody waits for a basis: then the control loop is to `answer`.
    func open(_ signal: @escaping @Sendable () -> Void) {
        let isAwaited = state.withLock { state in
            state.signal = signal
            return !state.waiting.isEmpty
        }
        if isAwaited { signal() }
    }

    func answer(with basis: Basis) {
        for continuation in takeWaiting() { continuation.resume(returning: basis) }
    }

    /// Nobody is answered any more.
    func close() {
        state.withLock { $0.isClosed = true }
        for continuation in takeWaiting() { continuation.resume(returning: nil) }
    }

    private func takeWaiting() -> [CheckedContinuation<Basis?, Never>] {
        state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
    }

    private func basis() async -> Basis? {
        await withCheckedContinuation { continuation in
            let signal: (@Sendable () -> Void)? = state.withLock { state in
                guard !state.isClosed else {
                    continuation.resume(returning: nil)
                    return nil
                }
                state.waiting.append(continuation)
                return state.signal
            }
            signal?()
        }
    }

    /// Reading and playing take a while, and the runtime may have one thread, on which the control loop waits for its turn.
    private let queue = DispatchQueue(label: "previews", qos: .utility)

    private func aside<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in queue.async { continuation.resume(returning: work()) } }
    }

    /// What manifests would change; nil where the process is ending.
    func preview(_ request: PreviewRequest, on dataPlane: DataPlane?) async -> ChangePreview? {
        // Before the basis is asked for: it is to be held for a short while.
        let proposal = await aside { Self.proposal(request) }
        guard let basis = await basis() else { return nil }
        return await aside { basis.preview(proposal, prunes: request.prunes, on: dataPlane) }
    }

    private static func proposal(_ request: PreviewRequest) -> Rehearsal.Proposal {
        let files = request.files.map { ManifestFiles.File(path: $0.path, bytes: $0.bytes) }
        let (change, named, isWhole) = ManifestFiles.contents(of: files)
        var proposal = Rehearsal.Proposal()
        proposal.services = change.services
        proposal.objects = change.objects
        proposal.named = named
        proposal.diagnostics = change.diagnostics
        proposal.isWhole = isWhole
        return proposal
    }
}

extension ChangePreviews.Basis {
    fileprivate func preview(_ proposal: Rehearsal.Proposal, prunes: Bool, on dataPlane: DataPlane?) -> ChangePreview {
        var rehearsal = rehearsal
        rehearsal.commandLine = commandLine
        rehearsal.unreachableRanges = unreachableRanges
        rehearsal.failedListeners = dataPlane?.failedListeners ?? []
        var preview = rehearsal.preview(proposal, prunes: prunes, at: Host.wallClockMicroseconds / 1_000_000) { change in
            var node = self.node
            _ = node.found(change)
            return node.node
        } open: { ports in
            (dataPlane?.connections(of: ports) ?? [:]).mapValues { OpenConnections(total: $0.total, byEndpoint: $0.byEndpoint) }
        }
        let lost = preview.objects.count { $0.kind == ObjectKey.Kind.service.rawValue && $0.verdict == .removed }
        if holdsLosses, proposal.services.isEmpty, lost >= LossGuard.servicesHeldMin {
            preview.findings.append(
                .init(
                    Diagnostic(
                        severity: .warning, location: SourceLocation(file: "--prune"),
                        message: "all Services would be gone at once, \(lost) of them: of one source such a loss is held back, unless "
                            + "`ringway run` was given --allow-empty-sources")))
        }
        return preview
    }

    /// Those whose addresses nobody could bind, as far as that is known. One that no Service has used may yet be had.
    private var unreachableRanges: [IPRange] {
        guard claimsRanges else { return unclaimedRanges }
        return unclaimedRanges.filter { range in
            snapshot.frontends.values.contains { $0.origin != .nodePort && range.contains($0.key.address.address) }
        }
    }
}
