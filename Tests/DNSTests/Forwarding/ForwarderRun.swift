import Addressing
import Routing
import Testing

@testable import DNS

/// A forwarder, its clock and its clients.
final class ForwarderRun {
    private var forwarder: Forwarder
    private var random = RandomSource(seed: 1)
    /// Nanoseconds.
    var now: UInt64 = 1_000_000_000_000
    private var nextID: UInt16 = 0x4000
    /// The messages of attempts, by question.
    private(set) var sent: [UInt32: [UInt8]] = [:]
    private var clients = 0

    enum Outcome {
        case answered(ReadMessage)
        case asks(Attempt)
        case waits
    }

    init(_ servers: Int = 1, stubDomains: [StubDomain] = [], change: (inout Forwarder.Settings) -> Void = { _ in }) {
        let addresses = (0..<servers).compactMap { SocketAddress("192.0.2.\($0 + 1):53") }
        var settings = Forwarder.Settings(upstreams: Upstreams(servers: addresses, stubDomains: stubDomains))
        settings.secret = 99
        change(&settings)
        forwarder = Forwarder(settings)
    }

    var counts: Forwarder.Counts { forwarder.counts }
    var active: Int { forwarder.active }
    var waiting: Int { forwarder.waiting }
    var cached: Int { forwarder.cachedSuccesses + forwarder.cachedDenials }

    func pass(_ seconds: Double) { now += UInt64(seconds * 1_000_000_000) }

    private func drawID() -> UInt16 {
        nextID &+= 77
        return nextID
    }

    /// - Parameter room: of the reply's buffer.
    func ask(_ message: TestMessage, _ transport: QueryTransport = .udp, room: Int? = nil) -> Outcome {
        var reply = [UInt8](repeating: 0xee, count: room ?? (transport == .udp ? 1232 : 65_535))
        let wire = message.wire
        var span = reply.mutableSpan
        let action = forwarder.asked(
            message.query, in: wire.span, by: asker(transport), now: now, id: drawID(), random: &random, into: &span)
        return outcome(action, reply)
    }

    func ask(_ name: String = "www.example.com", _ type: RecordType = .a, _ transport: QueryTransport = .udp) -> Outcome {
        ask(TestMessage(name: name, type: type), transport)
    }

    /// Asks for what a name of ours leads to.
    func askForAlias(_ message: TestMessage, answered made: [UInt8], target: Int, _ transport: QueryTransport = .udp) -> Outcome {
        var reply = made + [UInt8](repeating: 0xee, count: 65_535 - made.count)
        let wire = message.wire
        var span = reply.mutableSpan
        let action = forwarder.askedForAlias(
            message.query, in: wire.span, target: target, length: made.count, by: asker(transport), now: now, id: drawID(),
            random: &random, into: &span)
        return outcome(action, reply)
    }

    private func asker(_ transport: QueryTransport) -> Asker {
        clients += 1
        let client = SocketAddress(IPAddress(ipv4: 0x0a00_0001), PortNumber(UInt16(1000 + clients))!)
        return Asker(transport: transport, client: client, local: .anyIPv4, slot: UInt32(clients), generation: 0)
    }

    private func outcome(_ action: Forwarder.AskedAction, _ reply: [UInt8]) -> Outcome {
        switch action {
        case .answer(let length): return .answered(ReadMessage(Array(reply.prefix(length))))
        case .ask(let attempt): return .asks(note(attempt))
        case .wait: return .waits
        }
    }

    private func note(_ attempt: Attempt) -> Attempt {
        var message = [UInt8](repeating: 0, count: Forwarder.questionLengthMax)
        var span = message.mutableSpan
        let length = forwarder.write(attempt.question, into: &span)
        sent[attempt.question] = Array(message.prefix(length))
        return attempt
    }

    func takeProbe() -> Attempt? { forwarder.takeProbe(now: now, id: drawID()).map(note) }

    /// What an event came to: replies by client, and the next attempt.
    struct Result {
        var replies: [(client: UInt32, message: ReadMessage)] = []
        var next: Attempt?
        var isOver = false
    }

    func reply(_ row: UInt32, _ bytes: [UInt8]) -> Result {
        result(row, forwarder.received(bytes.span, for: row, now: now, id: drawID(), random: &random))
    }

    func timeOut(_ row: UInt32) -> Result { result(row, forwarder.timedOut(row, now: now, id: drawID(), random: &random)) }
    func unreachable(_ row: UInt32) -> Result { result(row, forwarder.unreachable(row, now: now, id: drawID(), random: &random)) }

    private func result(_ row: UInt32, _ action: Forwarder.Action) -> Result {
        var result = Result()
        func take() {
            while true {
                var reply = [UInt8](repeating: 0xee, count: 65_535)
                var span = reply.mutableSpan
                guard let told = forwarder.takeAnswer(row, into: &span) else { return }
                result.replies.append((told.asker.slot, ReadMessage(Array(reply.prefix(told.length)))))
            }
        }
        switch action {
        case .wait: break
        case .ask(let attempt): result.next = note(attempt)
        case .answer:
            take()
            result.isOver = true
        case .answerAndAsk(let attempt):
            take()
            result.next = note(attempt)
        }
        return result
    }
}

extension ForwarderRun.Outcome {
    var answer: ReadMessage? { if case .answered(let message) = self { message } else { nil } }
    var attempt: Attempt? { if case .asks(let attempt) = self { attempt } else { nil } }
    var isWaiting: Bool { if case .waits = self { true } else { false } }
}
