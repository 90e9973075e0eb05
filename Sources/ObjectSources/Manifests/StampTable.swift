/// What all roots and the files in them were when they were last looked at, to find by comparison what no event tells.
struct StampTable: Sendable {
    private enum Stamp: Hashable, Sendable {
        case file(FileStamp)
        case directory(device: UInt, inode: UInt)
        case unreadableDirectory
    }

    private let roots: [String]
    /// What is not in it was missing.
    private var stamps: [String: Stamp] = [:]
    /// What may be a symbolic link: it changes with what stands elsewhere.
    private var links: Set<String> = []
    /// Files that a round of comparison has not come to yet.
    private var waiting: [String] = []

    init(of roots: [String]) {
        self.roots = roots
        _ = compareAll()
    }

    var count: Int { stamps.count }

    var hasLinks: Bool { !links.isEmpty }

    /// A round has been begun and is not at its end.
    var isComparing: Bool { !waiting.isEmpty }

    /// It was there when it was last looked at, and neither a directory nor a link.
    func isPlainFile(_ path: String) -> Bool {
        if case .file? = stamps[path] { !links.contains(path) } else { false }
    }

    /// Looks at everything; gives what is other than before.
    mutating func compareAll() -> Set<String> {
        var different = beginComparing()
        while isComparing { different.formUnion(compare(waiting.count)) }
        return different
    }

    /// Begins a round: looks at the roots, and what names there are in them. Gives the roots that are others than before, and what is
    /// gone.
    mutating func beginComparing() -> Set<String> {
        var different: Set<String> = []
        var current = Set(roots)
        waiting = []
        for root in roots {
            if look(at: root) { different.insert(root) }
            guard case .directory? = stamps[root] else { continue }
            for (name, mayBeLink) in (try? Files.entries(in: root)) ?? [] where ManifestLoader.isManifestName(name) {
                let path = ManifestLoader.join(root, name)
                guard current.insert(path).inserted else { continue }
                note(path, mayBeLink: mayBeLink)
                waiting.append(path)
            }
        }
        for path in stamps.keys where !current.contains(path) {
            different.insert(path)
            stamps[path] = nil
            links.remove(path)
        }
        return different
    }

    /// Goes on with the round: looks at that many files and gives those that are other than before.
    mutating func compare(_ count: Int) -> Set<String> {
        let paths = waiting.suffix(count)
        waiting.removeLast(paths.count)
        return Set(paths.filter { compare($0) })
    }

    /// Looks at what may lead elsewhere; gives what is other than before.
    mutating func compareLinks() -> Set<String> {
        links.filter { compare($0) }
    }

    /// Looks at one path; true where it is other than before.
    @discardableResult
    mutating func look(at path: String) -> Bool {
        note(path, mayBeLink: Files.isLink(path))
        return compare(path)
    }

    private mutating func note(_ path: String, mayBeLink: Bool) {
        if mayBeLink { links.insert(path) } else { links.remove(path) }
    }

    private mutating func compare(_ path: String) -> Bool {
        let stamp = Self.stamp(of: path)
        defer { stamps[path] = stamp }
        return stamps[path] != stamp
    }

    private static func stamp(of path: String) -> Stamp? {
        guard let stamp = try? Files.stamp(path) else { return nil }
        guard stamp.kind == .directory else { return .file(stamp) }
        return Files.isReadable(path) ? .directory(device: stamp.device, inode: stamp.inode) : .unreadableDirectory
    }
}
