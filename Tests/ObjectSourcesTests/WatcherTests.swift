import Foundation
import ServiceModel
import Testing

@testable import ObjectSources

/// Changes on a real file system. Bounds are generous: they are there to end a test that hangs, not to measure.
@Suite(.serialized)
struct WatcherTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// Waits until the source, loaded after each change signal, is in the wanted state.
    private func wait(for source: ManifestSource, until isWanted: @escaping @Sendable (ManifestState) -> Bool) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await _ in source.changes where isWanted(source.load()) { return true }
                return false
            }
            group.addTask {
                try? await Task.sleep(for: .seconds(10))
                return false
            }
            let outcome = await group.next() ?? false
            group.cancelAll()
            return outcome
        }
    }

    private func becomes(
        _ names: [String], from roots: [String], after change: () throws -> Void
    ) async throws -> Bool {
        let source = ManifestSource(roots: roots)
        defer { source.stop() }
        #expect(source.watchDescription == "inotify")
        _ = source.load()
        try change()
        return await wait(for: source) { $0.names == names }
    }

    @Test func aNewFileIsNoticed() async throws {
        #expect(try await becomes(["one"], from: [scratch.path]) { try scratch.write("a.yaml", serviceYAML("one")) })
    }

    @Test func aFileWrittenInPlaceIsNoticed() async throws {
        let file = try scratch.write("a.yaml", serviceYAML("one"))
        #expect(try await becomes(["two"], from: [file]) { try scratch.write("a.yaml", serviceYAML("two")) })
    }

    @Test func anAtomicReplaceIsNoticed() async throws {
        let file = try scratch.write("a.yaml", serviceYAML("one"))
        let source = ManifestSource(roots: [file])
        defer { source.stop() }
        #expect(source.load().names == ["one"])
        for name in ["two", "three", "four"] {
            try scratch.replace("a.yaml", serviceYAML(name))
            let isSeen = await wait(for: source) { $0.names == [name] }
            #expect(isSeen)
        }
    }

    @Test func aDeleteIsNoticed() async throws {
        try scratch.write("a.yaml", serviceYAML("one"))
        try scratch.write("b.yaml", serviceYAML("two"))
        #expect(try await becomes(["two"], from: [scratch.path]) { try scratch.remove("a.yaml") })
    }

    /// A mounted ConfigMap: the files are links through `..data`, which is swapped by a rename.
    private func mountConfigMap(_ version: String, service: String) throws {
        try scratch.makeDirectory("..\(version)")
        try scratch.write("..\(version)/a.yaml", serviceYAML(service))
        try scratch.link("..data.new", to: "..\(version)")
        guard unsafe rename(scratch.path("..data.new"), scratch.path("..data")) == 0 else { throw POSIXError(.EIO) }
    }

    @Test(arguments: [true, false])
    func aConfigMapSwapIsNoticed(_ isDirectoryRoot: Bool) async throws {
        try mountConfigMap("1", service: "one")
        try scratch.link("a.yaml", to: "..data/a.yaml")
        let source = ManifestSource(roots: [isDirectoryRoot ? scratch.path : scratch.path("a.yaml")])
        defer { source.stop() }
        #expect(source.load().names == ["one"])
        for version in ["two", "three"] {
            try mountConfigMap(version, service: version)
            let isSeen = await wait(for: source) { $0.names == [version] }
            #expect(isSeen)
        }
    }

    @Test func aRootCreatedLaterIsNoticed() async throws {
        let root = scratch.path("deep/conf")
        #expect(
            try await becomes(["one"], from: [root]) {
                try scratch.makeDirectory("deep")
                try scratch.makeDirectory("deep/conf")
                try scratch.write("deep/conf/a.yaml", serviceYAML("one"))
            })
    }

    @Test func aRootThatIsDeletedAndMadeAgainIsFollowed() async throws {
        try scratch.makeDirectory("conf")
        try scratch.write("conf/a.yaml", serviceYAML("one"))
        let source = ManifestSource(roots: [scratch.path("conf")])
        defer { source.stop() }
        #expect(source.load().names == ["one"])
        try scratch.remove("conf")
        let isKept = await wait(for: source) { $0.names == ["one"] && $0.errors.count == 1 }
        #expect(isKept)
        try scratch.makeDirectory("conf")
        try scratch.write("conf/a.yaml", serviceYAML("two"))
        let isSeen = await wait(for: source) { $0.names == ["two"] }
        #expect(isSeen)
        // And the new directory is watched like the old one.
        try scratch.write("conf/a.yaml", serviceYAML("three"))
        let isFollowed = await wait(for: source) { $0.names == ["three"] }
        #expect(isFollowed)
    }

    @Test func aPartialWriteLosesNothing() async throws {
        let file = try scratch.write("a.yaml", serviceYAML("one", port: 1))
        let source = ManifestSource(roots: [file])
        defer { source.stop() }
        _ = source.load()
        let text = Array(serviceYAML("one", port: 2).utf8)
        let handle = try FileHandle(forWritingTo: scratch.url("a.yaml"))
        try handle.truncate(atOffset: 0)
        try await Task.sleep(for: .milliseconds(150))
        #expect(source.load().names == ["one"])
        try handle.write(contentsOf: text.prefix(70))
        try await Task.sleep(for: .milliseconds(150))
        #expect(source.load().names == ["one"])
        try handle.write(contentsOf: text.dropFirst(70))
        try handle.close()
        let isSeen = await wait(for: source) { $0.port(of: "one") == "2" && $0.errors.isEmpty }
        #expect(isSeen)
    }

    @Test func withoutInotifyChangesAreFoundByPolling() async throws {
        try scratch.write("a.yaml", serviceYAML("one"))
        var timing = ManifestWatcher.Timing()
        timing.poll = .milliseconds(50)
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let watcher = ManifestWatcher(roots: [scratch.path], timing: timing, useInotify: false) { _, _ in continuation.yield() }
        #expect(watcher.mode.hasPrefix("polling"))
        try scratch.replace("a.yaml", serviceYAML("two"))
        let isSeen = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await _ in stream { return true }
                return false
            }
            group.addTask {
                try? await Task.sleep(for: .seconds(10))
                return false
            }
            let outcome = await group.next() ?? false
            group.cancelAll()
            return outcome
        }
        #expect(isSeen)
        watcher.stop()
    }

    /// With a quiet time of minutes only what is known to be whole can be told soon.
    @Test func aWholeFileIsNotWaitedFor() async throws {
        let file = try scratch.write("a.yaml", serviceYAML("one"))
        var timing = ManifestWatcher.Timing()
        timing.quiet = .seconds(600)
        timing.burstMax = .seconds(600)
        timing.poll = .seconds(600)
        let counter = Counter()
        let watcher = ManifestWatcher(roots: [file], timing: timing) { _, _ in counter.increment() }
        defer { watcher.stop() }
        try await Task.sleep(for: .milliseconds(100))
        try scratch.replace("a.yaml", serviceYAML("two"))
        #expect(try await counter.reaches(1))
        try scratch.write("a.yaml", serviceYAML("three"))
        #expect(try await counter.reaches(2))
        // The old file is moved away first, as editors do: for all that is known, the new one may be long in coming.
        guard unsafe rename(file, file + "~") == 0 else { throw POSIXError(.EIO) }
        try scratch.write("a.yaml", serviceYAML("four"))
        try await Task.sleep(for: .milliseconds(300))
        #expect(counter.count == 2)
    }

    // MARK: Which paths

    /// Everything that is told while `change` makes its changes and waits for what it wants.
    private func gather(
        _ roots: [String], _ timing: ManifestWatcher.Timing = Self.withoutPolls, while change: (Gathered) async throws -> Void
    ) async throws -> Gathered {
        let gathered = Gathered()
        let watcher = ManifestWatcher(roots: roots, timing: timing) { _, paths in gathered.add(paths) }
        defer { watcher.stop() }
        try await Task.sleep(for: .milliseconds(100))
        try await change(gathered)
        return gathered
    }

    private static var withoutPolls: ManifestWatcher.Timing {
        var timing = ManifestWatcher.Timing()
        timing.poll = .seconds(600)
        return timing
    }

    @Test func eventsNameTheFilesThatMayHaveChanged() async throws {
        for name in ["a", "b", "c"] { try scratch.write("\(name).yaml", serviceYAML(name)) }
        let single = try Scratch()
        let file = try single.write("d.yaml", serviceYAML("d"))
        let expected = [scratch.path("a.yaml"), scratch.path("new.yaml"), scratch.path("c.yaml"), file]
        let gathered = try await gather([scratch.path, file]) { gathered in
            try scratch.write("a.yaml", serviceYAML("a", port: 81))
            try scratch.write("new.yaml", serviceYAML("new"))
            try scratch.remove("c.yaml")
            try single.replace("d.yaml", serviceYAML("d", port: 81))
            #expect(try await gathered.reaches(expected))
        }
        #expect(gathered.paths == Set(expected) && !gathered.isEverything)
    }

    @Test func aSwappedDirectoryNamesItsRoot() async throws {
        try mountConfigMap("1", service: "one")
        try scratch.link("a.yaml", to: "..data/a.yaml")
        _ = try await gather([scratch.path]) { gathered in
            try mountConfigMap("2", service: "two")
            #expect(try await gathered.reaches([scratch.path, scratch.path("a.yaml")]))
        }
    }

    @Test func whatAManifestLinksToBesideItIsNoticed() async throws {
        try scratch.write("data.txt", serviceYAML("one"))
        try scratch.write("b.yaml", serviceYAML("two"))
        try scratch.link("a.yaml", to: "data.txt")
        let gathered = try await gather([scratch.path]) { gathered in
            try scratch.write("data.txt", serviceYAML("one", port: 81))
            #expect(try await gathered.reaches([scratch.path("a.yaml")]))
        }
        #expect(gathered.paths == [scratch.path("a.yaml")])
    }

    /// With a quiet time of minutes for what is not whole.
    @Test func aFileThatIsBeingWrittenHoldsBackTheBurst() async throws {
        for name in ["a", "b"] { try scratch.write("\(name).yaml", serviceYAML(name)) }
        var timing = Self.withoutPolls
        (timing.quiet, timing.burstMax) = (.seconds(600), .seconds(600))
        _ = try await gather([scratch.path], timing) { gathered in
            let handle = try FileHandle(forWritingTo: scratch.url("a.yaml"))
            try handle.truncate(atOffset: 10)
            try scratch.write("b.yaml", serviceYAML("b", port: 81))
            try await Task.sleep(for: .milliseconds(300))
            #expect(gathered.paths == [])
            try handle.close()
            #expect(try await gathered.reaches([scratch.path("a.yaml"), scratch.path("b.yaml")]))
        }
    }

    /// Links lead where nothing is watched; rounds of one file at a time come to them all the same, one round after the other.
    @Test func whatNoEventTellsIsFoundByComparing() async throws {
        let elsewhere = try Scratch()
        for index in 0..<5 {
            try elsewhere.write("\(index)", serviceYAML("s\(index)"))
            try scratch.link("\(index).yaml", to: elsewhere.path("\(index)"))
        }
        var timing = ManifestWatcher.Timing()
        (timing.poll, timing.pollPerFile, timing.pollPause, timing.pollSlice) = (.milliseconds(20), .zero, .milliseconds(1), 1)
        let gathered = try await gather([scratch.path], timing) { gathered in
            for index in [3, 1] {
                try elsewhere.write("\(index)", serviceYAML("s\(index)", port: 81))
                #expect(try await gathered.reaches([scratch.path("\(index).yaml")]))
            }
            try elsewhere.remove("4")
            #expect(try await gathered.reaches([scratch.path("4.yaml")]))
        }
        #expect(gathered.paths == Set([1, 3, 4].map { scratch.path("\($0).yaml") }) && !gathered.isEverything)
    }

    @Test func aBurstIsFewSignals() async throws {
        let counter = Counter()
        let watcher = ManifestWatcher(roots: [scratch.path]) { _, _ in counter.increment() }
        for round in 0..<200 { try scratch.write("a\(round).yaml", serviceYAML("s\(round)")) }
        try await Task.sleep(for: .seconds(1))
        watcher.stop()
        #expect((1...20).contains(counter.count))
    }

    @Test func noiseBesideAFileIsNoSignal() async throws {
        let file = try scratch.write("a.yaml", serviceYAML("one"))
        let counter = Counter()
        let watcher = ManifestWatcher(roots: [file]) { _, _ in counter.increment() }
        try await Task.sleep(for: .milliseconds(200))
        for round in 0..<20 { try scratch.write("noise\(round).txt", "x") }
        try await Task.sleep(for: .milliseconds(800))
        watcher.stop()
        #expect(counter.count == 0)
    }

    @Test func stoppingEndsTheStreamAndGivesBackEveryDescriptor() async throws {
        func openDescriptors() -> Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0 }
        func openInstances() -> Int {
            let links = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
            return links.count {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) == "anon_inode:inotify"
            }
        }
        let before = openInstances()
        for _ in 0..<20 {
            let source = ManifestSource(roots: [scratch.path, scratch.path("none")])
            _ = source.load()
            #expect(openInstances() > before)
            source.stop()
            source.stop()
            for await _ in source.changes {}
        }
        #expect(openInstances() == before)
        // Other tests open files of their own; a leak here would be at least three for each of the twenty.
        let descriptors = openDescriptors()
        for _ in 0..<20 { _ = ManifestSource(roots: [scratch.path]) }
        #expect(openDescriptors() < descriptors + 20)
    }

    // Safety: the values are guarded by the lock.
    private final class Gathered: @unchecked Sendable {
        private let lock = NSLock()
        private var all: Set<String> = []
        private var hasEverything = false

        func add(_ new: Set<String>?) {
            lock.withLock { if let new { all.formUnion(new) } else { hasEverything = true } }
        }

        var paths: Set<String> { lock.withLock { all } }
        var isEverything: Bool { lock.withLock { hasEverything } }

        /// Whether all of these come within ten seconds.
        func reaches(_ wanted: [String]) async throws -> Bool {
            for _ in 0..<1000 where !paths.isSuperset(of: wanted) { try await Task.sleep(for: .milliseconds(10)) }
            return paths.isSuperset(of: wanted)
        }
    }

    // Safety: the value is guarded by the lock.
    private final class Counter: @unchecked Sendable {
        private let lock = NSLock()
        private var value = 0

        func increment() { lock.withLock { value += 1 } }

        var count: Int { lock.withLock { value } }

        /// Whether it comes to `count` within ten seconds.
        func reaches(_ count: Int) async throws -> Bool {
            for _ in 0..<1000 where self.count < count { try await Task.sleep(for: .milliseconds(10)) }
            return self.count >= count
        }
    }
}
