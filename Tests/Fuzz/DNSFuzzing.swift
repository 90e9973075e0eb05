import Addressing
package import DNS
import Routing

/// One message to the responder, with each way to name Pods, by UDP, and once by TCP. Whatever it is, the reply is a message that a
/// client can read, or there is none.
enum DNSFuzzing: FuzzTarget {
    static let name = "dns"

    static func play(_ bytes: [UInt8]) -> [String] {
        PodNames.allCases.flatMap { podNames in
            var settings = Responder.Settings(domain: domain)
            settings.podNames = podNames
            settings.serverAddresses = [address("10.0.0.53"), address("fd00::53")]
            settings.ownedRanges = ranges
            let transports: [QueryTransport] = podNames == .verified ? [.udp, .tcp] : [.udp]
            return transports.flatMap { DNSExchange(bytes, Responder(settings), zone, over: $0).findings }
        }
    }

    static let domain = DomainName("cluster.local") ?? { fatalError("that is a name") }()
    private static let ranges = ["10.96.0.0/12", "fd00:10:96::/112"].compactMap { IPRange($0) }

    static func address(_ text: String) -> IPAddress { IPAddress(text) ?? { fatalError("\(text) is no address") }() }

    /// Something of each kind, and a Service whose endpoints don't fit into a datagram.
    static let zone: Zone = {
        func port(_ name: String, _ number: Int, _ transport: TransportProtocol = .tcp) -> ServiceNames.Port {
            ServiceNames.Port(name: name, transport: transport, number: PortNumber(number) ?? { fatalError("\(number) is no port") }())
        }
        func service(_ name: String, _ kind: ServiceNames.Kind, _ sets: [ServiceNames.EndpointSet] = []) -> ServiceNames {
            ServiceNames(service: ServiceName(namespace: "prod", name: name), kind: kind, endpointSets: sets)
        }
        func endpoints(_ addresses: [String], hostname: String? = nil) -> [ServiceNames.Endpoint] {
            addresses.map { ServiceNames.Endpoint(hostname: hostname, address: address($0)) }
        }
        let web = [port("http", 80), port("dns", 53, .udp), port("dns-tcp", 53), port("", 9)]
        let services = [
            service(
                "web", .cluster(addresses: [address("10.96.0.7"), address("fd00:10:96::7")], ports: web),
                [.init(ports: web, endpoints: endpoints(["10.0.0.1", "10.0.0.53"], hostname: "twin"))]),
            service(
                "db", .headless,
                [
                    .init(ports: [port("sql", 5432)], endpoints: endpoints(["10.0.0.2", "fd00::2"], hostname: "db-0")),
                    .init(ports: [], endpoints: endpoints(["10.0.0.3"])),
                ]),
            service("crowd", .headless, [.init(ports: web, endpoints: endpoints((1...90).map { "10.1.0.\($0)" }))]),
            service("out", .externalName("www.example.com")), service("in", .externalName("web.prod.svc.cluster.local.")),
            service("gone", .externalName("nothing.prod.svc.cluster.local")), service("ring", .externalName("rung.prod.svc.cluster.local")),
            service("rung", .externalName("ring.prod.svc.cluster.local")), service("bare", .cluster(addresses: [], ports: [])),
        ]
        let chain = (0..<14).map { service("link-\($0)", .externalName("link-\($0 + 1).prod.svc.cluster.local")) }
        let names = NameTable(
            services: PersistentDictionary(Dictionary(uniqueKeysWithValues: (services + chain).map { ($0.service, $0) })),
            namespaces: ["prod": NamespaceNames(name: "prod", podAddresses: [address("10.0.0.1"), address("fd00::2")])])
        var maker = ZoneMaker()
        return maker.update(to: RoutingSnapshot(generation: 1, frontends: [:], names: names), serial: 1)
    }()
}

