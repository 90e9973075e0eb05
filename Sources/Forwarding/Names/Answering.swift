import DNS
import Engine
import Routing

/// Answers messages, and counts them.
struct Answering {
    let responder: Responder
    let counters: CounterTable

    enum Outcome: BitwiseCopyable {
        /// There is nothing to say.
        case nothing
        /// Send that many bytes.
        case reply(Int)
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
        case .reply(let written): length = written
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
        count(message, &reply, length, zoneKind, at: socket)
        return .reply(length)
    }

    private func count(_ message: Span<UInt8>, _ reply: inout MutableSpan<UInt8>, _ length: Int, _ zone: ZoneKind, at socket: Int) {
        guard length >= MessageFacts.headerBytes else { return }
        let facts = MessageFacts(of: reply.span.extracting(0..<length))
        let zone = facts.code == .formatError || facts.code == .notImplemented ? ZoneKind.other : zone
        countRequest(message, facts.type, zone, at: socket)
        countResponse(length, facts.code, zone, at: socket)
    }

    private func countRequest(_ message: Span<UInt8>, _ type: QueryKind, _ zone: ZoneKind, at socket: Int) {
        counters.add(1, row: socket, column: NameColumn.requests + zone.rawValue * QueryKind.count + type.rawValue)
        counters.add(1, row: socket, column: NameColumn.requestSizes + SizeBucket.index(of: message.count))
        counters.add(UInt64(message.count), row: socket, column: NameColumn.requestBytes)
    }

    func countResponse(_ length: Int, _ code: ResponseKind, _ zone: ZoneKind, at socket: Int) {
        counters.add(1, row: socket, column: NameColumn.responses + zone.rawValue * ResponseKind.count + code.rawValue)
        counters.add(1, row: socket, column: NameColumn.responseSizes + SizeBucket.index(of: length))
        counters.add(UInt64(length), row: socket, column: NameColumn.responseBytes)
    }
}
