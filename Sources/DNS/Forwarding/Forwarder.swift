package import Addressing
package import Routing

/// What is to be sent to an upstream.
package struct Attempt: BitwiseCopyable, Sendable {
    /// The question's row, by which its reply is told.
    package let question: UInt32
    package let server: SocketAddress
    package let transport: QueryTransport
    /// When `Forwarder.timedOut` is due.
    package let deadline: UInt64
}

/// Answers for names that are not ours: what is known, asked once for all who want it, and told to each as it wants it. One worker's.
///
/// ```
///  asked ─► known ────────────────────────────────────────────────► answer
///    │  ├─► asked already: joined ─► wait
///    │  └─► no room, nobody to ask ───────────────────────────────► answer (REFUSED)
///    ▼
///   ask ─► a reply ─┬────────────────────────────────────────► kept ─► answer those who wait
///    ▲  │           ├─ cut short: clients by UDP get it so; is one by TCP there ─► ask over TCP
///    │  │           ├─ its EDNS was not understood ─► ask without
///    │  │           └─ refused ─┐
///    │  └─► none in time, or unreachable ─┤   (at the first that takes too long, what was known of late is told)
///    └──── next, of those not tried ◄─────┘
///                     none left, or the time is over ─► answer: what was known of late, or the refusal, or SERVFAIL
/// ```
/// No input or output, no clock: times are nanoseconds of one monotonic clock, ids are drawn by the caller, from a source that nobody
/// can guess. Nothing is allocated after `init`.
package struct Forwarder: ~Copyable {
    package struct Settings: Sendable {
        package var upstreams: Upstreams
        /// Questions under way, and clients that wait; beyond it REFUSED, as CoreDNS does.
        package var questionsMax = 1000
        /// Bytes of answers that are kept; 0 for none.
        package var cacheBytesMax = 4 << 20
        /// Seconds: how long answers, denials and refusals are kept at most, and how long after that they may be told stale, as what.
        package var successMax: UInt32 = 3600
        package var denialMax: UInt32 = 1800
        package var failureMax: UInt32 = 1
        package var staleMax: UInt32 = 3600
        package var staleTTL: UInt32 = 30
        /// How long a server has for its reply, and how long all of them have: less than the 5 s after which resolvers ask again.
        package var attemptNanoseconds: UInt64 = 1_500_000_000
        package var questionNanoseconds: UInt64 = 4_500_000_000
        package var attemptsMax = 3
        /// What is taken and sent by UDP at most, bytes.
        package var payloadMax = 1232
        /// What makes the tables' order unknown to others.
        package var secret: UInt64 = 0

        package init(upstreams: Upstreams) { self.upstreams = upstreams }
    }

    /// What has happened so far.
    package struct Counts: BitwiseCopyable, Sendable {
        package var successHits: UInt64 = 0
        package var denialHits: UInt64 = 0
        package var staleHits: UInt64 = 0
        package var misses: UInt64 = 0
        /// Questions that found another one like them under way.
        package var joined: UInt64 = 0
        /// Questions refused for want of room.
        package var rejects: UInt64 = 0
        /// Messages sent to upstreams, probes included.
        package var attempts: UInt64 = 0
        package var timeouts: UInt64 = 0
        /// Messages on a question's socket that are no reply to it.
        package var foreign: UInt64 = 0
    }

    /// A reply for a client that has waited.
    package struct Told: BitwiseCopyable, Sendable {
        package let asker: Asker
        package let length: Int
        /// Whether a name of ours was asked for.
        package let isAlias: Bool
    }

    package enum AskedAction: BitwiseCopyable, Sendable {
        /// Send that many bytes of the reply.
        case answer(length: Int)
        case ask(Attempt)
        /// It is asked already.
        case wait
    }

    package enum Action: BitwiseCopyable, Sendable {
        /// Nothing: the attempt goes on.
        case wait
        /// The attempt is over: make another one.
        case ask(Attempt)
        /// It is over: send what `takeAnswer` gives until there is no more.
        case answer
        /// The same, and then ask on.
        case answerAndAsk(Attempt)
    }

    let settings: Settings
    var upstreams: Upstreams
    var cache: Cache
    var pending: PendingQuestions
    package private(set) var counts = Counts()
    /// Of the last call of `received`: whose reply it was, by its number among `Upstreams.addresses`, and the nanoseconds since it was
    /// asked; nil where it was nobody's.
    package private(set) var reply: (server: Int, nanoseconds: UInt64)?

    /// The name that is asked for, in lower case.
    private var name = [UInt8](repeating: 0, count: DomainName.lengthMax)
    private var nameLength = 0
    /// The answer that is told now, as it would be kept.
    private var answer: [UInt8]
    private var answerLength = 0
    private var answerAge: AnswerAge
    /// Whether its question is over with it; and whether clients by TCP wait for a longer one.
    private var answerIsLast = true
    private var answerIsCut = false
    /// Of the last question: where a server may be due to be asked on the side.
    private var probedGroup: Int?

    package init(_ settings: Settings) {
        self.settings = settings
        upstreams = settings.upstreams
        cache = Cache(bytesMax: settings.cacheBytesMax)
        pending = PendingQuestions(capacity: settings.questionsMax)
        // Who asks nobody refuses only.
        answer = [UInt8](repeating: 0, count: settings.questionsMax == 0 ? 512 : 65_535)
        answerAge = AnswerAge(ttlMax: settings.successMax)
    }

    /// Clients that wait, and questions under way with probes.
    package var waiting: Int { pending.waiting }
    package var active: Int { pending.active }
    package var cachedSuccesses: Int { cache.successes }
    package var cachedDenials: Int { cache.denials }
    package var cacheEvictions: UInt64 { cache.evictions }

    // MARK: - Clients

    /// A client asks for a name that is not ours.
    ///
    /// - Parameters:
    ///   - message: the query, as it came.
    ///   - id: drawn for the upstream.
    ///   - reply: room for a reply; by UDP 1,232 bytes will do, by TCP 65,535 are used at most.
    package mutating func asked(
        _ query: Query, in message: Span<UInt8>, by asker: Asker, now: UInt64, id: UInt16, random: inout RandomSource,
        into reply: inout MutableSpan<UInt8>
    ) -> AskedAction {
        let name = message.extracting(Query.nameOffset..<query.nameEnd)
        setName(name)
        let form = ReplyForm(query, name: name, transport: asker.transport, payloadMax: settings.payloadMax)
        return asked(query, Waiter(asker: asker, form: form), now, id, &random, &reply)
    }

    /// A client asks for a name of ours that is an alias of one that is not.
    ///
    /// - Parameters:
    ///   - message: the query, as it came.
    ///   - reply: what `Responder` has made of it, with room behind it.
    ///   - length: of that; it is complete by itself, and sent as it is where there is no room to wait for more.
    ///   - target: where in it the name stands that is asked for, without pointers.
    package mutating func askedForAlias(
        _ query: Query, in message: Span<UInt8>, target: Int, length: Int, by asker: Asker, now: UInt64, id: UInt16,
        random: inout RandomSource, into reply: inout MutableSpan<UInt8>
    ) -> AskedAction {
        guard let end = reply.span.endOfName(at: target), end - target <= DomainName.lengthMax else { return .answer(length: length) }
        setName(reply.span.extracting(target..<end))
        let name = message.extracting(Query.nameOffset..<query.nameEnd)
        var waiter = Waiter(
            asker: asker, form: ReplyForm(query, name: name, transport: asker.transport, payloadMax: settings.payloadMax))
        guard query.flags & Flags.recursionDesired != 0, let alias = pending.keepAlias(reply.span.extracting(0..<length)) else {
            return .answer(length: length)
        }
        waiter.alias = alias
        waiter.aliasLength = UInt32(length)
        waiter.target = UInt32(target)
        return asked(query, waiter, now, id, &random, &reply)
    }

    private mutating func setName(_ name: Span<UInt8>) {
        nameLength = name.count
        for index in 0..<name.count { self.name[index] = name[index].lowercased }
    }

    private mutating func asked(
        _ query: Query, _ waiter: Waiter, _ now: UInt64, _ id: UInt16, _ random: inout RandomSource, _ reply: inout MutableSpan<UInt8>
    ) -> AskedAction {
        var waiter = waiter
        probedGroup = nil
        let bytes = self.name
        let name = bytes.span.extracting(0..<nameLength)
        let question = Question(query, name: name, secret: settings.secret)
        waiter.question = question
        let known = cache.find(question, name: name)
        if let known, cache[known].expiresAt > Self.seconds(now) {
            if cache[known].kind == .success { counts.successHits += 1 } else { counts.denialHits += 1 }
            cache.touch(known)
            return tell(known, waiter, isStale: false, now, &reply)
        }
        counts.misses += 1
        guard let group = upstreams.group(for: name) else { return refuse(waiter, &reply) }
        if upstreams.hasDown { probedGroup = group }
        if let known, isTellable(known, now), upstreams.isDown(group: group) {
            counts.staleHits += 1
            return tell(known, waiter, isStale: true, now, &reply)
        }
        guard pending.hasRoom else {
            counts.rejects += 1
            return refuse(waiter, &reply)
        }
        if let row = pending.find(question, name: name) {
            counts.joined += 1
            pending.append(waiter, to: row)
            return .wait
        }
        let asked = PendingQuestion(question: question, group: UInt16(group), deadline: now &+ settings.questionNanoseconds)
        guard let row = pending.insert(asked, name: name) else { return refuse(waiter, &reply) }
        pending.append(waiter, to: row)
        return .ask(attempt(row, now, id, &random))
    }

    /// A server that is down, and to be asked on the side whether it is up again: once after each `asked`.
    package mutating func takeProbe(now: UInt64, id: UInt16) -> Attempt? {
        guard let group = probedGroup else { return nil }
        probedGroup = nil
        guard pending.active < pending.capacity, let server = upstreams.takeProbe(group: group, now: now) else { return nil }
        let root: [1 of UInt8] = [0]
        let question = Question(
            type: .ns, recordClass: Query.internet, recursionDesired: true, checkingDisabled: false, dnssecOK: false, name: root.span,
            secret: settings.secret)
        let probe = PendingQuestion(
            id: id, question: question, group: UInt16(group), server: UInt16(server), isProbe: true, askedAt: now,
            deadline: now &+ settings.attemptNanoseconds)
        guard let row = pending.insert(probe, name: root.span) else { return nil }
        counts.attempts += 1
        return Attempt(question: row, server: upstreams.servers[server].address, transport: .udp, deadline: probe.deadline)
    }

    // MARK: - Upstreams

    /// Writes the message for the attempt under way.
    ///
    /// - Parameter message: room for `questionLengthMax`.
    /// - Returns: its length.
    package func write(_ row: UInt32, into message: inout MutableSpan<UInt8>) -> Int {
        let asked = pending[row]
        let question = asked.question
        message.write16(asked.id, at: 0)
        // AD: the reply may say whether it is authentic (RFC 6840, 5.7).
        var flags = Flags.authentic
        if question.recursionDesired { flags |= Flags.recursionDesired }
        if question.checkingDisabled { flags |= Flags.checkingDisabled }
        message.write16(flags, at: 2)
        message.write32(0x0001_0000, at: 4)
        message.write32(asked.isPlain ? 0 : 1, at: 8)
        message.copy(pending.names.span.extracting(pending.nameRange(row)), at: Query.nameOffset)
        var end = Query.nameOffset + question.nameLength
        message.write16(question.type.rawValue, at: end)
        message.write16(question.recordClass, at: end + 2)
        end += 4
        if !asked.isPlain {
            message[end] = 0
            message.write16(RecordType.opt.rawValue, at: end + 1)
            message.write16(UInt16(settings.payloadMax), at: end + 3)
            message.write32(question.dnssecOK ? 0x8000 : 0, at: end + 5)
            message.write16(0, at: end + 9)
            end += ReplyForm.lengthOfOPT
        }
        return end
    }

    package static let questionLengthMax = Query.nameOffset + DomainName.lengthMax + 4 + ReplyForm.lengthOfOPT

    /// Something has come on the socket of a question's attempt.
    package mutating func received(
        _ message: Span<UInt8>, for row: UInt32, now: UInt64, id: UInt16, random: inout RandomSource
    ) -> Action {
        let asked = pending[row]
        precondition(asked.isActive, "a reply to a question that nobody asks")
        let names = pending.names
        let name = names.span.extracting(pending.nameRange(row))
        let reading = UpstreamResponse.read(message, id: asked.id, question: asked.question, name: name)
        reply = nil
        guard case .foreign = reading else {
            reply = (Int(asked.server), now &- asked.askedAt)
            upstreams.answered(Int(asked.server))
            if asked.isProbe { return endProbe() }
            switch reading {
            case .foreign: preconditionFailure("looked at above")
            case .bare(let code): return refused(row, code, now, id, &random)
            case .malformed: return refused(row, ResponseCode.serverFailure.rawValue, now, id, &random)
            case .response(let response): return answered(row, response, message, now, id, &random)
            }
        }
        counts.foreign += 1
        return .wait
    }

    private mutating func answered(
        _ row: UInt32, _ response: UpstreamResponse, _ message: Span<UInt8>, _ now: UInt64, _ id: UInt16, _ random: inout RandomSource
    ) -> Action {
        guard response.code == ResponseCode.noError.rawValue || response.code == ResponseCode.nameError.rawValue else {
            return refused(row, response.code, now, id, &random)
        }
        let question = pending[row].question
        answerLength = response.end
        for index in 0..<response.end { answer[index] = message[index] }
        answer.write16(UInt16(response.answers), at: 6)
        answer.write16(UInt16(response.authorities), at: 8)
        answer.write16(UInt16(response.additionals), at: 10)
        answerAge = AnswerAge(ttlMax: response.isNegative ? settings.denialMax : settings.successMax)
        if let lifetime = response.lifetime, lifetime > 0 {
            keep(question, response.isNegative ? .denial : .success, lifetime: min(lifetime, answerAge.ttlMax), now)
        }
        answerIsCut = response.isTruncated && pending[row].transport == .udp && pending.hasStreams(row)
        answerIsLast = !answerIsCut
        guard answerIsCut else { return .answer }
        pending[row].transport = .tcp
        return .answerAndAsk(attempt(row, to: Int(pending[row].server), now, id))
    }

    /// An upstream can't or will not answer.
    private mutating func refused(
        _ row: UInt32, _ code: UInt16, _ now: UInt64, _ id: UInt16, _ random: inout RandomSource
    ) -> Action {
        if code == ResponseCode.formatError.rawValue || code == ResponseCode.notImplemented.rawValue, !pending[row].isPlain {
            pending[row].isPlain = true
            return .ask(attempt(row, to: Int(pending[row].server), now, id))
        }
        pending[row].refusal = code > Flags.code ? ResponseCode.serverFailure.rawValue : code
        return askUntried(row, now, id, &random)
    }

    /// The network says that a question's server can't be reached, or its connection is over without a reply.
    package mutating func unreachable(_ row: UInt32, now: UInt64, id: UInt16, random: inout RandomSource) -> Action {
        upstreams.failed(Int(pending[row].server), now: now)
        if pending[row].isProbe { return endProbe() }
        return askUntried(row, now, id, &random)
    }

    /// The time of a question's attempt is over.
    package mutating func timedOut(_ row: UInt32, now: UInt64, id: UInt16, random: inout RandomSource) -> Action {
        counts.timeouts += 1
        upstreams.failed(Int(pending[row].server), now: now)
        if pending[row].isProbe { return endProbe() }
        guard now < pending[row].deadline, Int(pending[row].attempts) < settings.attemptsMax else { return giveUp(row, now) }
        // Clients wait no longer than this where there is something to tell them (RFC 8767, 5).
        let hasStale = pending[row].firstWaiter != 0 && prepareStale(row, now)
        let next = attempt(row, now, id, &random)
        answerIsLast = false
        answerIsCut = false
        return hasStale ? .answerAndAsk(next) : .ask(next)
    }

    /// The host has no room for the attempt: no server is to blame.
    package mutating func failedHere(_ row: UInt32, now: UInt64) -> Action {
        pending[row].isProbe ? endProbe() : giveUp(row, now)
    }

    private mutating func endProbe() -> Action {
        answerIsLast = true
        return .answer
    }

    private mutating func askUntried(_ row: UInt32, _ now: UInt64, _ id: UInt16, _ random: inout RandomSource) -> Action {
        let asked = pending[row]
        let left = upstreams.groups[Int(asked.group)].servers.count - asked.tried.nonzeroBitCount
        guard left > 0, now < asked.deadline, Int(asked.attempts) < settings.attemptsMax else { return giveUp(row, now) }
        return .ask(attempt(row, now, id, &random))
    }

    private mutating func attempt(_ row: UInt32, _ now: UInt64, _ id: UInt16, _ random: inout RandomSource) -> Attempt {
        let asked = pending[row]
        let server = upstreams.choose(group: Int(asked.group), tried: asked.tried, random: &random)
        pending[row].attempts += 1
        pending[row].tried |= upstreams.bit(of: server, group: Int(asked.group))
        pending[row].transport = .udp
        return attempt(row, to: server, now, id)
    }

    private mutating func attempt(_ row: UInt32, to server: Int, _ now: UInt64, _ id: UInt16) -> Attempt {
        counts.attempts += 1
        pending[row].server = UInt16(server)
        pending[row].id = id
        pending[row].askedAt = now
        return Attempt(
            question: row, server: upstreams.servers[server].address, transport: pending[row].transport,
            deadline: min(now &+ settings.attemptNanoseconds, pending[row].deadline))
    }

    // MARK: - Answers

    /// The next client of a question that is to be answered, and its reply; nil when there is none any more, and the question with it is
    /// over if the action was `answer`.
    package mutating func takeAnswer(_ row: UInt32, into reply: inout MutableSpan<UInt8>) -> Told? {
        guard let waiter = pending.takeWaiter(row, ofDatagramsOnly: !answerIsLast && answerIsCut) else {
            if answerIsLast { pending.remove(row) }
            return nil
        }
        let length = tellAnswer(waiter, &reply)
        return Told(asker: waiter.asker, length: length, isAlias: waiter.alias != 0)
    }

    /// What is told to those who wait when upstreams have failed: what was known of late, or why not.
    private mutating func giveUp(_ row: UInt32, _ now: UInt64) -> Action {
        answerIsLast = true
        if pending[row].firstWaiter != 0, prepareStale(row, now) { return .answer }
        let asked = pending[row]
        let code = asked.refusal ?? ResponseCode.serverFailure.rawValue
        let names = pending.names
        let name = names.span.extracting(pending.nameRange(row))
        prepareRefusal(code, asked.question, name)
        if code == ResponseCode.serverFailure.rawValue, asked.refusal != nil, settings.failureMax > 0 {
            let known = cache.find(asked.question, name: name)
            if known.map({ !isTellable($0, now) }) ?? true { keep(asked.question, .failure, lifetime: settings.failureMax, now) }
        }
        return .answer
    }

    private mutating func keep(_ question: Question, _ kind: Cache.Kind, lifetime: UInt32, _ now: UInt64) {
        let told = answer
        let bytes = told.span.extracting(0..<answerLength)
        cache.store(question, kind, answer: bytes, lifetime: lifetime, now: Self.seconds(now))
    }

    /// Takes what was known of late as the answer; false where nothing was.
    private mutating func prepareStale(_ row: UInt32, _ now: UInt64) -> Bool {
        let names = pending.names
        let known = cache.find(pending[row].question, name: names.span.extracting(pending.nameRange(row)))
        guard let known, isTellable(known, now) else { return false }
        prepare(known, isStale: true, now)
        return true
    }

    private mutating func prepare(_ known: UInt32, isStale: Bool, _ now: UInt64) {
        answerLength = cache.copy(known, to: &answer)
        answerAge = age(of: known, isStale: isStale, now)
    }

    private func age(of known: UInt32, isStale: Bool, _ now: UInt64) -> AnswerAge {
        if isStale { return AnswerAge(ttlMax: settings.staleTTL, isStale: true) }
        let entry = cache[known]
        return AnswerAge(
            seconds: Self.seconds(now) &- entry.storedAt, ttlMax: entry.kind == .success ? settings.successMax : settings.denialMax)
    }

    /// Whether what is known may be told though its time is over.
    private func isTellable(_ known: UInt32, _ now: UInt64) -> Bool {
        let entry = cache[known]
        return entry.kind != .failure && Int(Self.seconds(now)) < Int(entry.expiresAt) + Int(settings.staleMax)
    }

    /// An answer that says no more than a code.
    private mutating func prepareRefusal(_ code: UInt16, _ question: Question, _ name: Span<UInt8>) {
        answer.write16(Flags.response | code, at: 2)
        answer.write16(1, at: 4)
        answer.write16(0, at: 6)
        answer.write16(0, at: 8)
        answer.write16(0, at: 10)
        for index in 0..<name.count { answer[Query.nameOffset + index] = name[index] }
        answerLength = Query.nameOffset + question.nameLength + 4
        answer.write16(question.type.rawValue, at: answerLength - 4)
        answer.write16(question.recordClass, at: answerLength - 2)
        answerAge = AnswerAge(ttlMax: settings.successMax)
    }

    /// Tells a client what is kept.
    private mutating func tell(
        _ known: UInt32, _ waiter: Waiter, isStale: Bool, _ now: UInt64, _ reply: inout MutableSpan<UInt8>
    ) -> AskedAction {
        guard waiter.alias == 0 else {
            prepare(known, isStale: isStale, now)
            return .answer(length: tellAnswer(waiter, &reply))
        }
        let length = cache.copy(known, to: &reply, most: reply.count - ReplyForm.lengthOfOPT)
        let age = age(of: known, isStale: isStale, now)
        return .answer(length: waiter.form.finish(&reply, length: length, nameLength: nameLength, age: age))
    }

    /// Nobody can be asked. An alias is told as it is.
    private mutating func refuse(_ waiter: Waiter, _ reply: inout MutableSpan<UInt8>) -> AskedAction {
        guard waiter.alias == 0 else {
            pending.takeAlias(waiter, into: &reply)
            return .answer(length: Int(waiter.aliasLength))
        }
        let bytes = name
        prepareRefusal(ResponseCode.refused.rawValue, waiter.question, bytes.span.extracting(0..<nameLength))
        return .answer(length: tellAnswer(waiter, &reply))
    }

    /// Tells a client the answer.
    private mutating func tellAnswer(_ waiter: Waiter, _ reply: inout MutableSpan<UInt8>) -> Int {
        let bytes = answer
        let told = bytes.span.extracting(0..<answerLength)
        let nameLength = waiter.question.nameLength
        guard waiter.alias == 0 else {
            pending.takeAlias(waiter, into: &reply)
            return waiter.form.append(
                told, nameLength: nameLength, age: answerAge, to: &reply, length: Int(waiter.aliasLength), target: Int(waiter.target))
        }
        let length = min(answerLength, reply.count - ReplyForm.lengthOfOPT)
        reply.copy(told.extracting(0..<length), at: 0)
        return waiter.form.finish(&reply, length: length, nameLength: nameLength, age: answerAge)
    }

    private static func seconds(_ now: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: now / 1_000_000_000) }
}

extension [UInt8] {
    fileprivate mutating func write16(_ number: UInt16, at offset: Int) {
        self[offset] = UInt8(truncatingIfNeeded: number >> 8)
        self[offset + 1] = UInt8(truncatingIfNeeded: number)
    }
}
