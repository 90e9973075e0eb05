internal import ArgumentParser
internal import ControlPlane
internal import ObjectSources
internal import ServiceModel

/// `ringway check`: read, say what is wrong, exit with 0 or 1.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check files without serving them.",
        discussion: """
            Prints every error and warning on standard error as file:line:column: message. Exits with 0 if there is no error, else with 1. \
            Warnings don't count.
            """)

    @Argument(help: ArgumentHelp("Files, directories, or - for standard input.", valueName: "file|dir|-"), completion: .file())
    var sources: [String]

    func validate() throws {
        if let shorthand = sources.first(where: Shorthand.isMeant(by:)) {
            throw ValidationError("\(shorthand) is a shorthand: see what it stands for with `ringway run --print \(shorthand)`.")
        }
    }

    func run() throws {
        let state = ManifestSource(roots: sources, isWatching: false).load()
        var compiler = SnapshotCompiler()
        let compilation = compiler.compile(state.objects)
        let report = CheckReport(
            objects: state.objects, diagnostics: state.diagnostics + compilation.notices, totals: compilation.totals)
        for diagnostic in report.diagnostics { Host.write("\(diagnostic)\n", to: .error) }
        guard report.errors == 0 else { throw ExitCode(1) }
        Host.write(report.summary + "\n", to: .output)
    }
}

/// What `ringway check` says.
struct CheckReport {
    var objects: [KubernetesObject]
    var diagnostics: [Diagnostic]
    var totals: SnapshotTotals

    var errors: Int { diagnostics.count { $0.severity == .error } }

    /// `ok: 2 services, 3 endpoint slices, 4 listeners, 6 endpoints`.
    var summary: String {
        func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
        var services = 0
        var slices = 0
        var endpoints = 0
        var pods = 0
        for object in objects {
            switch object.body {
            case .service: services += 1
            case .endpointSlice: slices += 1
            case .endpoints: endpoints += 1
            case .pod: pods += 1
            }
        }
        var parts = [count(services, "service")]
        if slices > 0 { parts.append(count(slices, "endpoint slice")) }
        if endpoints > 0 { parts.append("\(endpoints) Endpoints") }
        if pods > 0 { parts.append(count(pods, "pod")) }
        parts += [count(totals.listeners, "listener"), count(totals.endpoints, "endpoint")]
        let warnings = diagnostics.count - errors
        if warnings > 0 { parts.append(count(warnings, "warning")) }
        return "ok: " + parts.joined(separator: ", ")
    }
}
