import Addressing
import DNS
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding

/// The cluster's DNS as a worker serves it: whole answers in their order, and bounds that hold.
struct NameServingTests {
    private let web = NameMessage.query("web.default.svc.cluster.local", id: 0x1234)

    @Test func aQueryAfterTheAcknowledgementSeesTheNewNames() {
        let stage = NameStage()
        let client = stage.datagrams()
        for change in 1...200 {
            let handover = stage.publish([NameStage.cluster(0x0a60_0000 + UInt32(change))])
            let answers = stage.ask(web, from: client)
            #expect(answers.count == 1)
            #expect(answers.first.map(NameMessage.address) == 0x0a60_0000 + UInt32(change))
            handover.release()
        }
        #expect(stage.udp(NameColumn.requests + QueryKind.a.rawValue) == 200)
        #expect(stage.udp(NameColumn.responses + ResponseKind.noError.rawValue) == 200)
        stage.close()
    }

    @Test func theOldZoneGoesBackWithTheAcknowledgement() {
        let stage = NameStage()
        stage.publish([NameStage.cluster(1)])
        let handover = stage.publish([NameStage.cluster(2)])
        var old = Zone.empty
        handover.exchange(&old)
        #expect(old.isSynced && old.serial == 1)
        stage.close()
    }

    @Test func manyDatagramsOfATurnAreAllAnswered() {
        let stage = NameStage()
        stage.publish([NameStage.cluster(7)])
        let client = stage.datagrams()
        for id in 0..<500 { stage.network.send(client, NameMessage.query("web.default.svc.cluster.local", id: id)[...]) }
        stage.run(seconds: 0.01)
        var ids: Set<Int> = []
        while let answer = stage.network.receive(client) { ids.insert(NameMessage.id(answer.bytes)) }
        #expect(ids == Set(0..<500))
        stage.close()
    }

    @Test func whatIsNoQueryIsMetWithSilence() {
        let stage = NameStage()
        stage.publish([NameStage.cluster(7)])
        let client = stage.datagrams()
        #expect(stage.ask([], from: client) == [] && stage.ask([1, 2, 3], from: client) == [])
        let answer = stage.ask(web, from: client)
        #expect(stage.ask(answer[0], from: client) == [])
        #expect(stage.dropped(.noQuery) == 2)
        #expect(stage.ask(NameMessage.query("example.com"), from: client).first.map(NameMessage.code) == 5)
        let refused = NameColumn.responses + ResponseKind.count + ResponseKind.refused.rawValue
        #expect(stage.udp(refused) == 1)
        stage.close()
    }

    @Test func whatWasAnsweredOnceIsAnsweredAgainAndCounted() {
        let stage = NameStage()
        stage.publish([NameStage.cluster(7), NameStage.headless(5)])
        let client = stage.datagrams()
        for round in 1...50 {
            for (name, code, answers) in [("web.default", 0, 1), ("nobody.default", 3, 0), ("WEB.default", 0, 1)] as [(String, UInt8, Int)]
            {
                let query = NameMessage.query("\(name).svc.cluster.local", id: round)
                let told = stage.ask(query, from: client)
                #expect(told.map(NameMessage.id) == [round] && told.map(NameMessage.code) == [code])
                #expect(told.map(NameMessage.answers) == [answers] && told.map { $0[12..<query.count] } == [query[12...]])
            }
            #expect(stage.ask(NameMessage.query("web.default.svc.cluster.local", type: 28), from: client).map(NameMessage.answers) == [0])
        }
        #expect(stage.udp(NameColumn.requests + QueryKind.a.rawValue) == 150)
        #expect(stage.udp(NameColumn.requests + QueryKind.aaaa.rawValue) == 50)
        #expect(stage.udp(NameColumn.responses + ResponseKind.noError.rawValue) == 150)
        #expect(stage.udp(NameColumn.responses + ResponseKind.nameError.rawValue) == 50)
        // Addresses of which there are several come in an order by chance each time.
        let orders = (0..<50).map { _ in stage.ask(NameMessage.query("db.prod.svc.cluster.local"), from: client) }
        #expect(Set(orders).count > 10)
        stage.close()
    }

