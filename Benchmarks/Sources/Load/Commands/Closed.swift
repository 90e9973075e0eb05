import ArgumentParser

struct Closed: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Closed loop: makes an exact number of requests and stops.",
        discussion: "For counting what one request costs somebody. It tells no latencies: a closed loop waits when its target is slow.")

    @OptionGroup var target: TargetOptions

    @Option(help: "Connections, each with one request at a time.")
    var connections = 1

    @Option(help: "Requests in all.")
    var requests: Int

    @Option(help: "Seconds a request may take.")
    var timeout = 5.0

    @Flag(help: "A new connection for each request, closed by a reset after the response.")
    var connectionPerRequest = false

    func validate() throws {
        guard requests > 0 else { throw ValidationError("--requests is \(requests): at least 1") }
    }

    func run() throws {
        try prepare(connections: connections, timeout: timeout)
        var settings = ClosedLoop.Settings()
        settings.connections = connections
        settings.requests = requests
        settings.path = target.path
        settings.timeoutSeconds = timeout
        settings.connectionPerRequest = connectionPerRequest
        let loop = ClosedLoop(target.target, settings)
        let figures = try orExit { () throws(LoadError) in try loop.run() }
        figures.json.printLine()
    }
}
