import Addressing
import Engine
import EngineSimulator
import Glibc
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Sessions and their sockets, by a whole worker on the simulated driver.
struct DatagramBehaviourTests {
    // MARK: - How sessions live and end

    @Test func aSessionStaysWithItsEndpointAndItsSocket() throws {
        let stage = DatagramStage(endpoints: 3)
        stage.open()
        let first = try #require(stage.ask([1], from: 0))
        for number in UInt8(2)...20 {
            let next = try #require(stage.ask([number], from: 0))
            #expect(next.endpoint == first.endpoint && next.request.from == first.request.from && next.request.bytes == [number])
            stage.reply([number, 7], to: next.request, by: next.endpoint)
            #expect(stage.replies(to: 0) == [[number, 7]])
        }
        #expect(stage.worker.sessionsActive == 1 && stage.worker.upstreamsActive == 1)
        stage.close()
    }

    @Test func clientsHaveSocketsOfTheirOwn() throws {
        let stage = DatagramStage(endpoints: 2)
        stage.open()
        let asked = try (0..<10).map { try #require(stage.ask([UInt8($0)], from: $0)) }
        #expect(Set(asked.map(\.request.from)).count == 10 && asked.count { $0.endpoint == 0 } == 5)
        for (number, one) in asked.enumerated().reversed() { stage.reply([UInt8(number), 9], to: one.request, by: one.endpoint) }
        for number in 0..<10 { #expect(stage.replies(to: number) == [[UInt8(number), 9]]) }
        stage.close()
    }

    /// 30 s without a reply, 120 s once there was one; each datagram, of either side, begins them anew.
    @Test(arguments: [(false, 30.0), (true, 120.0)])
    func aSessionEndsWhenNothingHasMovedForItsTime(_ isAnswered: Bool, seconds: Double) throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open()
        for _ in 0..<3 {
            let asked = try #require(stage.ask(from: 0))
            if isAnswered { stage.reply([2], to: asked.request, by: 0) }
            stage.run(seconds: seconds - 0.2)
            #expect(stage.worker.sessionsActive == 1)
        }
        stage.run(seconds: 0.3)
        #expect(stage.worker.sessionsActive == 0)
        #expect(stage.closed(isAnswered ? .clientIdle : .serverIdle) == 1)
        stage.close()
    }

    @Test func timesAreTheServices() throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open(
            DatagramStage.settings {
                $0.datagrams.unansweredTimeout = .seconds(3)
                $0.datagrams.answeredTimeout = .seconds(7)
            })
        let asked = try #require(stage.ask(from: 0))
        stage.reply([2], to: asked.request, by: 0)
        stage.send([1], from: 1)
        stage.run(seconds: 3.2)
        #expect(stage.worker.sessionsActive == 1)
        stage.run(seconds: 4)
        #expect(stage.worker.sessionsActive == 0)
        stage.close()
    }

    @Test func aWorkerWithIdleSessionsHardlyWakes() throws {
        let stage = DatagramStage(endpoints: 2)
        stage.open(DatagramStage.settings { $0.datagrams.answeredTimeout = .seconds(3600) })
        for number in 0..<200 {
            let asked = try #require(stage.ask(from: number))
            stage.reply([2], to: asked.request, by: asked.endpoint)
        }
        // The first look at each comes when it would have ended unanswered.
        stage.run(seconds: 60)
        let ticks = stage.worker.ticks
        stage.run(seconds: 600)
        #expect(stage.worker.ticks - ticks < 30 && stage.worker.sessionsActive == 200, "\(stage.worker.ticks - ticks) ticks")
        stage.close()
    }

    // MARK: - Changes

