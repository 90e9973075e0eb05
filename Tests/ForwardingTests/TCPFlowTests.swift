import Engine
import Forwarding
import Glibc
import Routing
import Testing

/// Drives a flow by events and compares what it wants done; no engine, no time.
private struct FlowUnderTest {
    let pool = BufferPool(bufferSize: 64, capacity: 64)
    var flow = TCPFlow(generation: 7)
    let outboxMax: UInt16 = 4

    /// A flow whose client is accepted and whose connect is under way.
    static func connecting() -> FlowUnderTest {
        var test = FlowUnderTest()
        test.flow.client.socket = SocketID(index: 1, generation: 1)
        test.flow.server.socket = SocketID(index: 2, generation: 1)
        test.flow.phase = .connecting
        test.flow.connectPending = true
        #expect(test.settle() == .receiveFromClient)
        return test
    }

    /// A connected flow with a receive in the kernel on both sides; nothing was sent to the server yet.
    static func untouched() -> FlowUnderTest {
        var test = connecting()
        test.flow.connected()
        #expect(test.settle() == .receiveFromServer)
        return test
    }

    /// The same once the server has been sent something: no other one can take its place.
    static func established() -> FlowUnderTest {
        var test = untouched()
        test.flow.isUntouched = false
        return test
    }

    mutating func settle() -> FlowActions { flow.settle(outboxMax: outboxMax, in: pool) }

    mutating func receive(_ leg: Leg, _ count: Int32, more: Bool = true) -> FlowActions {
        let buffer = count > 0 ? pool.take()! : .none
        flow.receiveCompleted(leg, Completion(token: .wakeUp, result: count, buffer: buffer, more: count > 0 && more), in: pool)
        return settle()
    }

    mutating func sent(_ leg: Leg, _ count: Int32) -> FlowActions {
        flow.sendCompleted(leg, count, in: pool)
        return settle()
    }

    var buffersOut: Int { 64 - pool.freeCount }
}

@Suite struct TCPFlowTests {
    @Test func bytesReadFromOneSideAreSentToTheOther() {
        var test = FlowUnderTest.established()
        #expect(test.receive(.client, 10) == .sendToServer)
        #expect(test.receive(.server, 20) == .sendToClient)
        #expect(test.sent(.server, 10) == [])
        #expect(test.sent(.client, 20) == [])
        #expect(test.buffersOut == 0)
    }

    @Test func onlyOneSendIsInFlightPerDirection() {
        var test = FlowUnderTest.established()
        #expect(test.receive(.client, 10) == .sendToServer)
        #expect(test.receive(.client, 10) == [])
        #expect(test.sent(.server, 10) == .sendToServer)
        #expect(test.flow.server.outbox.bytes == 10)
    }

    @Test func shortSendsAreContinued() {
        var test = FlowUnderTest.established()
        _ = test.receive(.client, 50)
        #expect(test.sent(.server, 20) == .sendToServer)
        #expect(test.sent(.server, 29) == .sendToServer)
        #expect(test.sent(.server, 1) == [])
        #expect(test.buffersOut == 0)
    }

    @Test func bytesOfAnEarlyClientWaitForTheConnect() {
        var test = FlowUnderTest.connecting()
        #expect(test.receive(.client, 10) == [])
        test.flow.connected()
        #expect(test.settle() == [.sendToServer, .receiveFromServer])
    }

    @Test func aFinPassesThroughAfterTheBytesBeforeIt() {
        var test = FlowUnderTest.established()
        _ = test.receive(.client, 10)
        #expect(test.receive(.client, 0) == [])
        #expect(test.sent(.server, 10) == .shutdownServer)
        // The other direction lives on.
        #expect(test.receive(.server, 30) == .sendToClient)
        #expect(test.sent(.client, 30) == [])
        #expect(test.receive(.server, 0) == .finish)
        #expect(test.flow.closesWithReset == false)
        #expect(test.flow.closeReason == .clientFin)
    }

    @Test func aServerMayCloseFirst() {
        var test = FlowUnderTest.established()
        #expect(test.receive(.server, 0) == .shutdownClient)
        #expect(test.receive(.client, 10) == .sendToServer)
        #expect(test.receive(.client, 0) == [])
        #expect(test.sent(.server, 10) == .finish)
        #expect(test.flow.closeReason == .serverFin)
    }

    @Test func anEarlyFinWaitsForTheConnect() {
        var test = FlowUnderTest.connecting()
        _ = test.receive(.client, 10)
        #expect(test.receive(.client, 0) == [])
        test.flow.connected()
        #expect(test.settle() == [.sendToServer, .receiveFromServer])
        #expect(test.sent(.server, 10) == .shutdownServer)
    }

    @Test(arguments: Leg.allCases)
    func aResetClosesBothSidesWithReset(_ leg: Leg) {
        var test = FlowUnderTest.established()
        let actions = test.receive(leg, -ECONNRESET)
        #expect(actions == (leg == .client ? .cancelReceiveFromServer : .cancelReceiveFromClient))
        #expect(test.flow.pendingOperations == 1)
        #expect(test.receive(leg.other, -ECANCELED) == .finish)
        #expect(test.flow.closesWithReset)
        #expect(test.flow.closeReason == (leg == .client ? .clientReset : .serverReset))
    }

