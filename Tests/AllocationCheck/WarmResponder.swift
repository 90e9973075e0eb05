import Addressing
import CAllocationCounter
import DNS
import Routing

/// A responder that answers queries of every kind from a zone of a thousand Services.
package struct WarmResponder {
    package struct Finding {
        package var queries = 0
        /// After the first round.
        package var allocations: UInt64 = 0
        package var failures: [String] = []
    }

    /// What is asked, and the RCODE and how many answers it gets; nil: it is somebody else's.
    private static let questions: [(name: String, type: UInt16, expected: (code: UInt8, answers: UInt8)?)] = [
        ("web-7.prod.svc.cluster.local", 1, (0, 1)), ("WEB-8.prod.svc.Cluster.local", 28, (0, 0)),
        ("db.prod.svc.cluster.local", 1, (0, 20)),
        ("_http._tcp.web-9.prod.svc.cluster.local", 33, (0, 1)), ("db.prod.svc.cluster.local", 33, (0, 20)),
        ("host-3.db.prod.svc.cluster.local", 1, (0, 1)), ("nothing.prod.svc.cluster.local", 1, (3, 0)),
        ("www.example.com.prod.svc.cluster.local", 1, (3, 0)), ("in.prod.svc.cluster.local", 1, (0, 2)),
        ("out.prod.svc.cluster.local", 1, (0, 1)), ("ring.prod.svc.cluster.local", 1, (0, 2)),
        ("10-0-0-7.prod.pod.cluster.local", 1, (0, 1)), ("7.0.96.10.in-addr.arpa", 12, (0, 1)), ("9.255.96.10.in-addr.arpa", 12, (3, 0)),
        ("cluster.local", 6, (0, 1)), ("cluster.local", 2, (0, 1)), ("dns-version.cluster.local", 16, (0, 1)),
        ("web-7.prod.svc.cluster.local", 255, (0, 1)), ("web-7.prod.svc.cluster.local", 252, (5, 0)), ("www.example.com", 1, nil),
    ]

    package static func measure(rounds: Int = 1000) -> Finding {
        let zone = makeZone()
        var settings = Responder.Settings(domain: DomainName("cluster.local")!)
        settings.podNames = .insecure
        settings.ownedRanges = [IPRange("10.96.0.0/12")!]
        settings.serverAddresses = [IPAddress(ipv4: 0x0a60_0007)]
        let responder = Responder(settings)
        let messages = questions.map { message($0.name, $0.type) }
        let expected = questions.map(\.expected)
        var random = RandomSource(seed: 1)
        var buffer = [UInt8](repeating: 0, count: 4096)
        var finding = Finding()
        var reply = buffer.mutableSpan
        for round in 0...rounds {
            let before = ringway_allocation_count()
            var wrong = -1
            for index in messages.indices {
                let message = messages[index]
                let outcome = responder.respond(to: message.span, zone: zone, over: .udp, random: &random, into: &reply)
                switch (outcome, expected[index]) {
                case (.reply, let right?), (.alias, let right?):
                    if reply[3] & 0xf != right.code || reply[7] != right.answers { wrong = index }
                case (.forward(let query), nil):
                    if responder.fail(query, in: message.span, with: .refused, into: &reply) != query.questionEnd + 11 { wrong = index }
                default: wrong = index
                }
            }
            // The first one makes constants.
            if round > 0 {
                finding.allocations += ringway_allocation_count() - before
                finding.queries += messages.count
            }
            if wrong >= 0 {
                finding.failures.append("\(questions[wrong].name) \(questions[wrong].type): \(reply[3] & 0xf), \(reply[7]) answers")
                break
            }
        }
        return finding
    }

    private static func message(_ name: String, _ type: UInt16) -> [UInt8] {
        var bytes: [UInt8] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]
        for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
        return bytes + [0, UInt8(type >> 8), UInt8(type & 0xff), 0, 1] + [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]
    }

    private static func makeZone() -> Zone {
        func service(_ name: String, _ kind: ServiceNames.Kind, _ sets: [ServiceNames.EndpointSet] = []) -> ServiceNames {
            ServiceNames(service: ServiceName(namespace: "prod", name: name), kind: kind, endpointSets: sets)
        }
        let http = ServiceNames.Port(name: "http", transport: .tcp, number: PortNumber(80)!)
        let hosts = (0..<20).map { ServiceNames.Endpoint(hostname: "host-\($0)", address: IPAddress(ipv4: 0x0a00_0000 + UInt32($0))) }
        var services = (0..<1000).map {
            service("web-\($0)", .cluster(addresses: [IPAddress(ipv4: 0x0a60_0000 + UInt32($0))], ports: [http]))
        }
        services += [
            service("db", .headless, [.init(ports: [http], endpoints: hosts)]), service("out", .externalName("www.example.com")),
            service("in", .externalName("web-7.prod.svc.cluster.local")), service("ring", .externalName("rung.prod.svc.cluster.local")),
            service("rung", .externalName("ring.prod.svc.cluster.local")),
        ]
        let names = NameTable(
            services: PersistentDictionary(Dictionary(uniqueKeysWithValues: services.map { ($0.service, $0) })),
            namespaces: ["prod": NamespaceNames(name: "prod")])
        var maker = ZoneMaker()
        return maker.update(to: RoutingSnapshot(generation: 1, frontends: [:], names: names), serial: 1)
    }
}
