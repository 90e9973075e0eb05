import Foundation
import Glibc
import Testing

/// `ringway check` and the command line: each bad input gets a clear error, its place, and exit code 1.
extension EndToEndTests {
    @Suite struct CheckTests {
        struct BadInput: CustomTestStringConvertible, Sendable {
            let testDescription: String
            let text: String
            /// Said on standard error, after the file's name.
            let expected: String

            init(_ name: String, _ text: String, _ expected: String) {
                (testDescription, self.text, self.expected) = (name, text, expected)
            }
        }

        private static let head = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n"

        private static func annotated(_ line: String) -> String {
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    # one of ours\n    \(line)\n"
                + "spec:\n  ports:\n  - port: 80\n"
        }

        static let badInputs = [
            BadInput("an empty file", "", ":1:1: no objects: the file is empty"),
            BadInput("a binary file", "\u{7f}ELF\u{2}\u{1}\u{1}\u{0}\u{0}", ": "),
            BadInput("tabs", "kind: Service\nspec:\n\tports: []\n", ":3:1: invalid YAML: a tab is used for indentation"),
            BadInput("a duplicate key", head + "  ports: [{port: 80, port: 81}]\n", ":5:22: "),
            BadInput(
                "an unknown field", head + "  ports:\n  - port: 80\n    nodeport: 30080\n", "unknown field \"spec.ports[0].nodeport\""),
            BadInput("a text for a number", head + "  ports:\n  - port: \"80\"\n", ":6:11: "),
            BadInput("a number for a list", head + "  ports: 80\n", ":5:10: "),
            BadInput("port 0", head + "  ports:\n  - port: 0\n", "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535"),
            BadInput(
                "port 65536", head + "  ports:\n  - port: 65536\n",
                "spec.ports[0].port: Invalid value: 65536: must be between 1 and 65535"),
            BadInput(
                "a second port without a name", head + "  ports:\n  - {name: a, port: 80}\n  - port: 81\n",
                ":7:5: Service \"web\" is invalid: spec.ports[1].name: Required value"),
            BadInput(
                "an annotation nobody knows", annotated("ringway.dev/wieghts: 10.0.0.1=1"),
                ":7:5: Service \"web\" is invalid: metadata.annotations[ringway.dev/wieghts]: Forbidden: unknown annotation "
                    + "(did you mean \"ringway.dev/weights\"?)"),
            BadInput(
                "an algorithm nobody knows", annotated("ringway.dev/algorithm: fastest"),
                ":7:28: Service \"web\" is invalid: metadata.annotations[ringway.dev/algorithm]: Unsupported value: \"fastest\": "
                    + "supported values: \"consistent-hash\", \"least-connections\", \"random\", \"round-robin\""),
            BadInput(
                "a limit of nothing", annotated("ringway.dev/max-connections: '0'"),
                ":7:34: Service \"web\" is invalid: metadata.annotations[ringway.dev/max-connections]: Invalid value: \"0\": "
                    + "must be a whole number between 1 and 2147483647, inclusive"),
            BadInput("a limit without quotes", annotated("ringway.dev/max-connections: 10"), ":7:34: "),
            BadInput(
                "an alias bomb",
                "a: &a [x, x, x, x, x, x, x, x, x]\n"
                    + "bcdefghij".reduce(into: ("", "a")) {
                        $0 = ($0.0 + "\($1): &\($1) [" + Array(repeating: "*\($0.1)", count: 9).joined(separator: ", ") + "]\n", "\($1)")
                    }.0,
                "alias"),
            BadInput("lists nested 100,000 deep", String(repeating: "[", count: 100_000), "nested deeper than"),
            BadInput("objects nested 100,000 deep", String(repeating: "{\"a\":", count: 100_000), "nested deeper than"),
            BadInput("a file cut short", head + "  ports: [{port: 80\n", "is the file truncated?"),
        ]

        @Test(arguments: badInputs)
        func namesTheFaultAndItsPlace(_ input: BadInput) throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write(input.text, to: "f.yaml")
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", file])
            #expect(outcome.exit == .code(1))
            #expect(outcome.output.isEmpty)
            let lines = outcome.error.split(separator: "\n")
            #expect(lines.contains { $0.hasPrefix("\(file):") && $0.contains(input.expected) }, "\(outcome.error.prefix(2000))")
            #expect(lines.count < 10)
        }

