/// Notices changes under roots and says so, on a thread of its own.
///
/// Directories are watched, never files: a file that is replaced by a rename is a new file. Besides, every `Timing.poll` the
/// stamps of all files are compared, for what inotify does not see (network file systems, links that lead far away) and for
/// systems that give no instance. A burst of changes is one signal: after 50 ms of quiet, or 5 ms where the last file is known to
/// be whole, and after 500 ms at the latest.
package final class ManifestWatcher: Sendable {
    /// The times of the watcher.
    package struct Timing: Sendable {
        /// Without events for this long, a burst is over.
        package var quiet = Duration.milliseconds(50)
        /// The same after a file was closed by its writer or moved into place, and none was removed in the burst: an editor that
        /// moves the old file away before it writes the new one must not look like a delete.
        package var quietWhenWhole = Duration.milliseconds(5)
        /// The longest that a burst is waited for.
        package var burstMax = Duration.milliseconds(500)
        /// Between two comparisons of stamps without events.
        package var poll = Duration.seconds(5)

        package init() {}
    }

    /// How changes are noticed, for the log.
    package let mode: String
    private let wakeUp: SharedWakeUp?
    private let thread: DedicatedThread?

    /// Begins to watch: `changed` is called, on the watcher's thread, for every change from here on, with the time of its first event.
    package init(
        roots: [String], timing: Timing = Timing(), useInotify: Bool = true,
        changed: @escaping @Sendable (_ since: ContinuousClock.Instant) -> Void
    ) {
        let roots = roots.filter { $0 != ManifestLoader.standardInput }
        guard !roots.isEmpty, let wakeUp = SharedWakeUp() else {
            (wakeUp, thread, mode) = (nil, nil, roots.isEmpty ? "nothing to watch" : "not watched: no descriptor left")
            return
        }
        let watch = useInotify ? SharedDirectoryWatch() : nil
        let stamps = WatchLoop.stamps(of: roots)
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
private final class SharedWakeUp: Sendable {
    let value: WakeUp

    init?() {
        guard let wakeUp = WakeUp() else { return nil }
        value = wakeUp
    }
}

/// A `DirectoryWatch` that is made by one thread and used by another.
private final class SharedDirectoryWatch: Sendable {
    let value: DirectoryWatch

    init?() {
        guard let watch = DirectoryWatch() else { return nil }
        value = watch
    }
}

/// What the watcher's thread does.
private struct WatchLoop {
    /// What a path was when last looked at.
    enum Stamp: Hashable, Sendable {
        case file(FileStamp)
        case directory(device: UInt, inode: UInt)
        case unreadableDirectory
        case missing
    }

    /// Names in a watched directory whose events are a change, whatever the stamps say: two writes within one tick of the clock
    /// leave the same stamp.
    private struct Interest {
        var isDirectoryRoot = false
        var names: Set<String> = []

        func isChange(_ name: String) -> Bool {
            // A name that begins with two dots is how a mounted ConfigMap swaps its content.
            if names.contains(name) || name.hasPrefix("..") { return true }
            return isDirectoryRoot && (name.isEmpty || ManifestLoader.isManifestName(name))
        }
    }

    /// What events mean together, in their order.
    private struct Changes {
        /// One of them is a change, whatever the stamps say.
        var areSure = false
        /// The last of them left a whole file behind.
        var isWhole = false
        /// One of them took a name away that counts.
        var hasRemoval = false

        mutating func add(_ next: Changes) {
            areSure = areSure || next.areSure
            isWhole = next.isWhole
            hasRemoval = hasRemoval || next.hasRemoval
        }
    }

    private let roots: [String]
    private let timing: ManifestWatcher.Timing
    private let watch: SharedDirectoryWatch?
    private var stamps: [String: Stamp]
    private var interests: [Int32: Interest] = [:]

    init(roots: [String], timing: ManifestWatcher.Timing, watch: SharedDirectoryWatch?, stamps: [String: Stamp]) {
        self.roots = roots
        self.timing = timing
        self.watch = watch
        self.stamps = stamps
    }

    /// Watches until woken.
    mutating func run(until wakeUp: SharedWakeUp, changed: (_ since: ContinuousClock.Instant) -> Void) {
        let clock = ContinuousClock()
        if look() { changed(clock.now) }
        var pollAt = clock.now + timing.poll
        // While changes come in: when the first came, when all is quiet enough, and what they are together.
        var burst: (endAt: ContinuousClock.Instant, quietAt: ContinuousClock.Instant, changes: Changes)?
        let descriptors = [wakeUp.value.readEnd.descriptor] + (watch.map { [$0.value.file.descriptor] } ?? [])
        while true {
            let deadline = burst.map { min($0.endAt, $0.quietAt) } ?? pollAt
            let ready = waitForInput(descriptors, milliseconds: Self.milliseconds(until: deadline, clock))
            if ready[0] { return }
            if ready.count > 1, ready[1], let new = takeEvents() {
                let now = clock.now
                var changes = burst?.changes ?? Changes()
                changes.add(new)
                let quiet = changes.isWhole && !changes.hasRemoval ? timing.quietWhenWhole : timing.quiet
                burst = (endAt: burst?.endAt ?? now + timing.burstMax, quietAt: now + quiet, changes: changes)
            }
            guard clock.now >= burst.map({ min($0.endAt, $0.quietAt) }) ?? pollAt else { continue }
            let isDifferent = look()
            if isDifferent || burst?.changes.areSure == true { changed(burst.map { $0.endAt - timing.burstMax } ?? clock.now) }
            burst = nil
            pollAt = clock.now + timing.poll
        }
    }

    private static func milliseconds(until instant: ContinuousClock.Instant, _ clock: ContinuousClock) -> Int {
        let (seconds, attoseconds) = (instant - clock.now).components
        // Rounded up, or the last millisecond would be waited for with a time of zero, over and over.
        return Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000) + 1
    }

    /// What the events that waited say; nil if none waited.
    private func takeEvents() -> Changes? {
        guard let events = watch?.value.drain(), !events.isEmpty else { return nil }
        var changes = Changes()
        for event in events {
            let isOfInterest = interests[event.watch]?.isChange(event.name) == true
            changes.add(
                Changes(
                    areSure: event.isOverflow || isOfInterest, isWhole: event.isWhole, hasRemoval: event.isRemoval && isOfInterest))
        }
        return changes
    }

    /// Watches what there is to watch now and compares stamps, in this order, so that nothing falls between; true if they differ.
    private mutating func look() -> Bool {
        rewatch()
        let current = Self.stamps(of: roots)
        defer { stamps = current }
        return current != stamps
    }

    /// A directory that was replaced is another one under the same path, so all paths are added again; the kernel gives the number
    /// that it gave before where nothing changed.
    private mutating func rewatch() {
        guard let watch else { return }
        var current: [Int32: Interest] = [:]
        for root in roots {
            if let number = watch.value.add(root) { current[number, default: Interest()].isDirectoryRoot = true }
            for path in Set([root, Files.resolved(root) ?? root]) {
                let (parent, name) = Self.split(path)
                if let number = Self.addNearest(parent, to: watch) { current[number, default: Interest()].names.insert(name) }
            }
        }
        for number in interests.keys where current[number] == nil { watch.value.remove(number) }
        interests = current
    }

    /// Watches the directory, or the nearest above it that exists.
    private static func addNearest(_ directory: String, to watch: SharedDirectoryWatch) -> Int32? {
        var directory = directory
        while true {
            if let number = watch.value.add(directory) { return number }
            let parent = split(directory).parent
            guard parent != directory else { return nil }
            directory = parent
        }
    }

    /// The directory a path stands in, and its name there.
    private static func split(_ path: String) -> (parent: String, name: String) {
        var path = path[...]
        while path.count > 1, path.last == "/" { path = path.dropLast() }
        guard let slash = path.lastIndex(of: "/") else { return (path == "." ? ".." : ".", String(path)) }
        let name = String(path[path.index(after: slash)...])
        return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
    }

    /// The stamps of the roots and of the files in them.
    static func stamps(of roots: [String]) -> [String: Stamp] {
        var stamps: [String: Stamp] = [:]
        for root in roots {
            guard let stamp = try? Files.stamp(root) else {
                stamps[root] = .missing
                continue
            }
            guard stamp.kind == .directory else {
                stamps[root] = .file(stamp)
                continue
            }
            guard let names = try? Files.names(in: root) else {
                stamps[root] = .unreadableDirectory
                continue
            }
            stamps[root] = .directory(device: stamp.device, inode: stamp.inode)
            for name in names where ManifestLoader.isManifestName(name) {
                let path = ManifestLoader.join(root, name)
                stamps[path] = (try? Files.stamp(path)).map(Stamp.file) ?? .missing
            }
        }
        return stamps
    }
}
