internal import Glibc
internal import Synchronization

// The system calls of this target, and all of its unsafe code. Nothing here knows of manifests.

/// Why a file or directory could not be read.
enum FileFault: Error, Hashable, Sendable {
    /// The kernel said no.
    case refused(errno: Int32)
    case tooLarge(bytes: Int, max: Int)
    /// A device or socket where a file was expected.
    case notAFile

    static let noEntry = ENOENT
    static let accessDenied = EACCES

    /// The kernel's word for it, such as `No such file or directory`.
    static func reason(_ errno: Int32) -> String {
        unsafe String(cString: strerror(errno))
    }
}

/// What identifies a version of a file: if none of it changed, the content did not, but for writes within one tick of the clock.
struct FileStamp: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        case file, directory, stream, other
    }

    let kind: Kind
    let device: UInt
    let inode: UInt
    let bytes: Int
    let modifiedNanoseconds: Int
    let changedNanoseconds: Int

    init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .directory
        case S_IFIFO, S_IFCHR: kind = .stream
        default: kind = .other
        }
        device = UInt(status.st_dev)
        inode = UInt(status.st_ino)
        bytes = Int(status.st_size)
        modifiedNanoseconds = Int(status.st_mtim.tv_sec) * 1_000_000_000 + Int(status.st_mtim.tv_nsec)
        changedNanoseconds = Int(status.st_ctim.tv_sec) * 1_000_000_000 + Int(status.st_ctim.tv_nsec)
    }
}

enum Files {
    static let standardInput: Int32 = 0

    /// The stamp of what the path leads to, symbolic links followed.
    static func stamp(_ path: String) throws(FileFault) -> FileStamp {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw .refused(errno: errno) }
        return FileStamp(status)
    }

    /// True where a name exists, though what it links to may not.
    static func hasName(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(path, &status) == 0
    }

    static func isReadable(_ path: String) -> Bool {
        unsafe access(path, R_OK) == 0
    }

    static func isLink(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    /// The wall clock, to compare with stamps.
    static func nowNanoseconds() -> Int {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        return Int(now.tv_sec) * 1_000_000_000 + Int(now.tv_nsec)
    }

    /// The path with every symbolic link resolved; nil where it leads nowhere.
    static func resolved(_ path: String) -> String? {
        guard let buffer = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(buffer) }
        return unsafe String(cString: buffer)
    }

    /// The names in a directory, without `.` and `..`, unsorted.
    static func names(in path: String) throws(FileFault) -> [String] {
        try entries(in: path).map(\.name)
    }

    /// The same, with what may be a symbolic link.
    static func entries(in path: String) throws(FileFault) -> [(name: String, mayBeLink: Bool)] {
        guard let directory = unsafe opendir(path) else { throw .refused(errno: errno) }
        defer { unsafe closedir(directory) }
        var entries: [(name: String, mayBeLink: Bool)] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(directory) else {
                if errno != 0 { throw .refused(errno: errno) }
                return entries
            }
            let type = unsafe Int(entry.pointee.d_type)
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { entries.append((name, type == DT_LNK || type == DT_UNKNOWN)) }
        }
    }

    /// The whole content of a file. Its size is looked at first, so that a huge one costs nothing; one that grows meanwhile is
    /// bounded all the same.
    static func read(_ path: String, bytesMax: Int) throws(FileFault) -> [UInt8] {
        let stamp = try stamp(path)
        guard stamp.kind == .file || stamp.kind == .stream else { throw .notAFile }
        guard stamp.bytes <= bytesMax else { throw .tooLarge(bytes: stamp.bytes, max: bytesMax) }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .refused(errno: errno) }
        defer { close(descriptor) }
        return try read(descriptor, expected: stamp.bytes, bytesMax: bytesMax)
    }

    /// All that an open descriptor gives until its end.
    static func read(_ descriptor: Int32, expected: Int = 0, bytesMax: Int) throws(FileFault) -> [UInt8] {
        var content: [UInt8] = []
        content.reserveCapacity(min(expected, bytesMax) + 1)
        // One byte more than is expected, so that a file of that size takes one call and the one that says that it has ended.
        var chunk = [UInt8](repeating: 0, count: expected == 0 ? 1 << 16 : min(expected + 1, 1 << 16))
        while true {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw .refused(errno: errno)
            }
            if count == 0 { return content }
            content += chunk[..<count]
            if content.count > bytesMax { throw .tooLarge(bytes: content.count, max: bytesMax) }
        }
    }
}

/// A descriptor that is closed when its owner goes.
struct OwnedFile: ~Copyable {
    let descriptor: Int32

    init(owning descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }
}

/// Change notifications of directories.
struct DirectoryWatch: ~Copyable {
    struct Event {
        let watch: Int32
        /// The name in the watched directory; empty for the directory itself.
        let name: String
        /// The kernel dropped events: anything may have changed.
        let isOverflow: Bool
        /// The file under that name is whole now: its writer closed it, or it was moved there.
        let isWhole: Bool
        /// The name is gone.
        let isRemoval: Bool
    }

