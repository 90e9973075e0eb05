import DNS
import Engine
import Routing

/// Answers messages, and counts them.
struct Answering {
    let responder: Responder
    let counters: CounterTable

    /// Writes the answer to one message; 0 where there is none.
    func answer(
        _ message: Span<UInt8>, _ zone: borrowing Zone, at socket: Int, over transport: QueryTransport, random: inout RandomSource,
        into reply: inout MutableSpan<UInt8>
    ) -> Int {
        var zoneKind = ZoneKind.cluster
        var length = 0
        switch responder.respond(to: message, zone: zone, over: transport, random: &random, into: &reply) {
        case .drop:
            counters.add(1, row: socket, column: NameColumn.dropped + QueryDrop.noQuery.rawValue)
            return 0
        case .reply(let written), .alias(let written, _, _): length = written
        case .forward(let query):
            zoneKind = .other
            length = forward(query, message, into: &reply)
        }
        count(message, &reply, length, zoneKind, at: socket)
        return length
    }

    /// Names that are not the cluster's. Nobody else is asked for them.
    private func forward(_ query: Query, _ message: Span<UInt8>, into reply: inout MutableSpan<UInt8>) -> Int {
        responder.fail(query, in: message, with: .refused, into: &reply)
    }

    private func count(_ message: Span<UInt8>, _ reply: inout MutableSpan<UInt8>, _ length: Int, _ zone: ZoneKind, at socket: Int) {
        guard length >= MessageFacts.headerBytes else { return }
        let facts = MessageFacts(of: reply.span.extracting(0..<length))
        let zone = facts.code == .formatError || facts.code == .notImplemented ? ZoneKind.other : zone
        counters.add(
            1, row: socket, column: NameColumn.requests + zone.rawValue * QueryKind.count + facts.type.rawValue)
        counters.add(
            1, row: socket, column: NameColumn.responses + zone.rawValue * ResponseKind.count + facts.code.rawValue)
        counters.add(1, row: socket, column: NameColumn.requestSizes + SizeBucket.index(of: message.count))
        counters.add(UInt64(message.count), row: socket, column: NameColumn.requestBytes)
        counters.add(1, row: socket, column: NameColumn.responseSizes + SizeBucket.index(of: length))
        counters.add(UInt64(length), row: socket, column: NameColumn.responseBytes)
    }
}
