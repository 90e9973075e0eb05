internal import ArgumentParser
internal import CAllocationCounter
internal import Forwarding
internal import HostNetwork
internal import Routing
internal import ServiceModel

/// `ringway run`: serve until a signal ends it.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Balance the TCP connections and UDP sessions of the Services in files, directories or standard input.",
        usage: "ringway run [<options>] <file|dir|-|shorthand> ...",
        discussion: """
            Sources are Kubernetes YAML or JSON: Service, EndpointSlice, Endpoints, Pod, Node and List. Files and directories are watched, \
            and changes are applied at once, without touching connections.

            The shorthand [ADDR:]PORT[/udp]=[ADDR:]PORT,... stands for one Service: `ringway run 9300=9301,9302,9303` listens on \
            127.0.0.1:9300. A port without an address is on 127.0.0.1; an IPv6 address stands in brackets; 0.0.0.0 listens on all \
            addresses; /udp makes it a UDP port. `--print` shows the YAML it stands for.

            SIGTERM or SIGINT: stops accepting, lets connections finish within --grace, exits with 0. A second signal exits at once \
            with 143 or 130.
            """)

    @Argument(
        help: ArgumentHelp("Files, directories, - for standard input, or shorthands.", valueName: "file|dir|-|shorthand"),
        completion: .file())
    var sources: [String] = []

    @Flag(name: .long, help: "Print the Service YAML that the shorthands stand for, and exit.")
    var print = false

    @Option(help: "Engine of the workers. auto takes io_uring where the kernel grants it, else epoll.")
    var engine: DataPlaneSettings.EngineChoice = .auto

    @Option(help: "Worker threads. (default: the allowed CPUs, but no more than the CPU quota grants)")
    var workers: Int?

    @Option(help: "Bind each worker to one CPU. auto does when there is one worker for each allowed CPU.")
    var pin: PinChoice = .auto

    @Option(
        help: "Connections open at once; one beyond it is reset. (default: what the limit of open files allows; there accepting pauses)")
    var connectionsMax: Int?

    @Option(
        help: """
            Listening sockets of each worker, as long as others can share one: TCP ports of cluster IPs beyond it do, with CAP_BPF and \
            CAP_NET_ADMIN. (default: 1024, or less by the limit of open files)
            """)
    var listenersMax: Int?

    @Option(
        help: ArgumentHelp(
            "Addresses of this host that connections to endpoints are made from, by turns, and small ranges (10.0.0.8/29): at most 16 of "
                + "each family. (default: the kernel chooses)",
            valueName: "address,..."),
        transform: SourceAddressesArgument.init)
    var sourceAddresses = SourceAddressesArgument()

    @Option(help: "How long connections may go on after a signal to stop: 30s, 500ms, 2m.")
    var grace = DurationArgument(.seconds(30))

    @Option(help: "How long one endpoint may take to accept a connection before another one is tried.")
    var connectAttemptTimeout = DurationArgument(.seconds(1))

    @Option(help: "How long all attempts of one connection may take together.")
    var connectTimeout = DurationArgument(.seconds(3))

    @Option(
        help: """
            How long a client of accept-proxy-protocol-from may take for its PROXY header, and one of unexpected-proxy-header: close to \
            show that it sends none.
            """)
    var proxyHeaderTimeout = DurationArgument(.seconds(3))

    @Option(help: "Reset a connection on which no byte has moved, either way, for so long; or off.")
    var idleTimeout = TimeoutArgument(Timeouts.standard.idle ?? .zero)

    @Option(help: "Reset a connection of which one direction has ended and the other has been silent for so long; or off.")
    var halfCloseTimeout = TimeoutArgument(Timeouts.standard.halfClose ?? .zero)

    @Option(
        help: """
            Ask a peer that has been silent for so long whether it is there (TCP keep-alive): four times, an eighth of this time \
            apart; or off.
            """)
    var tcpKeepalive = TimeoutArgument(Timeouts.standard.keepalive ?? .zero)

    @Option(
        help: """
            Give a connection up when bytes are not acknowledged, or can't be sent because the peer doesn't read, for so long \
            (TCP_USER_TIMEOUT); or off.
            """)
    var tcpUserTimeout = TimeoutArgument(Timeouts.standard.userTimeout ?? .zero)

    @Option(
        help: """
            Make virtual addresses of Services (--service-cidr) this host's own, with CAP_NET_ADMIN: while this process runs (auto), also \
            afterwards (keep), or not (off). See `ringway network`.
            """)
    var hostNetwork: HostNetworkChoice = .auto

    @Flag(
        help: """
            Let a file or directory lose all its Services at once, or all their endpoints, also where there are ten or more. Without it \
            they are held back.
            """)
    var allowEmptySources = false

    @Option(help: "Format of the log on standard error.")
    var logFormat: LogFormat = .text

    @Option(help: "Which connections to log when they are closed, a line each: none, those that did not end with a FIN of both sides, all.")
    var logConnections: ConnectionLogging = .off

    @Option(
        help: ArgumentHelp(
            "Unix socket that `ringway stats` asks, or none. (default: $XDG_RUNTIME_DIR/ringway/admin.sock; without that variable "
                + "/run/ringway/admin.sock as root, else /tmp/ringway-UID/admin.sock)",
            valueName: "path"))
    var adminSocket: AdminSocketArgument?

    @Option(
        help: ArgumentHelp(
            "Address and port that answer /metrics, /healthz, /livez and /readyz, or none. (default: 127.0.0.1:9400)",
            valueName: "address:port"))
    var adminListen: AdminListenArgument?

    @Option(help: "Seed of the random choice of endpoints, to repeat a run. (default: random)")
    var seed: UInt64?

    @OptionGroup(title: "What Services are given") var allocation: AllocationOptions

    @Option(
        help: ArgumentHelp(
            "Directory that keeps what Services were given across restarts, for one process at a time, or none. (default: "
                + "$STATE_DIRECTORY, which systemd sets for StateDirectory=; without that variable none)",
            valueName: "directory"))
    var stateDirectory: StateDirectoryArgument?

    @OptionGroup(title: "Names") var names: NameOptions

    @OptionGroup(title: "Other names") var upstreams: UpstreamOptions

    @OptionGroup(title: "This node") var node: NodeOptions

    /// Read by `validate`, used by `run`.
    private var shorthands: [Shorthand] { get throws { try Shorthand.all(sources.filter(Shorthand.isMeant(by:))) } }
    private var roots: [String] { sources.filter { !Shorthand.isMeant(by: $0) } }

    func validate() throws {
        if sources.isEmpty {
            throw ValidationError("Nothing to serve: give files, directories, - or a shorthand like 9300=9301,9302,9303.")
        }
        do {
            let shorthands = try shorthands
            if print, shorthands.isEmpty {
                throw ValidationError("--print shows what a shorthand stands for: give one, like 9300=9301,9302.")
            }
        } catch let error as Shorthand.Malformed {
            throw ValidationError("\(error)")
        }
        if roots.count(where: { $0 == "-" }) > 1 { throw ValidationError("Standard input (-) can be read only once.") }
        if let workers, !(1...1024).contains(workers) { throw ValidationError("--workers must be from 1 to 1024.") }
        if let connectionsMax, connectionsMax < 1 { throw ValidationError("--connections-max must be at least 1.") }
        if let listenersMax, listenersMax < 1 { throw ValidationError("--listeners-max must be at least 1.") }
        if connectAttemptTimeout.duration <= .zero || connectTimeout.duration <= .zero {
            throw ValidationError("--connect-attempt-timeout and --connect-timeout must be longer than 0.")
        }
        if proxyHeaderTimeout.duration <= .zero { throw ValidationError("--proxy-header-timeout must be longer than 0.") }
        let problems = [
            idleTimeout.problem(of: "--idle-timeout", TimeoutRange.idle),
            halfCloseTimeout.problem(of: "--half-close-timeout", TimeoutRange.halfClose),
            tcpKeepalive.problem(of: "--tcp-keepalive", TimeoutRange.keepalive),
            tcpUserTimeout.problem(of: "--tcp-user-timeout", TimeoutRange.userTimeout),
        ]
        if let problem = problems.compactMap({ $0 }).first { throw ValidationError(problem) }
    }

    func run() async throws {
        let shorthands = try shorthands
        if print {
            Host.write(shorthands.map(\.yaml).joined(separator: "---\n"), to: .output)
            return
        }
        Host.ignoreBrokenPipes()
        var settings = settings
        var notices: [String] = []
        if let asked = settings.names {
            let choice = upstreams.choice(
                for: asked, resolverText: Host.readFile(UpstreamChoice.resolverFile),
                hostAddresses: (try? HostAddresses.now(routes: false).addresses) ?? [])
            settings.names?.forwarding.upstreams = choice.upstreams
            notices = choice.notices
        }
        var balancer = Balancer(
            options: Balancer.Options(
                settings: settings, roots: roots, allowsEmptySources: allowEmptySources, shorthands: shorthands, grace: grace.duration,
                virtualAddresses: VirtualAddresses(
                    choice: hostNetwork, ranges: allocation.virtualRanges, nameAddresses: names.hosts),
                allocations: try allocation.allocations(seed: settings.seed), loadBalancerClass: allocation.loadBalancerClass,
                stateDirectory: (stateDirectory ?? .ofEnvironment(Host.environment)).path,
                node: ThisNode(node.node, nodePorts: node.nodeportAddresses), proxyName: node.serviceProxyName, adminSocket: adminSocket,
                adminListen: adminListen, logFormat: logFormat, arguments: sources, notices: notices))
        let code = await balancer.run()
        // Not a return: nothing that still runs (a request on the admin socket, a file being read) may hold the process.
        Host.exitNow(code)
    }

    private var settings: DataPlaneSettings {
        let allowance = CPUAllowance(read: Host.readFile)
        let allowed = allowance.allowedCPUs() ?? Host.onlineCPUs
        var settings = DataPlaneSettings()
        settings.engine = engine
        settings.workers = workers ?? CPUAllowance.workers(allowedCPUs: allowed, quota: allowance.quota())
        settings.pinsWorkers = pin.pins(workers: settings.workers, allowedCPUs: allowed)
        settings.connectionsMax = connectionsMax
        settings.listenersMax = listenersMax
        settings.sourceAddresses = sourceAddresses.addresses
        settings.connectAttemptTimeout = connectAttemptTimeout.duration
        settings.connectTimeout = connectTimeout.duration
        settings.proxyHeaderTimeout = proxyHeaderTimeout.duration
        settings.timeouts = Timeouts(
            idle: idleTimeout.duration, halfClose: halfCloseTimeout.duration, keepalive: tcpKeepalive.duration,
            userTimeout: tcpUserTimeout.duration)
        settings.connectionLogging = logConnections
        settings.names = names.settings(owned: allocation.serviceCidr.ranges)
        settings.seed = seed ?? UInt64.random(in: .min ... .max)
        settings.allocationCount = { ringway_allocation_count() }
        return settings
    }
}