/// One query and what came of it, with all that must hold of it.
package struct DNSExchange {
    package private(set) var outcome = Responder.Outcome.drop
    /// The bytes that are to be sent; empty where nothing is.
    package private(set) var reply: [UInt8] = []
    package private(set) var message: DNSMessage?
    package private(set) var findings: [String] = []

    /// What is for others is answered by REFUSED.
    package init(
        _ query: [UInt8], _ responder: Responder, _ zone: Zone, over transport: QueryTransport, seed: UInt64 = 1, room: Int = 65_535
    ) {
        var random = RandomSource(seed: seed)
        var buffer = [UInt8](repeating: 0xa5, count: room)
        var length = 0
        var isFixed = false
        do {
            var span = buffer.mutableSpan
            outcome = responder.respond(to: query.span, zone: zone, over: transport, random: &random, into: &span)
            switch outcome {
            case .drop: break
            case .reply(let reply):
                length = reply.length
                if reply.isFixed { isFixed = true }
            case .alias(let count, _, _): length = count
            case .forward(let read): length = responder.fail(read, in: query.span, with: .refused, into: &span)
            }
        }
        reply = Array(buffer[..<length])
        if isFixed, reply != Self.again(query, responder, zone, transport, seed: seed &+ 1, room: room) {
            findings.append("a reply that is said to be fixed is another by other chances")
        }
        guard length > 0 else {
            if query.count >= 12, query[2] & 0x80 == 0 { findings.append("silence for what can be answered") }
            return
        }
        do {
            let message = try DNSMessage(reply)
            self.message = message
            check(message, query, responder, transport)
        } catch {
            findings.append("the reply is malformed: \(error)")
        }
    }

    /// The reply by other chances, and with another id in the query, which is taken back.
    private static func again(
        _ query: [UInt8], _ responder: Responder, _ zone: Zone, _ transport: QueryTransport, seed: UInt64, room: Int
    ) -> [UInt8] {
        var other = query
        other[0] ^= 0xff
        var random = RandomSource(seed: seed)
        var buffer = [UInt8](repeating: 0x5a, count: room)
        var span = buffer.mutableSpan
        guard case .reply(let reply) = responder.respond(to: other.span, zone: zone, over: transport, random: &random, into: &span) else {
            return []
        }
        buffer[0] ^= 0xff
        return Array(buffer[..<reply.length])
    }

    private mutating func check(_ message: DNSMessage, _ query: [UInt8], _ responder: Responder, _ transport: QueryTransport) {
        if !message.isResponse || !reply.starts(with: query.prefix(2)) { findings.append("the reply is not this query's") }
        if query[2] & 0x79 != reply[2] & 0x79 { findings.append("OPCODE or RD is another") }
        if transport == .udp, reply.count > responder.settings.payloadMax { findings.append("\(reply.count) octets by UDP") }
        if transport == .tcp, message.isTruncated, reply.count < 60_000 { findings.append("cut off where there was room") }
        let codes = [0, 1, 2, 3, 4, 5, 16]
        if !codes.contains(Int(message.code)) { findings.append("RCODE \(message.code)") }
        guard let name = message.questionName else {
            if ![1, 4].contains(message.code) { findings.append("no question, and RCODE \(message.code)") }
            if reply.count != 12 { findings.append("\(reply.count) octets without a question") }
            return
        }
        let questionLength = name == "." ? 1 : query[12...].prefix { $0 != 0 }.count + 1
        if !reply[12...].starts(with: query[12..<12 + min(questionLength, query.count - 12)]) { findings.append("another question") }
        let negative = message.answers.isEmpty && message.isAuthoritative && !message.isTruncated
        if negative, message.authorities.first?.typeName != "SOA" { findings.append("a negative answer without SOA") }
        if case .alias(_, let target, _) = outcome {
            let rest = reply[target...].prefix { $0 < 64 && $0 != 0 }
            if message.answers.last?.typeName != "CNAME" || rest.isEmpty { findings.append("no alias at \(target)") }
        }
        // A CNAME comes before what it leads to, and nothing stands twice.
        var owner = name
        for record in message.answers {
            if record.name != owner { findings.append("\(record) does not answer for \(owner)") }
            if record.typeName == "CNAME" { owner = record.data }
        }
        for section in [message.answers, message.authorities, message.additionals] where Set(section).count != section.count {
            findings.append("a record stands twice")
        }
    }
}
