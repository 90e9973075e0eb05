import Addressing
import DNS
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// A worker that asks others for names: these are played by hand, and so are its clients.
struct NameForwardingTests {
    /// Name servers that answer, or don't, as a test has it.
    private final class Servers {
        static let places = (1...2).compactMap { SocketAddress(IPAddress(ipv4: 0x0a63_0000 + $0), PortNumber(53)!) }

        let stage: NameStage
        let sockets: [HandDatagramPeer]
        let listeners: [HandListener]
        private var connections: [(peer: HandPeer, bytes: [UInt8])] = []
        private(set) var questions = 0

        init(faults: Faults = Faults(), seed: UInt64 = 1, questionsMax: Int = 16) {
            stage = NameStage(faults: faults, seed: seed, upstreams: Upstreams(servers: Self.places), questionsMax: questionsMax)
            sockets = Self.places.map { [stage] in stage.network.openDatagramsByHand(at: $0) }
            listeners = Self.places.map { [stage] in stage.network.listenByHand($0) }
            stage.publish([NameStage.cluster(7)])
        }

        /// The reply to a question: an address, nothing of what stands behind it.
        static func reply(to question: [UInt8], truncated: Bool = false, code: UInt8 = 0, records: Int = 1) -> [UInt8] {
            var end = 12
            while question[end] > 0 { end += Int(question[end]) + 1 }
            var reply = Array(question[..<(end + 5)])
            reply[2] = truncated ? 0x83 : 0x81
            reply[3] = 0x80 | code
            reply[6] = UInt8(records >> 8)
            reply[7] = UInt8(records & 255)
            reply[11] = 0
            for record in 0..<records { reply += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, UInt8(record & 255)] }
            return reply
        }

        /// Lets the servers do with what has come to them as `answer` says: the replies to one question.
        func turn(_ answer: (_ question: [UInt8], _ overTCP: Bool) -> [[UInt8]]) {
            for socket in sockets {
                while let asked = stage.network.receive(socket) {
                    questions += 1
                    for reply in answer(asked.bytes, false) { stage.network.send(socket, reply[...], to: asked.from) }
                }
            }
            for listener in listeners {
                while let peer = stage.network.accept(listener) { connections.append((peer, [])) }
            }
            var ended: [Int] = []
            for index in connections.indices {
                var part = stage.network.receive(connections[index].peer, most: 65_536)
                while let some = part.bytes, !some.isEmpty {
                    connections[index].bytes += some
                    part = stage.network.receive(connections[index].peer, most: 65_536)
                }
                if part.bytes != nil || part.errno != 11 { ended.append(index) }
                let bytes = connections[index].bytes
                guard bytes.count >= 2, bytes.count >= 2 + Int(bytes[0]) << 8 + Int(bytes[1]) else { continue }
                connections[index].bytes = []
                for reply in answer(Array(bytes[2...]), true) {
                    var rest = NameMessage.framed(reply)[...]
                    for _ in 0..<1000 where !rest.isEmpty {
                        let sent = stage.network.send(connections[index].peer, rest)
                        if sent > 0 { rest = rest.dropFirst(sent) } else if sent != -11 { break }
                        stage.run()
                    }
                }
            }
            for index in ended.reversed() { stage.network.close(connections.remove(at: index).peer) }
        }

        func count(_ count: ForwardingCount) -> Int { stage.udp(NameColumn.forwarding + count.rawValue) }

