internal import Addressing
internal import Forwarding
internal import Routing

/// The log of connections and UDP sessions: what the workers noted about those that have ended, a line each.
struct ConnectionLog {
    /// A worker's ring holds what it can close in several times this long.
    private static let interval = Duration.milliseconds(100)

    let dataPlane: DataPlane
    let sink: LogSink

    /// Writes down what was closed, again and again.
    func run() async {
        while (try? await Task.sleep(for: Self.interval)) != nil { write() }
    }

    /// Writes down what was closed since the last time.
    func write() {
        let now = Host.wallClockMicroseconds
        dataPlane.takeClosedConnections { sink.write(LogLine($0, now: now), within: LogSink.connectionBytesMax) }
    }
}

extension LogLine {
    /// What is said of a closed connection, always in this order; what isn't known is left out.
    init(_ connection: ClosedConnection, now: Int64) {
        let record = connection.record
        self.init(
            microseconds: now - Int64(connection.nanosecondsAgo / 1000), level: "info",
            message: record.isSession ? "session closed" : "connection closed", fields: [])
        fields.append(("service", connection.service?.description ?? "unknown"))
        if record.clientPort != 0 { fields.append(("client", Self.text(record.client, record.clientPort))) }
        fields.append(("frontend", record.frontend.description))
        if let endpoint = connection.endpoint { fields.append(("endpoint", endpoint.description)) }
        fields.append(("reason", record.reason.name))
        numbers.append(("bytesFromClient", "\(record.bytesFromClient)"))
        numbers.append(("bytesToClient", "\(record.bytesToClient)"))
        if record.isSession {
            numbers.append(("datagramsFromClient", "\(record.datagramsFromClient)"))
            numbers.append(("datagramsToClient", "\(record.datagramsToClient)"))
        }
        numbers.append(("durationMs", Self.milliseconds(record.durationNanoseconds)))
        if record.isConnected {
            numbers.append((record.isSession ? "answerMs" : "connectMs", Self.milliseconds(UInt64(record.connectMicroseconds) * 1000)))
        }
        numbers.append(("attempts", "\(record.attempts)"))
    }

    private static func text(_ address: IPAddress, _ port: UInt16) -> String {
        address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }

    /// `12.345`.
    private static func milliseconds(_ nanoseconds: UInt64) -> String {
        let (whole, rest) = (nanoseconds / 1_000_000, nanoseconds / 1000 % 1000)
        return "\(whole)." + (rest < 10 ? "00" : rest < 100 ? "0" : "") + "\(rest)"
    }
}
