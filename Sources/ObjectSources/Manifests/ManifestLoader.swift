package import ServiceModel

/// Looks at roots and reads what is other than before, synchronously: a file whose stamp has not changed is not read again, and a
/// stream (standard input, a pipe) is read once.
///
/// Of a directory it reads `*.yaml`, `*.yml` and `*.json`, not hidden files and not sub-directories; links are followed.
package struct ManifestLoader: Sendable {
    /// The root that is standard input.
    package static let standardInput = "-"

    fileprivate struct Root: Sendable {
        enum Kind: Sendable {
            case directory(device: UInt, inode: UInt)
            case file, stream
            case unknown(FileFault)
        }

        let path: String
        var kind = Kind.unknown(.refused(errno: FileFault.noEntry))
        /// Files in it, where it is a directory.
        var fileCount = 0
    }

    private struct Known: Sendable {
        let root: Int
        /// nil where it could not be read, or may have changed since under the same stamp: to be read by the next look at everything.
        let stamp: FileStamp?
    }

    /// What stands in a directory under the name of a manifest.
    private enum Entry {
        case file(FileStamp)
        case unreadable(FileFault)
        case nothing

        var isFile: Bool {
            if case .nothing = self { false } else { true }
        }
    }

    /// One look at some files or all.
    private struct Look {
        var seen: Set<String> = []
        var requests: [FileReading.Request] = []
        var change = LoadedChange(roots: [])
    }

    private let reading: FileReading
    private var roots: [Root]
    private let indices: [String: Int]
    /// A root stands in another one, so that a file may be both's.
    private let hasOverlaps: Bool
    private var known: [String: Known] = [:]
    /// Files that could not be read: why may pass without a trace on them.
    private var unreadable: Set<String> = []

    /// A root that is named twice is read once.
    package init(
        _ roots: [String], limits: ManifestLimits = ManifestLimits(), strictness: Strictness = .ringway, judgesServices: Bool = true
    ) {
        var indices: [String: Int] = [:]
        self.roots = []
        for root in roots where indices[root] == nil {
            indices[root] = self.roots.count
            self.roots.append(Root(path: root))
        }
        self.indices = indices
        hasOverlaps = roots.contains { root in Self.directories(of: root).contains { indices[$0] != nil } }
        reading = FileReading(limits: limits, strictness: strictness, judgesServices: judgesServices)
    }

    /// Looks at those of the paths that are roots or in them; at everything for nil, and where no less will do.
    package mutating func load(_ paths: Set<String>? = nil) -> LoadedChange {
        var look = paths.flatMap { self.look(at: $0) } ?? lookAtAll()
        read(look.requests, into: &look.change)
        look.change.roots = roots.map(\.loaded)
        return look.change
    }

    static func isManifestName(_ name: String) -> Bool {
        !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
    }

    static func join(_ directory: String, _ name: String) -> String {
        directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
    }

    /// The directories that give this path when they are joined with a name.
    private static func directories(of path: String) -> [String] {
        guard let slash = path.lastIndex(of: "/") else { return [] }
        return [String(path[..<slash]), String(path[...slash])]
    }

    // MARK: Some files

    /// nil where it takes a look at everything.
    private mutating func look(at paths: Set<String>) -> Look? {
        guard !hasOverlaps else { return nil }
        var look = Look()
        var places: [(path: String, root: Int)] = []
        for path in paths.union(unreadable) {
            let root = indices[path] ?? Self.directories(of: path).compactMap { indices[$0] }.first
            if let root { places.append((path, root)) }
        }
        let concerned = Set(places.map(\.root))
        guard roots.indices.allSatisfy({ isAsBefore(roots[$0], isConcerned: concerned.contains($0)) }) else { return nil }
        for (path, root) in places {
            switch roots[root].kind {
            case .directory where path == roots[root].path: return nil
            case .directory:
                let entry = entry(at: path)
                roots[root].fileCount += (entry.isFile ? 1 : 0) - (known[path] == nil ? 0 : 1)
                take(entry, at: path, of: root, in: &look)
            case .file:
                let entry = entry(at: path)
                guard case .file = entry else { return nil }
                take(entry, at: path, of: root, in: &look)
            case .stream, .unknown: break
            }
        }
        return look
    }

    private func isAsBefore(_ root: Root, isConcerned: Bool) -> Bool {
        switch root.kind {
        case .directory(let device, let inode):
            guard isConcerned else { return true }
            let stamp = try? Files.stamp(root.path)
            return stamp?.kind == .directory && stamp?.device == device && stamp?.inode == inode
        case .file, .stream: return true
        case .unknown: return (try? Files.stamp(root.path)) == nil
        }
    }

    // MARK: Everything

    private mutating func lookAtAll() -> Look {
        var look = Look()
        look.seen.reserveCapacity(known.count)
        unreadable = []
        for root in roots.indices { lookAt(root, in: &look) }
        for path in known.keys where !look.seen.contains(path) { forget(path, in: &look.change) }
        return look
    }

    private mutating func lookAt(_ root: Int, in look: inout Look) {
        let path = roots[root].path
        var wasRead = false
        if case .stream = roots[root].kind { wasRead = true }
        do throws(FileFault) {
            let stamp = path == Self.standardInput ? nil : try Files.stamp(path)
            switch stamp?.kind {
            case .stream, nil:
                roots[root].kind = .stream
                look.seen.insert(path)
                if !wasRead { look.requests.append(FileReading.Request(path: path, root: path, stamp: nil)) }
            case .directory: try lookAtDirectory(root, in: &look)
            case .file, .other:
                roots[root].kind = .file
                if let stamp, look.seen.insert(path).inserted { take(.file(stamp), at: path, of: root, in: &look) }
            }
        } catch {
            if wasRead { look.seen.insert(path) } else { roots[root].kind = .unknown(error) }
        }
    }

    private mutating func lookAtDirectory(_ root: Int, in look: inout Look) throws(FileFault) {
        let directory = roots[root].path
        let stamp = try Files.stamp(directory)
        let names = try Files.names(in: directory)
        roots[root].kind = .directory(device: stamp.device, inode: stamp.inode)
        roots[root].fileCount = 0
        for name in names where Self.isManifestName(name) {
            let path = Self.join(directory, name)
            let entry = entry(at: path)
            guard entry.isFile else { continue }
            roots[root].fileCount += 1
            if look.seen.insert(path).inserted { take(entry, at: path, of: root, in: &look) }
        }
    }

    // MARK: Files

    private func entry(at path: String) -> Entry {
        do throws(FileFault) {
            let stamp = try Files.stamp(path)
            switch stamp.kind {
            case .directory: return .nothing
            case .stream: return .unreadable(.notAFile)
            case .file, .other: return .file(stamp)
            }
        } catch {
            // Gone since the directory was read: the same as never seen.
            return Files.hasName(path) ? .unreadable(error) : .nothing
        }
    }

    private mutating func take(_ entry: Entry, at path: String, of root: Int, in look: inout Look) {
        switch entry {
        case .file(let stamp):
            if let known = known[path], known.root == root, known.stamp == stamp { return }
            look.requests.append(FileReading.Request(path: path, root: roots[root].path, stamp: stamp))
        case .unreadable(let fault): refuse(path, of: root, fault, in: &look.change)
        case .nothing: forget(path, in: &look.change)
        }
    }

    private mutating func read(_ requests: [FileReading.Request], into change: inout LoadedChange) {
        for (request, outcome) in zip(requests, reading.read(requests)) {
            let path = request.path
            guard let root = indices[request.root] else { continue }
            switch outcome {
            case .file(let file, let isSettled):
                known[path] = Known(root: root, stamp: isSettled ? request.stamp : nil)
                unreadable.remove(path)
                change.files.append(file)
            case .fault(let fault):
                if path == request.root {
                    roots[root].kind = .unknown(fault)
                    forget(path, in: &change)
                } else if Files.hasName(path) {
                    refuse(path, of: root, fault, in: &change)
                } else {
                    roots[root].fileCount -= 1
                    forget(path, in: &change)
                }
            }
        }
    }

    private mutating func refuse(_ path: String, of root: Int, _ fault: FileFault, in change: inout LoadedChange) {
        known[path] = Known(root: root, stamp: nil)
        unreadable.insert(path)
        change.files.append(LoadedFile(path: path, root: roots[root].path, fault))
    }

    private mutating func forget(_ path: String, in change: inout LoadedChange) {
        unreadable.remove(path)
        if known.removeValue(forKey: path) != nil { change.removed.append(path) }
    }
}

extension ManifestLoader.Root {
    fileprivate var loaded: LoadedRoot {
        switch kind {
        case .unknown(let fault): LoadedRoot(path: path, isKnown: false, diagnostics: [fault.diagnostic(of: path, isRoot: true)])
        case .directory where fileCount == 0:
            LoadedRoot(path: path, diagnostics: [ManifestFiles.emptiness(of: path)])
        case .directory, .file, .stream: LoadedRoot(path: path)
        }
    }
}
