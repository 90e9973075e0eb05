package import ServiceModel
internal import Synchronization

/// Objects from YAML and JSON files, directories and standard input, followed as they change.
///
/// `load()` may be called from any thread; calls wait for each other. It reads files, so don't call it from a worker.
package final class ManifestSource: Sendable {
    private struct Contents {
        var loader: ManifestLoader
        var store: ManifestStore
    }

    /// Signals that something changed, and since when: call `load()`. Signals that nobody has taken yet are one, the first. For one
    /// consumer.
    package let changes: AsyncStream<ContinuousClock.Instant>

    private let roots: [String]
    private let contents: Mutex<Contents>
    private let watcher: ManifestWatcher?
    private let continuation: AsyncStream<ContinuousClock.Instant>.Continuation

    /// Roots are files, directories, or `-` for standard input. With `isWatching` false nothing is followed: for a single check.
    /// `judgesServices` is the decoder's, `holdsLosses` the store's.
    package init(
        roots: [String], limits: ManifestLimits = ManifestLimits(), strictness: Strictness = .ringway, judgesServices: Bool = true,
        isWatching: Bool = true, holdsLosses: Bool = true
    ) {
        self.roots = roots
        contents = Mutex(
            Contents(
                loader: ManifestLoader(limits: limits, strictness: strictness, judgesServices: judgesServices),
                store: ManifestStore(holdsLosses: holdsLosses)))
        let (stream, continuation) = AsyncStream<ContinuousClock.Instant>.makeStream(bufferingPolicy: .bufferingOldest(1))
        changes = stream
        self.continuation = continuation
        // Before the first load, so that no change falls between the two.
        watcher = isWatching ? ManifestWatcher(roots: roots) { continuation.yield($0) } : nil
    }

    deinit {
        stop()
    }

    /// Reads what has changed since the last load and gives the objects now in force.
    package func load() -> ManifestState {
        contents.withLock { contents in contents.store.apply(contents.loader.load(roots)) }
    }

    /// How changes are noticed, for the log: `inotify`, or `polling` and why.
    package var watchDescription: String { watcher?.mode ?? "not watched" }

    /// Ends the watching and `changes`, and gives back its thread and descriptors. Calling it again does nothing.
    package func stop() {
        watcher?.stop()
        continuation.finish()
    }
}
