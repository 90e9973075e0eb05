internal import AdminServer
internal import ArgumentParser
internal import ControlPlane

/// `ringway get`: what the running process has, as `kubectl get` shows what a cluster has.
struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Show Services and their endpoints, with what was allocated to them.",
        usage: "ringway get <services|endpoints|endpointslices> [<name> ...] [<options>]",
        discussion: """
            Asks the running process over its admin socket and prints kubectl's columns. Exits with 1 if nobody answers, or if there is no \
            object of a name.
            """)

    @Argument(help: ArgumentHelp("services (svc), endpoints (ep) or endpointslices.", valueName: "resource"))
    var resource: String

    @Argument(help: ArgumentHelp("Names of objects.", valueName: "name"))
    var names: [String] = []

    @Option(name: [.short, .long], help: "Namespace of the objects.")
    var namespace = "default"

    @Flag(name: [.customShort("A"), .long], help: "Objects of all namespaces.")
    var allNamespaces = false

    @Option(name: [.short, .long], help: "All columns (wide), names alone (name), or whole Services (json, yaml).")
    var output: ResourceOutput = .table

    @Flag(name: [.short, .long], help: "Go on, with a line for each change.")
    var watch = false

    @Option(help: ArgumentHelp("Unix socket of the running ringway. (default: where `ringway run` puts it)", valueName: "path"))
    var adminSocket: String?

    private var kind: ResourceKind? { ResourceKind(named: resource) }

    func validate() throws {
        guard kind != nil else {
            throw ValidationError("There is no resource \"\(resource)\" here: services, endpoints and endpointslices can be shown.")
        }
        if allNamespaces, !names.isEmpty { throw ValidationError("A resource cannot be retrieved by name across all namespaces.") }
        if watch, names.count > 1 { throw ValidationError("Only one name can be watched, or all.") }
        if output == .json || output == .yaml {
            if kind != .services { throw ValidationError("Only services can be shown as \(output).") }
            if watch || names.count > 1 { throw ValidationError("One Service, or all, can be shown as \(output), without --watch.") }
        }
        for word in names + [namespace] where !word.utf8.allSatisfy(Self.isNameByte) || word.isEmpty {
            throw ValidationError("\"\(word)\" can't be a name: lower case letters, digits, - and . are allowed.")
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2d || byte == 0x2e
    }

    func run() async throws {
        guard let kind else { return }
        let client = AdminClient(path: adminSocket ?? AdminSocketLocation.ofThisUser.path)
        do {
            switch output {
            case .json: try await write(kind, as: .json, client)
            case .yaml: try await write(kind, as: .yaml, client)
            case .table, .wide, .name: try await watch ? follow(kind, client) : show(kind, client)
            }
        } catch let error as AdminServerError {
            Host.write("ringway: \(error)\n", to: .error)
            throw ExitCode(1)
        }
    }

    private var scope: String? { allNamespaces ? nil : namespace }
    private var selections: [String?] { names.isEmpty ? [nil] : names }

    private func write(_ kind: ResourceKind, as format: Inventory.Format, _ client: AdminClient) async throws {
        switch try await client.text(of: kind, as: format, namespace: scope, name: selections[0]) {
        case .success(let text): Host.write(text, to: .output)
        case .failure(let refusal):
            Self.complain(refusal)
            throw ExitCode(1)
        }
    }

    private func show(_ kind: ResourceKind, _ client: AdminClient) async throws {
        var tables: [TableDocument] = []
        var refusals: [AdminClient.Refusal] = []
        for name in selections {
            switch try await client.table(of: kind, namespace: scope, name: name) {
            case .success(let table): tables.append(table)
            case .failure(let refusal): refusals.append(refusal)
            }
        }
        var printer = ResourcePrinter(kind: kind, output: output, showsNamespace: allNamespaces)
        let text = printer.text(tables)
        Host.write(text, to: .output)
        for refusal in refusals { Self.complain(refusal) }
        if text.isEmpty, refusals.isEmpty {
            Host.write("No resources found\(allNamespaces ? "" : " in \(namespace) namespace.")\n", to: .error)
        }
        if !refusals.isEmpty { throw ExitCode(1) }
    }

    /// What is there at first is printed together, so that its columns fit; then a line for each change, as it is afterwards (or was at
    /// last, where it is gone).
    private func follow(_ kind: ResourceKind, _ client: AdminClient) async throws {
        var printer = ResourcePrinter(kind: kind, output: output, showsNamespace: allNamespaces)
        var first: [TableDocument]? = []
        let refusal = try await client.watch(kind, namespace: scope, name: selections[0]) { event in
            if event.type == .bookmark {
                if let tables = first { Host.write(printer.text(tables), to: .output) }
                first = nil
            } else if first != nil {
                first?.append(event.object)
            } else {
                Host.write(printer.text([event.object]), to: .output)
            }
        }
        if let refusal { Self.complain(refusal) } else { Host.write("ringway: the process that was watched has ended\n", to: .error) }
        throw ExitCode(1)
    }

    private static func complain(_ refusal: AdminClient.Refusal) {
        Host.write("Error from server (\(refusal.reason)): \(refusal.message)\n", to: .error)
    }
}
