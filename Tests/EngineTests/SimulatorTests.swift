import Addressing
import Engine
import EngineSimulator
import Glibc
import Testing

/// The simulator's own duties: it notices every breach of the contract, and its faults happen.
struct SimulatorTests {
    /// What callers must never do, each with a word of the finding.
    enum Breach: CaseIterable {
        case closeWhilePending, twoReceives, twoSends, staleSocket, reservedKind, sendAfterShutdown, shutdownWhileSending
        case buffersChanged, releasedWhileSending, releasedTwice, sentTwice, receiveOnListener, acceptQueuedWhileAccepting

        var finding: String {
            switch self {
            case .closeWhilePending: "close while a receive is pending"
            case .twoReceives: "receive while a receive is pending"
            case .twoSends: "send while a send is pending"
            case .staleSocket: "receive on a socket that is not open"
            case .reservedKind: "a kind that is the engine's own"
            case .sendAfterShutdown: "send after shutdownWrite"
            case .shutdownWhileSending: "shutdownWrite with a send pending"
            case .buffersChanged: "the buffers of a pending send were changed"
            case .releasedWhileSending: "was released while its send was pending"
            case .releasedTwice: "was released twice"
            case .sentTwice: "which is the driver's"
            case .receiveOnListener: "receive on a socket of kind listener"
            case .acceptQueuedWhileAccepting: "acceptQueued with an accept pending"
            }
        }
    }

    @Test(arguments: Breach.allCases)
    func everyBreachIsNoticed(_ breach: Breach) throws {
        let engine = try EngineUnderTest(.simulated)
        let driver = try #require(engine.driver as? SimulatedDriver)
        let (socket, _) = try engine.accepted()
        // A pipe holds less than this, so that the second send stays pending.
        var full = try engine.queue(EngineUnderTest.pattern(256 * 32))
        func fillPipe() throws { _ = try engine.sendAll(socket, &full) }
        #expect(driver.breaches == [])
        switch breach {
        case .closeWhilePending:
            engine.submit(.receive(socket, engine.token()))
            engine.submit(.close(socket))
        case .twoReceives:
            engine.submit(.receive(socket, engine.token()))
            engine.submit(.receive(socket, engine.token()))
        case .twoSends:
            engine.submit(.send(socket, try engine.queue([1]), engine.token()))
            engine.submit(.send(socket, try engine.queue([2]), engine.token()))
        case .staleSocket:
            engine.submit(.close(socket))
            engine.submit(.receive(socket, engine.token()))
        case .reservedKind:
            engine.submit(.receive(socket, OperationToken(kind: OperationToken.reservedKinds, generation: 0, slot: 0)))
        case .sendAfterShutdown:
            engine.submit(.shutdownWrite(socket))
            engine.submit(.send(socket, try engine.queue([1]), engine.token()))
        case .shutdownWhileSending:
            engine.submit(.send(socket, try engine.queue([1]), engine.token()))
            engine.submit(.shutdownWrite(socket))
        case .buffersChanged:
            try fillPipe()
            let queue = try engine.queue([1, 2, 3])
            let token = engine.token()
            engine.submit(.send(socket, queue, token))
            engine.exchange(waitNanoseconds: 0)
            engine.pool.fill(queue.head, with: [9])
            engine.submit(.cancel(token, on: socket))
        case .releasedWhileSending:
            try fillPipe()
            let queue = try engine.queue([1])
            engine.submit(.send(socket, queue, engine.token()))
            engine.exchange(waitNanoseconds: 0)
            engine.pool.release(queue.head)
        case .releasedTwice:
            let buffers = [try #require(engine.pool.take()), try #require(engine.pool.take())]
            engine.pool.release(buffers[0])
            engine.pool.release(buffers[0])
        case .sentTwice:
            let other = try engine.accepted().socket
            try fillPipe()
            let queue = try engine.queue([1])
            engine.submit(.send(socket, queue, engine.token()))
            engine.submit(.send(other, queue, engine.token()))
        case .receiveOnListener:
            engine.submit(.receive(try engine.listen().socket, engine.token()))
        case .acceptQueuedWhileAccepting:
            let listener = try engine.listen().socket
            engine.submit(.accept(listener, engine.token()))
            engine.exchange(waitNanoseconds: 0)
            _ = driver.acceptQueued(listener)
        }
        engine.exchange(waitNanoseconds: 0)
        engine.exchange(waitNanoseconds: 0)
        #expect(driver.breaches.contains { $0.contains(breach.finding) }, "\(driver.breaches)")
    }

    @Test func waitWithNothingToComeIsADeadlock() {
        let driver = SimulatedDriver(network: SimulatedNetwork(seed: 1))
        var submissions = SubmissionQueue(capacity: 8)
        var completions = CompletionQueue(capacity: 8)
        driver.exchange(&submissions, &completions, waitNanoseconds: .max)
        #expect(driver.breaches.contains { $0.contains("deadlock") })
    }

    @Test func leaksNameSocketsOperationsAndBuffers() throws {
        let engine = try EngineUnderTest(.simulated)
        let driver = try #require(engine.driver as? SimulatedDriver)
        #expect(driver.leaks() == [])
        let (socket, _) = try engine.accepted()
        engine.submit(.receive(socket, engine.token()))
        engine.exchange(waitNanoseconds: 0)
        _ = engine.pool.take()
        let leaks = driver.leaks()
        #expect(leaks.count == 3 && leaks.contains("1 buffers are not back"), "\(leaks)")
    }

    @Test func faultsHappen() throws {
        var faults = Faults()
        faults[.shortSend] = 1
        faults[.shortReceive] = 1
        faults[.receiveEnded] = 1
        faults[.delayedCompletion] = 0.5
        faults[.reorderedCompletion] = 0.5
        faults[.emptyReturn] = 0.3
        faults[.submissionsLeft] = 0.3
        faults[.receiveNoBuffers] = 0.2
        let engine = try EngineUnderTest(.simulated, faults: faults)
        let (socket, peer) = try engine.accepted()
        let message = EngineUnderTest.pattern(3000)
        var queue = try engine.queue(message)
        let (errno, sends) = try engine.sendAll(socket, &queue)
        #expect(errno == 0 && sends > 3)
        var received: [UInt8] = []
        _ = peer.drain(into: &received)
        #expect(received == message)
        #expect(peer.send(message[...]) == message.count)
        peer.shutdownWrite()
        let (bytes, result) = try engine.receiveAll(socket)
        #expect(bytes == message && result == 0)
        engine.expectNoBreach()
    }

    @Test func descriptorsRunOutAndComeBack() throws {
        let engine = try EngineUnderTest(.simulated)
        let driver = try #require(engine.driver as? SimulatedDriver)
        let listener = try engine.listen()
        let peer = try engine.connectFar(to: listener.address)
        driver.descriptorLimit = driver.socketsOpen
        let token = engine.token()
        engine.submit(.accept(listener.socket, token))
        let refused = try engine.completion(of: token)
        #expect(refused.result == -EMFILE && !refused.more)
        #expect(driver.openStream(.ipv4).error == EMFILE)
        // The connection waits in the queue until there is a descriptor for it.
        driver.descriptorLimit += 1
        engine.submit(.accept(listener.socket, token))
        #expect(try engine.completion(of: token).result == 0)
        #expect(peer.connectResult() == 0)
        engine.expectNoBreach()
    }
}
