import ArgumentParser
import Glibc

/// `ringway-load`: makes load and measures it. Figures are JSON on standard output, one object a line; the rest is on standard error.
@main
struct RingwayLoad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ringway-load",
        abstract: "Makes HTTP/1.1 load and measures it, on one thread.",
        discussion: """
            Each command prints its figures as one line of JSON. Failed requests are figures, and the exit code is 0; it is 1 if no \
            connection could be made at all, and 64 if the arguments are wrong.
            """,
        subcommands: [Latency.self, Closed.self, HoldCommand.self])
}

extension Target: ExpressibleByArgument {
    init?(argument: String) { self.init(argument) }
}

extension Schedule.Arrivals: ExpressibleByArgument {}

struct TargetOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where to connect to: 127.0.0.1:9001 or [::1]:9001.", valueName: "address:port"))
    var target: Target

    @Option(help: "The path to get.")
    var path = "/"

    func validate() throws {
        guard path.hasPrefix("/"), path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw ValidationError("--path is \"\(path)\": a path begins with / and has no blanks")
        }
    }
}

/// What every run begins with: limits, signals, and that the numbers make sense.
func prepare(connections: Int, timeout: Double) throws {
    let descriptorsMax = Process.raiseOpenFiles() - 16
    guard (1...max(1, descriptorsMax)).contains(connections) else {
        throw ValidationError("--connections is \(connections): from 1 to \(descriptorsMax), by the limit of open files")
    }
    try check("--timeout", timeout, in: 0.001...3600)
    Process.ignoreBrokenPipes()
}

func check(_ option: String, _ value: Double, in range: ClosedRange<Double>) throws {
    guard range.contains(value) else {
        throw ValidationError("\(option) is \(value): from \(range.lowerBound) to \(range.upperBound)")
    }
}

/// Ends the program with a message if nothing could be measured.
func orExit<Value>(_ body: () throws(LoadError) -> Value) throws -> Value {
    do {
        return try body()
    } catch {
        Process.complain(error.description)
        throw ExitCode(1)
    }
}
