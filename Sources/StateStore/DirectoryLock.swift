#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// A directory that one process at a time may write in. The kernel lets go of it when the process ends, however it does.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// Makes the directory, for this user alone, where there is none.
    init(_ directory: String) throws(StateStoreError) {
        if unsafe mkdir(directory, 0o700) != 0, errno != EEXIST {
            throw .unusable(directory: directory, reason: Self.message(errno))
        }
        // Not the database itself: SQLite has locks of its own on that.
        let descriptor = unsafe open("\(directory)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .unusable(directory: directory, reason: Self.message(errno)) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let problem = errno
            let holder = problem == EWOULDBLOCK ? Self.holder(descriptor) : nil
            close(descriptor)
            throw problem == EWOULDBLOCK
                ? .inUse(directory: directory, pid: holder) : .unusable(directory: directory, reason: Self.message(problem))
        }
        self.descriptor = descriptor
        // For whoever comes next; the lock holds without it.
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(descriptor, 0) == 0 { _ = unsafe pwrite(descriptor, text, text.count, 0) }
    }

    deinit { close(descriptor) }

    static func isThere(_ file: String) -> Bool { unsafe access(file, F_OK) == 0 }

    /// What the holder wrote into the file.
    private static func holder(_ descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
        return Int32(String(decoding: bytes.prefix(max(0, count)).prefix { $0 != 0x0a }, as: UTF8.self))
    }

    private static func message(_ code: Int32) -> String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}
