/// Opens many connections, makes one request on each, so that a proxy has both its legs, and holds them.
final class Hold {
    struct Settings {
        var connections = 1
        var path = "/"
        /// Of each connection with its request.
        var timeoutSeconds = 5.0
        var sources: [Target] = []
    }

    private let settings: Settings
    private let connections: Connections
    private var log = RequestLog()
    private var onSlot: [Int]
    private var failures = FailureCounts()
    private(set) var held = 0
    private(set) var closedByPeer = 0
    private var heldFromNanoseconds: UInt64 = 0
    private var inputEnded = false

    init(_ target: Target, _ settings: Settings) {
        self.settings = settings
        connections = Connections(target, path: settings.path, count: settings.connections, sources: settings.sources)
        onSlot = [Int](repeating: -1, count: settings.connections)
    }

    /// Opens them all; what fails is counted and not tried again. Answers the line to print.
    func establish() throws(LoadError) -> JSON {
        let timeout = nanoseconds(settings.timeoutSeconds)
        let start = Clock.nanoseconds()
        var next = 0
        var pending = 0
        while next < connections.count || pending > 0 {
            while next < connections.count, pending < Connections.establishingMax {
                onSlot[next] = log.append(beganNanoseconds: Clock.nanoseconds(), slot: next)
                if let kind = connections.open(next, sending: true) {
                    settle(next, kind)
                } else {
                    pending += 1
                }
                next += 1
            }
            guard let oldest = log.oldestNanoseconds else { continue }
            connections.wait(untilNanoseconds: oldest + timeout) { slot, event in
                switch event {
                case .completed(let status, _):
                    pending -= 1
                    if !(200..<300).contains(status) { connections.close(slot) }
                    // A server that closes after one response leaves nothing to hold.
                    let kind: FailureKind = (200..<300).contains(status) ? .closed : .status
                    settle(slot, connections.isIdle(slot) ? nil : kind)
                case .failed(let kind):
                    pending -= 1
                    settle(slot, kind)
                case .closedWhileIdle: closedByPeer += 1
                case .connected, .inputReady: break
                }
            }
            while let began = log.oldestNanoseconds, began + timeout <= Clock.nanoseconds(), let slot = log[log.numbers.lowerBound].slot {
                connections.close(slot)
                pending -= 1
                settle(slot, .timeout)
            }
        }
        if connections.established == 0 { throw connections.unreachable(failures) }
        heldFromNanoseconds = Clock.nanoseconds()
        return .object([
            ("target", .string(connections.target.text)), ("asked", .integer(connections.count)), ("held", .integer(held)),
            ("failed", .integer(failures.total)), ("errors", failures.json),
            ("seconds", .number(Double(heldFromNanoseconds - start) / 1e9)), ("client_cpu_seconds", .number(Clock.cpuSeconds())),
        ])
    }

    /// Holds them until standard input ends, then resets them all. Answers the line to print.
    func holdUntilInputEnds() -> JSON {
        let cpuSeconds = Clock.cpuSeconds()
        if connections.watchInput() {
            while !inputEnded { holdOn(untilNanoseconds: nil) }
        } else {
            // A file, or /dev/null: it can be read to its end at once.
            while Process.readInput() > 0 {}
            holdOn(untilNanoseconds: 0)
        }
        connections.closeAll()
        return .object([
            ("closed_by_peer", .integer(closedByPeer)), ("held_to_the_end", .integer(held - closedByPeer)),
            ("seconds", .number(Double(Clock.nanoseconds() - heldFromNanoseconds) / 1e9)),
            ("client_cpu_seconds", .number(Clock.cpuSeconds() - cpuSeconds)),
        ])
    }

    /// One wait.
    func holdOn(untilNanoseconds deadline: UInt64?) {
        connections.wait(untilNanoseconds: deadline) { _, event in
            switch event {
            case .closedWhileIdle: closedByPeer += 1
            case .inputReady: if Process.readInput() <= 0 { inputEnded = true }
            case .connected, .completed, .failed: preconditionFailure("connections that are held carry no request")
            }
        }
    }

    private func settle(_ slot: Int, _ kind: FailureKind?) {
        log.settle(onSlot[slot])
        if let kind { failures[kind] += 1 } else { held += 1 }
    }
}
