import Foundation
import Glibc
import Synchronization

/// A program the test started: known by its process id, ended by it, and never left behind.
///
/// posix_spawn and not Foundation's `Process`: the id stays ours until we wait for it, and no signal disposition is inherited.
final class ChildProcess: Sendable {
    enum Exit: Equatable, CustomStringConvertible {
        case code(Int32)
        case signal(Int32)

        var description: String {
            switch self {
            case .code(let code): "exit code \(code)"
            case .signal(let number): "signal \(number)"
            }
        }
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// What a program said and how it ended.
    struct Outcome {
        let exit: Exit
        let output: String
        let error: String

        var isSuccess: Bool { exit == .code(0) }
    }

    let command: [String]
    let identifier: pid_t
    private let outputPath: String
    /// The file of its standard error.
    let errorPath: String
    private let exit = Mutex<Exit?>(nil)

    /// Starts `command`, found in PATH, with standard input from a file and both outputs into files of `directory`.
    init(_ command: [String], input: String = "/dev/null", in directory: TemporaryDirectory) throws {
        self.command = command
        let number = directory.nextNumber()
        outputPath = directory.path("output-\(number)")
        errorPath = directory.path("error-\(number)")
        identifier = try Self.spawn(command, input: input, output: outputPath, error: errorPath)
    }

    deinit { end() }

    var output: String { Self.text(outputPath) }
    var error: String { Self.text(errorPath) }

    /// How it ended, or nil while it runs.
    func poll() -> Exit? {
        exit.withLock { exit in
            if exit == nil {
                var status: Int32 = 0
                let result = unsafe waitpid(identifier, &status, WNOHANG)
                if result == identifier {
                    let signal = status & 0x7f
                    exit = signal == 0 ? .code((status >> 8) & 0xff) : .signal(signal)
                }
            }
            return exit
        }
    }

    var isRunning: Bool { poll() == nil }

    /// Waits for its end.
    func wait(within limit: Duration = .seconds(20)) throws -> Exit {
        // By its own steps and not by the clock: on a host that stops everybody for a while, nobody has been given the time.
        for _ in 0..<Int(limit / .milliseconds(5)) {
            if let exit = poll() { return exit }
            usleep(5000)
        }
        throw Failure(description: "\(command.joined(separator: " ")) still runs after \(limit); it said: \(error)")
    }

    func signal(_ number: Int32) {
        if isRunning { kill(identifier, number) }
    }

    /// Ends it whatever it does, and waits for that.
    func end() {
        guard isRunning else { return }
        kill(identifier, SIGKILL)
        _ = try? wait(within: .seconds(5))
    }

    /// Runs a program to its end.
    static func run(_ command: [String], input: String = "/dev/null", within limit: Duration = .seconds(20)) throws -> Outcome {
        let directory = try TemporaryDirectory()
        let process = try ChildProcess(command, input: input, in: directory)
        defer { process.end() }
        let exit = try process.wait(within: limit)
        return Outcome(exit: exit, output: process.output, error: process.error)
    }

    private static let starts = Mutex<Void>(())

    /// Does something while no program is started: a socket that has no close-on-exec flag yet would live on in the program and
    /// hold back its FIN.
    static func betweenStarts<Value>(_ body: () -> Value) -> Value {
        starts.withLock { _ in body() }
    }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    private static func spawn(_ command: [String], input: String, output: String, error: String) throws -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, error, O_WRONLY | O_CREAT | O_TRUNC, 0o600)

        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        unsafe sigemptyset(&none)
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var environment = ProcessInfo.processInfo.environment
        environment["PATH", default: "/usr/bin:/bin"] += ":/usr/sbin:/sbin"
        // Where this runs as a service it is not for what is tested.
        environment["STATE_DIRECTORY"] = nil
        var arguments = unsafe command.map { unsafe strdup($0) } + [nil]
        var variables = unsafe environment.map { unsafe strdup("\($0.key)=\($0.value)") } + [nil]
        defer { unsafe (arguments + variables).forEach { unsafe free($0) } }
        var identifier: pid_t = 0
        let result = betweenStarts {
            unsafe posix_spawnp(&identifier, command[0], &actions, &attributes, &arguments, &variables)
        }
        guard result != ENOENT else {
            throw Failure(description: "there is no \(command[0]): `Scripts/install tests` installs what tests need")
        }
        guard result == 0 else { throw Failure(description: "can't start \(command[0]): errno \(result)") }
        return identifier
    }
}

/// A directory of the test's own, removed with everything in it when the last owner lets go of it.
final class TemporaryDirectory: Sendable {
    let root: String
    private let number = Atomic<Int>(0)

    init() throws {
        var template = Array("\(FileManager.default.temporaryDirectory.path)/ringway-test-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else { throw ChildProcess.Failure(description: "can't make a directory: errno \(errno)") }
        root = unsafe template.withUnsafeBufferPointer { unsafe String(cString: $0.baseAddress!) }
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    func path(_ name: String) -> String { "\(root)/\(name)" }

    func nextNumber() -> Int { number.add(1, ordering: .relaxed).newValue }

    /// Writes a file in place, as an editor without tact does.
    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: path(name), atomically: false, encoding: .utf8)
        return path(name)
    }

    /// Writes a file beside the old one and renames it over that.
    func replace(_ name: String, with text: String) throws {
        let next = try write(text, to: ".\(name).next")
        guard unsafe rename(next, path(name)) == 0 else { throw ChildProcess.Failure(description: "can't rename: errno \(errno)") }
    }
}
