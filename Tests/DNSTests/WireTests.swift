import Routing
import Testing

@testable import DNS
@testable import Fuzz

/// What is read of a message, and how replies are made to fit.
struct WireTests {
    private let world = World.cluster

    private static let name = Packet.name("web.prod.svc.cluster.local")
    private static let question = name + [0, 1, 0, 1]

    @Test(arguments: [
        ("less than a header", [UInt8](repeating: 0, count: 11), nil), ("nothing", [], nil),
        ("a response", Packet.header(flags: 0x8180) + question, nil), ("no question", Packet.header([0, 0, 0, 0]), "FORMERR"),
        ("two questions", Packet.header([2, 0, 0, 0]) + question + question, "FORMERR"),
        ("a question that is not there", Packet.header(), "FORMERR"), ("an answer", Packet.header([1, 1, 0, 0]) + question, "FORMERR"),
        ("an authority", Packet.header([1, 0, 1, 0]) + question, "FORMERR"),
        ("an additional record that is not there", Packet.header([1, 0, 0, 1]) + question, "FORMERR"),
        ("65,535 of them", Packet.header([1, 0, 0, 65_535]) + question + Packet.opt(), "FORMERR"),
        ("bytes behind the end", Packet.header() + question + [0], "FORMERR"), ("half a question", Packet.header() + name + [0], "FORMERR"),
        ("a name without end", Packet.header() + name.dropLast(), "FORMERR"),
        ("a pointer to itself", Packet.header() + [0xc0, 12, 0, 1, 0, 1], "FORMERR"),
        ("a pointer behind a label", Packet.header() + [1, 97, 0xc0, 12, 0, 1, 0, 1], "FORMERR"),
        ("a label of another kind", Packet.header() + [0x41] + name + [0, 1, 0, 1], "FORMERR"),
        ("a name of 256 octets", Packet.header() + Self.long(256) + [0, 1, 0, 1], "FORMERR"),
        ("a name of 255 octets", Packet.header() + Self.long(255) + [0, 1, 0, 1], "REFUSED"),
        ("two OPT records", Packet.header([1, 0, 0, 2]) + question + Packet.opt() + Packet.opt(), "FORMERR"),
        ("an OPT record with a name", Packet.header([1, 0, 0, 1]) + question + [1, 97] + Packet.opt(), "FORMERR"),
        ("an option cut short", Packet.header([1, 0, 0, 1]) + question + Packet.opt(data: [0, 10, 0, 9, 1]), "FORMERR"),
        ("an option", Packet.header([1, 0, 0, 1]) + question + Packet.opt(data: [0, 10, 0, 1, 1]), "NOERROR"),
        (
            "another additional record",
            Packet.header([1, 0, 0, 2]) + question + [0xc0, 12] + [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 7] + Packet.opt(), "NOERROR"
        ),
        ("EDNS of version 1", Packet.header([1, 0, 0, 1]) + question + Packet.opt(version: 1), "BADVERS"),
        ("NOTIFY", Packet.header(flags: 0x2000) + question, "NOTIMP"), ("an update that is none", Packet.header(flags: 0x2800), "NOTIMP"),
        ("class CH", Packet.header() + name + [0, 1, 0, 3], "REFUSED"), ("class ANY", Packet.header() + name + [0, 1, 0, 255], "REFUSED"),
        ("AXFR", Packet.header() + name + [0, 252, 0, 1], "REFUSED"),
        ("IXFR", Packet.header([1, 0, 1, 0]) + name + [0, 251, 0, 1, 9], "REFUSED"),
        ("a type nobody knows", Packet.header() + name + [0xff, 0, 0, 1], "NOERROR"),
        ("the root", Packet.header() + [0, 0, 2, 0, 1], "REFUSED"),
        ("what is right", Packet.header() + question, "NOERROR"),
    ])
    func aMessageGetsTheReplyThatItMay(what: String, message: [UInt8], expected: String?) {
        for transport in [QueryTransport.udp, .tcp] {
            let exchange = world.exchange(message, over: transport)
            #expect(exchange.findings == [], "\(what)")
            #expect(exchange.message.map { Packet.codeName($0.code) } == expected, "\(what)")
        }
    }

    private static func long(_ octets: Int) -> [UInt8] {
        var name: [UInt8] = []
        while octets - 1 - name.count > 64 { name += [63] + Array(repeating: 97, count: 63) }
        let rest = octets - 1 - name.count
        return name + [UInt8(rest - 1)] + Array(repeating: 97, count: rest - 1) + [0]
    }

    @Test func flagsAreTheClientsAndOurs() throws {
        for (flags, expected) in [(0x0100, 0x8500), (0, 0x8400), (0x0110, 0x8510), (0x02b0, 0x8410)] {
            let exchange = world.exchange(Packet.query("web.prod.svc.cluster.local", 1, flags: flags))
            #expect(exchange.message?.flags == UInt16(expected))
        }
        var world = world
        world.settings.offersRecursion = true
        #expect(world.exchange(Packet.query("web.prod.svc.cluster.local", 1)).message?.flags == 0x8580)
        // Not ours: no authority.
        #expect(world.exchange(Packet.query("example.com", 1)).message?.flags == 0x8185)
    }

