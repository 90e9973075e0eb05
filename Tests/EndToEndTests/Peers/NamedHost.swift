import Foundation
import Testing

/// A host that has its own resolv.conf: a namespace, and what programs of it find by name. The C library asks DNS and nothing else.
final class NamedHost: Sendable {
    let namespace: Namespace
    private let directory: TemporaryDirectory

    /// - Parameter resolver: resolv.conf.
    init(resolver: String) throws {
        namespace = try Namespace()
        // Without an address beside loopback the C library asks for none.
        try namespace.set("ip address add 192.0.2.10/32 dev lo")
        directory = try TemporaryDirectory()
        try directory.write(resolver, to: "resolv.conf")
        try directory.write("hosts: dns\n", to: "nsswitch.conf")
    }

    /// The first column of what each command prints, a line for a line.
    func firstWords(of commands: [String]) throws -> [[String]] {
        var script = ["resolv.conf", "nsswitch.conf"].map { "mount --bind \(directory.path($0)) /etc/\($0) || exit 1" }
        for command in commands { script += [command, "echo ."] }
        let outcome = try namespace.run(["unshare", "--mount", "sh", "-c", script.joined(separator: "\n")])
        guard outcome.isSuccess else { throw ChildProcess.Failure(description: "\(outcome.exit): \(outcome.error)") }
        var words: [[String]] = []
        var current: [String] = []
        for line in outcome.output.split(separator: "\n") {
            if line == "." {
                words.append(current)
                current = []
            } else {
                current.append(line.split(separator: " ").first.map(String.init) ?? "")
            }
        }
        try #require(words.count == commands.count)
        return words
    }
}
