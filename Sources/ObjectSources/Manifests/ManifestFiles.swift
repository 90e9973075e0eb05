package import ServiceModel

/// Files as they are, read here to be judged by another process.
package struct ManifestFiles: Sendable {
    package struct File: Sendable {
        /// As the root named it, or the root and a name.
        package var path: String
        package var bytes: [UInt8]

        package init(path: String, bytes: [UInt8]) {
            self.path = path
            self.bytes = bytes
        }
    }

    /// In the order of the roots, and by name within a directory.
    package private(set) var files: [File] = []
    /// What can't be read, and directories without manifests.
    package private(set) var diagnostics: [Diagnostic] = []

    /// Reads roots as a `ManifestSource` does, once: files, directories, or `-` for standard input.
    ///
    /// - Parameter limits: `fileBytesMax` holds for all of them together.
    package init(roots: [String], limits: ManifestLimits = ManifestLimits()) {
        var seen: Set<String> = []
        var rest = limits.fileBytesMax
        for root in roots where seen.insert(root).inserted {
            do throws(FileFault) {
                var paths = [root]
                if root != ManifestLoader.standardInput, try Files.stamp(root).kind == .directory { paths = try Self.manifests(in: root) }
                if paths.isEmpty { diagnostics.append(Self.emptiness(of: root)) }
                for path in paths where path == root || seen.insert(path).inserted {
                    read(path, within: &rest, of: limits.fileBytesMax)
                }
            } catch {
                diagnostics.append(error.diagnostic(of: root, isRoot: true))
            }
        }
    }

    private mutating func read(_ path: String, within rest: inout Int, of max: Int) {
        do throws(FileFault) {
            let bytes =
                path == ManifestLoader.standardInput
                ? try Files.read(Files.standardInput, bytesMax: rest) : try Files.read(path, bytesMax: rest)
            rest -= bytes.count
            files.append(File(path: path, bytes: bytes))
        } catch {
            guard case .tooLarge = error else { return diagnostics.append(error.diagnostic(of: path, isRoot: true)) }
            diagnostics.append(
                Diagnostic(
                    severity: .error, location: SourceLocation(file: path),
                    message: "with it the files have more than \(max) bytes together: give fewer at a time"))
        }
    }

    private static func manifests(in directory: String) throws(FileFault) -> [String] {
        try Files.names(in: directory).sorted().filter(ManifestLoader.isManifestName).map { ManifestLoader.join(directory, $0) }
            .filter { (try? Files.stamp($0))?.kind != .directory }
    }

    static func emptiness(of root: String) -> Diagnostic {
        Diagnostic(
            severity: .warning, location: SourceLocation(file: root),
            message: "no manifests in the directory: files named *.yaml, *.yml or *.json are read")
    }
}

extension ManifestFiles {
    /// What files come to by themselves, without any past. All of them are one source.
    package static func contents(
        of files: [File], strictness: Strictness = .ringway, limits: ManifestLimits = ManifestLimits()
    ) -> (change: ManifestChange, named: Set<ObjectKey>, isWhole: Bool) {
        let loaded = DedicatedThread.run(stackBytes: YAMLReading.stackBytes) {
            files.map { file in
                LoadedFile(
                    ManifestReader(limits: limits).text(of: file.bytes, file: file.path), path: file.path, root: "", strictness: strictness)
            }
        }
        var store = ManifestStore(holdsLosses: false)
        let change = store.apply(LoadedChange(roots: [LoadedRoot(path: "")], files: loaded))
        let declarations = loaded.flatMap(\.declarations)
        let isWhole = loaded.allSatisfy { $0.unreadableDocuments == 0 } && !declarations.contains { $0.key == nil && $0.isRejected }
        return (change, Set(declarations.compactMap(\.key)), isWhole)
    }
}
