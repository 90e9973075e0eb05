// Every libc call of the program outside the engine stands in this file, with the unsafe code that some of them need.
internal import Dispatch

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// The machine and the process as the kernel describes them.
enum Host {
    static var processID: Int32 { getpid() }
    static var userID: UInt32 { geteuid() }

    /// `6.18.0`, as `uname -r` prints it.
    static var kernelRelease: String { systemName(\.release) ?? "unknown" }

    /// The host's own name, as `uname -n` prints it.
    static var name: String { systemName(\.nodename) ?? "localhost" }

    private static func systemName<Text>(_ field: KeyPath<utsname, Text>) -> String? {
        var name = utsname()
        guard unsafe uname(&name) == 0 else { return nil }
        return unsafe withUnsafeBytes(of: name[keyPath: field]) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// CPUs that are switched on, at least 1.
    static var onlineCPUs: Int { max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))) }

    static func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }

    /// Microseconds since 1970 (UTC), for log lines only; durations come from a monotonic clock.
    static var wallClockMicroseconds: Int64 {
        var time = timespec()
        guard unsafe clock_gettime(CLOCK_REALTIME, &time) == 0 else { return 0 }
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    /// The same in seconds, for metrics.
    static var wallClockSeconds: Double { Double(wallClockMicroseconds) / 1_000_000 }

    /// The content of a small file, at most a megabyte of it; nil where it can't be read.
    static func readFile(_ path: String) -> String? { read(path, atOnce: 4096) }

    /// The text of a setting of the kernel, which gives no more than one read takes: a list of all ports there are is shorter than this.
    static func readSetting(_ path: String) -> String? { read(path, atOnce: 1 << 19) }

    private static func read(_ path: String, atOnce: Int) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: atOnce)
        while content.count < 1 << 20 {
            let count = unsafe buffer.withUnsafeMutableBytes { bytes in
                #if canImport(Glibc)
                unsafe Glibc.read(descriptor, bytes.baseAddress, bytes.count)
                #else
                unsafe Musl.read(descriptor, bytes.baseAddress, bytes.count)
                #endif
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count == 0 ? String(decoding: content, as: UTF8.self) : nil }
            content += buffer[..<count]
        }
        return String(decoding: content, as: UTF8.self)
    }

    /// Writes a setting of the kernel. Of a list it takes as much as a page holds, and asks for the rest.
    ///
    /// - Returns: an errno, 0 for none.
    static func writeSetting(_ path: String, _ text: String) -> Int32 {
        let descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { bytes in
                #if canImport(Glibc)
                unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count)
                #else
                unsafe Musl.write(descriptor, bytes.baseAddress, bytes.count)
                #endif
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count < 0 ? errno : EIO }
            rest = rest.dropFirst(count)
        }
        return 0
    }

    /// Whether the path leads to anything.
    static func fileExists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    enum Stream: Int32 {
        case output = 1
        case error = 2
    }

    static func write(_ text: String, to stream: Stream) { write(Array(text.utf8), to: stream) }

    /// Writes all of it at once, so that lines of two threads don't mix. What can't be written is dropped, and the answer false: a
    /// closed pipe must not end a balancer.
    @discardableResult
    static func write(_ bytes: [UInt8], to stream: Stream) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { bytes in
                #if canImport(Glibc)
                unsafe Glibc.write(stream.rawValue, bytes.baseAddress, bytes.count)
                #else
                unsafe Musl.write(stream.rawValue, bytes.baseAddress, bytes.count)
                #endif
            }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                // A terminal or pipe that somebody made non-blocking: wait for room, a second at most.
                var poller = pollfd(fd: stream.rawValue, events: Int16(POLLOUT), revents: 0)
                if unsafe poll(&poller, 1, 1000) > 0 { continue }
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Makes a directory for this user alone, or checks that the one that is there is: a stranger's directory in /tmp could hold
    /// a stranger's socket.
    ///
    /// - Returns: nil when all is well, else what is wrong.
    static func privateDirectory(_ path: String) -> String? {
        if unsafe mkdir(path, 0o700) == 0 { return nil }
        let problem = errno
        guard problem == EEXIST else { return "can't create the directory \(path): \(message(for: problem))" }
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return "can't look at \(path): \(message(for: errno))" }
        guard status.st_mode & S_IFMT == S_IFDIR else { return "\(path) is no directory" }
        guard status.st_uid == userID else { return "\(path) belongs to another user" }
        guard status.st_mode & 0o022 == 0 else { return "\(path) can be written by others" }
        return nil
    }

    /// The C library's words for an error number.
    static func message(for code: Int32) -> String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }

    /// Writing to a closed connection or pipe gives an error in place of a signal that ends the process.
    static func ignoreBrokenPipes() {
        _ = signal(SIGPIPE, SIG_IGN)
    }

    /// Calls `handler` on a queue of its own for each SIGTERM and SIGINT, which from then on no longer end the process.
    static func onTermination(_ handler: @escaping @Sendable (Int32) -> Void) {
        let queue = DispatchQueue(label: "signals")
        for number in [SIGTERM, SIGINT] {
            _ = signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            // The handler holds its own source: it is to live as long as the process.
            source.setEventHandler { withExtendedLifetime(source) { handler(number) } }
            source.resume()
        }
    }

    /// Calls `handler` on a queue of its own whenever a descriptor can be read, for as long as the process lives.
    static func onInput(_ descriptor: Int32, _ handler: @escaping @Sendable () -> Void) {
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: DispatchQueue(label: "input"))
        source.setEventHandler { withExtendedLifetime(source) { handler() } }
        source.resume()
    }

    static func signalName(_ number: Int32) -> String {
        switch number {
        case SIGTERM: "SIGTERM"
        case SIGINT: "SIGINT"
        default: "signal \(number)"
        }
    }

    /// Ends the process at once: no destructors, nothing waits for other threads.
    static func exitNow(_ code: Int32) -> Never { _exit(code) }
}