        @Test func aHundredMegabyteFileIsRefusedWithoutReadingIt() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write("a: b\n", to: "f.yaml")
            try #require(unsafe truncate(file, 100 << 20) == 0)
            // Less memory than the file has bytes is enough.
            let outcome = try ChildProcess.run(["prlimit", "--rss=67108864", RunningRingway.binary, "check", file])
            #expect(outcome.exit == .code(1) && outcome.error.contains("limit"), "\(outcome.error.prefix(500))")
        }

        @Test(.enabled(if: getuid() != 0, "root can read everything")) func aDirectoryWithoutPermissionIsSaid() throws {
            let directory = try TemporaryDirectory()
            let folder = directory.path("closed")
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o000])
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", folder])
            #expect(outcome.exit == .code(1) && outcome.error.hasPrefix("\(folder): can't be read: Permission denied"), "\(outcome.error)")
        }

        /// The same for root, who needs another user for it.
        @Test(.enabled(if: getuid() == 0, "needs root to become somebody else")) func aDirectoryWithoutPermissionIsSaidToAnotherUser()
            throws
        {
            let directory = try TemporaryDirectory()
            try #require(unsafe chmod(directory.root, 0o755) == 0)
            let folder = directory.path("closed")
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
            // The user may be unable to reach the place where the program was built.
            try FileManager.default.copyItem(atPath: RunningRingway.binary, toPath: directory.path("ringway"))
            let outcome = try ChildProcess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", directory.path("ringway"), "check", folder])
            #expect(
                outcome.exit == .code(1)
                    && outcome.error.lowercased().hasPrefix("\(folder): can't be read: permission denied".lowercased()), "\(outcome.error)")
        }

        @Test func aMissingFileIsSaid() throws {
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", "/nowhere/web.yaml"])
            #expect(outcome.exit == .code(1) && outcome.error.contains("/nowhere/web.yaml: can't be read"))
        }

        @Test func everyErrorOfAllFilesIsSaid() throws {
            let directory = try TemporaryDirectory()
            let good = try directory.write(serviceYAML(port: 80, endpoints: ["127.0.0.1:81"]), to: "good.yaml")
            let files = try ["one", "two"].map { name in
                let head = Self.head.replacingOccurrences(of: "web", with: name)
                return try directory.write(head + "  ports: [{port: 0}, {port: 65536}]\n", to: "\(name).yaml")
            }
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", files[0], good, files[1]])
            #expect(outcome.exit == .code(1))
            for file in files {
                let lines = outcome.error.split(separator: "\n").filter { $0.hasPrefix(file) }
                for field in ["spec.ports[0].port", "spec.ports[1].port", "spec.ports[0].name", "spec.ports[1].name"] {
                    #expect(lines.contains { $0.contains(field) }, "\(field) of \(file)")
                }
            }
            #expect(!outcome.error.contains("good.yaml"))
        }

        @Test func aGoodFileIsSummedUp() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write(serviceYAML(port: 80, endpoints: ["127.0.0.1:81", "127.0.0.1:82"]), to: "good.yaml")
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", file])
            #expect(outcome.isSuccess && outcome.error.isEmpty)
            // The address of the file, and the one that the Service was given.
            #expect(outcome.output == "ok: 1 service, 2 listeners, 2 endpoints\n")
            let piped = try ChildProcess.run([RunningRingway.binary, "check", "-"], input: file)
            #expect(piped.isSuccess && piped.output == outcome.output)
        }

        @Test func warningsAreSaidAndCountNotAsErrors() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write(
                """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{port: 81}]
                endpoints: [{addresses: [10.0.0.1, 10.0.0.2]}]
                """, to: "slice.yaml")
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", file])
            #expect(outcome.isSuccess && outcome.error.contains("slice.yaml:6:") && outcome.error.contains("warning: "), "\(outcome.error)")
        }

        @Test func oneStatusIsPrintedForEachRefusedObject() throws {
            let directory = try TemporaryDirectory()
            let good = try directory.write(serviceYAML(port: 80, endpoints: ["127.0.0.1:81"]), to: "good.yaml")
            let bad = try directory.write(
                Self.head + "  ports:\n  - port: 70000\n  - {port: 81, targetPort: '81'}\n---\n"
                    + Self.head.replacingOccurrences(of: "web", with: "api") + "  foo: 1\n---\n\t- x\n",
                to: "bad.yaml")
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", "--output", "json", good, bad])
            #expect(outcome.exit == .code(1))
            let lines = outcome.output.split(separator: "\n").map(String.init)
            let statuses = try lines.compactMap { line in
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            }
            // Of the Service that both files name, the second is one too many.
            #expect(statuses.compactMap { $0["code"] as? Int } == [422, 400, 400, 409], "\(outcome.output)")
            #expect(statuses.allSatisfy { $0["kind"] as? String == "Status" && $0["apiVersion"] as? String == "v1" })
            let causes = (statuses.first?["details"] as? [String: Any])?["causes"] as? [[String: Any]]
            #expect(causes?.first?["field"] as? String == "spec.ports[0].name")
            #expect(causes?.count == 5)
            let source = statuses.first?["source"] as? [String: Any]
            #expect(source?["file"] as? String == bad && source?["line"] as? Int == 1)
            #expect((source?["causes"] as? [[String: Any]])?.map { $0["line"] as? Int } == [6, 6, 6, 7, 7], "\(outcome.output)")
            #expect(
                statuses.dropFirst().first?["message"] as? String
                    == "Service in version \"v1\" cannot be handled as a Service: strict decoding error: unknown field \"spec.foo\"")
        }

        @Test func successIsAStatusToo() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write(serviceYAML(port: 80, endpoints: ["127.0.0.1:81"]), to: "good.yaml")
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", "--output", "json", file])
            #expect(outcome.isSuccess && outcome.error.isEmpty)
            #expect(
                outcome.output == "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\","
                    + "\"message\":\"ok: 1 service, 2 listeners, 1 endpoint\",\"code\":200}\n")
        }

        @Test func loopbackIsRefusedOnlyWhereAClusterIsAskedFor() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write(
                Self.head + "  externalIPs: [127.0.0.1]\n  ports: [{port: 80}]\n---\napiVersion: discovery.k8s.io/v1\n"
                    + "kind: EndpointSlice\nmetadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\n"
                    + "ports: [{port: 81}]\nendpoints: [{addresses: [127.0.0.1]}]\n", to: "web.yaml")
            #expect(try ChildProcess.run([RunningRingway.binary, "check", file]).isSuccess)
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", "--strict-kubernetes", file])
            #expect(outcome.exit == .code(1))
            for place in [":5:17: Service \"web\" is invalid: spec.externalIPs[0]", ":13:26: EndpointSlice.discovery.k8s.io \"web-1\" is"] {
                #expect(outcome.error.contains(place), "\(outcome.error)")
            }
        }

        @Test func printShowsYAMLThatStandsForTheShorthand() throws {
            let printed = try ChildProcess.run([
                RunningRingway.binary, "run", "--print", "9300=9301,127.0.0.2:9302", "[::1]:9400=[::1]:9401",
            ])
            #expect(printed.isSuccess && printed.error.isEmpty)
            #expect(printed.output.contains("kind: Service"))
            let directory = try TemporaryDirectory()
            let file = try directory.write(printed.output, to: "printed.yaml")
            let outcome = try ChildProcess.run([RunningRingway.binary, "check", file])
            #expect(outcome.isSuccess, "\(outcome.error)")
            #expect(outcome.output == "ok: 2 services, 4 listeners, 3 endpoints\n")
        }

        @Test(arguments: Engines.available)
        func whatPrintShowsIsServedLikeTheShorthand(engine: String) throws {
            let backends = try ["one", "two"].map(ScriptedBackend.named)
            let port = try FreePort.take()
            let printed = try ChildProcess.run([RunningRingway.binary, "run", "--print", "\(port)=\(backends[0].port),\(backends[1].port)"])
            let directory = try TemporaryDirectory()
            let file = try directory.write(printed.output, to: "printed.yaml")
            try withRingway(engine, [file]) { _ in
                let answers = Set(try (0..<60).map { _ in try TestSocket(to: "127.0.0.1", port).receiveAll() })
                #expect(answers == ["one", "two"])
            }
        }

        @Test(arguments: [
            ["run"], ["run", "9300="], ["run", "9300=0"], ["run", "0=9301"], ["run", "65536=9301"], ["run", "9300=9301,"],
            ["run", "--engine", "kqueue", "9300=9301"], ["run", "--workers", "0", "9300=9301"], ["run", "--pin", "maybe", "9300=9301"],
            ["run", "--grace", "soon", "9300=9301"], ["check"], ["nonsense"],
        ])
        func aWrongCommandLineIsExplained(_ arguments: [String]) throws {
            let outcome = try ChildProcess.run([RunningRingway.binary] + arguments)
            #expect(outcome.exit == .code(64))
            #expect(outcome.error.contains("Error: ") && outcome.error.contains("Usage: ringway"))
        }

        @Test func versionNamesVersionEngineAndKernel() throws {
            let outcome = try ChildProcess.run([RunningRingway.binary, "--version"])
            let lines = outcome.output.split(separator: "\n")
            #expect(outcome.isSuccess && lines.count == 3)
            #expect(lines[0].hasPrefix("ringway ") && lines[1].hasPrefix("engine") && lines[2].hasPrefix("kernel  Linux "))
        }

        @Test func runWithOnlyBadFilesEndsWithTheirErrors() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write(Self.head + "  ports: [{port: 0}]\n", to: "f.yaml")
            let outcome = try ChildProcess.run([RunningRingway.binary, "run", "--admin-socket", "none", file])
            #expect(outcome.exit == .code(1) && outcome.error.contains("\(file):5:18: "), "\(outcome.error)")
        }

        @Test(arguments: ["bash", "zsh", "fish"])
        func completionScriptsAreMade(shell: String) throws {
            let outcome = try ChildProcess.run([RunningRingway.binary, "--generate-completion-script", shell])
            #expect(outcome.isSuccess && outcome.output.contains("ringway"))
        }
    }
}
