package import ServiceModel
internal import Synchronization

/// Objects from YAML and JSON files, directories and standard input, followed as they change.
///
/// `load()` and `loadChange()` may be called from any thread; calls wait for each other. They read files, so don't call them from a
/// worker.
package final class ManifestSource: Sendable {
    private struct Contents {
        var loader: ManifestLoader
        var store: ManifestStore
    }

    /// Signals that something changed, and since when: call `loadChange()`. Signals that nobody has taken yet are one, the first. For
    /// one consumer.
    package let changes: AsyncStream<ContinuousClock.Instant>

    private let contents: Mutex<Contents>
    private let pending: PendingPaths
    private let watcher: ManifestWatcher?
    private let continuation: AsyncStream<ContinuousClock.Instant>.Continuation

    /// Roots are files, directories, or `-` for standard input. With `isWatching` false nothing is followed: for a single check.
    /// `judgesServices` is the decoder's, `holdsLosses` the store's.
    package init(
        roots: [String], limits: ManifestLimits = ManifestLimits(), strictness: Strictness = .ringway, judgesServices: Bool = true,
        isWatching: Bool = true, holdsLosses: Bool = true
    ) {
        contents = Mutex(
            Contents(
                loader: ManifestLoader(roots, limits: limits, strictness: strictness, judgesServices: judgesServices),
                store: ManifestStore(holdsLosses: holdsLosses)))
        let (stream, continuation) = AsyncStream<ContinuousClock.Instant>.makeStream(bufferingPolicy: .bufferingOldest(1))
        changes = stream
        self.continuation = continuation
        let pending = PendingPaths()
        self.pending = pending
        // Before the first load, so that no change falls between the two.
        watcher =
            isWatching
            ? ManifestWatcher(roots: roots) { since, paths in
                pending.add(paths)
                continuation.yield(since)
            } : nil
    }

    deinit {
        stop()
    }

    /// Looks at everything and gives the objects now in force.
    package func load() -> ManifestState {
        contents.withLock { contents in
            _ = pending.take()
            _ = contents.store.apply(contents.loader.load())
            return contents.store.state
        }
    }

    /// Looks at what may have changed since the last load, and says what has: at everything for the first time, and where nothing is
    /// watched. What `load()` has seen is not told again.
    package func loadChange() -> ManifestChange {
        contents.withLock { contents in
            // Taken before anything is read: what changes while it is read comes again.
            let paths = pending.take()
            return contents.store.apply(contents.loader.load(watcher == nil ? nil : paths))
        }
    }

    /// How changes are noticed, for the log: `inotify`, or `polling` and why.
    package var watchDescription: String { watcher?.mode ?? "not watched" }

    /// Ends the watching and `changes`, and gives back its thread and descriptors. Calling it again does nothing.
    package func stop() {
        watcher?.stop()
        continuation.finish()
    }
}

/// Paths that may have changed and were not looked at yet.
private final class PendingPaths: Sendable {
    /// nil for everything.
    private let paths = Mutex<Set<String>?>(nil)

    func add(_ new: Set<String>?) {
        paths.withLock { paths in
            if let new { paths?.formUnion(new) } else { paths = nil }
        }
    }

    func take() -> Set<String>? {
        paths.withLock { paths in
            defer { paths = [] }
            return paths
        }
    }
}
