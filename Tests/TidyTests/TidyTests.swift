import Foundation
import Testing

/// The repository keeps its own rules. Each rule is also shown a file that breaks it, so that none is a check that can't fail.
struct TidyTests {
    private typealias File = Repository.File

    @Test func theRepositoryIsSeen() {
        #expect(Repository.file("Package.swift") != nil)
        #expect(Repository.swiftFiles.count > 50)
        #expect(!Repository.files.contains { $0.path.contains(".build") })
        // The nested package is held to the rules too; what it links to is seen once.
        #expect(Repository.swiftFiles.contains { $0.path.hasPrefix("Benchmarks/Sources/") })
        #expect(!Repository.files.contains { $0.path.hasPrefix("Benchmarks/Measured/") })
    }

    // MARK: Code

    @Test func targetsImportOnlyWhatTheListAllows() {
        #expect(Rules.forbiddenImports(Repository.files) == [])
    }

    @Test func aForbiddenImportIsFound() {
        let bad = [
            "import Foundation", "internal import NIOCore", "@preconcurrency import Logging", "package import struct Foundation.Data",
            "@testable import ControlPlane",
        ]
        for line in bad {
            #expect(
                Rules.forbiddenImports([File(path: "Sources/Engine/Drivers/Bad.swift", text: "import Glibc\n\(line)\n")]).count == 1,
                "\(line)")
        }
        #expect(Rules.forbiddenImports([File(path: "Sources/Routing/Bad.swift", text: "import Engine\n")]).count == 1)
        #expect(Rules.forbiddenImports([File(path: "Sources/ControlPlane/Bad.swift", text: "package import Forwarding\n")]).count == 1)
        #expect(Rules.forbiddenImports([File(path: "Sources/NewTarget/Bad.swift", text: "")]).count == 1)
        #expect(
            Rules.forbiddenImports([File(path: "Sources/Engine/Good.swift", text: "// import Foundation\npackage import Addressing\n")])
                == [])
    }

    @Test func everyTargetHasAListOfImports() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Repository.root.appendingPathComponent("Sources").path)
        #expect(Set(folders) == Set(Rules.imports.keys).union(Rules.targetsWithoutSwift))
    }

    @Test func theDataPlaneAndThePureTargetsStayFreeOfLibraries() {
        for target in ["Addressing", "Engine", "Routing", "Forwarding", "ServiceModel", "ControlPlane"] {
            let allowed = Rules.imports[target, default: ["no list"]]
            #expect(allowed.isDisjoint(with: ["Foundation", "FoundationEssentials", "NIOCore", "NIOPosix", "Logging"]), "\(target)")
        }
        for target in ["Engine", "Routing", "Forwarding"] {
            #expect(Rules.imports[target, default: []].isDisjoint(with: ["ServiceModel", "ControlPlane"]), "\(target)")
        }
        for target in ["ServiceModel", "ControlPlane", "ObjectSources"] {
            #expect(Rules.imports[target, default: []].isDisjoint(with: ["Engine", "Forwarding"]), "\(target)")
        }
    }

    @Test func unsafeCodeStandsInItsPlaces() {
        #expect(Rules.unsafeElsewhere(Repository.files) == [])
    }

    @Test func unsafeCodeElsewhereIsFound() {
        for line in ["let count = unsafe read(descriptor)", "var pointer: UnsafeMutablePointer<Int>", "nonisolated(unsafe) var a = 1"] {
            #expect(Rules.unsafeElsewhere([File(path: "Sources/Forwarding/Bad.swift", text: line)]).count == 1, "\(line)")
        }
        #expect(Rules.unsafeElsewhere([File(path: "Sources/Forwarding/Good.swift", text: "// unsafe: no\nlet text = \"unsafe\"\n")]) == [])
        #expect(Rules.unsafeElsewhere([File(path: "Sources/Engine/Memory/Good.swift", text: "unsafe free(pointer)")]) == [])
    }

    @Test func trustCarriesItsReason() {
        #expect(Rules.unexplainedTrust(Repository.files) == [])
    }

    @Test func trustWithoutAReasonIsFound() {
        for line in ["final class Box: @unchecked Sendable {", "nonisolated(unsafe) static var a = 1"] {
            #expect(Rules.unexplainedTrust([File(path: "Sources/Engine/Bad.swift", text: "/// A box.\n\(line)\n")]).count == 1)
            #expect(Rules.unexplainedTrust([File(path: "Sources/Engine/Good.swift", text: "// Safety: one thread.\n\(line)\n")]) == [])
        }
    }

    @Test func shimsHoldNoLogic() {
        #expect(Rules.logicInShims(Repository.files) == [])
    }

    @Test func logicInAShimIsFound() {
        let bad = "int f(int a) { if (a) return 1; return 0; }\n"
        #expect(Rules.logicInShims([File(path: "Sources/CLinux/bad.c", text: bad)]).count == 1)
        let long = String(repeating: "int x;\n", count: Rules.linuxShimLinesMax + 1)
        #expect(Rules.logicInShims([File(path: "Sources/CLinux/include/long.h", text: long)]).count == 1)
        #expect(Rules.logicInShims([File(path: "Sources/CLinux/include/good.h", text: "#ifndef A\n#define A 1\n#endif\n// if\n")]) == [])
    }

    // MARK: Size and shape

    @Test func filesAndLinesAreShort() {
        #expect(Rules.longFiles(Repository.files) == [])
        #expect(Rules.longLines(Repository.files) == [])
        #expect(Rules.trailingSpace(Repository.files) == [])
    }

    @Test func longFilesAndLinesAreFound() {
        #expect(Rules.longFiles([File(path: "Sources/A/Bad.swift", text: String(repeating: "\n", count: 601))]).count == 1)
        #expect(Rules.longFiles([File(path: "Sources/A/Good.swift", text: String(repeating: "\n", count: 600))]) == [])
        #expect(Rules.longLines([File(path: "README.md", text: String(repeating: "x", count: 141))]).count == 1)
        #expect(Rules.longLines([File(path: "Scripts/test", text: String(repeating: "x", count: 140))]) == [])
        #expect(Rules.trailingSpace([File(path: "a.swift", text: "let a = 1 \n")]).count == 1)
        #expect(Rules.trailingSpace([File(path: "a.swift", text: "let a = 1")]).count == 1)
        #expect(Rules.trailingSpace([File(path: "a.swift", text: "let a = 1\n\n")]).count == 1)
        #expect(Rules.trailingSpace([File(path: "a.swift", text: "let a = 1\n")]) == [])
    }

    @Test(.timeLimit(.minutes(5))) func theFormatterHasNothingToSay() throws {
        // By name what is ours under Benchmarks: there are builds and links beside it.
        let benchmarks = ["Benchmarks", "Sources", "Tests", "Package.swift"].map { "Benchmarks/\($0)" }
        let outcome = try Formatter.lint(["-r", "Sources", "Tests"] + benchmarks)
        #expect(outcome.status == 0, "\(outcome.output.prefix(4000))")
    }

    @Test func theFormatterFindsWhatIsWrong() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "ringway-format-\(ProcessInfo.processInfo.processIdentifier)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("Bad.swift")
        try "struct A{var b : Int;}\n".write(to: file, atomically: false, encoding: .utf8)
        #expect(try Formatter.lint([file.path]).status != 0)
    }

    @Test func theManualHasEveryAnnotationAndNoOther() throws {
        let list = try #require(Repository.file("Sources/ServiceModel/Annotations/RingwayAnnotation.swift"))
        let readme = try #require(Repository.file("README.md"))
        #expect(Rules.annotationsThatDiffer(list: list, readme: readme) == [])
    }

    @Test func theManualHasEveryCloseReasonAndNoOther() throws {
        let list = try #require(Repository.file("Sources/Forwarding/TCP/CloseReason.swift"))
        let readme = try #require(Repository.file("README.md"))
        #expect(Rules.closeReasonsThatDiffer(list: list, readme: readme) == [])
    }

    @Test func theManualHasEveryMetricAndNoOther() throws {
        let readme = try #require(Repository.file("README.md"))
        #expect(Rules.metricsThatDiffer(Repository.files, readme: readme) == [])
    }

    @Test func metricsThatDifferAreFound() {
        let source = File(path: "Sources/AdminServer/Metrics/A.swift", text: "M(\"ringway_a\", 1)\nM(\"process_b\", 2)")
        func readme(_ rows: String) -> File { File(path: "README.md", text: "| metric | what |\n| --- | --- |\n\(rows)\n\n`ringway_x`") }
        #expect(Rules.metricsThatDiffer([source], readme: readme("| `ringway_a`, `process_b` | x |")) == [])
        #expect(Rules.metricsThatDiffer([source], readme: readme("| `ringway_a` | x |")).count == 1)
        #expect(Rules.metricsThatDiffer([source], readme: readme("| `ringway_a`, `process_b`, `ringway_c` | x |")).count == 1)
    }

    @Test func closeReasonsThatDifferAreFound() {
        let list = File(path: "list", text: "case .a: \"a\"\ncase .b: \"b-c\"")
        func table(_ rows: String) -> File { File(path: "README.md", text: "| reason | what |\n| --- | --- |\n\(rows)\n\n| `x` | y |") }
        #expect(Rules.closeReasonsThatDiffer(list: list, readme: table("| `a`, `b-c` | both |")) == [])
        #expect(Rules.closeReasonsThatDiffer(list: list, readme: table("| `a` | one |")).count == 1)
        #expect(Rules.closeReasonsThatDiffer(list: list, readme: table("| `a` | one |\n| `b-c`, `d` | more |")).count == 1)
    }

    @Test func annotationsThatDifferAreFound() {
        let list = File(path: "list", text: "let a = \"ringway.dev/a\"\nlet p = \"ringway.dev/\"\nlet b = [\"ringway.dev/b\"]")
        #expect(Rules.annotationsThatDiffer(list: list, readme: File(path: "README.md", text: "| `ringway.dev/a` |")).count == 1)
        let more = "| `ringway.dev/a` | x |\n| `ringway.dev/b` |\n| `ringway.dev/c` |"
        #expect(Rules.annotationsThatDiffer(list: list, readme: File(path: "README.md", text: more)).count == 1)
    }

    // MARK: Words and folders

    @Test func nothingIsLeftOver() {
        #expect(Rules.leftovers(Repository.files) == [])
        #expect(Rules.machinePaths(Repository.files) == [])
    }

    @Test func leftoversAreFound() {
        for line in ["// FIXME: later", "// TODO: later", "// TODO(somebody): later", "// TODO (#1) later"] {
            #expect(Rules.leftovers([File(path: "Sources/A/Bad.swift", text: line)]).count == 1, "\(line)")
        }
        #expect(Rules.leftovers([File(path: "Sources/A/Good.swift", text: "// TODO(#12): UDP.")]) == [])
        for line in Rules.machineFolders.map({ "cd /\($0)/me/tree" }) {
            #expect(Rules.machinePaths([File(path: "Scripts/bad", text: line)]).count == 1, "\(line)")
        }
    }

    @Test func foldersAreWhereTheyBelongAndSayWhatTheyHold() {
        #expect(Rules.strangersAtTheTop(Repository.files) == [])
        #expect(Rules.emptyFolderNames(Repository.files) == [])
    }

    @Test func strangeFoldersAreFound() {
        #expect(Rules.strangersAtTheTop([File(path: "notes.txt", text: ""), File(path: "tools/a", text: "")]).count == 2)
        for name in ["Utils", "Helpers", "Common", "Manager"] {
            #expect(Rules.emptyFolderNames([File(path: "Sources/Engine/\(name)/A.swift", text: "")]).count == 1, "\(name)")
        }
    }

    @Test func plantedBugsFitTheSources() {
        #expect(Repository.files.count { $0.path.hasPrefix("Tests/Mutants/") } >= Rules.mutantsMin)
        #expect(Rules.patchesThatDoNotApply(Repository.files) == [])
    }

    @Test func aBugThatFitsNoMoreIsFound() {
        let source = File(path: "Sources/A/a.swift", text: "let a = 1\nlet b = 2\nlet c = 3\n")
        func findings(_ hunk: String) -> [String] {
            let text = "A bug.\n\n--- a/Sources/A/a.swift\n+++ b/Sources/A/a.swift\n@@ -1,2 +1,2 @@\n\(hunk)"
            return Rules.patchesThatDoNotApply([source, File(path: "Tests/Mutants/bug.patch", text: text)])
        }
        #expect(findings(" let a = 1\n-let b = 2\n+let b = 3\n") == [])
        #expect(findings(" let a = 1\n-let b = 4\n+let b = 3\n").count == 1)
        #expect(findings("+let b = 3\n").count == 1)
    }

    // MARK: Documents and samples

    @Test(arguments: [
        "README.md", "ARCHITECTURE.md", "Benchmarks/README.md", "Config/examples/README.md", "Config/examples/dns/README.md",
        "Config/examples/backends", ".ci/run", "Scripts/test", "Scripts/quickstart", "Scripts/gates",
        "Scripts/bench", "Scripts/fuzz", "Scripts/simulate", "Scripts/mutants", "Scripts/sanitize",
    ])
    func whatADocumentNamesIsThere(path: String) throws {
        let document = try #require(Repository.file(path))
        let paths = Set(Repository.files.map(\.path))
        #expect(Rules.brokenReferences(document, paths: paths, isExecutable: Repository.isExecutable) == [])
    }

    @Test func brokenReferencesAreFound() {
        let document = File(path: "README.md", text: "Run `Scripts/test`, then Scripts/gone. See Config/quickstart.yaml.\n")
        let findings = Rules.brokenReferences(document, paths: ["Scripts/test", "Config/quickstart.yaml"]) { _ in false }
        #expect(findings == ["README.md: Scripts/gone does not exist", "README.md: Scripts/test can't be executed"])
    }

    @Test func theREADMENamesItsTwoCommandsAndEverySample() throws {
        let readme = try #require(Repository.file("README.md"))
        #expect(readme.text.contains("Scripts/quickstart") && readme.text.contains("Scripts/test"))
        let tutorials = try Self.tutorials.map { try #require(Repository.file($0)) }
        #expect(Rules.unnamedConfig(Repository.files, readme: readme, tutorials: tutorials) == [])
        for path in ["Config/new.yaml", "Config/dns.yaml", "Config/examples/unbound.conf"] {
            #expect(Rules.unnamedConfig([File(path: path, text: "")], readme: readme, tutorials: tutorials).count == 1)
        }
    }

    private static let tutorials = ["Config/examples/README.md", "Config/examples/dns/README.md"]

    @Test(arguments: tutorials) func theTutorialShowsItsFilesAsTheyAre(path: String) throws {
        let tutorial = try #require(Repository.file(path))
        #expect(Rules.unheldBlocks(tutorial, samples: Repository.files.filter { $0.path.hasPrefix("Config/examples/") }) == [])
        let page = File(path: "p.md", text: "```yaml\na: 1\n```\n```yaml\na: 2\n```\n```conf\na 3\n```\n")
        let samples = [File(path: "a.yaml", text: "# Why\na: 1\n")]
        #expect(Rules.unheldBlocks(page, samples: samples) == ["p.md: no file is\na: 2", "p.md: no file is\na 3"])
    }

    @Test func optionsInTheREADMEExist() throws {
        let readme = try #require(Repository.file("README.md"))
        let help = try ["run", "check", "diff", "get", "stats", ""].map { command in
            try Command.run([Command.ringway, command, "--help"].filter { !$0.isEmpty }).output
        }.joined(separator: "\n")
        #expect(help.contains("--admin-socket"))
        let bench = try #require(Repository.file("Benchmarks/harness/__main__.py")).text
        #expect(Rules.unknownOptions(readme, known: help + " --generate-completion-script " + bench) == [])
        #expect(Rules.unknownOptions(File(path: "README.md", text: "`--nonsense`"), known: help).count == 1)
    }

    @Test func everyOptionIsInTheREADME() throws {
        let readme = try #require(Repository.file("README.md"))
        for command in ["run", "diff", "get", "stats", "network"] {
            let help = try Command.run([Command.ringway, command, "--help"]).output
            let options = Set(help.split { !($0.isLetter || $0 == "-") }.filter { $0.hasPrefix("--") && $0.count > 3 })
            #expect(!options.isEmpty)
            for option in options.subtracting(["--help"]) { #expect(readme.text.contains(option), "\(option) of \(command)") }
        }
    }

    @Test(arguments: Repository.files.map(\.path).filter { $0.hasPrefix("Config/") && $0.hasSuffix(".yaml") })
    func everySampleLoads(path: String) throws {
        let outcome = try Command.run([Command.ringway, "check", Repository.root.appendingPathComponent(path).path])
        #expect(outcome.status == 0, "\(outcome.output)")
    }

    /// Together they have the Pods and the addresses that single ones wait for, and none stands in another's way.
    @Test(arguments: ["Config/examples", "Config/quickstart.yaml"]) func theSamplesGoTogether(path: String) throws {
        let pool = ["--service-cidr", "127.96.0.0/12", "--load-balancer-pool", "127.112.0.10-127.112.0.19"]
        let outcome = try Command.run([Command.ringway, "check"] + pool + [Repository.root.appendingPathComponent(path).path])
        #expect(outcome.status == 0 && outcome.output.hasPrefix("ok: "), "\(outcome.output)")
        #expect(!outcome.output.contains("warning"), "\(outcome.output)")
    }

    /// The YAML of README, each fenced block a file of its own.
    @Test func everyYAMLExampleOfTheREADMELoads() throws {
        let readme = try #require(Repository.file("README.md"))
        let blocks = readme.text.components(separatedBy: "```yaml\n").dropFirst().map { $0.components(separatedBy: "```")[0] }
        #expect(blocks.count >= 2)
        for block in blocks {
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("ringway-readme-\(UUID().uuidString).yaml")
            defer { try? FileManager.default.removeItem(at: file) }
            try block.write(to: file, atomically: false, encoding: .utf8)
            let outcome = try Command.run([Command.ringway, "check", file.path])
            #expect(outcome.status == 0, "\(outcome.output)\n\(block)")
        }
    }

    @Test func quickstartAndItsServiceNameTheSamePorts() throws {
        let script = try #require(Repository.file("Scripts/quickstart"))
        let service = try #require(Repository.file("Config/quickstart.yaml"))
        #expect(script.text.contains("port=9300\nbackend_ports=(9301 9302 9303)\n"))
        #expect(service.text.contains("- port: 9300") && service.text.contains("127.0.0.1:9301, 127.0.0.1:9302, 127.0.0.1:9303"))
    }

    @Test func theScriptsAreValidBash() throws {
        let scripts = Repository.files.map(\.path).filter {
            $0.hasPrefix("Scripts/") || [".ci/run", "Config/examples/backends"].contains($0)
        }
        #expect(scripts.count > 3)
        for script in scripts {
            let outcome = try Command.run(["bash", "-n", Repository.root.appendingPathComponent(script).path])
            #expect(outcome.status == 0 && outcome.output.isEmpty, "\(outcome.output)")
            #expect(Repository.isExecutable(script), "\(script)")
        }
    }
}

/// `swift format lint --strict`, with the repository's own settings.
private enum Formatter {
    static func lint(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let configuration = Repository.root.appendingPathComponent(".swift-format").path
        return try Command.run(["swift", "format", "lint", "--strict", "--configuration", configuration] + arguments)
    }
}

/// A program run to its end, both of its outputs as one text.
private enum Command {
    static let ringway: String = {
        if let path = ProcessInfo.processInfo.environment["RINGWAY_BINARY"] { return path }
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("ringway").path
    }()

    static func run(_ command: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.currentDirectoryURL = Repository.root
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}
