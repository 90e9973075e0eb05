internal import AdminServer
internal import ArgumentParser
internal import ControlPlane
internal import ObjectSources
internal import ServiceModel

/// `ringway diff`: what files would change in the running process, told by that process itself.
struct DiffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Show what files would change in the running process, which stays as it is.",
        discussion: """
            Sends the files to the running process over its admin socket and prints which objects would come, change or go, what that \
            means for listeners and endpoints, and what becomes of the connections that are open. Objects that the files don't name are \
            left as they are.

            Addresses and ports that a Service would be given are shown as <allocated>: which ones is decided when the time has come. \
            Errors and warnings stand on standard error, as `ringway check` prints them.

            Exits with 0 if nothing would change, with 1 if something would, with 2 if a file or an object has an error or nobody answers.
            """)

    @Argument(help: ArgumentHelp("Files, directories, or - for standard input.", valueName: "file|dir|-"), completion: .file())
    var sources: [String]

    @Flag(
        help: """
            Count what the process has from its sources and the files don't name as removed: what becomes of it when the files take the \
            place of all sources. What the command line of `ringway run` names stays.
            """)
    var prune = false

    @Option(help: "How it is told: text or json.") var output = OutputFormat.text

    @Option(help: ArgumentHelp("Unix socket of the running ringway. (default: where `ringway run` puts it)", valueName: "path"))
    var adminSocket: String?

    /// As diff(1) and `kubectl diff`.
    private enum ExitStatus {
        static let changes: Int32 = 1
        static let failure: Int32 = 2
    }

    func validate() throws {
        if let shorthand = sources.first(where: Shorthand.isMeant(by:)) {
            throw ValidationError("\(shorthand) is a shorthand: what `ringway run` was given on its command line can't change.")
        }
    }

    func run() async throws {
        let written = ManifestFiles(roots: sources)
        for diagnostic in written.diagnostics { Host.write("\(diagnostic)\n", to: .error) }
        // Half of the files would tell half of the truth.
        guard !written.diagnostics.contains(where: { $0.severity == .error }) else { throw ExitCode(ExitStatus.failure) }
        let request = PreviewRequest(files: written.files.map { .init(path: $0.path, bytes: $0.bytes) }, prunes: prune)
        let answer: Result<(ChangePreview, json: String), AdminClient.Refusal>
        do {
            answer = try await AdminClient(path: adminSocket ?? AdminSocketLocation.ofThisUser.path).preview(request)
        } catch {
            Host.write("ringway: \(error)\n", to: .error)
            throw ExitCode(ExitStatus.failure)
        }
        guard case .success((let preview, let json)) = answer else {
            if case .failure(let refusal) = answer {
                Host.write("Error from server (\(refusal.reason)): \(refusal.message)\n", to: .error)
            }
            throw ExitCode(ExitStatus.failure)
        }
        let report = PreviewReport(preview)
        for finding in preview.findings { Host.write("\(finding.text)\n", to: .error) }
        Host.write(output == .json ? json : report.text, to: .output)
        if preview.hasErrors { throw ExitCode(ExitStatus.failure) }
        if preview.hasChanges { throw ExitCode(ExitStatus.changes) }
    }
}
