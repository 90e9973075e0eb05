import Engine
import Testing

@testable import Forwarding

/// What should be in flight for a connection of queries, event by event.
struct NameConnectionTests {
    private let pool = BufferPool(bufferSize: 64, capacity: 16)

    private func open() -> NameConnection {
        var connection = NameConnection(generation: 1)
        connection.phase = .open
        return connection
    }

    private func queue(_ buffers: Int) throws -> ByteQueue {
        var queue = ByteQueue()
        for _ in 0..<buffers { queue.append(try #require(pool.take()), length: 10, in: pool) }
        return queue
    }

    @Test func itReceivesAndSendsWhatThereIs() throws {
        var connection = open()
        #expect(connection.settle(outboxMax: 2) == .receive)
        #expect(connection.settle(outboxMax: 2) == [])
        connection.outbox = try queue(1)
        #expect(connection.settle(outboxMax: 2) == .send)
        #expect(connection.settle(outboxMax: 2) == [])
        connection.sendCompleted(4, in: pool)
        #expect(connection.outbox.bytes == 6)
        #expect(connection.settle(outboxMax: 2) == .send)
    }

    @Test func aFullOutboxStopsReadingOnceAndForAsLongAsAnythingWaits() throws {
        var connection = open()
        _ = connection.settle(outboxMax: 2)
        connection.outbox = try queue(2)
        #expect(connection.settle(outboxMax: 2) == [.send, .cancelReceive])
        #expect(connection.settle(outboxMax: 2) == [])
        connection.receiveEnded()
        connection.inbox = try queue(1)
        connection.sendCompleted(20, in: pool)
        // The inbox comes first.
        #expect(connection.settle(outboxMax: 2) == [])
        connection.inbox.removeAll(in: pool)
        #expect(connection.settle(outboxMax: 2) == .receive)
    }

    @Test func itsClientsEndClosesItWhenAllIsSaid() throws {
        var connection = open()
        _ = connection.settle(outboxMax: 2)
        connection.outbox = try queue(1)
        connection.receiveEnded()
        connection.hasEnded = true
        #expect(connection.settle(outboxMax: 2) == .send)
        connection.sendCompleted(10, in: pool)
        #expect(connection.settle(outboxMax: 2) == .finish)
        #expect(connection.phase == .closing && !connection.resets)
    }

    @Test func itIsClosedOnlyWhenNothingOfItIsInTheKernel() throws {
        var connection = open()
        connection.outbox = try queue(1)
        #expect(connection.settle(outboxMax: 2) == [.send, .receive])
        connection.beginClose(reset: true)
        #expect(connection.settle(outboxMax: 2) == [.cancelReceive, .cancelSend])
        #expect(connection.settle(outboxMax: 2) == [])
        connection.receiveEnded()
        #expect(connection.settle(outboxMax: 2) == [])
        connection.sendCompleted(-125, in: pool)
        #expect(connection.settle(outboxMax: 2) == .finish && connection.resets)
    }

    @Test func rowsAreUsedAgainUnderAnotherGeneration() throws {
        var table = NameConnectionTable(openMax: 2)
        let slots = (0..<4).compactMap { _ in table.allocate() }
        let (fifth, open) = (table.allocate(), table.openCount)
        #expect(slots == [0, 1, 2, 3] && fifth == nil && open == 4)
        let token = OperationToken(kind: NameOperation.receiveQuery.rawValue, generation: table[1].generation, slot: 1)
        let isCurrent = table.isCurrent(token)
        table.noteClosing()
        table.free(1)
        let again = table.allocate()
        let isStale = !table.isCurrent(token)
        #expect(isCurrent && again == 1 && isStale)
        for slot in slots { table[slot].movedAt = UInt64(10 - slot) }
        let oldest = table.oldest
        #expect(oldest == 3)
    }
}
