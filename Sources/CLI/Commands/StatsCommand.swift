internal import AdminServer
internal import ArgumentParser

/// `ringway stats`: ask the running process for its counters.
struct StatsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Show the counters of the running ringway.",
        discussion: "Asks over the admin socket. Exits with 1 if nobody answers.")

    @Option(name: [.short, .long], help: "Output as a table (text) or as the whole report (json).")
    var output: OutputFormat = .text

    @Option(help: ArgumentHelp("Unix socket of the running ringway. (default: where `ringway run` puts it)", valueName: "path"))
    var adminSocket: String?

    func run() async throws {
        let client = AdminClient(path: adminSocket ?? AdminSocketLocation.ofThisUser.path)
        do {
            switch output {
            case .text: Host.write(StatisticsTable(report: try await client.report()).text + "\n", to: .output)
            case .json: Host.write(try await client.statisticsBody(), to: .output)
            }
        } catch {
            Host.write("ringway: \(error)\n", to: .error)
            throw ExitCode(1)
        }
    }
}
