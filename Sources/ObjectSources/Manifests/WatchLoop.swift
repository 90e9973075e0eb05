/// What the watcher's thread does.
struct WatchLoop {
    /// Why a watched directory is watched.
    private struct Interest {
        /// Roots that are this directory.
        var roots: [String] = []
        /// Names in it, and the roots that are or resolve to what stands there.
        var names: [String: [String]] = [:]
        /// It is the nearest there is above the place of a root.
        var isAbove = false
    }

    /// A name in a watched directory.
    private struct Name: Hashable {
        let watch: Int32
        let name: String
    }

    /// What an event means, or several together.
    private struct Meaning {
        /// Changed, whatever the stamps say: two writes within one tick of the clock leave the same stamp.
        var paths: Set<String> = []
        /// One of them took a name away that counts.
        var hasRemoval = false
        /// The kernel dropped events.
        var isOverflow = false
        /// Directories may have been replaced.
        var concernsDirectories = false
        /// Something happened beside the manifests, to what they may be links to.
        var concernsLinks = false

        mutating func add(_ other: Meaning) {
            paths.formUnion(other.paths)
            hasRemoval = hasRemoval || other.hasRemoval
            isOverflow = isOverflow || other.isOverflow
            concernsDirectories = concernsDirectories || other.concernsDirectories
            concernsLinks = concernsLinks || other.concernsLinks
        }
    }

    /// Events that came one soon after the other.
    private struct Burst {
        let since: ContinuousClock.Instant
        let endAt: ContinuousClock.Instant
        var quietAt: ContinuousClock.Instant
        var meaning = Meaning()
        /// Names whose last event left no whole file behind.
        var unfinished: Set<Name> = []

        init(at now: ContinuousClock.Instant, _ timing: ManifestWatcher.Timing) {
            (since, endAt, quietAt) = (now, now + timing.burstMax, now)
        }

        mutating func add(_ new: Meaning, of name: Name, isWhole: Bool, at now: ContinuousClock.Instant, _ timing: ManifestWatcher.Timing) {
            meaning.add(new)
            if isWhole { unfinished.remove(name) } else { unfinished.insert(name) }
            quietAt = now + (unfinished.isEmpty && !meaning.hasRemoval ? timing.quietWhenWhole : timing.quiet)
        }
    }

    private let roots: [String]
    private let timing: ManifestWatcher.Timing
    private let watch: SharedDirectoryWatch?
    private let clock = ContinuousClock()
    private var stamps: StampTable
    private var interests: [Int32: Interest] = [:]
    private var burst: Burst?

    init(roots: [String], timing: ManifestWatcher.Timing, watch: SharedDirectoryWatch?, stamps: StampTable) {
        self.roots = roots
        self.timing = timing
        self.watch = watch
        self.stamps = stamps
    }

    /// Watches until woken.
    mutating func run(until wakeUp: SharedWakeUp, changed: (_ since: ContinuousClock.Instant, _ paths: Set<String>?) -> Void) {
        let descriptors = [wakeUp.value.readEnd.descriptor] + (watch.map { [$0.value.file.descriptor] } ?? [])
        // Watched first and compared then, so that nothing falls between.
        rewatch()
        if !stamps.compareAll().isEmpty { changed(clock.now, nil) }
        var pollAt = clock.now + pollInterval
        while true {
            let deadline = burst.map { min($0.endAt, $0.quietAt) } ?? pollAt
            let ready = waitForInput(descriptors, milliseconds: Self.milliseconds(deadline - clock.now))
            if ready[0] { return }
            if ready.count > 1, ready[1] { takeEvents() }
            if let burst, clock.now >= min(burst.endAt, burst.quietAt) {
                self.burst = nil
                let paths = look(for: burst.meaning)
                if paths?.isEmpty != true { changed(burst.since, paths) }
            }
            if burst == nil, clock.now >= pollAt {
                let different = poll()
                if !different.isEmpty { changed(clock.now, watch == nil ? nil : different) }
                pollAt = clock.now + (stamps.isComparing ? timing.pollPause : pollInterval)
            }
        }
    }