    @Test func theEndpointIsRemovedAndTheNextDatagramGoesToAnother() throws {
        let stage = DatagramStage(endpoints: 3)
        stage.open()
        let asked = try (0..<9).map { try #require(stage.ask(from: $0)) }
        stage.replace(to: [1, 2])
        // In the very tick after the acknowledgement.
        for number in 0..<9 { stage.network.send(stage.client(number), [5]) }
        stage.run()
        #expect(stage.heard(0).isEmpty)
        #expect(stage.whoHeard().count == 9 && stage.count(Column.rebinds) == 3)
        #expect(stage.count(Column.connectionsActive, ofEndpoint: 0) == 0)
        // What the removed one says now is nobody's.
        for one in asked where one.endpoint == 0 { stage.reply([8], to: one.request, by: 0) }
        #expect((0..<9).allSatisfy { stage.replies(to: $0).isEmpty } && stage.worker.counter(Column.repliesLate) == 3)
        stage.close()
    }

    /// As in the issue: 3 -> 1 -> 0 -> 2, and the client never stops.
    @Test func aSenderGoesOnThroughAllChanges() throws {
        let stage = DatagramStage(endpoints: 3)
        stage.open()
        func heard(_ count: Int) -> Set<Int> {
            for _ in 0..<count { stage.send([1], from: 0) }
            return Set(stage.whoHeard())
        }
        #expect(heard(10).count == 1)
        stage.replace(to: [2])
        #expect(heard(10) == [2])
        stage.worker.closeDatagrams(DatagramStage.frontend)
        stage.run()
        #expect(heard(10).isEmpty && stage.error(of: 0) == ECONNREFUSED)
        #expect(stage.worker.sessionsActive == 0)
        stage.open(to: [0, 1])
        stage.send([9], from: 0)
        #expect(stage.whoHeard().count == 1)
        #expect(heard(10).isSubset(of: [0, 1]))
        stage.close()
    }

    @Test func theServiceGoesAndWithItSessionsSocketsAndCounts() throws {
        let stage = DatagramStage(endpoints: 2)
        stage.open(DatagramStage.settings { $0.connectionsPerSourceMax = 5 })
        let asked = try (0..<20).map { try #require(stage.ask(from: $0)) }
        stage.worker.closeDatagrams(DatagramStage.frontend)
        stage.run()
        #expect(stage.worker.sessionsActive == 0 && stage.closed(.noEndpoint) == 20 && stage.count(Column.connectionsActive) == 0)
        // Replies of a session whose listener is gone.
        for one in asked { stage.reply([3], to: one.request, by: one.endpoint) }
        #expect(stage.worker.counter(Column.repliesLate) == 20)
        stage.send([1], from: 0)
        #expect(stage.error(of: 0) == ECONNREFUSED)
        stage.run(seconds: 100)
        #expect(stage.worker.upstreamsActive == 0)
        #expect(stage.worker.imbalances() == [])
    }

    /// Its slot is another listener's before a sweep has come by all its sessions.
    @Test func aListenerInAClosedOnesPlaceHasNoneOfItsSessions() throws {
        let stage = DatagramStage(endpoints: 2)
        stage.open(DatagramStage.settings(.oneWay), to: [0])
        for number in 0..<5000 { stage.send([1], from: number) }
        #expect(stage.worker.sessionsActive == 5000)
        _ = stage.heard(0)
        stage.worker.closeDatagrams(DatagramStage.frontend)
        stage.worker.tick(waitMax: 0)
        stage.worker.tick(waitMax: 0)
        stage.worker.openDatagrams(DatagramStage.frontend, to: [stage.endpoints[1]], settings: DatagramStage.settings())
        stage.worker.tick(waitMax: 0)
        #expect(stage.worker.sessionsActive > 1000)
        stage.network.send(stage.client(4999), [2])
        stage.worker.tick(waitMax: 0)
        #expect(stage.worker.sessionsActive > 1)
        stage.send([3], from: 4999)
        #expect(stage.heard(0).isEmpty)
        let request = try #require(stage.heard(1).last)
        stage.reply([4], to: request, by: 1)
        #expect(stage.replies(to: 4999) == [[4]])
        stage.close()
    }

    // MARK: - Endpoints that fail

    @Test(arguments: [UDPClass.session, .oneReply, .oneWay], Selection.allCases)
    func anErrorByICMPLeadsTheNextDatagramElsewhere(_ udpClass: UDPClass, _ selection: Selection) {
        let stage = DatagramStage(endpoints: 2)
        stage.end(1)
        stage.open(DatagramStage.settings(udpClass, selection))
        for number in 0..<20 {
            stage.send([1], from: number)
            _ = stage.whoHeard()
            stage.send([2], from: number)
            #expect(stage.heard(0).map(\.bytes) == [[2]], "client \(number)")
        }
        let failures = stage.count(Column.connectFailures, ofEndpoint: 1)
        #expect(failures == 5 && stage.count(Column.rebinds) == 5 && stage.count(Column.ejections, ofEndpoint: 1) == 1)
        stage.close()
    }

    @Test func fiveErrorsEjectAndASessionBringsBack() throws {
        let stage = DatagramStage(endpoints: 2)
        stage.end(1)
        stage.open()
        for number in 0..<10 { stage.send([1], from: number) }
        #expect(stage.health(1).state == .ejected && stage.health(1).reason == .connectRefused)
        #expect(stage.heard(0).count == 5)
        for number in 10..<30 { stage.send([1], from: number) }
        #expect(stage.heard(0).count == 20)
        // It is back. One session tries it, and others keep away until that is answered.
        stage.start(1)
        stage.run(seconds: 5.1)
        for number in 30..<40 { stage.send([1], from: number) }
        let tries = stage.heard(1)
        #expect(tries.count == 1 && stage.heard(0).count == 9)
        stage.reply([2], to: try #require(tries.first), by: 1)
        #expect(stage.health(1).state == .active && stage.health.isQuiet)
        for number in 40..<50 { stage.send([1], from: number) }
        #expect(stage.heard(1).count == 5)
        stage.close()
    }

    @Test(arguments: [UDPClass.session, .oneWay, .perDatagram])
    func withoutEjectionNobodyIsEjected(_ udpClass: UDPClass) {
        let stage = DatagramStage(endpoints: 2)
        stage.end(1)
        stage.open(DatagramStage.settings(udpClass) { $0.ejectAfter = 0 })
        for number in 0..<40 { stage.send([1], from: number) }
        #expect(stage.count(Column.ejections, ofEndpoint: 1) == 0 && stage.health.isQuiet)
        stage.close()
    }

    /// Nobody answers there, so that what has lasted without an error must do.
    @Test(arguments: [UDPClass.oneWay, .perDatagram])
    func whereNobodyAnswersAnEndpointComesBackAllTheSame(_ udpClass: UDPClass) {
        let stage = DatagramStage(endpoints: 2)
        stage.end(1)
        stage.open(DatagramStage.settings(udpClass))
        for number in 0..<20 { stage.send([1], from: number) }
        #expect(stage.health(1).state == .ejected)
        stage.start(1)
        stage.run(seconds: 5.1)
        for number in 20..<60 {
            stage.send([1], from: number)
            stage.run(seconds: 0.5)
        }
        #expect(stage.health(1).state == .active && stage.heard(1).count > 10)
        stage.close()
    }

    /// The kernel tells the error first; what came before it is still there.
    @Test func repliesBehindAnErrorAreTheirSessions() throws {
        let stage = DatagramStage(endpoints: 1)
        stage.open()
        let asked = try #require(stage.ask(from: 0))
        stage.network.send(stage.client(0), [2])
        stage.worker.tick(waitMax: 1000)
        // The second request is on its way to an endpoint that has answered the first, and gone.
        stage.network.send(stage.server(0), [3], to: asked.request.from)
        stage.end(0)
        stage.run()
        #expect(stage.replies(to: 0) == [[3]] && stage.count(Column.connectFailures, ofEndpoint: 0) == 1)
        stage.close()
    }

    @Test func withNoEndpointThatTakesItADatagramIsDroppedAndCounted() {
        let stage = DatagramStage(endpoints: 2)
        stage.open()
        stage.network.faults[.datagramNoPort] = 1
        stage.send([1], from: 0)
        #expect(stage.whoHeard().isEmpty && stage.worker.dropped(.noSourcePort) == 1)
        stage.network.faults = Faults()
        stage.run(seconds: 0.1)
        stage.send([2], from: 0)
        #expect(stage.whoHeard().count == 1)
        stage.close()
    }
}
