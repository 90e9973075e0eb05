import Foundation
import Glibc

/// Many HTTP connections at once, from one thread: a request on each, and the next as soon as the answer is complete.
struct HTTPLoad {
    struct Outcome: Sendable {
        /// How often each body came.
        var answers: [String: Int] = [:]
        /// What went wrong, once for each time.
        var failures: [String] = []
        var requests: Int { answers.values.reduce(0, +) }
    }

    var address = "127.0.0.1"
    var port: Int
    var connections: Int
    /// Requests one connection makes before it is closed and a new one takes its place.
    var requestsPerConnection: Int
    /// Requests in all; the load ends with them.
    var requests = Int.max

    private struct Exchange {
        let socket: TestSocket
        var requestsLeft: Int
        var received: [UInt8] = []
        /// The answer is complete and the connection was to end with it.
        var awaitsEnd = false
    }

    /// Runs until all requests are answered or `isStopped` says so, a minute at most.
    func run(isStopped: () -> Bool = { false }) -> Outcome {
        var outcome = Outcome()
        var exchanges: [Exchange] = []
        var begun = 0
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            while !isStopped(), exchanges.count < connections, begun < requests, outcome.failures.count < 20 {
                let count = min(requestsPerConnection, requests - begun)
                begun += count
                do throws(TestSocket.Failure) {
                    let socket = try TestSocket(to: address, port)
                    socket.makeNonBlocking()
                    var exchange = Exchange(socket: socket, requestsLeft: count)
                    try request(on: &exchange)
                    exchanges.append(exchange)
                } catch {
                    outcome.failures.append("\(error)")
                }
            }
            if exchanges.isEmpty { return outcome }
            if ContinuousClock.now > deadline {
                outcome.failures.append("\(exchanges.count) requests are without an answer after a minute")
                return outcome
            }
            var polls = exchanges.map { pollfd(fd: $0.socket.descriptor, events: Int16(POLLIN), revents: 0) }
            unsafe poll(&polls, nfds_t(polls.count), 1000)
            for index in exchanges.indices.reversed() where polls[index].revents != 0 {
                do throws(TestSocket.Failure) {
                    if try proceed(&exchanges[index], &outcome, isStopped: isStopped()) { continue }
                } catch  where error.errno == EAGAIN {
                    continue
                } catch {
                    outcome.failures.append("\(error)")
                }
                exchanges.remove(at: index)
            }
        }
    }

    private func request(on exchange: inout Exchange) throws(TestSocket.Failure) {
        exchange.requestsLeft -= 1
        let end = exchange.requestsLeft == 0 ? "Connection: close\r\n" : ""
        try exchange.socket.send("GET / HTTP/1.1\r\nHost: test\r\n\(end)\r\n")
    }

    /// Takes what has come; false when the connection is over and done with.
    private func proceed(
        _ exchange: inout Exchange, _ outcome: inout Outcome, isStopped: Bool
    ) throws(TestSocket.Failure) -> Bool {
        let bytes = try exchange.socket.receive(max: 4096)
        if bytes.isEmpty {
            if !exchange.awaitsEnd { outcome.failures.append("the connection ended before the answer") }
            return false
        }
        exchange.received += bytes
        guard let body = completeBody(exchange.received) else { return true }
        exchange.received = []
        outcome.answers[body, default: 0] += 1
        if exchange.requestsLeft == 0 {
            exchange.awaitsEnd = true
            return true
        }
        if isStopped { return false }
        try request(on: &exchange)
        return true
    }

    /// The body, once the head and as many bytes as it announces are there.
    private func completeBody(_ bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n"), let length = text.range(of: "Content-Length: ") else { return nil }
        let digits = text[length.upperBound...].prefix { $0.isNumber }
        let body = text[end.upperBound...]
        guard let count = Int(digits), body.utf8.count >= count else { return nil }
        guard text.hasPrefix("HTTP/1.1 200 ") else { return "not 200: \(text.prefix(30))" }
        return body.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// One request with the real curl on a connection of its own: the body without its line end.
func curl(_ port: Int, at address: String = "127.0.0.1", prefix: [String] = [], seconds: Int = 15) throws -> String {
    let host = address.contains(":") ? "[\(address)]" : address
    let outcome = try ChildProcess.run(
        prefix + ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "\(seconds)", "http://\(host):\(port)/"])
    guard outcome.isSuccess else { throw ChildProcess.Failure(description: "curl: \(outcome.exit): \(outcome.error)") }
    return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
}

/// A Service with inline endpoints on one port.
func serviceYAML(
    _ name: String = "web", on address: String = "127.0.0.1", port: Int, endpoints: [String], affinity: String = "None",
    annotations: [String: String] = [:]
) -> String {
    let more = annotations.map { "\n    ringway.dev/\($0): \"\($1)\"" }.sorted().joined()
    return """
        apiVersion: v1
        kind: Service
        metadata:
          name: \(name)
          annotations:
            ringway.dev/endpoints: "\(endpoints.joined(separator: ", "))"\(more)
        spec:
          externalIPs: ["\(address)"]
          sessionAffinity: \(affinity)
          ports:
          - port: \(port)

        """
}