    @Test func bytesBeforeAResetAreDeliveredFirst() {
        var test = FlowUnderTest.established()
        #expect(test.receive(.server, 40) == .sendToClient)
        #expect(test.receive(.server, -ECONNRESET) == [.cancelReceiveFromClient, .boundFlush])
        #expect(test.receive(.client, -ECANCELED) == [])
        #expect(test.sent(.client, 40) == .finish)
        #expect(test.flow.closesWithReset)
        #expect(test.flow.closeReason == .serverReset)
    }

    @Test func aSendThatFailsWaitsForTheReadingToTellWhy() {
        var test = FlowUnderTest.established()
        _ = test.receive(.client, 10)
        // The server is gone: its last words may still be in the socket, but they are not waited for without end.
        #expect(test.sent(.server, -EPIPE) == .boundFlush)
        #expect(test.buffersOut == 0)
        #expect(test.receive(.server, 15) == .sendToClient)
        #expect(test.receive(.client, 20) == [], "what the client still says is dropped")
        #expect(test.buffersOut == 1)
        // The reset was told to the send already, so the end of the reading looks like FIN.
        #expect(test.receive(.server, 0) == .cancelReceiveFromClient)
        #expect(test.receive(.client, -ECANCELED) == [])
        #expect(test.sent(.client, 15) == .finish)
        #expect(test.flow.closesWithReset)
        #expect(test.flow.closeReason == .serverReset)
    }

    @Test func aClientThatClosedAndThenRefusesDataIsAReset() {
        var test = FlowUnderTest.established()
        #expect(test.receive(.client, 0) == .shutdownServer)
        #expect(test.receive(.server, 10) == .sendToClient)
        #expect(test.sent(.client, -EPIPE) == .cancelReceiveFromServer)
        #expect(test.receive(.server, -ECANCELED) == .finish)
        #expect(test.flow.closesWithReset)
        #expect(test.flow.closeReason == .clientReset)
    }