    /// The link takes 512 bytes, and no answer is cut on its way.
    @Test func whatALinkDoesNotTakeIsAskedForByTCP() {
        var faults = Faults()
        faults[.linkTooNarrow] = 1
        let stage = NameStage(faults: faults)
        stage.publish([NameStage.cluster(7), NameStage.headless(40)])
        let client = stage.datagrams()
        let edns: [UInt8] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]
        var query = NameMessage.query("db.prod.svc.cluster.local") + edns
        query[11] = 1
        let answers = stage.ask(query, from: client)
        #expect(answers.count == 1 && answers.allSatisfy { NameMessage.isTruncated($0) && $0.count == query.count })
        #expect(answers.map(NameMessage.answers) == [0] && answers.allSatisfy { $0[11] == 1 })
        #expect(stage.ask(web, from: client).map(NameMessage.answers) == [1])
        #expect(stage.dropped(.notSent) == 0)
        let connection = stage.connect()
        #expect(stage.send(NameMessage.framed(query), over: connection))
        #expect(NameMessage.messages(stage.receive(from: connection).bytes)?.map(NameMessage.answers) == [40])
        stage.close()
    }

    // MARK: - Limits of answers

    @Test func strangersAreHeldToTheirRateAndHalfOfTheRestIsToldToAskByTCP() {
        let stage = NameStage(rate: 100)
        stage.publish([NameStage.cluster(7)])
        // Two clients of one network; 203.0.113.0/24.
        let clients = [stage.datagrams(from: 0xcb00_7101), stage.datagrams(from: 0xcb00_7102)]
        var counts = (whole: 0, truncated: 0, none: 0)
        for round in 0..<1000 {
            switch stage.ask(web, from: clients[round % 2]).first {
            case nil: counts.none += 1
            case let answer? where NameMessage.isTruncated(answer):
                counts.truncated += 1
                #expect(answer.count == web.count && NameMessage.answers(answer) == 0 && NameMessage.code(answer) == 0)
            default: counts.whole += 1
            }
        }
        // A second at a query each millisecond: 100 by the rate, and half a second's worth at once.
        #expect((140...160).contains(counts.whole), "\(counts)")
        #expect(counts.truncated > 350 && counts.none > 350, "\(counts)")
        #expect(stage.dropped(.rateLimit) == counts.none && stage.dropped(.rateLimitTruncated) == counts.truncated)
        // By TCP there is no limit, and another network has a rate of its own.
        let connection = stage.connect(from: 0xcb00_7101)
        #expect(stage.send(NameMessage.framed(web), over: connection))
        #expect(NameMessage.messages(stage.receive(from: connection).bytes)?.map(NameMessage.answers) == [1])
        #expect(stage.ask(web, from: stage.datagrams(from: 0xcb00_7201)).first.map(NameMessage.isTruncated) == false)
        stage.close()
    }

    @Test func thoseNearByAreNotLimited() {
        let stage = NameStage(rate: 1)
        stage.publish([NameStage.cluster(7)])
        for host: UInt32 in [0x7f00_0001, 0x0a00_0001, 0xac10_0001, 0xac1f_ffff, 0xc0a8_0001, 0xa9fe_0001, 0x6440_0001] {
            let client = stage.datagrams(from: host)
            for _ in 0..<20 { #expect(stage.ask(web, from: client).first.map(NameMessage.answers) == 1) }
        }
        for host in ["172.32.0.1", "100.128.0.1", "11.0.0.1", "2001:db8::1", "fec0::1"] { #expect(IPAddress(host)?.isNearby == false) }
        for host in ["fe80::1", "fd00::1", "fc00::1", "::1", "::ffff:10.0.0.1"] { #expect(IPAddress(host)?.isNearby == true) }
        stage.close()
    }

    // MARK: - TCP

    @Test(arguments: [1, 2, 3, 7, 40, 1000])
    func queriesInPiecesAreAnsweredInTheirOrder(piece: Int) throws {
        let stage = NameStage()
        stage.publish([NameStage.cluster(7), NameStage.headless(3)])
        let connection = stage.connect()
        let names = ["web.default.svc.cluster.local", "db.prod.svc.cluster.local", "nobody.prod.svc.cluster.local", "example.com"]
        let queries = (0..<20).map { NameMessage.framed(NameMessage.query(names[$0 % 4], id: $0)) }.flatMap { $0 }
        var sent = 0
        var answers: [UInt8] = []
        while sent < queries.count {
            #expect(stage.send(Array(queries[sent..<min(sent + piece, queries.count)]), over: connection))
            sent += piece
            answers += stage.receive(from: connection).bytes
        }
        let messages = try #require(NameMessage.messages(answers))
        #expect(messages.map(NameMessage.id) == Array(0..<20))
        #expect(messages.map(NameMessage.answers) == (0..<20).map { [1, 3, 0, 0][$0 % 4] })
        #expect(messages.map(NameMessage.code) == (0..<20).map { [0, 0, 3, 5][$0 % 4] })
        stage.close()
    }

    @Test func whoHasSaidAllIsAnsweredAndThenClosed() throws {
        let stage = NameStage()
        stage.publish([NameStage.headless(300)])
        let connection = stage.connect()
        let queries = (0..<10).flatMap { NameMessage.framed(NameMessage.query("db.prod.svc.cluster.local", id: $0)) }
        #expect(stage.send(queries, over: connection))
        stage.network.shutdownWrite(connection)
        let (bytes, end) = stage.receive(from: connection)
        let messages = try #require(NameMessage.messages(bytes))
        #expect(messages.map(NameMessage.answers) == Array(repeating: 300, count: 10) && end == .ended)
        stage.network.close(connection)
        stage.run()
        #expect(stage.closed(.client) == 1)
        stage.close()
    }

    /// 64 KB each, two hundred of them, from a connection that doesn't read for a while: not one is lost, and they never fill the pool.
    @Test func whoDoesNotReadIsNotReadFrom() throws {
        let stage = NameStage(buffers: 2048)
        stage.publish([NameStage.headless(4000)])
        let connection = stage.connect()
        let queries = (0..<200).flatMap { NameMessage.framed(NameMessage.query("db.prod.svc.cluster.local", id: $0)) }
        var sent = 0
        var least = Int.max
        for _ in 0..<200 {
            sent += max(0, stage.network.send(connection, queries[sent...]))
            stage.run()
            least = min(least, stage.freeBuffers)
        }
        // An outbox with room takes two answers at most.
        #expect(sent < queries.count && least > 2048 - 2 * 65_537 / 512 - 32, "\(sent) \(least)")
        var answers = 0
        var rest: [UInt8] = []
        for _ in 0..<100_000 where answers < 200 {
            sent += sent < queries.count ? max(0, stage.network.send(connection, queries[sent...])) : 0
            rest += stage.network.receive(connection, most: 1 << 20).bytes ?? []
            while rest.count > 2, rest.count >= 2 + (Int(rest[0]) << 8 | Int(rest[1])) {
                let length = Int(rest[0]) << 8 | Int(rest[1])
                try #require(NameMessage.id(Array(rest[2..<14])) == answers && length > 60_000)
                answers += 1
                rest.removeFirst(2 + length)
            }
            stage.run(seconds: 0.0001)
        }
        #expect(answers == 200)
        stage.close()
    }

    @Test func whoNeverReadsIsClosed() {
        let stage = NameStage(buffers: 2048)
        stage.publish([NameStage.headless(4000)])
        let connection = stage.connect()
        let queries = (0..<200).flatMap { NameMessage.framed(NameMessage.query("db.prod.svc.cluster.local", id: $0)) }
        _ = stage.network.send(connection, queries[...])
        stage.run(seconds: 9)
        #expect(stage.connectionsActive == 1)
        stage.run(seconds: 4)
        #expect(stage.closed(.idle) == 1 && stage.connectionsActive == 0)
        stage.close()
    }

    @Test func withoutBuffersAConnectionIsClosedAndOthersGoOn() {
        let stage = NameStage(buffers: 64)
        stage.publish([NameStage.cluster(7), NameStage.headless(4000)])
        let greedy = stage.connect()
        #expect(stage.send(NameMessage.framed(NameMessage.query("db.prod.svc.cluster.local")), over: greedy))
        stage.run()
        #expect(stage.closed(.noBuffer) == 1)
        let modest = stage.connect()
        #expect(stage.send(NameMessage.framed(web), over: modest))
        #expect(NameMessage.messages(stage.receive(from: modest).bytes)?.map(NameMessage.answers) == [1])
        stage.close()
    }

    /// Half a query, an empty one, one that is longer than any, an answer: nobody waits for what can't come.
    @Test(arguments: [[0, 0], [0, 11, 1, 2], [8, 1, 0, 0], [255, 255], [0, 12, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
    func whatIsNoQueryEndsItsConnection(bytes: [UInt8]) {
        let stage = NameStage()
        stage.publish([NameStage.cluster(7)])
        let connection = stage.connect()
        #expect(stage.send(bytes, over: connection))
        stage.run()
        #expect(stage.closed(.malformed) == 1 && stage.connectionsActive == 0)
        stage.close()
    }

    @Test func anIdleConnectionIsClosedAndSoIsOneThatNeverEndsItsQuery() {
        let stage = NameStage()
        stage.publish([NameStage.cluster(7)])
        let (idle, dripping, busy) = (stage.connect(), stage.connect(), stage.connect())
        #expect(stage.send(NameMessage.framed(web), over: idle))
        for step in 0..<10 {
            _ = stage.network.send(dripping, NameMessage.framed(web)[step...step])
            #expect(stage.send(NameMessage.framed(web), over: busy))
            stage.run(seconds: 1)
        }
        #expect(stage.connectionsActive == 3)
        #expect(stage.send(NameMessage.framed(web), over: busy))
        stage.run(seconds: 2)
        #expect(stage.closed(.idle) == 2 && stage.connectionsActive == 1)
        #expect(NameMessage.messages(stage.receive(from: busy).bytes)?.count == 11)
        stage.close()
    }

    @Test func oneMoreThanThereMayBePushesOutTheOldest() {
        let stage = NameStage(connectionsMax: 4)
        stage.publish([NameStage.cluster(7)])
        var connections: [HandPeer] = []
        for _ in 0..<4 {
            connections.append(stage.connect())
            stage.run(seconds: 0.1)
        }
        // The first has asked last.
        #expect(stage.send(NameMessage.framed(web), over: connections[0]))
        for _ in 0..<20 { connections.append(stage.connect()) }
        #expect(stage.connectionsActive == 4 && stage.closed(.evicted) == 20)
        #expect(stage.send(NameMessage.framed(web), over: connections[23]))
        #expect(NameMessage.messages(stage.receive(from: connections[23]).bytes)?.count == 1)
        stage.close()
    }

    // MARK: - Faults

    /// Clients that ask, split, vanish and reset as they like, under everything the simulated kernel can do to them.
    @Test(arguments: 1...40)
    func everyAnswerIsWholeUnderFaults(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var drawing = SimulatedRandom(seed: seed)
        let stage = NameStage(faults: Faults.mixed(&drawing), seed: seed, bufferSize: 64 + random.below(500))
        stage.publish([NameStage.cluster(7), NameStage.headless(50)])
        var open: [(peer: HandPeer, asked: Int, sent: Int, queries: [UInt8], answers: [UInt8])] = []
        for _ in 0..<400 {
            if open.count < 6, random.below(3) == 0 {
                let count = 1 + random.below(40)
                let queries = (0..<count).flatMap {
                    NameMessage.framed(
                        NameMessage.query($0 % 2 == 0 ? "web.default.svc.cluster.local" : "db.prod.svc.cluster.local", id: $0))
                }
                open.append((stage.connect(), count, 0, queries, []))
            }
            guard !open.isEmpty else { continue }
            let index = random.below(open.count)
            var client = open[index]
            let piece = min(client.queries.count - client.sent, 1 + random.below(200))
            if piece > 0 {
                let sent = stage.network.send(client.peer, client.queries[client.sent..<client.sent + piece])
                client.sent += max(0, sent)
            }
            stage.run(seconds: 0.0005)
            let received = stage.network.receive(client.peer, most: 1 + random.below(5000))
            client.answers += received.bytes ?? []
            open[index] = client
            let isOver = received.bytes == [] || received.bytes == nil && received.errno != 11
            let isDone = client.sent == client.queries.count && NameMessage.messages(client.answers)?.count == client.asked
            if isOver || isDone || random.below(60) == 0 {
                try check(client.answers)
                if isOver || random.below(2) == 0 { stage.network.close(client.peer) } else { stage.network.reset(client.peer) }
                open.remove(at: index)
            }
        }
        for client in open { stage.network.reset(client.peer) }
        stage.network.faults = Faults()
        stage.run(seconds: 1)
        let last = stage.datagrams()
        #expect(stage.ask(web, from: last).last.map(NameMessage.answers) == 1)
        stage.close()
    }

    /// Each answer that came whole is the right one.
    private func check(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        var expected = 0
        while rest.count > 14, rest.count >= 2 + (Int(rest[rest.startIndex]) << 8 | Int(rest[rest.startIndex + 1])) {
            let length = Int(rest[rest.startIndex]) << 8 | Int(rest[rest.startIndex + 1])
            let message = Array(rest.dropFirst(2).prefix(length))
            try #require(NameMessage.id(message) == expected)
            try #require(NameMessage.answers(message) == (expected % 2 == 0 ? 1 : 50))
            expected += 1
            rest = rest.dropFirst(2 + length)
        }
    }
}
