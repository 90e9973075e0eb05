import DNS
import Engine
import Routing

/// Answers messages, and counts them. Not to be copied, which would take a count of references of each of its parts for each message.
struct Answering: ~Copyable {
    let responder: Responder
    let counters: CounterTable

    enum Outcome: BitwiseCopyable {
        /// There is nothing to say.
        case nothing
        /// Send that many bytes. Where there are facts, the same bytes answer the same message until the names change.
        case reply(Int, ReplyFacts?)
        /// Somebody else is asked; `Worker+Questions` tells the client.
        case later
    }

    /// Writes the answer to one message.
    ///
    /// - Parameters:
    ///   - asksOthers: whether somebody else may be asked. Where not, what would be asked for is left out.
    ///   - asker: whom to tell what others say.
    func answer(
        _ message: Span<UInt8>, _ zone: borrowing Zone, at socket: Int, by asker: Asker, asksOthers: Bool = true,
        _ forwarding: inout NameForwarding, _ now: UInt64, random: inout RandomSource, into reply: inout MutableSpan<UInt8>
    ) -> Outcome {
        var zoneKind = ZoneKind.cluster
        var length = 0
        switch responder.respond(to: message, zone: zone, over: asker.transport, random: &random, into: &reply) {
        case .drop:
            counters.add(1, row: socket, column: NameColumn.dropped + QueryDrop.noQuery.rawValue)
            return .nothing
        case .reply(let found):
            let facts = ReplyFacts(found)
            count(message, found.length, facts, at: socket)
            return .reply(found.length, found.isFixed ? facts : nil)
        case .alias(let written, let target, let query):
            length = written
            // Who asks for the alias alone has it.
            guard asksOthers, forwarding.isUsed, query.type == .a || query.type == .aaaa else { break }
            let told = forwarding.askForAlias(query, message, target, length, by: asker, now, random: &random, into: &reply)
            guard let told else {
                countRequest(message, QueryKind(type: query.type.rawValue), zoneKind, at: socket)
                return .later
            }
            length = told
        case .forward(let query):
            zoneKind = .other
            guard forwarding.isUsed, asksOthers else {
                length = responder.fail(query, in: message, with: forwarding.isUsed ? .noError : .refused, into: &reply)
                break
            }
            guard let told = forwarding.ask(query, message, by: asker, now, random: &random, into: &reply) else {
                countRequest(message, QueryKind(type: query.type.rawValue), zoneKind, at: socket)
                return .later
            }
            length = told
        }
        // Others may have had a part in it.
        if length >= MessageFacts.headerBytes {
            let facts = MessageFacts(of: reply.span.extracting(0..<length))
            count(message, length, ReplyFacts(zone: zoneKind, type: facts.type, code: facts.code), at: socket)
        }
        return .reply(length, nil)
    }

    /// Counts a message that was answered, and its answer.
    func count(_ message: Span<UInt8>, _ length: Int, _ facts: ReplyFacts, at socket: Int) {
        countRequest(message, facts.type, facts.zone, at: socket)
        countResponse(length, facts.code, facts.zone, at: socket)
    }

    private func countRequest(_ message: Span<UInt8>, _ type: QueryKind, _ zone: ZoneKind, at socket: Int) {
        counters.addMessage(
            row: socket, column: NameColumn.requests + zone.rawValue * QueryKind.count + type.rawValue,
            size: NameColumn.requestSizes + SizeBucket.index(of: message.count), bytes: NameColumn.requestBytes, message.count)
    }

    func countResponse(_ length: Int, _ code: ResponseKind, _ zone: ZoneKind, at socket: Int) {
        counters.addMessage(
            row: socket, column: NameColumn.responses + zone.rawValue * ResponseKind.count + code.rawValue,
            size: NameColumn.responseSizes + SizeBucket.index(of: length), bytes: NameColumn.responseBytes, length)
    }
}

/// What is counted of a reply.
struct ReplyFacts: BitwiseCopyable {
    let zone: ZoneKind
    let type: QueryKind
    let code: ResponseKind

    init(zone: ZoneKind, type: QueryKind, code: ResponseKind) {
        self.zone = zone
        self.type = type
        self.code = code
    }

    init(_ reply: Responder.Reply) {
        type = QueryKind(type: reply.type.rawValue)
        code = ResponseKind(code: reply.code.rawValue)
        // What could not be read asked for nobody's name.
        zone = code == .formatError || code == .notImplemented ? .other : .cluster
    }

    /// As `note` says.
    init?(note: UInt32) {
        guard let zone = ZoneKind(rawValue: Int(note >> 16)), let type = QueryKind(rawValue: Int(note >> 8 & 0xff)),
            let code = ResponseKind(rawValue: Int(note & 0xff))
        else { return nil }
        self.init(zone: zone, type: type, code: code)
    }

    /// For `PacketCache`.
    var note: UInt32 { UInt32(zone.rawValue) << 16 | UInt32(type.rawValue) << 8 | UInt32(code.rawValue) }
}