    private static func milliseconds(_ duration: Duration) -> Int {
        guard duration > .zero else { return 0 }
        let (seconds, attoseconds) = duration.components
        // Rounded up, or the last millisecond would be waited for with a time of zero, over and over.
        return Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000) + 1
    }

    // MARK: Events

    private mutating func takeEvents() {
        guard let watch else { return }
        for event in watch.value.drain() { take(event) }
    }

    private mutating func take(_ event: DirectoryWatch.Event) {
        guard let meaning = meaning(of: event) else { return }
        let (now, timing) = (clock.now, timing)
        if burst == nil { burst = Burst(at: now, timing) }
        // In place: thousands of events may come to one burst.
        burst?.add(meaning, of: Name(watch: event.watch, name: event.name), isWhole: event.isWhole, at: now, timing)
    }

    /// nil where it is none of our concern.
    private func meaning(of event: DirectoryWatch.Event) -> Meaning? {
        guard !event.isOverflow else { return Meaning(isOverflow: true) }
        guard let interest = interests[event.watch] else { return nil }
        let ofRoots = interest.names[event.name] ?? []
        var meaning = Meaning(paths: Set(ofRoots), concernsDirectories: interest.isAbove || !ofRoots.allSatisfy(stamps.isPlainFile))
        if event.name.isEmpty {
            meaning.concernsDirectories = true
            meaning.paths.formUnion(interest.roots)
        } else if event.name.hasPrefix("..") {
            // How a mounted ConfigMap swaps its content.
            meaning.concernsDirectories = true
            meaning.paths.formUnion(interest.roots + interest.names.values.joined())
        } else if ManifestLoader.isManifestName(event.name) {
            meaning.paths.formUnion(interest.roots.map { ManifestLoader.join($0, event.name) })
        }
        meaning.hasRemoval = event.isRemoval && !meaning.paths.isEmpty
        meaning.concernsLinks = meaning.paths.isEmpty && stamps.hasLinks
        return meaning.paths.isEmpty && !meaning.concernsDirectories && !meaning.concernsLinks ? nil : meaning
    }

    /// Looks at what events have told of; gives what may have changed, nil for everything.
    private mutating func look(for meaning: Meaning) -> Set<String>? {
        if meaning.concernsDirectories || meaning.isOverflow {
            rewatch()
            let different = stamps.compareAll()
            return meaning.isOverflow ? nil : different.union(meaning.paths)
        }
        for path in meaning.paths { stamps.look(at: path) }
        return meaning.concernsLinks ? stamps.compareLinks().union(meaning.paths) : meaning.paths
    }

    // MARK: Comparing

    private var pollInterval: Duration { watch == nil ? timing.poll : max(timing.poll, timing.pollPerFile * stamps.count) }

    /// Begins a round of comparing, or goes on with it.
    private mutating func poll() -> Set<String> {
        if stamps.isComparing { return stamps.compare(timing.pollSlice) }
        rewatch()
        return stamps.beginComparing()
    }

    /// A directory that was replaced is another one under the same path, so all paths are added again; the kernel gives the number
    /// that it gave before where nothing changed.
    private mutating func rewatch() {
        guard let watch else { return }
        var current: [Int32: Interest] = [:]
        for root in roots {
            if let number = watch.value.add(root) { current[number, default: Interest()].roots.append(root) }
            for path in Set([root, Files.resolved(root) ?? root]) {
                let (parent, name) = Self.split(path)
                guard let (number, isAbove) = Self.addNearest(parent, to: watch) else { continue }
                current[number, default: Interest()].names[name, default: []].append(root)
                if isAbove { current[number]?.isAbove = true }
            }
        }
        for number in interests.keys where current[number] == nil { watch.value.remove(number) }
        interests = current
    }

    /// Watches the directory, or the nearest above it that exists.
    private static func addNearest(_ directory: String, to watch: SharedDirectoryWatch) -> (number: Int32, isAbove: Bool)? {
        var nearest = directory
        while true {
            if let number = watch.value.add(nearest) { return (number, nearest != directory) }
            let parent = split(nearest).parent
            guard parent != nearest else { return nil }
            nearest = parent
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
}
