import Glibc

/// A program of the host that is run to its end, found by PATH and where administrators' programs are.
enum Program {
    struct Outcome {
        /// The exit code; 127 where there is no such program.
        var code: Int32
        /// What it said on standard error, at most 4 KB of it.
        var message: String
    }

    static func run(_ arguments: [String]) -> Outcome {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { return Outcome(code: -1, message: "pipe: errno \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
        var identifier: pid_t = 0
        // The list ends with nil.
        var list: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe list.indices { unsafe free(list[index]) } }
        var failure: Int32 = ENOENT
        for folder in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
            failure = unsafe posix_spawn(&identifier, "\(folder)/\(arguments[0])", &actions, nil, &list, environ)
            if failure == 0 { break }
        }
        close(ends[1])
        guard failure == 0 else { return Outcome(code: 127, message: "\(arguments[0]): errno \(failure)") }
        var said: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe read(ends[0], &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            said += buffer[..<count]
        }
        var status: Int32 = 0
        while unsafe waitpid(identifier, &status, 0) < 0, errno == EINTR {}
        let code = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
        return Outcome(code: code, message: String(decoding: said.prefix(4096), as: UTF8.self))
    }
}
