/// Makes an exact number of requests, each connection its next one as soon as it has the response to the last, and stops.
final class ClosedLoop {
    struct Settings {
        var connections = 1
        var requests = 1
        var path = "/"
        var timeoutSeconds = 5.0
        var connectionPerRequest = false
    }

    struct Figures {
        let target: String
        var completed = 0
        var failures = FailureCounts()
        var seconds = 0.0
        var clientCPUSeconds = 0.0

        var json: JSON {
            .object([
                ("target", .string(target)), ("completed", .integer(completed)), ("failed", .integer(failures.total)),
                ("errors", failures.json), ("seconds", .number(seconds)),
                ("operations_per_second", .number(Double(completed) / seconds)), ("client_cpu_seconds", .number(clientCPUSeconds)),
            ])
        }
    }

    private let settings: Settings
    private let connections: Connections
    private var log = RequestLog()
    private var started = 0
    private var onSlot: [Int]
    private var figures: Figures

    init(_ target: Target, _ settings: Settings) {
        self.settings = settings
        let count = min(settings.connections, settings.requests)
        connections = Connections(target, path: settings.path, count: count, closesEach: settings.connectionPerRequest)
        onSlot = [Int](repeating: -1, count: count)
        figures = Figures(target: target.text)
    }

    func run() throws(LoadError) -> Figures {
        let timeout = nanoseconds(settings.timeoutSeconds)
        if !settings.connectionPerRequest {
            let failures = connections.establishAll(timeoutNanoseconds: timeout)
            if connections.established == 0 { throw connections.unreachable(failures) }
        }
        let start = Clock.nanoseconds()
        let cpuSeconds = Clock.cpuSeconds()
        for slot in 0..<connections.count { startNext(slot) }
        while let oldest = log.oldestNanoseconds {
            connections.wait(untilNanoseconds: oldest + timeout) { slot, event in handle(slot, event) }
            expire(Clock.nanoseconds(), timeout)
        }
        figures.seconds = Double(Clock.nanoseconds() - start) / 1e9
        figures.clientCPUSeconds = Clock.cpuSeconds() - cpuSeconds
        connections.closeAll()
        if connections.established == 0 { throw connections.unreachable(figures.failures) }
        return figures
    }

    private func handle(_ slot: Int, _ event: Connections.Event) {
        switch event {
        case .completed(let status, _):
            if settings.connectionPerRequest { connections.close(slot) }
            if (200..<300).contains(status) { figures.completed += 1 } else { figures.failures[.status] += 1 }
            log.settle(onSlot[slot])
            startNext(slot)
        case .failed(let kind):
            figures.failures[kind] += 1
            log.settle(onSlot[slot])
            startNext(slot)
        case .closedWhileIdle: break  // Its requests are all made, or the next one opens it again.
        case .connected, .inputReady: preconditionFailure("every connection made during a run carries a request")
        }
    }

    /// Starts the slot's next request, if there is one left; those that fail at once are settled on the way.
    private func startNext(_ slot: Int) {
        while started < settings.requests {
            started += 1
            onSlot[slot] = log.append(beganNanoseconds: Clock.nanoseconds(), slot: slot)
            guard let kind = connections.isIdle(slot) ? connections.send(slot) : connections.open(slot, sending: true) else { return }
            figures.failures[kind] += 1
            log.settle(onSlot[slot])
        }
    }

    private func expire(_ now: UInt64, _ timeout: UInt64) {
        while let began = log.oldestNanoseconds, began + timeout <= now, let slot = log[log.numbers.lowerBound].slot {
            connections.close(slot)
            figures.failures[.timeout] += 1
            log.settle(onSlot[slot])
            startNext(slot)
        }
    }
}
