import ArgumentParser

struct HoldCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hold",
        abstract: "Opens connections, makes one request on each, and holds them until standard input ends.",
        discussion: """
            Prints one line when all are open (at most \(Connections.establishingMax) are being opened at once), and a second one at \
            the end, with how many the peer has closed meanwhile. Then all are reset.
            """)

    @OptionGroup var target: TargetOptions

    @Option(help: "Connections to hold.")
    var connections: Int

    @Option(help: "Seconds a connection with its request may take.")
    var timeout = 5.0

    @Option(
        help: ArgumentHelp(
            "An address to connect from; may be given again, then they take turns. One address has about 28,000 ports.",
            valueName: "address"),
        transform: { text in
            guard let source = Target(source: text) else { throw ValidationError("\"\(text)\" is not an IP address") }
            return source
        })
    var sourceAddress: [Target] = []

    func validate() throws {
        guard sourceAddress.allSatisfy({ $0.family == target.target.family }) else {
            throw ValidationError("--source-address and --target are not both IPv4, or both IPv6")
        }
    }

    func run() throws {
        try prepare(connections: connections, timeout: timeout)
        var settings = Hold.Settings()
        settings.connections = connections
        settings.path = target.path
        settings.timeoutSeconds = timeout
        settings.sources = sourceAddress
        let hold = Hold(target.target, settings)
        try orExit { () throws(LoadError) in try hold.establish() }.printLine()
        hold.holdUntilInputEnds().printLine()
    }
}
