package import DNS
import Engine
import Routing

/// What the data plane is told of names that are not the cluster's.
package struct ForwardingSettings: Sendable {
    /// Whom to ask; none: such names are refused.
    package var upstreams: Upstreams
    /// Questions under way, of one worker, where the limit of open files leaves room for as many; beyond it REFUSED.
    package var questionsMax = Limits.questionsMax
    /// Bytes of answers that one worker keeps.
    package var cacheBytesMax = Limits.cacheBytesMax

    package init(upstreams: Upstreams = Upstreams(servers: [])) { self.upstreams = upstreams }

    var isUsed: Bool { !upstreams.isEmpty }
}

/// What a worker has to ask others with. Where there is nobody to ask it is empty.
struct NameForwarding: ~Copyable {
    var forwarder: Forwarder
    var sockets: QuestionSocketTable
    /// Of the attempts under way, by socket.
    var timers: TimerWheel
    /// Attempts that are to be made in this tick: one for each question at most.
    var attempts: RingQueue<Attempt>
    /// A message with its length before it.
    var message: FixedTable<UInt8>
    /// Whether anybody is ever asked.
    let isUsed: Bool
    /// nil where nobody is asked.
    private let replyCounters: CounterTable?
    /// Drawn for the next attempt.
    private(set) var nextID = NameForwarding.drawID()

    static let messageMax = 65_535

    init(_ settings: ForwardingSettings?, replyCounters: CounterTable?, now: UInt64) {
        self.replyCounters = replyCounters
        var forwarding = Forwarder.Settings(upstreams: settings?.upstreams ?? Upstreams(servers: []))
        isUsed = !forwarding.upstreams.isEmpty
        forwarding.questionsMax = isUsed ? settings?.questionsMax ?? 0 : 0
        forwarding.cacheBytesMax = isUsed ? settings?.cacheBytesMax ?? 0 : 0
        // Nobody outside may know which names meet in a table.
        var generator = SystemRandomNumberGenerator()
        forwarding.secret = generator.next()
        forwarder = Forwarder(forwarding)
        sockets = QuestionSocketTable(questionsMax: forwarding.questionsMax)
        timers = TimerWheel(capacity: 2 * forwarding.questionsMax, now: now)
        attempts = RingQueue(capacity: forwarding.questionsMax)
        message = FixedTable(zeroedCapacity: isUsed ? 2 + Self.messageMax : 0)
    }

    // MARK: - Clients

    /// Asks others; the length of the reply where it is known already, and nil where `Worker+Questions` tells the client later.
    mutating func ask(
        _ query: Query, _ message: Span<UInt8>, by asker: Asker, _ now: UInt64, random: inout RandomSource,
        into reply: inout MutableSpan<UInt8>
    ) -> Int? {
        take(forwarder.asked(query, in: message, by: asker, now: now, id: nextID, random: &random, into: &reply), now)
    }

    /// Asks others for the target of an alias, likewise.
    mutating func askForAlias(
        _ query: Query, _ message: Span<UInt8>, _ target: Int, _ length: Int, by asker: Asker, _ now: UInt64,
        random: inout RandomSource, into reply: inout MutableSpan<UInt8>
    ) -> Int? {
        let action = forwarder.askedForAlias(
            query, in: message, target: target, length: length, by: asker, now: now, id: nextID, random: &random, into: &reply)
        return take(action, now)
    }

    private mutating func take(_ action: Forwarder.AskedAction, _ now: UInt64) -> Int? {
        var length: Int?
        switch action {
        case .answer(let told): length = told
        case .ask(let attempt): queue(attempt)
        case .wait: break
        }
        if let probe = forwarder.takeProbe(now: now, id: nextID) { queue(probe) }
        return length
    }

    /// An attempt was made with the id that was drawn for it.
    mutating func queue(_ attempt: Attempt) {
        attempts.append(attempt)
        nextID = Self.drawID()
    }

