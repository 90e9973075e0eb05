import Foundation
import Glibc

/// A command that a page shows, and what it is said to print.
struct ConsoleCommand: Equatable {
    let text: String
    let printed: [String]
    /// Of the page, counted from 1.
    let line: Int

    /// The blocks of a Markdown page that are fenced with "```console": a line after `$ ` is a command, what follows is its output.
    static func all(of page: String) -> [ConsoleCommand] {
        var commands: [ConsoleCommand] = []
        var isConsole = false
        for (index, line) in page.components(separatedBy: "\n").enumerated() {
            if line.hasPrefix("```") {
                isConsole = line == "```console"
            } else if isConsole, line.hasPrefix("$ ") {
                commands.append(ConsoleCommand(text: String(line.dropFirst(2)), printed: [], line: index + 1))
            } else if isConsole, let last = commands.popLast() {
                commands.append(ConsoleCommand(text: last.text, printed: last.printed + [line], line: last.line))
            }
        }
        return commands
    }

    /// What a run printed that the page doesn't say, or the other way round; nil where they agree. In the page `…` stands for any
    /// text within a line, and a number of spaces for any other.
    func difference(from output: [String]) -> String? {
        for index in 0..<max(printed.count, output.count) {
            guard index < printed.count else { return "printed \"\(output[index])\", which the page has not" }
            let place = "line \(line + index + 1), \"\(printed[index])\""
            guard index < output.count else { return "\(place), was not printed" }
            guard Self.matches(printed[index], output[index]) else { return "\(place): printed \"\(output[index])\"" }
        }
        return nil
    }

    private static func matches(_ expected: String, _ line: String) -> Bool {
        func words(_ text: String) -> String { text.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
        let pattern = words(expected).components(separatedBy: "…").map(NSRegularExpression.escapedPattern).joined(separator: ".*")
        return words(line).range(of: "^\(pattern)$", options: .regularExpression) != nil
    }
}

/// A bash that is given one command after the other, and keeps what they set: variables, functions, jobs.
final class ShellSession {
    private let process: ChildProcess
    private let commands: FileHandle
    private var count = 0
    private var length = 0

    /// - Parameter prefix: a command that runs it: `nsenter …`, `env …`.
    init(prefix: [String], in directory: TemporaryDirectory) throws {
        let pipe = directory.path("commands")
        guard unsafe mkfifo(pipe, 0o600) == 0 else { throw ChildProcess.Failure(description: "can't make a pipe: errno \(errno)") }
        // Both ways, so that nobody waits for the other to open it.
        let descriptor = unsafe open(pipe, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw ChildProcess.Failure(description: "can't open a pipe: errno \(errno)") }
        commands = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        // A session of its own, so that all that is left in it can be ended by its id.
        process = try ChildProcess(prefix + ["setsid", "bash"], input: pipe, in: directory)
        _ = try run("exec 2>&1", within: .seconds(20))
    }

    deinit {
        if process.isRunning { kill(-process.identifier, SIGKILL) }
        process.end()
    }

    /// What a command prints on both outputs, and its exit status.
    func run(_ command: String, within limit: Duration) throws -> (output: [String], status: Int32) {
        count += 1
        let end = "\u{1}\(count)\u{1}"
        commands.write(Data("{\n\(command)\n} </dev/null; printf '%s%s\\n' '\(end)' $?\n".utf8))
        var text = Substring()
        try waitUntil("the end of \"\(command)\"; so far: \(process.output.dropFirst(length)) \(process.error)", within: limit) {
            guard process.isRunning else { throw ChildProcess.Failure(description: "bash ended: \(process.output) \(process.error)") }
            text = process.output.dropFirst(length)
            return text.contains(end) && text.hasSuffix("\n")
        }
        length += text.count
        let parts = text.components(separatedBy: end)
        let status = Int32(parts[1].trimmingCharacters(in: .newlines)) ?? -1
        var lines = parts[0].components(separatedBy: "\n")
        if lines.last == "" { lines.removeLast() }
        return (lines, status)
    }
}