        /// Lets all that is under way end by itself, for want of replies; then nothing may be left.
        func close() {
            stage.network.faults = Faults()
            stage.run(seconds: 6)
            #expect(count(.questionsActive) == 0)
            stage.close()
        }
    }

    private static func replies(_ stage: NameStage, to peer: HandDatagramPeer) -> [[UInt8]] {
        var replies: [[UInt8]] = []
        while let reply = stage.network.receive(peer) { replies.append(reply.bytes) }
        return replies
    }

    @Test func anAnswerIsAskedForOnceAndKept() {
        let servers = Servers()
        let stage = servers.stage
        let clients = (0..<3).map { _ in stage.datagrams() }
        for (id, client) in clients.enumerated() { #expect(stage.ask(NameMessage.query("Www.Example.com", id: id), from: client) == []) }
        servers.turn { question, _ in [Servers.reply(to: question)] }
        stage.run()
        for (id, client) in clients.enumerated() {
            let told = Self.replies(stage, to: client)
            #expect(told.map(NameMessage.id) == [id] && told.map(NameMessage.answers) == [1])
            #expect(told.first.map { Array($0[12..<29]) } == Array(NameMessage.query("Www.Example.com")[12..<29]))
        }
        #expect(stage.ask(NameMessage.query("www.example.com"), from: clients[0]).map(NameMessage.answers) == [1])
        #expect(servers.questions == 1 && servers.count(.joined) == 2 && servers.count(.successHits) == 1)
        let times = stage.replyTimes
        #expect(times.counts.reduce(0, +) == 1 && times.counts.firstIndex(of: 1) == ReplyTime.index(of: times.nanoseconds))
        #expect(stage.udp(NameColumn.responses + ResponseKind.count) == 4)
        servers.close()
    }

    @Test func silenceIsMetByTheNextServerAndEndsInServerFailure() {
        let servers = Servers()
        let stage = servers.stage
        let client = stage.datagrams()
        #expect(stage.ask(NameMessage.query("www.example.com"), from: client) == [])
        stage.run(seconds: 1.4)
        servers.turn { _, _ in [] }
        #expect(servers.questions == 1)
        stage.run(seconds: 0.2)
        servers.turn { _, _ in [] }
        #expect(servers.questions == 2)
        stage.run(seconds: 3.1)
        #expect(Self.replies(stage, to: client).map(NameMessage.code) == [2])
        #expect(servers.count(.timeouts) == 3 && servers.count(.attempts) == 3)
        #expect(stage.replyTimes.counts.allSatisfy { $0 == 0 })
        servers.close()
    }

    @Test func whatIsLongIsHadOverTCP() {
        let servers = Servers()
        let stage = servers.stage
        let connection = stage.connect()
        #expect(stage.send(NameMessage.framed(NameMessage.query("www.example.com", id: 5)), over: connection))
        for _ in 0..<20 {
            servers.turn { question, overTCP in [Servers.reply(to: question, truncated: !overTCP, records: overTCP ? 200 : 0)] }
            stage.run()
        }
        let told = NameMessage.messages(stage.receive(from: connection).bytes)
        #expect(told?.map(NameMessage.answers) == [200] && told?.map(NameMessage.id) == [5])
        servers.close()
    }

    @Test func tooManyAreRefused() {
        let servers = Servers(questionsMax: 4)
        let stage = servers.stage
        let client = stage.datagrams()
        for number in 0..<4 { #expect(stage.ask(NameMessage.query("n\(number).example"), from: client) == []) }
        #expect(stage.ask(NameMessage.query("n4.example"), from: client).map(NameMessage.code) == [5])
        #expect(servers.count(.rejects) == 1)
        servers.close()
        #expect(Self.replies(stage, to: client).map(NameMessage.code) == [2, 2, 2, 2])
    }

    @Test func aServerWhoseWordsAreNoReplyIsLeftForAnother() {
        let servers = Servers()
        let stage = servers.stage
        let client = stage.datagrams()
        #expect(stage.ask(NameMessage.query("www.example.com"), from: client) == [])
        servers.turn { question, _ in
            (0..<80).map { number in [question[0] ^ 1, UInt8(number)] + Servers.reply(to: question).dropFirst(2) }
        }
        stage.run(seconds: 0.02)
        servers.turn { question, _ in [Servers.reply(to: question)] }
        stage.run()
        #expect(Self.replies(stage, to: client).map(NameMessage.answers) == [1])
        #expect(servers.count(.foreign) >= 64)
        servers.close()
    }

    /// Everything at once, under faults: each client of UDP gets one answer at most and that is its own, and in the end nothing is left.
    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func nothingIsLeftUnderFaults(_ seed: UInt64) {
        var random = RandomSource(seed: seed)
        var drawing = SimulatedRandom(seed: seed)
        let servers = Servers(faults: Faults.mixed(&drawing), seed: seed, questionsMax: 12)
        let stage = servers.stage
        var clients: [(peer: HandDatagramPeer, id: Int)] = []
        var connections: [HandPeer] = []
        var told = 0
        for turn in 0..<400 {
            let name = "n\(random.below(30)).example.com"
            if random.below(3) > 0, clients.count < 100 {
                let peer = stage.datagrams()
                stage.network.send(peer, NameMessage.query(name, id: turn)[...])
                clients.append((peer, turn))
            } else if connections.count < 12 {
                let peer = stage.connect()
                connections.append(peer)
                _ = stage.network.send(peer, NameMessage.framed(NameMessage.query(name, id: turn))[...])
            } else if random.below(4) == 0 {
                stage.network.close(connections.removeFirst())
            }
            servers.turn { question, overTCP in
                let reply = Servers.reply(to: question, records: overTCP ? 100 : 1)
                switch random.below(8) {
                case 0: return []
                case 1: return [[1, 2, 3], [reply[0] ^ 1] + reply.dropFirst(), reply]
                case 2: return [Servers.reply(to: question, truncated: !overTCP, records: 0)]
                case 3: return [Servers.reply(to: question, code: 2, records: 0)]
                case 4: return [reply, reply]
                case 5: return [Array(reply.dropLast(3))]
                default: return [reply]
                }
            }
            stage.run(seconds: random.below(20) == 0 ? 1 : 0.004)
            for (peer, id) in clients {
                for reply in Self.replies(stage, to: peer) {
                    #expect(NameMessage.id(reply) == id)
                    told += 1
                }
            }
        }
        #expect(told > 20)
        servers.close()
    }
}