    /// The next client of a question that is to be answered: the reply stands in `message`, behind its length.
    mutating func takeAnswer(_ question: UInt32) -> Forwarder.Told? {
        var told: Forwarder.Told?
        message.withMutableBytes(2..<2 + Self.messageMax) { reply in told = forwarder.takeAnswer(question, into: &reply) }
        if let told {
            message[0] = UInt8(truncatingIfNeeded: told.length >> 8)
            message[1] = UInt8(truncatingIfNeeded: told.length)
        }
        return told
    }

    // MARK: - Upstreams

    /// Writes the message for a question's attempt into `message`, behind its length.
    ///
    /// - Returns: the length of both.
    mutating func writeQuestion(_ question: UInt32) -> Int {
        var length = 0
        message.withMutableBytes(2..<2 + Forwarder.questionLengthMax) { bytes in length = forwarder.write(question, into: &bytes) }
        message[0] = UInt8(truncatingIfNeeded: length >> 8)
        message[1] = UInt8(truncatingIfNeeded: length)
        return 2 + length
    }

    /// Something has come on the socket of a question.
    mutating func received(_ message: Span<UInt8>, for question: UInt32, _ now: UInt64, random: inout RandomSource) -> Forwarder.Action {
        let action = forwarder.received(message, for: question, now: now, id: nextID, random: &random)
        countReply()
        return action
    }

    private func countReply() {
        guard let reply = forwarder.reply, let replyCounters else { return }
        replyCounters.add(1, row: reply.server, column: ReplyTime.index(of: reply.nanoseconds))
        replyCounters.add(reply.nanoseconds, row: reply.server, column: ReplyColumn.nanoseconds)
    }

    /// What has come on the TCP connection of a question.
    mutating func streamReceived(
        _ slot: UInt32, in pool: BufferPool, _ now: UInt64, random: inout RandomSource
    ) -> Forwarder.Action {
        guard sockets[slot].takeLength(in: pool, through: &message) else { return .wait }
        let length = Int(sockets[slot].expected)
        var copied = 0
        while copied < length {
            let part = min(sockets[slot].inbox.firstBytes(in: pool), length - copied)
            pool.copyUnsent(of: sockets[slot].inbox.head, count: part, to: &message, at: 2 + copied)
            sockets[slot].inbox.consume(part, in: pool)
            copied += part
        }
        var action = Forwarder.Action.wait
        message.withBytes(2..<2 + length) { bytes in
            action = forwarder.received(bytes, for: sockets[slot].question, now: now, id: nextID, random: &random)
        }
        countReply()
        // Nothing else was asked for over this connection.
        if case .wait = action { return forwarder.unreachable(sockets[slot].question, now: now, id: nextID, random: &random) }
        return action
    }

    /// An id for a question, from the kernel's generator: whoever can guess it can answer in the server's place.
    private static func drawID() -> UInt16 {
        var generator = SystemRandomNumberGenerator()
        return UInt16(truncatingIfNeeded: generator.next())
    }

    /// Shows what has happened.
    func publish(to counters: CounterTable) {
        let counts = forwarder.counts
        func set(_ count: ForwardingCount, _ value: UInt64) {
            counters.set(value, row: 0, column: NameColumn.forwarding + count.rawValue)
        }
        set(.successHits, counts.successHits)
        set(.denialHits, counts.denialHits)
        set(.staleHits, counts.staleHits)
        set(.misses, counts.misses)
        set(.joined, counts.joined)
        set(.rejects, counts.rejects)
        set(.attempts, counts.attempts)
        set(.timeouts, counts.timeouts)
        set(.foreign, counts.foreign)
        set(.evictions, forwarder.cacheEvictions)
        set(.successEntries, UInt64(forwarder.cachedSuccesses))
        set(.denialEntries, UInt64(forwarder.cachedDenials))
        set(.questionsActive, UInt64(forwarder.active))
    }
}
