import ArgumentParser

struct Latency: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Open loop: sends requests when they are due, and measures from then.",
        discussion: """
            The moments are fixed beforehand by --seed, so that every target meets the same ones. A request that finds no connection \
            idle waits, and its latency counts from the moment it was due, until the kernel got the response. Failed requests are not in \
            the latencies.
            """)

    @OptionGroup var target: TargetOptions

    @Option(help: "Requests a second, on average.")
    var rate: Double

    @Option(help: "Connections kept open; with --connection-per-request, how many there may be at once.")
    var connections = 32

    @Option(help: "How long requests are counted.")
    var seconds = 3.0

    @Option(help: "How long requests are sent before that, uncounted.")
    var warmUp = 0.5

    @Option(help: "How requests are spread: poisson (as independent clients send) or uniform.")
    var arrivals = Schedule.Arrivals.poisson

    @Option(help: "Which schedule of the many that are possible.")
    var seed: UInt64 = 1

    @Option(help: "Seconds a request may take since it was due.")
    var timeout = 2.0

    @Flag(help: "A new connection for each request, closed by a reset after the response.")
    var connectionPerRequest = false

    @Option(
        help: ArgumentHelp(
            "Stay awake so long before a request is due: exact to a microsecond, for CPU time that the target may want.",
            valueName: "microseconds"))
    var spin = 0.0

    @Option(
        help: ArgumentHelp(
            "Requests are due, and responses read, at multiples of this, several at once: few wake-ups, for high rates.",
            valueName: "microseconds"))
    var gather = 0.0

    func validate() throws {
        try check("--spin", spin, in: 0...1000)
        try check("--gather", gather, in: 0...10_000)
        guard gather == 0 || !connectionPerRequest else {
            throw ValidationError("--gather is for connections that stay, and not with --connection-per-request")
        }
        try check("--rate", rate, in: 0.001...10_000_000)
        try check("--seconds", seconds, in: 0.001...86_400)
        try check("--warm-up", warmUp, in: 0...3600)
    }

    func run() throws {
        try prepare(connections: connections, timeout: timeout)
        var settings = OpenLoop.Settings()
        settings.rate = rate
        settings.arrivals = arrivals
        settings.seed = seed
        settings.connections = connections
        settings.seconds = seconds
        settings.warmUpSeconds = warmUp
        settings.timeoutSeconds = timeout
        settings.path = target.path
        settings.connectionPerRequest = connectionPerRequest
        settings.spinSeconds = spin / 1e6
        settings.gatherSeconds = gather / 1e6
        let loop = OpenLoop(target.target, settings)
        let figures = try orExit { () throws(LoadError) in try loop.run() }
        figures.json.printLine()
    }
}
