/// Notices changes under roots and says so, on a thread of its own.
///
/// Directories are watched, never files: a file that is replaced by a rename is a new file. Events name the files that may have
/// changed, and nothing else is looked at for them. Besides, every `Timing.poll` or so the stamps of all files are compared, for what
/// inotify does not see (network file systems, links that lead far away) and for systems that give no instance; a few files at a
/// time, so that no event waits for it. A burst of changes is one signal: after 50 ms of quiet, or 2 ms where all its files are known
/// to be whole, and after 500 ms at the latest.
package final class ManifestWatcher: Sendable {
    /// The times of the watcher.
    package struct Timing: Sendable {
        /// Without events for this long, a burst is over.
        package var quiet = Duration.milliseconds(50)
        /// The same where each file of the burst was closed by its writer or moved into place, and none was removed: an editor that
        /// moves the old file away before it writes the new one must not look like a delete. Nothing is lost if it is too short, for
        /// what comes later is the next burst; it joins the files of one copy, which follow each other within a tenth of that.
        package var quietWhenWhole = Duration.milliseconds(2)
        /// The longest that a burst is waited for.
        package var burstMax = Duration.milliseconds(500)
        /// Between two rounds of comparing stamps.
        package var poll = Duration.seconds(5)
        /// At least so long for each file, where inotify works: then a round is a safeguard, and may take no more than a thousandth of
        /// a CPU.
        package var pollPerFile = Duration.milliseconds(2)
        /// Between two looks of a round, at `pollSlice` files each.
        package var pollPause = Duration.milliseconds(10)
        package var pollSlice = 256

        package init() {}
    }

    /// How changes are noticed, for the log.
    package let mode: String
    private let wakeUp: SharedWakeUp?
    private let thread: DedicatedThread?

    /// Begins to watch: `changed` is called, on the watcher's thread, for every change from here on, with the time of its first event
    /// and the paths that may have changed: files, and roots of which more than that has; nil where it may be anything.
    package init(
        roots: [String], timing: Timing = Timing(), useInotify: Bool = true,
        changed: @escaping @Sendable (_ since: ContinuousClock.Instant, _ paths: Set<String>?) -> Void
    ) {
        let roots = roots.filter { $0 != ManifestLoader.standardInput }
        guard !roots.isEmpty, let wakeUp = SharedWakeUp() else {
            (wakeUp, thread, mode) = (nil, nil, roots.isEmpty ? "nothing to watch" : "not watched: no descriptor left")
            return
        }
        let watch = useInotify ? SharedDirectoryWatch() : nil
        let stamps = StampTable(of: roots)
        thread = DedicatedThread(stackBytes: 1 << 20) {
            var loop = WatchLoop(roots: roots, timing: timing, watch: watch, stamps: stamps)
            loop.run(until: wakeUp, changed: changed)
        }
        self.wakeUp = wakeUp
        mode =
            if thread == nil {
                "not watched: no thread left"
            } else if watch != nil {
                "inotify"
            } else {
                "polling every \(timing.poll): no inotify instance left"
            }
    }

    deinit {
        stop()
    }

    /// Ends the thread; its descriptors are closed with it. Calling it again does nothing.
    package func stop() {
        wakeUp?.value.wake()
        thread?.join()
    }
}

/// A `WakeUp` two threads hold.
final class SharedWakeUp: Sendable {
    let value: WakeUp

    init?() {
        guard let wakeUp = WakeUp() else { return nil }
        value = wakeUp
    }
}

/// A `DirectoryWatch` that is made by one thread and used by another.
final class SharedDirectoryWatch: Sendable {
    let value: DirectoryWatch

    init?() {
        guard let watch = DirectoryWatch() else { return nil }
        value = watch
    }
}