    @Test func aFullOutboxStopsReadingAndAnEmptierOneResumes() {
        var test = FlowUnderTest.established()
        #expect(test.receive(.server, 64) == .sendToClient)
        for _ in 0..<3 { #expect(test.receive(.server, 64) == []) }
        #expect(test.receive(.server, 64) == .cancelReceiveFromServer)
        // What was on its way still comes, and is kept.
        #expect(test.receive(.server, 64) == [])
        #expect(test.receive(.server, -ECANCELED) == [])
        #expect(test.flow.client.outbox.count == 6)
        #expect(test.sent(.client, 64 * 3) == .sendToClient)
        #expect(test.sent(.client, 64) == [.sendToClient, .receiveFromServer])
        #expect(test.buffersOut == 2)
    }

    @Test func aReceiveThatTheKernelEndsIsArmedAgain() {
        var test = FlowUnderTest.established()
        #expect(test.receive(.client, 10, more: false) == [.sendToServer, .receiveFromClient])
    }

    @Test func aStarvedReceiveIsNotPending() {
        var test = FlowUnderTest.established()
        #expect(test.receive(.client, -ENOBUFS) == [])
        #expect(test.flow.client.receive == .starved)
        #expect(test.flow.pendingOperations == 1)
        test.flow.client.receive = .idle
        #expect(test.settle() == .receiveFromClient)
    }

    @Test func buffersOfAPendingSendStayUntilItCompletes() {
        var test = FlowUnderTest.established()
        _ = test.receive(.client, 10)
        test.flow.beginClose(reset: true, reason: .drain)
        #expect(test.settle() == [.cancelReceiveFromClient, .cancelReceiveFromServer, .cancelSendToServer])
        #expect(test.settle() == [], "what is cancelled is not cancelled again")
        #expect(test.receive(.client, -ECANCELED) == [])
        #expect(test.receive(.server, 12) == [], "bytes for a closing flow are dropped")
        #expect(test.receive(.server, -ECANCELED) == [])
        #expect(test.buffersOut == 1, "the kernel may still read the buffer")
        #expect(test.sent(.server, -ECANCELED) == .finish)
        #expect(test.flow.closeReason == .drain)
    }

    @Test func aClientThatResetsDuringConnectCancelsTheConnect() {
        var test = FlowUnderTest.connecting()
        #expect(test.receive(.client, -ECONNRESET) == .cancelConnect)
        test.flow.connectPending = false
        #expect(test.settle() == .finish)
        #expect(test.flow.closesWithReset)
    }

    @Test func theEndOfAnAttemptKeepsTheBytesForTheNext() {
        var test = FlowUnderTest.connecting()
        _ = test.receive(.client, 10)
        test.flow.endpointIdentity = 99
        test.flow.attemptEnded()
        test.flow.connectFailed()
        #expect(test.flow.server.socket == .none)
        #expect(test.flow.server.outbox.bytes == 10)
        #expect(test.flow.tried.count == 1)
    }

    @Test func anEarlyClientMayFillOnlyItsShare() {
        var test = FlowUnderTest.connecting()
        for _ in 0..<4 { #expect(test.receive(.client, 64) == []) }
        #expect(test.receive(.client, 64) == .cancelReceiveFromClient)
    }

    @Test(arguments: [-ECONNRESET, -ETIMEDOUT])
    func aServerThatFailsBeforeItWasSentAByteIsReplaced(_ failure: Int32) {
        var test = FlowUnderTest.untouched()
        #expect(test.receive(.server, failure) == .retry)
        #expect(test.flow.phase == .retrying)
        test.flow.attemptEnded()
        test.flow.phase = .connecting
        test.flow.connectPending = true
        #expect(test.receive(.client, 10) == [], "what the client says is kept for the next server")
        test.flow.connected()
        #expect(test.settle() == [.sendToServer, .receiveFromServer])
        #expect(test.sent(.server, 10) == [])
        #expect(test.flow.closeReason == .internal)
        _ = test.receive(.server, failure)
        #expect(test.flow.phase == .closing, "what has been sent can't be sent to another one")
    }

    @Test func aSendThatFailsWithNothingTakenKeepsItsBytesForTheNextServer() {
        var test = FlowUnderTest.untouched()
        #expect(test.receive(.client, 10) == .sendToServer)
        #expect(test.sent(.server, -EPIPE) == .cancelReceiveFromServer)
        // Words of a server that is not the client's any more.
        #expect(test.receive(.server, 5) == [])
        #expect(test.receive(.client, 20) == [])
        #expect(test.receive(.server, -ECANCELED) == .retry)
        #expect(test.flow.server.outbox.bytes == 30)
        #expect(test.buffersOut == 2)
    }

    @Test func aSendThatWasFasterThanTheResetRulesAnotherServerOut() {
        var test = FlowUnderTest.untouched()
        #expect(test.receive(.client, 10) == .sendToServer)
        #expect(test.receive(.server, -ECONNRESET) == .cancelSendToServer)
        #expect(test.sent(.server, 4) == .cancelReceiveFromClient)
        #expect(test.flow.closesWithReset && test.flow.closeReason == .serverReset)
        #expect(test.receive(.client, -ECANCELED) == .finish)
    }

    @Test func aClientThatResetsWhileAnotherServerIsSoughtEndsTheFlow() {
        var test = FlowUnderTest.untouched()
        #expect(test.receive(.client, 10) == .sendToServer)
        #expect(test.receive(.server, -ECONNRESET) == .cancelSendToServer)
        #expect(test.receive(.client, -ECONNRESET) == [])
        #expect(test.sent(.server, -ECANCELED) == .finish)
        #expect(test.flow.closeReason == .clientReset)
    }

    @Test func aServerThatHasSpokenOrEndedIsNotReplaced() {
        for words in [Int32(5), 0] {
            var test = FlowUnderTest.untouched()
            _ = test.receive(.server, words)
            if words > 0 { _ = test.sent(.client, words) }
            test.flow.foundFailed(.server)
            _ = test.settle()
            #expect(test.flow.phase != .retrying)
        }
    }

    @Test func aLostPeerIsNotCalledAReset() {
        var test = FlowUnderTest.established()
        _ = test.receive(.server, -ETIMEDOUT)
        #expect(test.flow.closeReason == .serverLost)
        #expect(test.flow.closesWithReset)
    }

    @Test func bothFinsInOneTickCloseWithoutShutdown() {
        var test = FlowUnderTest.established()
        test.flow.receiveCompleted(.client, Completion(token: .wakeUp, result: 0), in: test.pool)
        test.flow.receiveCompleted(.server, Completion(token: .wakeUp, result: 0), in: test.pool)
        #expect(test.settle() == .finish)
    }

    @Test func aPeerThatASendFindsLostIsNotCalledAReset() {
        var test = FlowUnderTest.established()
        _ = test.receive(.client, 10)
        _ = test.sent(.server, -ETIMEDOUT)
        #expect(test.flow.closeReason == .serverLost)
    }

    @Test func aFlowStaysSmall() {
        #expect(MemoryLayout<TCPFlow>.stride <= 256)
    }
}

@Suite struct FlowTableTests {
    @Test func aFreedSlotIsStaleForOldTokens() {
        var table = FlowTable(capacity: 2)
        let slot = table.allocate()!
        table[slot].phase = .connecting
        let token = OperationToken(kind: 2, generation: table[slot].generation, slot: slot)
        let whileOpen = table.isCurrent(token)
        table.free(slot)
        let afterFree = table.isCurrent(token)
        #expect(whileOpen && !afterFree)
        let again = table.allocate()!
        table[again].phase = .connecting
        #expect(again == slot)
        let afterReuse = table.isCurrent(token)
        #expect(!afterReuse)
        let generation = table[again].generation
        #expect(generation == token.generation + 1)
    }

    @Test func aFullTableRefuses() {
        var table = FlowTable(capacity: 2)
        let slots = [table.allocate(), table.allocate(), table.allocate()]
        #expect(slots == [0, 1, nil])
        let active = table.active
        #expect(active == 2)
        table.free(0)
        let again = table.allocate()
        #expect(again == 0)
    }
}