    private static let mask =
        UInt32(IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
        | UInt32(IN_DELETE_SELF | IN_MOVE_SELF) | UInt32(IN_ONLYDIR)

    let file: OwnedFile

    /// nil where the kernel gives no inotify instance (a limit per user).
    init?() {
        let descriptor = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
        guard descriptor >= 0 else { return nil }
        file = OwnedFile(owning: descriptor)
    }

    /// Watches a directory; the same number again where it is watched already, nil where it can't be.
    func add(_ path: String) -> Int32? {
        let watch = unsafe inotify_add_watch(file.descriptor, path, Self.mask)
        return watch >= 0 ? watch : nil
    }

    func remove(_ watch: Int32) {
        inotify_rm_watch(file.descriptor, watch)
    }

    /// All events that are waiting.
    func drain() -> [Event] {
        var events: [Event] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe Glibc.read(file.descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return events }
            var rest = buffer[..<count]
            while let event = Self.takeEvent(from: &rest) { events.append(event) }
        }
    }

    /// struct inotify_event: wd, mask, cookie, len (32 bits each, host order), then `len` bytes of a name padded with NUL.
    private static func takeEvent(from bytes: inout ArraySlice<UInt8>) -> Event? {
        guard bytes.count >= 16 else { return nil }
        func word(_ index: Int) -> UInt32 {
            let start = bytes.startIndex + 4 * index
            return bytes[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        let (watch, mask, length) = (Int32(bitPattern: word(0)), word(1), Int(word(3)))
        let name = String(decoding: bytes.dropFirst(16).prefix(length).prefix { $0 != 0 }, as: UTF8.self)
        bytes = bytes.dropFirst(16 + length)
        return Event(
            watch: watch, name: name, isOverflow: mask & UInt32(IN_Q_OVERFLOW) != 0,
            isWhole: mask & UInt32(IN_CLOSE_WRITE | IN_MOVED_TO) != 0, isRemoval: mask & UInt32(IN_DELETE | IN_MOVED_FROM) != 0)
    }
}

/// Wakes a thread that waits in `waitForInput`, from any thread: a pipe whose one byte is never read.
struct WakeUp: ~Copyable {
    let readEnd: OwnedFile
    private let writeEnd: OwnedFile

    /// nil where no descriptor is left.
    init?() {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        readEnd = OwnedFile(owning: ends[0])
        writeEnd = OwnedFile(owning: ends[1])
    }

    func wake() {
        var byte: UInt8 = 0
        _ = unsafe write(writeEnd.descriptor, &byte, 1)
    }
}

/// Waits until one of the descriptors can be read or the time is over; true for each that can.
func waitForInput(_ descriptors: [Int32], milliseconds: Int) -> [Bool] {
    var polls = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    let count = unsafe poll(&polls, nfds_t(polls.count), Int32(clamping: max(0, milliseconds)))
    return polls.map { count > 0 && $0.revents != 0 }
}

/// A thread of our own, with the stack we ask for.
final class DedicatedThread: Sendable {
    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) {
            self.run = run
        }
    }

    private let handle: Mutex<pthread_t?>

    /// Starts the thread; nil where the system gives none.
    init?(stackBytes: Int, _ run: @escaping @Sendable () -> Void) {
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setstacksize(&attributes, stackBytes)
        let body = unsafe Unmanaged.passRetained(Body(run))
        var thread = pthread_t()
        let outcome = unsafe pthread_create(
            &thread, &attributes,
            { argument in
                unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, body.toOpaque())
        guard outcome == 0 else {
            unsafe body.release()
            return nil
        }
        handle = Mutex(thread)
    }

    /// Waits for the thread's end; at once if somebody has waited before. On the thread itself it only lets go of it.
    func join() {
        let thread = handle.withLock { handle in
            defer { handle = nil }
            return handle
        }
        guard let thread else { return }
        if pthread_equal(thread, pthread_self()) != 0 {
            pthread_detach(thread)
        } else {
            pthread_join(thread, nil)
        }
    }

    /// CPUs of this machine, at least 1. Asked for once: the kernel tells it by a file.
    static let cpuCount = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

    /// Runs a closure on a thread with that much stack, for code that recurses as deep as its input says, and gives its result.
    static func run<Result: Sendable>(stackBytes: Int, _ body: @escaping @Sendable () -> Result) -> Result {
        run(times: 1, stackBytes: stackBytes, body)[0]
    }

    /// Runs a closure so many times at once, each on such a thread, and gives the results. Where the system has no more threads it is
    /// run fewer times, at least once: on this thread, if need be.
    static func run<Result: Sendable>(times: Int, stackBytes: Int, _ body: @escaping @Sendable () -> Result) -> [Result] {
        let started = (0..<times).compactMap { _ in
            let result = ResultBox<Result>()
            return DedicatedThread(stackBytes: stackBytes) { result.value.withLock { $0 = body() } }.map { (thread: $0, result: result) }
        }
        for (thread, _) in started { thread.join() }
        let results = started.compactMap { $0.result.value.withLock { $0 } }
        return results.isEmpty ? [body()] : results
    }

    private final class ResultBox<Value: Sendable>: Sendable {
        let value = Mutex<Value?>(nil)
    }
}
