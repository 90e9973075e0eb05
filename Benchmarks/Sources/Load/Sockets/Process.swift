import Glibc

/// What this process asks of its host.
enum Process {
    /// Raises the limit of open files as far as it may be, and answers it.
    static func raiseOpenFiles() -> Int {
        var limit = rlimit()
        let resource = __rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue))
        guard unsafe getrlimit(resource, &limit) == 0 else { return 1024 }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(resource, &limit)
        _ = unsafe getrlimit(resource, &limit)
        return Int(clamping: limit.rlim_cur)
    }

    static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }

    /// Reads from standard input what nobody needs; 0 at its end.
    static func readInput() -> Int {
        var byte: UInt64 = 0
        return unsafe read(STDIN_FILENO, &byte, 8)
    }

    static func complain(_ message: String) {
        let line = Array("ringway-load: \(message)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// Why nothing could be measured.
struct LoadError: Error, CustomStringConvertible {
    let description: String
}
