import Addressing
import Engine
import Routing
import Testing

@testable import Forwarding

/// UDP sessions by key, and the order in which they are pushed out.
@Suite struct SessionTableTests {
    private static func key(_ number: Int, listener: UInt32 = 0, local: IPAddress = .anyIPv4) -> UDPSession.Key {
        let client = SocketAddress(IPAddress(ipv4: 0x0a00_0000 + UInt32(number / 50_000)), PortNumber(1024 + number % 50_000)!)
        return UDPSession.Key(client: client, local: local, listener: listener)
    }

    private static func session(_ key: UDPSession.Key) -> UDPSession {
        UDPSession(key, listenerGeneration: 0, epoch: 0, serviceRow: 2, movedAt: 0)
    }

    @Test func aSessionIsFoundByClientListenerAndAddressAsked() throws {
        var table = SessionTable(capacity: 16, secret: 1)
        let inserted = table.insert(Self.session(Self.key(1)))
        let slot = try #require(inserted)
        let keys = [Self.key(1), Self.key(2), Self.key(1, listener: 1), Self.key(1, local: .loopbackIPv4)]
        var found: [UInt32?] = []
        for key in keys { found.append(table.find(key)) }
        #expect(found == [slot, nil, nil, nil])
        table.remove(slot)
        let (again, active) = (table.find(keys[0]), table.active)
        #expect(again == nil && active == 0)
    }

    /// Against a dictionary, with a table so small that most sessions share a bucket with others.
    @Test func whateverComesAndGoesOnlyWhatIsThereIsFound() {
        var table = SessionTable(capacity: 64, secret: 7)
        var model: [Int: UInt32] = [:]
        var order: [Int] = []
        var random = RandomSource(seed: 5)
        for step in 0..<20_000 {
            let number = random.below(200)
            if let slot = model[number] {
                if random.below(2) == 0 {
                    table.remove(slot)
                    model[number] = nil
                    order.removeAll { $0 == number }
                } else {
                    table.touch(slot, UInt32(step))
                    order.removeAll { $0 == number }
                    order.append(number)
                }
            } else if let slot = table.insert(Self.session(Self.key(number))) {
                #expect(!model.values.contains(slot), "a slot has two owners")
                model[number] = slot
                order.append(number)
            } else {
                #expect(model.count == 64, "it is full and refuses")
            }
            let other = random.below(200)
            let (active, oldest, found) = (table.active, table.oldest, table.find(Self.key(other)))
            #expect(active == model.count && oldest == order.first.flatMap { model[$0] } && found == model[other])
        }
    }

    @Test func aSessionLivesLongerOnceBothSidesHaveSpoken() {
        var session = Self.session(Self.key(1))
        session.movedAt = FlowTime.ticks(at: 100_000_000_000)
        var settings = DatagramSettings()
        settings.unansweredTimeout = .seconds(30)
        settings.answeredTimeout = .seconds(120)
        // Late by two ticks at most, never early.
        let tick: UInt64 = 1 << TimerWheel.bucketShift
        #expect((130_000_000_000...130_000_000_000 + 2 * tick).contains(session.expiry(settings, 100_000_000_000)))
        #expect((130_000_000_000...130_000_000_000 + 2 * tick).contains(session.expiry(settings, 129_000_000_000)))
        #expect(session.expiry(settings, 131_000_000_000) <= 131_000_000_000)
        session.isAnswered = true
        #expect((220_000_000_000...220_000_000_000 + 2 * tick).contains(session.expiry(settings, 131_000_000_000)))
        // The 32 bits of its time wrap after two years.
        let years = UInt64(UInt32.max) << TimerWheel.bucketShift
        session.movedAt = FlowTime.ticks(at: years)
        #expect((years + 120_000_000_000...years + 120_000_000_000 + 2 * tick).contains(session.expiry(settings, years + 10 * tick)))
    }
}

/// Sockets to endpoints: whose they are, and whose they may become.
@Suite struct UpstreamTableTests {
    private static let peer = SocketAddress("10.0.0.1:53")!
    private static let other = SocketAddress("10.0.0.2:53")!

    /// The table behind copyable hands, for the testing macros.
    private final class Table {
        var table: UpstreamTable

        init(_ capacity: Int) { table = UpstreamTable(capacity: capacity) }

        func insert(_ number: UInt32, to peer: SocketAddress = UpstreamTableTests.peer) -> UInt32? {
            table.insert(SocketID(index: number, generation: 1), to: peer, row: 5)
        }
        func take(_ row: UInt32 = 5) -> UInt32? { table.take(row: row) }
        func shared(_ peer: SocketAddress) -> UInt32? { table.sharedSocket(row: 5, peer: peer) }
        func phase(_ slot: UInt32) -> Upstream.Phase { table[slot].phase }
        func isCurrent(_ token: OperationToken) -> Bool { table.isCurrent(token) }
        var oldestIdle: UInt32? { table.oldestIdle }
        var active: Int { table.active }

        func close(_ slot: UInt32) {
            table.beginClose(slot)
            table.free(slot)
        }
    }

    @Test func onlyAPooledSocketIsTaken() throws {
        let sockets = Table(8)
        let slot = try #require(sockets.insert(1))
        #expect(sockets.take() == nil, "it has an owner")
        sockets.table.quarantine(slot)
        #expect(sockets.take() == nil, "replies may be on their way")
        sockets.table.pool(slot)
        #expect(sockets.take(6) == nil)
        #expect(sockets.take() == slot)
        #expect(sockets.take() == nil)
        #expect(sockets.phase(slot) == .bound && sockets.oldestIdle == nil)
    }

    @Test func theSocketUsedLastIsTakenFirstAndTheOldestIsClosedFirst() throws {
        let sockets = Table(8)
        let slots = try (1...4).map { try #require(sockets.insert($0)) }
        for slot in slots { sockets.table.pool(slot) }
        #expect(sockets.oldestIdle == slots[0])
        // Out of the middle of the pool.
        sockets.close(slots[1])
        #expect([sockets.take(), sockets.take(), sockets.take(), sockets.take()] == [slots[3], slots[2], slots[0], nil])
        #expect(sockets.active == 3)
    }

    @Test func aFreedSocketsTokensAreStale() throws {
        let sockets = Table(2)
        let slot = try #require(sockets.insert(1))
        let token = OperationToken(kind: 1, generation: sockets.table[slot].generation, slot: slot)
        #expect(sockets.isCurrent(token))
        sockets.table.beginClose(slot)
        #expect(sockets.isCurrent(token), "its watch may still complete")
        sockets.table.free(slot)
        #expect(!sockets.isCurrent(token))
        #expect(sockets.insert(2) == slot && !sockets.isCurrent(token))
    }

    @Test func anEndpointHasOneSocketThatIsShared() throws {
        let sockets = Table(8)
        let first = try #require(sockets.insert(1))
        sockets.table.share(first)
        #expect(sockets.shared(Self.peer) == first && sockets.shared(Self.other) == nil)
        // The row has gone to another endpoint.
        let second = try #require(sockets.insert(2, to: Self.other))
        sockets.table.share(second)
        #expect(sockets.shared(Self.other) == second && sockets.phase(first) == .quarantined)
        sockets.table.beginClose(second)
        #expect(sockets.shared(Self.other) == nil)
    }

    @Test func aTableThatIsFullTakesNoMore() throws {
        let sockets = Table(1)
        let slot = try #require(sockets.insert(1))
        #expect(sockets.insert(2) == nil)
        sockets.close(slot)
        #expect(sockets.insert(2) == slot)
    }
}
