package import DNS
package import Routing

/// The names that the workers answer from, for somebody on the control side to ask.
package struct NameAsking: Sendable {
    package let names: NameTable
    private let zone: Zone
    private let responder: Responder

    init(names: NameTable, zone: Zone, responder: Responder) {
        self.names = names
        self.zone = zone
        self.responder = responder
    }

    /// With a final dot.
    package var domain: String { responder.settings.domain.description }
    package var podNames: PodNames { responder.settings.podNames }

    /// The answer to a query over TCP, as it would be sent; nil where the name is none.
    package func answer(to name: String, type: RecordType) -> [UInt8]? {
        guard let name = DomainName(name) else { return nil }
        let query = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name.wire + [UInt8(type.rawValue >> 8), UInt8(type.rawValue & 0xff), 0, 1]
        var random = RandomSource(seed: 0)
        var length = 0
        var reply = [UInt8](repeating: 0, count: 65_535)
        var span = reply.mutableSpan
        switch responder.respond(to: query.span, zone: zone, over: .tcp, random: &random, into: &span) {
        case .drop: return nil
        case .reply(let reply): length = reply.length
        case .alias(let written, _, _): length = written
        case .forward(let asked): length = responder.fail(asked, in: query.span, with: .refused, into: &span)
        }
        return Array(reply.prefix(length))
    }
}
