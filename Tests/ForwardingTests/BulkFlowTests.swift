import Engine
@testable import Forwarding
import Glibc
import Testing

/// A flow's way from buffers to transfers and back: only between two bytes.
@Suite struct BulkFlowTests {
    private struct FlowUnderTest {
        let pool = BufferPool(bufferSize: 64, capacity: 64)
        var flow = TCPFlow(generation: 7)
        var rule = BulkRule()

        /// Connected, with a receive in the kernel on both sides. Two full buffers lead into bulk, two small transfers out of it.
        init() {
            rule.enterUnits = 2
            rule.shortCost = 1
            rule.leaveBytes = 100
            rule.leaveCount = 2
            flow.client.socket = SocketID(index: 1, generation: 1)
            flow.server.socket = SocketID(index: 2, generation: 1)
            flow.connected()
            #expect(settle() == [.receiveFromClient, .receiveFromServer])
        }

        mutating func settle() -> FlowActions { flow.settle(outboxMax: 8, in: pool) }

        mutating func receive(_ leg: Leg, _ count: Int32, more: Bool = true) -> FlowActions {
            let buffer = count > 0 ? pool.take()! : .none
            let completion = Completion(token: .wakeUp, result: count, buffer: buffer, more: count > 0 && more)
            flow.receiveCompleted(leg, completion, bulk: rule, in: pool)
            return settle()
        }

        mutating func sent(_ leg: Leg, _ count: Int32) -> FlowActions {
            flow.sendCompleted(leg, count, in: pool)
            return settle()
        }

        mutating func transferred(_ leg: Leg, _ result: Int32, more: Bool = false, isDestination: Bool = false) -> FlowActions {
            flow.transferCompleted(leg, Completion(token: .wakeUp, result: result, more: more, isDestination: isDestination), bulk: rule)
            return settle()
        }

        /// Leads the bytes from a client into bulk, with a transfer pending.
        static func inBulk() -> FlowUnderTest {
            var test = FlowUnderTest()
            #expect(test.receive(.client, 64) == .sendToServer)
            #expect(test.receive(.client, 64) == .cancelReceiveFromClient)
            #expect(test.receive(.client, -ECANCELED) == [])
            #expect(test.sent(.server, 64) == .sendToServer)
            #expect(test.sent(.server, 64) == .transferFromClient)
            return test
        }
    }

    @Test func theFirstTransferComesAfterTheLastBufferedByte() {
        var test = FlowUnderTest()
        #expect(test.receive(.client, 64) == .sendToServer)
        #expect(test.receive(.client, 64) == .cancelReceiveFromClient)
        // The outbox is empty, but the receive may still have something.
        #expect(test.sent(.server, 64) == .sendToServer)
        #expect(test.sent(.server, 64) == [])
        #expect(test.receive(.client, 10) == .sendToServer)
        #expect(test.receive(.client, -ECANCELED) == [])
        #expect(test.sent(.server, 10) == .transferFromClient)
        #expect(test.flow.pendingOperations == 2)
        // The other direction goes on as before.
        #expect(test.receive(.server, 64) == .sendToClient)
    }

    @Test func buffersThatAreNotFilledLeadNowhere() {
        var test = FlowUnderTest()
        for _ in 0..<20 {
            #expect(test.receive(.client, 64) == .sendToServer)
            #expect(test.receive(.client, 10) == [])
            #expect(test.sent(.server, 64) == .sendToServer)
            #expect(test.sent(.server, 10) == [])
        }
        #expect(!test.flow.client.isBulk)
    }

    @Test func smallTransfersInARowLeadBackToReceives() {
        var test = FlowUnderTest.inBulk()
        #expect(test.transferred(.client, 1000) == .transferFromClient)
        #expect(test.transferred(.client, 50) == .transferFromClient)
        #expect(test.transferred(.client, 1000) == .transferFromClient)
        #expect(test.transferred(.client, 50) == .transferFromClient)
        #expect(test.transferred(.client, 50) == .receiveFromClient)
        #expect(test.receive(.client, 10) == .sendToServer)
    }

    @Test func progressEndsNothing() {
        var test = FlowUnderTest.inBulk()
        #expect(test.transferred(.client, 50, more: true) == [])
        #expect(test.transferred(.client, 50, more: true) == [])
        #expect(test.flow.client.transferring)
        #expect(test.transferred(.client, 50) == .transferFromClient)
    }

    @Test func finAfterATransferIsPassedOn() {
        var test = FlowUnderTest.inBulk()
        #expect(test.transferred(.client, 1000) == .transferFromClient)
        #expect(test.transferred(.client, 0) == .shutdownServer)
        #expect(test.receive(.server, 0) == .finish)
        #expect(!test.flow.closesWithReset && test.flow.closeReason == .clientFin)
    }

    @Test func aResetOfTheSourceIsPassedOn() {
        var test = FlowUnderTest.inBulk()
        #expect(test.transferred(.client, -ECONNRESET) == .cancelReceiveFromServer)
        #expect(test.receive(.server, -ECANCELED) == .finish)
        #expect(test.flow.closesWithReset && test.flow.closeReason == .clientReset)
    }

    @Test func afterAFailureOfTheDestinationTheSourceIsReadAndDropped() {
        var test = FlowUnderTest.inBulk()
        #expect(test.transferred(.client, -EPIPE, isDestination: true) == [.boundFlush, .receiveFromClient])
        #expect(test.receive(.client, 64) == [])
        #expect(test.receive(.client, 64) == [])
        #expect(test.pool.freeCount == 64)
        // What the server said before it went is still passed on; then its end says how it went.
        #expect(test.receive(.server, 10) == .sendToClient)
        _ = test.receive(.server, 0)
        _ = test.sent(.client, 10)
        #expect(test.flow.phase == .closing && test.flow.closeReason == .serverReset)
    }

    @Test func aRefusedTransferIsNotAskedForAgainAtOnce() {
        var test = FlowUnderTest.inBulk()
        test.rule.refusedUnits = 10
        #expect(test.transferred(.client, -EAGAIN) == .receiveFromClient)
        for _ in 0..<11 {
            #expect(test.receive(.client, 64) == .sendToServer)
            #expect(test.sent(.server, 64) == [])
        }
        #expect(test.receive(.client, 64) == [.sendToServer, .cancelReceiveFromClient])
    }

    @Test func aStarvedDirectionInBulkNeedsNoBuffer() {
        var test = FlowUnderTest()
        #expect(test.receive(.client, 64) == .sendToServer)
        #expect(test.receive(.client, 64) == .cancelReceiveFromClient)
        #expect(test.receive(.client, -ENOBUFS) == [])
        #expect(test.sent(.server, 128) == .transferFromClient)
    }

    @Test func aCloseCancelsATransferAndWaitsForIt() {
        var test = FlowUnderTest.inBulk()
        test.flow.beginClose(reset: true, reason: .drain)
        #expect(test.settle() == [.cancelTransferFromClient, .cancelReceiveFromServer])
        #expect(test.receive(.server, -ECANCELED) == [])
        #expect(test.settle() == [])
        #expect(test.transferred(.client, 500, more: true) == [])
        #expect(test.transferred(.client, -ECANCELED) == .finish)
    }
}
