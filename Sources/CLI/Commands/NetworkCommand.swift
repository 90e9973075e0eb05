internal import Addressing
internal import ArgumentParser
internal import HostNetwork
internal import ServiceModel

/// `ringway network`: what of this host's network is Ringway's.
struct NetworkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "network",
        abstract: "Show or remove what Ringway has made of this host's network.",
        discussion: "A local route for each range of virtual addresses, and a table of nftables that keeps other servers off them.",
        subcommands: [Show.self, Cleanup.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the ranges that are this host's, and whether they are guarded.")

        @Option(name: [.short, .long], help: "Output as text or as json.")
        var output: OutputFormat = .text

        func run() throws {
            do {
                let state = try HostNetwork.state()
                Host.write(output == .json ? Self.json(state) : Self.text(state), to: .output)
            } catch {
                Host.write("ringway: \(error)\n", to: .error)
                throw ExitCode(1)
            }
        }

        static func text(_ state: HostNetworkState) -> String {
            guard state != HostNetworkState() else { return "nothing of this host's network is Ringway's\n" }
            let ranges = state.ranges.map { "route   local \($0) dev lo\n" }.joined()
            return ranges + (state.hasGuard ? "guard   nftables table inet \(VIPGuard.table)\n" : "guard   none\n")
        }

        static func json(_ state: HostNetworkState) -> String {
            let ranges = JSONValue.array(state.ranges.map { .string($0.description) })
            return JSONValue.object([("ranges", ranges), ("guard", .boolean(state.hasGuard))]).text + "\n"
        }
    }

    struct Cleanup: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove all of it, as after a crash.",
            discussion: "Virtual addresses of a Ringway that runs are not reachable any more, until it is started again.")

        func run() throws {
            let failures = HostNetwork().release()
            for failure in failures { Host.write("ringway: \(failure)\n", to: .error) }
            guard failures.isEmpty else { throw ExitCode(1) }
        }
    }
}
