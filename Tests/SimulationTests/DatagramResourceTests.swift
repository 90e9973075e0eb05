import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// What sessions take and give back: sockets, places in tables, and what limits leave them.
struct DatagramResourceTests {
    // MARK: - Sockets that change hands

    @Test func aSocketRestsUntilNoReplyCanComeAndIsUsedAgain() throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open()
        let first = try #require(stage.ask(from: 0)).request
        stage.run(seconds: 30.2)
        #expect(stage.worker.sessionsActive == 0 && stage.worker.upstreamsActive == 1)
        // For 30 s no other session has it, and what comes for its last owner is dropped.
        let second = try #require(stage.ask(from: 1)).request
        #expect(second.from != first.from)
        stage.reply([9], to: first, by: 0)
        #expect(stage.replies(to: 0).isEmpty && stage.replies(to: 1).isEmpty && stage.worker.counter(Column.repliesLate) == 1)
        stage.run(seconds: 29)
        let third = try #require(stage.ask(from: 2)).request
        #expect(third.from != first.from && third.from != second.from)
        // The late reply has begun its rest anew.
        stage.run(seconds: 1.2)
        let fourth = try #require(stage.ask(from: 3)).request
        #expect(fourth.from == first.from)
        stage.reply([4], to: fourth, by: 0)
        #expect(stage.replies(to: 3) == [[4]])
        stage.close()
    }

    @Test func aPooledSocketThatNobodyWantsIsClosed() throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open(DatagramStage.settings(.oneReply))
        let asked = try #require(stage.ask(from: 0)).request
        stage.reply([2], to: asked, by: 0)
        #expect(stage.worker.sessionsActive == 0 && stage.worker.upstreamsActive == 1)
        stage.run(seconds: 60)
        #expect(stage.worker.upstreamsActive == 1)
        stage.run(seconds: 1.3)
        #expect(stage.worker.upstreamsActive == 0)
        stage.close()
    }

    @Test func twoRequestsTwoRepliesAndTheSocketIsFree() throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open(DatagramStage.settings(.oneReply))
        for number in 0..<10 {
            stage.send([1], from: number)
            stage.send([2], from: number)
            let requests = stage.heard(0)
            #expect(requests.count == 2 && stage.worker.sessionsActive == 1)
            stage.reply([3], to: requests[0], by: 0)
            #expect(stage.worker.sessionsActive == 1)
            stage.reply([4], to: requests[1], by: 0)
            #expect(stage.replies(to: number) == [[3], [4]])
            // One after the other, a second apart: all of them by one socket.
            #expect(stage.worker.sessionsActive == 0 && stage.worker.upstreamsActive == 1)
            stage.run(seconds: 1.1)
        }
        #expect(stage.closed(.serverFin) == 10)
        stage.close()
    }

    @Test(arguments: [UDPClass.oneWay, .perDatagram])
    func whoWaitsForNoReplySharesOneSocketForEachEndpoint(_ udpClass: UDPClass) throws {
        let stage = DatagramStage(endpoints: 2)
        stage.open(DatagramStage.settings(udpClass))
        for number in 0..<20 { stage.send([UInt8(number)], from: number) }
        let heard = [stage.heard(0), stage.heard(1)]
        #expect(heard.map(\.count) == [10, 10] && heard.allSatisfy { Set($0.map(\.from)).count == 1 })
        #expect(stage.worker.upstreamsActive == 2 && stage.worker.sessionsActive == (udpClass == .oneWay ? 20 : 0))
        stage.reply([7], to: heard[0][0], by: 0)
        #expect((0..<20).allSatisfy { stage.replies(to: $0).isEmpty } && stage.worker.counter(Column.repliesLate) == 1)
        stage.close()
    }

    /// Longer than a socket is kept that nobody uses.
    @Test(arguments: [UDPClass.oneWay, .perDatagram])
    func aSharedSocketStaysWhileItIsInUse(_ udpClass: UDPClass) {
        let stage = DatagramStage(endpoints: 1)
        stage.open(DatagramStage.settings(udpClass))
        var sockets: Set<SocketAddress> = []
        for number in UInt8(0)..<40 {
            stage.send([number], from: 0)
            let heard = stage.heard(0)
            #expect(heard.map(\.bytes) == [[number]])
            for request in heard { sockets.insert(request.from) }
            stage.run(seconds: 5)
        }
        #expect(sockets.count == 1)
        stage.close()
    }

    /// The session outlives the socket, whose place goes to another client's.
    @Test func aSessionThatOutlivesItsSharedSocketGetsAnother() throws {
        let stage = DatagramStage(endpoints: 2)
        stage.open(DatagramStage.settings(.oneWay) { $0.datagrams.unansweredTimeout = .seconds(3600) }, to: [0])
        stage.send([1], from: 0)
        stage.run(seconds: 70)
        #expect(stage.worker.sessionsActive == 1 && stage.worker.upstreamsActive == 0)
        let other = SocketAddress(IPAddress(ipv4: 0x0a60_0002), PortNumber(53)!)
        stage.open(to: [1], at: other)
        stage.network.send(stage.client(1, at: other), [2])
        stage.run()
        _ = stage.heard(0)
        stage.send([3], from: 0)
        #expect(stage.heard(0).map(\.bytes) == [[3]] && stage.heard(1).map(\.bytes) == [[2]])
        stage.close()
    }

    @Test func perDatagramEachGoesItsOwnWay() {
        let stage = DatagramStage(endpoints: 4)
        stage.open(DatagramStage.settings(.perDatagram))
        for number in UInt8(0)..<20 { stage.send([number], from: 0) }
        #expect(stage.endpoints.indices.map { stage.heard($0).count } == [5, 5, 5, 5])
        stage.close()
    }

    // MARK: - Limits

    @Test(arguments: [nil, 8])
    func inAFullTableTheOneThatIsIdleForLongestMakesRoom(_ limit: Int?) throws {
        let stage = DatagramStage(endpoints: 2) {
            $0.sessionsMax = limit == nil ? 8 : 64
            $0.connectionsMax = { 1000 }
            if let limit { $0.sessionsLimit = { limit } }
        }
        stage.open()
        for number in 0..<8 { #expect(stage.ask(from: number) != nil) }
        // The oldest of them but one.
        #expect(stage.ask(from: 0) != nil)
        for number in 8..<20 { #expect(stage.ask(from: number) != nil, "client \(number)") }
        #expect(stage.worker.sessionsActive == 8)
        #expect(stage.worker.counter(Column.sessionsEvicted) == 12 && stage.closed(.limitProcess) == 12)
        stage.run()
        #expect(stage.worker.upstreamsActive <= 8)
        let asked = try #require(stage.ask(from: 19))
        stage.reply([5], to: asked.request, by: asked.endpoint)
        #expect(stage.replies(to: 19) == [[5]] && stage.worker.dropped(.limitProcess) == 0)
        stage.close()
    }

    @Test func aServiceHasItsLimitOfSessions() {
        let stage = DatagramStage(endpoints: 1)
        stage.open(DatagramStage.settings { $0.connectionsMax = 3 })
        for number in 0..<10 { stage.send([1], from: number) }
        #expect(stage.whoHeard().count == 3 && stage.worker.dropped(.limitService) == 7)
        // Who has a session goes on.
        stage.send([2], from: 0)
        #expect(stage.whoHeard().count == 1)
        stage.run(seconds: 31)
        for number in 10..<13 { stage.send([1], from: number) }
        #expect(stage.whoHeard().count == 3 && stage.worker.dropped(.limitService) == 7)
        stage.close()
    }

    @Test func aClientHasItsLimitOfSessionsOnAllItsPorts() {
        let sources = SourceCounts(secret: 3)
        let stage = DatagramStage(endpoints: 1) { $0.sources = sources }
        stage.open(DatagramStage.settings { $0.connectionsPerSourceMax = 2 })
        let host: UInt32 = 0x0a02_0000
        for number in 0..<10 { _ = stage.client(number, host: host) }
        for number in 0..<20 { stage.send([1], from: number) }
        // Ten of one address, and ten each of its own.
        #expect(stage.whoHeard().count == 12 && stage.worker.dropped(.limitSource) == 8)
        stage.run(seconds: 31)
        let key = sources.key(client: IPAddress(ipv4: host), serviceRow: stage.worker.datagramRows[DatagramStage.frontend]!)
        #expect(sources.read(key) == 0)
        stage.send([1], from: 5)
        #expect(stage.whoHeard().count == 1)
        stage.close()
    }

    @Test func repliesBeyondTheirRatioAreDropped() throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open(DatagramStage.settings { $0.datagrams.replyRatioMax = 3 })
        let asked = try #require(stage.ask([1, 2], from: 0)).request
        stage.reply([1, 2, 3, 4], to: asked, by: 0)
        stage.reply([1, 2, 3], to: asked, by: 0)
        stage.reply([1, 2], to: asked, by: 0)
        #expect(stage.replies(to: 0) == [[1, 2, 3, 4], [1, 2]] && stage.worker.dropped(.replyRatio) == 1)
        stage.close()
    }

    @Test(arguments: UDPClass.allCases)
    func aClientHasItsRate(_ udpClass: UDPClass) {
        let stage = DatagramStage(endpoints: 1)
        stage.open(DatagramStage.settings(udpClass) { $0.datagrams.datagramsPerSourceMax = 100 })
        // 500 a second for two seconds; another client keeps to the limit.
        for step in 0..<1000 {
            stage.network.send(stage.client(0), [1])
            if step % 10 == 0 { stage.network.send(stage.client(1), [2]) }
            stage.run(seconds: 0.002)
        }
        let heard = stage.heard(0).map(\.bytes)
        let fast = heard.count { $0 == [1] }
        #expect((200...230).contains(fast) && heard.count - fast == 100 && stage.worker.dropped(.limitRate) == 1000 - fast)
        stage.close()
    }

    // MARK: - What runs short

    @Test func withoutADescriptorADatagramIsDroppedAndTheNextOneGoes() {
        let stage = DatagramStage(endpoints: 2)
        stage.open()
        stage.worker.driver.descriptorLimit = stage.worker.driver.socketsOpen
        stage.send([1], from: 0)
        #expect(stage.whoHeard().isEmpty && stage.worker.dropped(.limitProcess) == 1)
        stage.worker.driver.descriptorLimit = 100
        stage.send([2], from: 0)
        #expect(stage.whoHeard().count == 1)
        stage.close()
    }

    @Test(
        arguments: [
            (Fault.openNoDescriptor, DatagramDrop.limitProcess), (.openNoMemory, .limitProcess), (.datagramNoPort, .noSourcePort),
            (.datagramNoRoute, .noEndpoint),
        ], UDPClass.allCases)
    func whatFailsToOpenIsCountedByItsReason(_ failure: (fault: Fault, drop: DatagramDrop), _ udpClass: UDPClass) {
        let stage = DatagramStage(endpoints: 6)
        stage.open(DatagramStage.settings(udpClass))
        stage.network.faults[failure.fault] = 1
        for number in 0..<10 { stage.send([1], from: number) }
        #expect(stage.whoHeard().isEmpty && stage.worker.upstreamsActive == 0)
        #expect(stage.worker.dropped(failure.drop) == 10)
        stage.network.faults = Faults()
        stage.run(seconds: 0.1)
        for number in 0..<10 { stage.send([1], from: number) }
        #expect(stage.whoHeard().count == 10)
        stage.close()
    }

    @Test func whatTheKernelHasNoRoomForIsCountedInEitherDirection() throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open()
        let asked = try #require(stage.ask(from: 0)).request
        stage.network.faults[.datagramSendNoRoom] = 1
        stage.send([1], from: 0)
        stage.reply([2], to: asked, by: 0)
        #expect(stage.heard(0).isEmpty && stage.replies(to: 0).isEmpty && stage.worker.dropped(.notSent) == 2)
        stage.close()
    }

    @Test func aWatchThatTheKernelEndsIsArmedAgain() throws {
        var faults = Faults()
        faults[.watchEnded] = 1
        faults[.watchSpurious] = 0.5
        let stage = DatagramStage(endpoints: 1, faults: faults)
        stage.open()
        for number in UInt8(0)..<50 {
            let asked = try #require(stage.ask([number], from: 0))
            stage.reply([number], to: asked.request, by: 0)
            #expect(stage.replies(to: 0) == [[number]])
        }
        #expect(stage.network.count(.watchEnded) >= 100)
        stage.close()
    }

    /// More than a turn of a listener takes, and of a socket.
    @Test func whatATurnLeavesIsTakenInTheNext() throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open()
        for number in 0..<400 { stage.network.send(stage.client(0), [UInt8(number % 251)]) }
        stage.run()
        let heard = stage.heard(0)
        #expect(heard.map(\.bytes) == (0..<400).map { [UInt8($0 % 251)] })
        for request in heard { stage.network.send(stage.server(0), request.bytes[...], to: request.from) }
        stage.run()
        #expect(stage.replies(to: 0) == (0..<400).map { [UInt8($0 % 251)] })
        stage.close()
    }

    /// A listener that never runs dry takes its turn, and no more of them from tick to tick.
    @Test func aBusyListenerHasOneTurnInATick() {
        let stage = DatagramStage(endpoints: 1)
        stage.open(DatagramStage.settings(.oneWay))
        stage.send([0], from: 0)
        var most = 0
        for _ in 0..<30 {
            for _ in 0..<1000 { stage.network.send(stage.client(0), [1]) }
            let before = stage.worker.driver.datagramsTakenFromClients
            stage.worker.tick(waitMax: 0)
            most = max(most, stage.worker.driver.datagramsTakenFromClients - before)
        }
        #expect(most <= 2 * Limits.datagramBatchesPerTurn * DatagramBatch.capacity, "\(most) in a tick")
        stage.run()
        stage.close()
    }

    @Test func toldToStopAWorkerClosesAllInItsTime() {
        let stage = DatagramStage(endpoints: 3)
        stage.open()
        for number in 0..<1500 { stage.network.send(stage.client(number), [1]); stage.run(seconds: 0.0001) }
        #expect(stage.worker.sessionsActive > 1400)
        stage.worker.post(.stop)
        let began = stage.network.now
        #expect(stage.worker.run(ticksMax: 10_000, waitMax: 10_000_000) { stage.worker.isStopped })
        #expect(stage.network.now - began < Limits.stopNanoseconds)
        #expect(stage.closed(.drain) > 1400 && stage.worker.imbalances() == [])
    }
}
