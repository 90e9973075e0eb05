package import ServiceModel
internal import Synchronization

/// Reads files and decodes them, many on one thread: parsing wants more stack than a task has, and a thread for each of ten thousand
/// files costs as much as reading them. Where there are a great many of them, each CPU has such a thread.
struct FileReading: Sendable {
    struct Request: Sendable {
        let path: String
        let root: String
        /// nil for a stream.
        let stamp: FileStamp?
    }

    enum Outcome: Sendable {
        /// Not settled: it may have been written again since, under the stamp that it was asked for with.
        case file(LoadedFile, isSettled: Bool)
        case fault(FileFault)
    }

    /// A file written within this time of its reading may have been written again under the same stamp.
    private static let stampDoubtNanoseconds = 1_000_000_000

    /// Files that are worth a further thread, some 50 ms of work, and those that a thread takes at a time.
    private static let filesOfThreadMin = 64
    private static let batchFiles = 16

    let limits: ManifestLimits
    let strictness: Strictness
    let judgesServices: Bool

    func read(_ requests: [Request]) -> [Outcome] {
        read(requests, threads: min(DedicatedThread.cpuCount, requests.count / Self.filesOfThreadMin))
    }

    /// The same outcomes in the same order, whatever the number of threads.
    func read(_ requests: [Request], threads: Int) -> [Outcome] {
        guard !requests.isEmpty else { return [] }
        let batches = (requests.count + Self.batchFiles - 1) / Self.batchFiles
        let next = SharedCounter()
        let parts = DedicatedThread.run(times: max(1, min(threads, batches)), stackBytes: YAMLReading.stackBytes) {
            var read: [(batch: Int, outcomes: [Outcome])] = []
            while let batch = next.take(below: batches) {
                let start = batch * Self.batchFiles
                read.append((batch, requests[start..<min(start + Self.batchFiles, requests.count)].map(self.read)))
            }
            return read
        }
        return parts.joined().sorted { $0.batch < $1.batch }.flatMap(\.outcomes)
    }

    /// Batches that are yet to be taken.
    private final class SharedCounter: Sendable {
        private let value = Atomic(0)

        func take(below end: Int) -> Int? {
            let taken = value.add(1, ordering: .relaxed).oldValue
            return taken < end ? taken : nil
        }
    }

    private func read(_ request: Request) -> Outcome {
        let startedAt = Files.nowNanoseconds()
        do throws(FileFault) {
            let bytes =
                request.path == ManifestLoader.standardInput
                ? try Files.read(Files.standardInput, bytesMax: limits.fileBytesMax)
                : try Files.read(request.path, bytesMax: limits.fileBytesMax)
            return .file(decode(bytes, request), isSettled: request.stamp?.isOlder(than: startedAt - Self.stampDoubtNanoseconds) ?? true)
        } catch {
            guard case .tooLarge = error else {
                return request.stamp == nil
                    ? .file(LoadedFile(path: request.path, root: request.root, error), isSettled: true) : .fault(error)
            }
            return .file(LoadedFile(path: request.path, root: request.root, error), isSettled: false)
        }
    }

    private func decode(_ bytes: [UInt8], _ request: Request) -> LoadedFile {
        let text = ManifestReader(limits: limits).text(of: bytes, file: request.path)
        return LoadedFile(text, path: request.path, root: request.root, strictness: strictness, judgesServices: judgesServices)
    }
}

extension LoadedFile {
    /// What a file holds that reads so. `judgesServices` is the decoder's.
    package init(_ text: ManifestText, path: String, root: String, strictness: Strictness, judgesServices: Bool = false) {
        let objects = text.documents.flatMap { ObjectDecoder.decode($0, strictness: strictness, judgesServices: judgesServices) }
        // An empty file is more often one that is being written than one that means nothing.
        self.init(
            path: path, root: root, declarations: objects.map { Declaration($0) }, diagnostics: text.diagnostics,
            unreadableDocuments: text.isEmpty ? 1 : text.unreadableDocuments)
    }
}

extension FileStamp {
    func isOlder(than nanoseconds: Int) -> Bool { max(changedNanoseconds, modifiedNanoseconds) < nanoseconds }
}

extension LoadedFile {
    /// One that could not be read.
    init(path: String, root: String, _ fault: FileFault) {
        self.init(path: path, root: root, diagnostics: [fault.diagnostic(of: path)], unreadableDocuments: 1)
    }
}

extension FileFault {
    /// Of a root it also says what may help.
    func diagnostic(of path: String, isRoot: Bool = false) -> Diagnostic {
        Diagnostic(severity: .error, location: SourceLocation(file: path), message: isRoot ? text + remedy : text)
    }

    private var text: String {
        switch self {
        case .refused(let errno): "can't be read: \(FileFault.reason(errno))"
        case .tooLarge(let bytes, let max): "\(bytes) bytes are more than the limit of \(max) bytes; split the file"
        case .notAFile: "is neither a file nor a directory"
        }
    }

    private var remedy: String {
        switch self {
        case .refused(FileFault.noEntry): "; create it or correct the path"
        case .refused(FileFault.accessDenied): "; give the user that runs ringway permission to read it"
        case .refused, .tooLarge, .notAFile: ""
        }
    }
}
