internal import ArgumentParser
internal import ControlPlane
internal import ObjectSources
internal import ServiceModel
internal import StateStore

/// `ringway check`: read, say what is wrong, exit with 0 or 1.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check files without serving them.",
        discussion: """
            Prints every error and warning on standard error as file:line:column: message. Exits with 0 if there is no error, else with 1. \
            Warnings don't count.

            With --output json, standard output gets what an API server would answer to each object that is refused: a Status, one a \
            line, and in its field "source" where the object and each cause stand. Warnings stay on standard error.
            """)

    @Argument(help: ArgumentHelp("Files, directories, or - for standard input.", valueName: "file|dir|-"), completion: .file())
    var sources: [String]

    @Option(help: "How errors are told: text or json.") var output = OutputFormat.text

    @Flag(help: "Also refuse what only a cluster refuses (loopback addresses), and warn of what only a cluster warns of.")
    var strictKubernetes = false

    @OptionGroup(title: "What Services are given") var allocation: AllocationOptions

    @Option(
        help: ArgumentHelp(
            "Judge as `run` would with this directory, which is only read: what Services hold already counts, and what those have that "
                + "are not in the files. (default: none)",
            valueName: "directory"))
    var stateDirectory: StateDirectoryArgument?

    @OptionGroup(title: "This node") var node: NodeOptions

    func validate() throws {
        if let shorthand = sources.first(where: Shorthand.isMeant(by:)) {
            throw ValidationError("\(shorthand) is a shorthand: see what it stands for with `ringway run --print \(shorthand)`.")
        }
    }

    func run() throws {
        let strictness: Strictness = strictKubernetes ? .kubernetes : .ringway
        let written = ManifestSource(roots: sources, strictness: strictness, judgesServices: false, isWatching: false).loadChange()
        var admission = ServiceAdmission(
            allocations: try allocation.allocations(seed: 0), loadBalancerClass: allocation.loadBalancerClass, strictness: strictness)
        if let directory = stateDirectory?.path {
            do {
                admission.resume(from: try StateStore.records(in: directory), keepingIn: nil)
            } catch {
                Host.write("ringway: \(error)\n", to: .error)
                throw ExitCode(1)
            }
        }
        let state = admission.admit(written, at: Host.wallClockMicroseconds / 1_000_000)
        var compiler = SnapshotCompiler(node: node.node, proxyName: node.serviceProxyName)
        let compilation = compiler.compile(state.change)
        let report = CheckReport(
            objects: state.change.changed, diagnostics: state.diagnostics + compilation.notices, totals: compilation.totals)
        for diagnostic in report.diagnostics where output == .text || diagnostic.severity == .warning {
            Host.write("\(diagnostic)\n", to: .error)
        }
        if output == .json {
            for status in report.statuses { Host.write("\(status.text)\n", to: .output) }
        }
        guard report.errors == 0 else { throw ExitCode(1) }
        if output == .text { Host.write(report.summary + "\n", to: .output) }
    }
}

/// What `ringway check` says.
struct CheckReport {
    var objects: [KubernetesObject]
    var diagnostics: [Diagnostic]
    var totals: SnapshotTotals

    var errors: Int { diagnostics.count { $0.severity == .error } }

    /// An API server's answers: one for each object that is refused, or one that says that all is well.
    var statuses: [JSONValue] {
        let failures = Status.all(diagnostics).map(\.json)
        return failures.isEmpty ? [Status.success(summary)] : failures
    }

    /// `ok: 2 services, 3 endpoint slices, 4 listeners, 6 endpoints`.
    var summary: String {
        func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
        var services = 0
        var slices = 0
        var endpoints = 0
        var pods = 0
        var nodes = 0
        var namespaces = 0
        for object in objects {
            switch object.body {
            case .service: services += 1
            case .endpointSlice: slices += 1
            case .endpoints: endpoints += 1
            case .pod: pods += 1
            case .node: nodes += 1
            case .namespace: namespaces += 1
            }
        }
        var parts = [count(services, "service")]
        if slices > 0 { parts.append(count(slices, "endpoint slice")) }
        if endpoints > 0 { parts.append("\(endpoints) Endpoints") }
        if pods > 0 { parts.append(count(pods, "pod")) }
        if nodes > 0 { parts.append(count(nodes, "node")) }
        if namespaces > 0 { parts.append(count(namespaces, "namespace")) }
        parts += [count(totals.listeners, "listener"), count(totals.endpoints, "endpoint")]
        let warnings = diagnostics.count - errors
        if warnings > 0 { parts.append(count(warnings, "warning")) }
        return "ok: " + parts.joined(separator: ", ")
    }
}
