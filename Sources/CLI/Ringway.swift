internal import ArgumentParser
internal import Forwarding

/// The program. Its own options; everything else is in a command.
@main
struct Ringway: AsyncParsableCommand {
    /// As said by `--version`, in statistics and in the log.
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "ringway",
        abstract: "A TCP and UDP load balancer that reads Kubernetes Services.",
        discussion: "Try it: `ringway run 9300=9301,9302,9303`",
        subcommands: [
            RunCommand.self, CheckCommand.self, DiffCommand.self, GetCommand.self, StatsCommand.self, DNSCommand.self, NetworkCommand.self,
        ])

    // A flag of our own in place of the parser's: the engine is probed only when somebody asks.
    @Flag(name: .long, help: "Show the version, the engine that would be used, and the kernel.")
    var version = false

    func run() throws {
        guard version else { throw CleanExit.helpRequest(self) }
        let engine = EngineSelection.describe()
        Host.write(
            "ringway \(Self.version)\nengine  \(engine.name) (\(engine.reason))\nkernel  Linux \(Host.kernelRelease)\n", to: .output)
    }
}