    @Test func extendedQueriesGetExtendedReplies() throws {
        let plain = try world.ask("web.prod.svc.cluster.local", payload: nil)
        #expect(plain.opt == nil)
        let opt = try #require(try world.ask("web.prod.svc.cluster.local", payload: 4096).opt)
        #expect(opt.recordClass == 1232 && opt.ttl == 0)
        let secure = Packet.header([1, 0, 0, 1]) + Self.question + Packet.opt(flags: 0x8000)
        #expect(world.exchange(secure).message?.opt?.ttl == 0x8000)
    }

    /// A headless Service of so many endpoints.
    private static func crowd(_ count: Int) -> String {
        let addresses = (0..<count).map { "{ip: 10.1.\($0 / 250).\($0 % 250 + 1)}" }.joined(separator: ", ")
        return """
            {apiVersion: v1, kind: Service, metadata: {name: crowd}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
            ---
            apiVersion: v1
            kind: Endpoints
            metadata: {name: crowd}
            subsets: [{ports: [{name: http, port: 80}], addresses: [\(addresses)]}]
            """
    }

    @Test(arguments: [
        // 49 octets for header and question, 11 for OPT, 16 for each that has room.
        (nil, 28), (512, 28), (100, 28), (1000, 58), (1232, 73), (4096, 73),
    ])
    func aReplyByUDPEndsWhereTheClientOrThePathDoes(payload: Int?, expected: Int) throws {
        let world = try World(Self.crowd(100))
        let message = try world.ask("crowd.default.svc.cluster.local", over: .udp, payload: payload)
        #expect(message.isTruncated && message.answers.count == expected)
        #expect(Set(message.answers.map(\.data)).count == expected)
    }

    @Test func byTCPEverythingHasRoom() throws {
        let world = try World(Self.crowd(1000))
        let message = try world.ask("crowd.default.svc.cluster.local", payload: nil)
        #expect(!message.isTruncated && Set(message.answers.map(\.data)).count == 1000)
    }

    @Test func whatFitsExactlyIsNotCutOff() throws {
        let message = try World(Self.crowd(28)).ask("crowd.default.svc.cluster.local", over: .udp, payload: nil)
        #expect(!message.isTruncated && message.answers.count == 28)
    }

    @Test func additionalRecordsWithoutRoomAreLeftOut() throws {
        // 62 octets each, with an address 78.
        let message = try World(Self.crowd(7)).ask("crowd.default.svc.cluster.local", "SRV", over: .udp, payload: nil)
        #expect(!message.isTruncated && message.answers.count == 7 && message.additionals.count < 7)
    }

    @Test func manyServersOfOnePortAreCutOffLikeOthers() throws {
        let world = try World(Self.crowd(1100))
        let message = try world.ask("_http._tcp.crowd.default.svc.cluster.local", "SRV", over: .udp)
        #expect(message.isTruncated && message.additionals.isEmpty && message.answers.allSatisfy { $0.data.hasPrefix("0 1 80 ") })
        // 60 KB and more, of which 16 KB can be pointed at.
        let all = try world.ask("_http._tcp.crowd.default.svc.cluster.local", "SRV")
        #expect(all.isTruncated || all.answers.count == 1100)
    }

    /// Bytes changed, cut out and put in by chance: never a trap, always a reply that can be read, or none.
    @Test(arguments: 0..<8) func whateverComesIsAnsweredOrDropped(seed: Int) {
        var random = RandomSource(seed: UInt64(seed))
        let names = [
            "web.prod.svc", "_http._tcp.web.prod.svc", "in.prod.svc", "ring.prod.svc", "crowd.prod.svc", "10-0-0-1.prod.pod", "db.prod.svc",
        ]
        for _ in 0..<100 {
            let type = [1, 28, 33, 5, 255, 12, 6, 2, 16][random.below(9)]
            var bytes = Packet.query(
                "\(names[random.below(names.count)]).cluster.local", UInt16(type),
                payload: random.below(2) == 0 ? nil : random.below(65_536))
            if random.below(8) == 0 { bytes = Packet.query("\(random.below(300)).0.96.10.in-addr.arpa", 12) }
            for _ in 0..<random.below(4) where !bytes.isEmpty {
                let place = random.below(bytes.count)
                switch random.below(5) {
                case 0: bytes[place] = UInt8(random.below(256))
                case 1: bytes[place] ^= 1 << UInt8(random.below(8))
                case 2: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(6)))
                case 3: bytes.insert(contentsOf: (0...random.below(6)).map { _ in UInt8(random.below(256)) }, at: place)
                default: bytes.insert(contentsOf: bytes[random.below(place + 1)...place], at: place)
                }
            }
            #expect(DNSFuzzing.play(bytes) == [], "\(bytes)")
        }
    }
}
