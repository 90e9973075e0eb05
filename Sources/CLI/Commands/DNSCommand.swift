internal import AdminServer
internal import ArgumentParser

/// `ringway dns`: what the running process says of names.
struct DNSCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dns", abstract: "Ask the running ringway for names, and why they are what they are.", subcommands: [Query.self])

    struct Query: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the records of a name, and which object gives each.",
            usage: "ringway dns query <name> [<type>] [<options>]",
            discussion: """
                Asks over the admin socket for what the process would answer to a resolver, which needn't reach it. Exits with 1 if nobody \
                answers, or if there are no such records.
                """)

        @Argument(help: ArgumentHelp("Taken as it is, unless there is a namespace to search from.", valueName: "name"))
        var name: String

        @Argument(help: ArgumentHelp("A, AAAA, SRV, PTR, CNAME, TXT, SOA, NS or ANY.", valueName: "type"))
        var type = "A"

        @Option(name: [.short, .long], help: "Try the search list of a Pod in this namespace, as its resolver would.")
        var namespace: String?

        @Option(name: [.short, .long], help: "Output as text or as json.")
        var output: OutputFormat = .text

        @Option(help: ArgumentHelp("Unix socket of the running ringway. (default: where `ringway run` puts it)", valueName: "path"))
        var adminSocket: String?

        func run() async throws {
            let client = AdminClient(path: adminSocket ?? AdminSocketLocation.ofThisUser.path)
            let answer: Result<(explanation: NameExplanation, body: String), AdminClient.Refusal>
            do {
                answer = try await client.explain(name: name, type: type, namespace: namespace)
            } catch {
                Host.write("ringway: \(error)\n", to: .error)
                throw ExitCode(1)
            }
            switch answer {
            case .failure(let refusal):
                Host.write("ringway: \(refusal.message)\n", to: .error)
                throw ExitCode(1)
            case .success(let (explanation, body)):
                Host.write(output == .json ? body : NameReport(explanation: explanation).text, to: .output)
                if explanation.reason != nil { throw ExitCode(1) }
            }
        }
    }
}
