package import ServiceModel

/// What one file held when it was last read.
package struct LoadedFile: Hashable, Sendable {
    /// As the root named it, or the root and a name.
    package var path: String
    /// What its documents hold, refused objects too, in order.
    package var objects: [DecodedObject]
    /// What concerns the file or a document that could not be read, not one object.
    package var diagnostics: [Diagnostic]
    /// Documents whose objects are unknown, the whole file as one where it could not be read.
    package var unreadableDocuments: Int

    package init(path: String, objects: [DecodedObject] = [], diagnostics: [Diagnostic] = [], unreadableDocuments: Int = 0) {
        self.path = path
        self.objects = objects
        self.diagnostics = diagnostics
        self.unreadableDocuments = unreadableDocuments
    }
}

/// What one root held: a file, a directory or standard input.
package struct LoadedRoot: Hashable, Sendable {
    /// As it was given.
    package var root: String
    /// nil where the root is missing or can't be read, and then nothing is known of its files.
    package var files: [LoadedFile]?
    /// What concerns the root itself.
    package var diagnostics: [Diagnostic]

    package init(root: String, files: [LoadedFile]?, diagnostics: [Diagnostic] = []) {
        self.root = root
        self.files = files
        self.diagnostics = diagnostics
    }
}

/// Reads roots into objects and diagnostics, synchronously. A file whose stamp has not changed is not read again, and a stream
/// (standard input, a pipe) is read once.
///
/// Of a directory it reads `*.yaml`, `*.yml` and `*.json`, not hidden files and not sub-directories; links are followed.
package struct ManifestLoader: Sendable {
    /// A file written within this time of its reading may have been written again under the same stamp.
    private static let stampDoubtNanoseconds = 1_000_000_000

    /// The root that is standard input.
    package static let standardInput = "-"

    private struct Cached: Sendable {
        let stamp: FileStamp
        let file: LoadedFile
    }

    private let limits: ManifestLimits
    private let reader: ManifestReader
    private let strictness: Strictness
    private let judgesServices: Bool
    private var cache: [String: Cached] = [:]
    private var streams: [String: LoadedFile] = [:]

    package init(limits: ManifestLimits = ManifestLimits(), strictness: Strictness = .ringway, judgesServices: Bool = true) {
        self.limits = limits
        self.strictness = strictness
        self.judgesServices = judgesServices
        reader = ManifestReader(limits: limits)
    }

    /// Reads all roots; a root or file named twice is read once.
    package mutating func load(_ roots: [String]) -> [LoadedRoot] {
        var seenPaths: Set<String> = []
        var loaded: [LoadedRoot] = []
        for root in roots where !loaded.contains(where: { $0.root == root }) {
            var result = load(root: root)
            result.files?.removeAll { !seenPaths.insert($0.path).inserted }
            loaded.append(result)
        }
        cache = cache.filter { seenPaths.contains($0.key) }
        return loaded
    }

    static func isManifestName(_ name: String) -> Bool {
        !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
    }

    static func join(_ directory: String, _ name: String) -> String {
        directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
    }

    // MARK: Roots

    private mutating func load(root: String) -> LoadedRoot {
        if root == Self.standardInput {
            return LoadedRoot(root: root, files: [loadStream(root, isStandardInput: true)])
        }
        let stamp: FileStamp
        do {
            stamp = try Files.stamp(root)
        } catch {
            if let stream = streams[root] { return LoadedRoot(root: root, files: [stream]) }
            return LoadedRoot(root: root, files: nil, diagnostics: [rootError(root, error)])
        }
        switch stamp.kind {
        case .directory: return load(directory: root)
        case .stream: return LoadedRoot(root: root, files: [loadStream(root, isStandardInput: false)])
        case .file, .other:
            do {
                return LoadedRoot(root: root, files: [try load(file: root, stamp: stamp)])
            } catch {
                return LoadedRoot(root: root, files: nil, diagnostics: [rootError(root, error)])
            }
        }
    }

    private mutating func load(directory: String) -> LoadedRoot {
        let names: [String]
        do {
            names = try Files.names(in: directory)
        } catch {
            return LoadedRoot(root: directory, files: nil, diagnostics: [rootError(directory, error)])
        }
        var files: [LoadedFile] = []
        for name in names.filter(Self.isManifestName).sorted() {
            let path = Self.join(directory, name)
            do throws(FileFault) {
                let stamp = try Files.stamp(path)
                switch stamp.kind {
                case .directory: continue
                case .stream: throw FileFault.notAFile
                case .file, .other: files.append(try load(file: path, stamp: stamp))
                }
            } catch {
                // Gone since the directory was read: the same as never seen.
                guard Files.hasName(path) else { continue }
                files.append(LoadedFile(path: path, diagnostics: [fileError(path, error)], unreadableDocuments: 1))
            }
        }
        var loaded = LoadedRoot(root: directory, files: files)
        if files.isEmpty {
            loaded.diagnostics.append(
                Diagnostic(
                    severity: .warning, location: SourceLocation(file: directory),
                    message: "no manifests in the directory: files named *.yaml, *.yml or *.json are read"))
        }
        return loaded
    }

    private mutating func load(file path: String, stamp: FileStamp) throws(FileFault) -> LoadedFile {
        if let cached = cache[path], cached.stamp == stamp { return cached.file }
        let startedAt = Files.nowNanoseconds()
        let file: LoadedFile
        do throws(FileFault) {
            file = decode(try Files.read(path, bytesMax: limits.fileBytesMax), path: path)
        } catch {
            guard case .tooLarge = error else { throw error }
            file = LoadedFile(path: path, diagnostics: [fileError(path, error)], unreadableDocuments: 1)
        }
        if max(stamp.changedNanoseconds, stamp.modifiedNanoseconds) + Self.stampDoubtNanoseconds < startedAt {
            cache[path] = Cached(stamp: stamp, file: file)
        }
        return file
    }

    private mutating func loadStream(_ name: String, isStandardInput: Bool) -> LoadedFile {
        if let file = streams[name] { return file }
        let file: LoadedFile
        do throws(FileFault) {
            let bytes =
                isStandardInput
                ? try Files.read(Files.standardInput, bytesMax: limits.fileBytesMax)
                : try Files.read(name, bytesMax: limits.fileBytesMax)
            file = decode(bytes, path: name)
        } catch {
            file = LoadedFile(path: name, diagnostics: [fileError(name, error)], unreadableDocuments: 1)
        }
        streams[name] = file
        return file
    }

    private func decode(_ bytes: [UInt8], path: String) -> LoadedFile {
        let text = reader.read(bytes, file: path)
        // An empty file is more often one that is being written than one that means nothing.
        return LoadedFile(
            path: path,
            objects: text.documents.flatMap { ObjectDecoder.decode($0, strictness: strictness, judgesServices: judgesServices) },
            diagnostics: text.diagnostics,
            unreadableDocuments: text.isEmpty ? 1 : text.unreadableDocuments)
    }

    // MARK: Faults

    private func rootError(_ root: String, _ fault: FileFault) -> Diagnostic {
        let remedy =
            switch fault {
            case .refused(let errno): Self.remedy(errno)
            case .tooLarge, .notAFile: ""
            }
        return error(root, "\(Self.describe(fault))\(remedy)")
    }

    private func fileError(_ path: String, _ fault: FileFault) -> Diagnostic {
        error(path, Self.describe(fault))
    }

    private func error(_ path: String, _ message: String) -> Diagnostic {
        Diagnostic(severity: .error, location: SourceLocation(file: path), message: message)
    }

    private static func describe(_ fault: FileFault) -> String {
        switch fault {
        case .refused(let errno): "can't be read: \(FileFault.reason(errno))"
        case .tooLarge(let bytes, let max): "\(bytes) bytes are more than the limit of \(max) bytes; split the file"
        case .notAFile: "is neither a file nor a directory"
        }
    }

    private static func remedy(_ errno: Int32) -> String {
        switch errno {
        case FileFault.noEntry: "; create it or correct the path"
        case FileFault.accessDenied: "; give the user that runs ringway permission to read it"
        default: ""
        }
    }
}
