import Foundation
import Glibc
import Testing

/// The pages of Config/examples, each played from its first command to its last in a namespace of its own. Root plays them as somebody
/// without any right, as they promise:
///
///     bash of README.md     ── curl, dig ──► ringway at 127.96.0.0/12, 127.112.0.10, 127.0.0.64, node ports
///                                              └──► nginx and dnsmasq at 127.0.0.11-42 (Config/examples/backends)
///     bash of dns/README.md ── dig ────────► ringway at 127.0.0.1:1053 ──► dnsmasq at 127.0.0.41
extension EndToEndTests {
    @Suite struct TutorialTests {
        @Test(.enabled(if: Namespace.canBeMade, "needs network namespaces"), arguments: ["README.md", "dns/README.md"])
        func theTutorialPrintsWhatItSays(name: String) throws {
            let page = try Samples.text(name)
            let commands = ConsoleCommand.all(of: page)
            try #require(commands.count > 20)
            try Self.withSession { session in
                for command in commands {
                    var difference: String?
                    func play() throws -> Bool {
                        let (output, status) = try session.run(command.text, within: .seconds(60))
                        difference = command.difference(from: output)
                        if difference == nil, command.printed.isEmpty, status != 0 { difference = "ended with status \(status)" }
                        return difference == nil
                    }
                    // A change takes a moment to be served, and is shown then: whoever looks for it may have to look again.
                    let isLook = command.text.hasPrefix("ringway get ")
                    if try isLook ? wait(within: .seconds(10), play) : play() { continue }
                    Issue.record("Config/examples/\(name):\(command.line): $ \(command.text)\n\(difference ?? "")")
                    return
                }
            }
        }

        /// A shell in a folder that looks like the checkout, with `ringway` in its path; whatever was started there is ended.
        private static func withSession(_ body: (ShellSession) throws -> Void) throws {
            let directory = try TemporaryDirectory()
            let files = FileManager.default
            let (binaries, temporary) = (directory.path("bin"), directory.path("tmp"))
            // Everybody may read there: the user may be unable to reach the checkout.
            try #require(unsafe chmod(directory.root, 0o755) == 0)
            for folder in [binaries, temporary, directory.path("Config")] {
                try files.createDirectory(atPath: folder, withIntermediateDirectories: false)
            }
            try #require(unsafe chmod(temporary, 0o1777) == 0)
            try files.copyItem(atPath: RunningRingway.binary, toPath: "\(binaries)/ringway")
            try files.copyItem(atPath: Samples.folder.path, toPath: directory.path("Config/examples"))

            let namespace = try Namespace()
            let user = getuid() == 0 ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : []
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            let settings = [
                "env", "--chdir=\(directory.root)", "PATH=\(binaries):\(path)", "TMPDIR=\(temporary)", "XDG_RUNTIME_DIR=\(temporary)",
                "no_proxy=*",
            ]
            // Servers of a tutorial that broke off.
            defer {
                for folder in (try? files.contentsOfDirectory(atPath: temporary)) ?? [] {
                    let stop = [directory.path("Config/examples/backends"), "stop", "\(temporary)/\(folder)"]
                    if files.fileExists(atPath: "\(temporary)/\(folder)/pods") { _ = try? namespace.run(stop) }
                }
            }
            try body(ShellSession(prefix: namespace.enter + user + settings, in: directory))
        }

        @Test func commandsAndTheirOutputAreRead() {
            let page = "# Page\n```yaml\n$ no\n```\n\n```console\n$ one\na  …\n\n$ two\n```\n$ no\n"
            #expect(
                ConsoleCommand.all(of: page) == [
                    ConsoleCommand(text: "one", printed: ["a  …", ""], line: 7), ConsoleCommand(text: "two", printed: [], line: 10),
                ])
        }

        @Test(
            arguments: [
                (["NAME  AGE", "web  …s"], ["NAME    AGE", "web     12s"], nil),
                ([], [], nil),
                (["a…c", "b"], ["abc", "d"], "line 9, \"b\": printed \"d\""),
                (["a.c"], ["abc"], "line 8, \"a.c\": printed \"abc\""),
                (["a…c"], ["abcd"], "line 8, \"a…c\": printed \"abcd\""),
                (["a", "b"], ["a"], "line 9, \"b\", was not printed"),
                (["a"], ["a", "b"], "printed \"b\", which the page has not"),
            ] as [([String], [String], String?)])
        func whatIsPrintedIsCompared(said: [String], output: [String], difference: String?) {
            #expect(ConsoleCommand(text: "", printed: said, line: 7).difference(from: output) == difference)
        }
    }
}
