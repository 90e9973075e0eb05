import Engine
import EngineSimulator
import Glibc
import Testing

/// Receiving, sending, and how a connection ends.
struct StreamTests {
    @Test(arguments: EngineKind.allCases)
    func receiveDeliversAllBytesInOrderAcrossManyBuffersAndThenTheEnd(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        let message = EngineUnderTest.pattern(50_000)
        var sent = 0
        let (bytes, result) = try engine.receiveAll(socket) {
            guard sent < message.count else { return }
            let count = peer.send(message[sent..<min(message.count, sent + 4000)])
            if count > 0 { sent += count }
            if sent == message.count { peer.shutdownWrite() }
        }
        #expect(bytes == message)
        #expect(result == 0)
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func receiveFailsWithResetWhenThePeerResets(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        let token = engine.token()
        engine.submit(.receive(socket, token))
        engine.exchange(waitNanoseconds: 0)
        peer.reset()
        let completion = try engine.completion(of: token)
        #expect(completion.result == -ECONNRESET && !completion.more)
        engine.submit(.close(socket))
        #expect(!engine.completesSoon(token))
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func cancelledReceiveCompletesOnceAndTheSocketMayBeClosed(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        let token = engine.token()
        engine.submit(.receive(socket, token))
        #expect(peer.send([1, 2, 3]) == 3)
        let first = try engine.completion(of: token)
        #expect(engine.take(first) == [1, 2, 3])
        engine.submit(.cancel(token, on: socket))
        let end = try engine.completion(of: token)
        #expect(end.result == -ECANCELED && !end.more)
        // Nothing is lost by a cancel: the next receive goes on where the last one ended.
        #expect(peer.send([4, 5]) == 2)
        peer.shutdownWrite()
        #expect(try engine.receiveAll(socket).bytes == [4, 5])
        engine.submit(.cancel(token, on: socket))
        engine.submit(.close(socket))
        #expect(!engine.completesSoon(token))
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func aReceiveThatRestsHearsWhatComesAndGoesOnAsAnyOther(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        let token = engine.token()
        engine.submit(.receive(socket, token, isResting: true))
        #expect(!engine.completesSoon(token))
        for bytes in [[1, 2, 3], [4], [5, 6]] as [[UInt8]] {
            #expect(peer.send(bytes[...]) == bytes.count)
            let completion = try engine.completion(of: token)
            #expect(engine.take(completion) == bytes)
            #expect(completion.more)
        }
        peer.shutdownWrite()
        let end = try engine.completion(of: token)
        #expect(end.result == 0 && !end.more)
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func aReceiveThatRestsIsCancelledOnceAndLosesNothing(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        for bytes in [[], [7], [8, 9]] as [[UInt8]] {
            let token = engine.token()
            engine.submit(.receive(socket, token, isResting: true))
            engine.exchange(waitNanoseconds: 0)
            // With bytes there already, the cancel may be slower than they are.
            if !bytes.isEmpty { #expect(peer.send(bytes[...]) == bytes.count) }
            engine.submit(.cancel(token, on: socket))
            var heard: [UInt8] = []
            var completion = try engine.completion(of: token)
            while completion.result > 0 {
                heard += engine.take(completion)
                completion = try engine.completion(of: token)
            }
            #expect(completion.result == -ECANCELED && !completion.more)
            #expect(!engine.completesSoon(token))
            guard heard != bytes else { continue }
            let next = engine.token()
            engine.submit(.receive(socket, next))
            #expect(try engine.take(engine.completion(of: next)) == bytes)
            engine.submit(.cancel(next, on: socket))
            #expect(try engine.completion(of: next).result == -ECANCELED)
        }
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func aReceiveThatRestsFailsWithResetWhenThePeerResets(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        let token = engine.token()
        engine.submit(.receive(socket, token, isResting: true))
        engine.exchange(waitNanoseconds: 0)
        peer.reset()
        #expect(try engine.completion(of: token).result == -ECONNRESET)
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func cancelAndSuccessAreNeverBothReported(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        // Bytes, the end and the cancel meet in one exchange, whatever comes first.
        let token = engine.token()
        engine.submit(.receive(socket, token))
        engine.exchange(waitNanoseconds: 0)
        #expect(peer.send([9]) == 1)
        peer.shutdownWrite()
        engine.submit(.cancel(token, on: socket))
        var ends: [Int32] = []
        for _ in 0..<20 {
            engine.exchange(waitNanoseconds: 2_000_000)
            while engine.unclaimed.contains(where: { $0.token == token }) {
                let completion = try engine.completion(of: token)
                if completion.result > 0 { #expect(engine.take(completion) == [9]) }
                if !completion.more { ends.append(completion.result) }
            }
        }
        #expect(ends == [0] || ends == [-ECANCELED] || ends == [1])
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func sendsGatherBuffersAndLoseNothingToASlowReader(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind, bufferSize: 4096, buffers: 900)
        let (socket, peer) = try engine.connected(receiveBytes: 4096)
        let message = EngineUnderTest.pattern(400_000)
        var queue = try engine.queue(message, pieceMax: 1000)
        var received: [UInt8] = []
        let (errno, sends) = try engine.sendAll(socket, &queue) { _ = peer.drain(into: &received, most: 3000) }
        #expect(errno == 0)
        #expect(sends >= 400 / Int(ByteQueue.gatherMax))
        engine.submit(.shutdownWrite(socket))
        #expect(engine.wait { peer.drain(into: &received) == 0 })
        #expect(received == message)
        #expect(queue.isEmpty)
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func cancelledSendCompletesOnceAndTheSocketMayBeClosed(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind, bufferSize: 16_384, buffers: 600)
        let (socket, peer) = try engine.connected(receiveBytes: 4096)
        // Nobody reads, so in the end a send stays pending.
        let token = engine.token()
        var queue = try engine.queue(EngineUnderTest.pattern(16_384 * 16))
        var taken = 0
        var isPending = false
        for _ in 0..<400 where !isPending {
            engine.submit(.send(socket, queue, token))
            if engine.completesSoon(token) {
                let completion = try engine.completion(of: token)
                try #require(completion.result > 0)
                queue.consume(Int(completion.result), in: engine.pool)
                taken += Int(completion.result)
                while queue.bytes < 16_384 * 16, let buffer = engine.pool.take() {
                    queue.append(buffer, length: engine.pool.bufferSize, in: engine.pool)
                }
            } else {
                isPending = true
            }
        }
        #expect(isPending)
        engine.submit(.cancel(token, on: socket))
        let end = try engine.completion(of: token)
        #expect(end.result == -ECANCELED && !end.more)
        queue.removeAll(in: engine.pool)
        #expect(!engine.completesSoon(token))
        // What the kernel took before still arrives.
        engine.submit(.close(socket))
        var received: [UInt8] = []
        #expect(engine.wait { peer.drain(into: &received) == 0 })
        #expect(received.count == taken)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func closeGivesThePeerTheEndAndCloseWithResetAReset(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        for resets in [false, true] {
            let (socket, peer) = try engine.accepted()
            engine.submit(resets ? .closeWithReset(socket) : .close(socket))
            var received: [UInt8] = []
            var outcome: Int32?
            #expect(
                engine.wait {
                    outcome = peer.drain(into: &received)
                    return outcome != nil
                })
            #expect(outcome == (resets ? ECONNRESET : 0))
            #expect(received.isEmpty)
        }
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func bytesSentBeforeACloseStillArrive(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        let message = EngineUnderTest.pattern(4000)
        var queue = try engine.queue(message)
        #expect(try engine.sendAll(socket, &queue).errno == 0)
        engine.submit(.close(socket))
        var received: [UInt8] = []
        #expect(engine.wait { peer.drain(into: &received) == 0 })
        #expect(received == message)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func afterShutdownWriteTheOtherDirectionStillFlows(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        var queue = try engine.queue([7, 8])
        #expect(try engine.sendAll(socket, &queue).errno == 0)
        engine.submit(.shutdownWrite(socket))
        var received: [UInt8] = []
        #expect(engine.wait { peer.drain(into: &received) == 0 })
        #expect(received == [7, 8])
        let message = EngineUnderTest.pattern(5000)
        #expect(peer.send(message[...]) == 5000)
        peer.shutdownWrite()
        let (bytes, result) = try engine.receiveAll(socket)
        #expect(bytes == message)
        #expect(result == 0)
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func sendToAPeerThatIsGoneFails(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        peer.reset()
        var errno: Int32 = 0
        // The first send may come before the reset is known.
        for _ in 0..<200 where errno == 0 {
            var queue = try engine.queue([1])
            errno = try engine.sendAll(socket, &queue).errno
            queue.removeAll(in: engine.pool)
        }
        #expect(errno == ECONNRESET || errno == EPIPE)
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func anEmptyPoolEndsReceivesAndNothingIsLostOnceBuffersAreBack(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind, bufferSize: 64, buffers: 64)
        let (socket, peer) = try engine.accepted()
        let message = EngineUnderTest.pattern(7000)
        #expect(peer.send(message[...]) == 7000)
        peer.shutdownWrite()
        // The buffers are kept until the engine has none left.
        let token = engine.token()
        engine.submit(.receive(socket, token))
        var kept: [Completion] = []
        var end: Completion?
        while end == nil {
            let completion = try engine.completion(of: token)
            if completion.result > 0 { kept.append(completion) }
            if !completion.more {
                if completion.result > 0 { engine.submit(.receive(socket, token)) } else { end = completion }
            }
        }
        #expect(end?.result == -ENOBUFS)
        #expect(kept.count <= 64 && kept.count >= 32)
        var received = kept.flatMap { engine.take($0) }
        let (rest, result) = try engine.receiveAll(socket)
        received += rest
        #expect(result == 0)
        #expect(received == message)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func receivesAndSendsCancelledAtAnyMomentLoseNothing(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind, bufferSize: 128)
        var random = SimulatedRandom(seed: 11)
        let (socket, peer) = try engine.accepted(receiveBytes: 4096)
        let message = EngineUnderTest.pattern(300_000)
        var echo = Echo(engine: engine, socket: socket)
        var said = 0
        var heard: [UInt8] = []
        var isEnded = false
        let isOver = engine.wait {
            if said < message.count {
                let count = peer.send(message[said..<min(message.count, said + 1 + random.below(3000))])
                if count > 0 { said += count }
                if said == message.count { peer.shutdownWrite() }
            }
            if peer.drain(into: &heard, most: 1 + random.below(3000)) == 0 { isEnded = true }
            echo.step(&random)
            return isEnded
        }
        #expect(isOver && heard == message, "\(heard.count) of \(message.count) bytes, after \(echo.cancels) cancels")
        #expect(echo.cancels > 10)
        engine.submit(.close(socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }
}

/// Sends back what comes, and cancels and begins its operations anew at random.
private struct Echo {
    let engine: EngineUnderTest
    let socket: SocketID
    let receive: OperationToken
    let send: OperationToken
    private(set) var cancels = 0
    private var outbox = ByteQueue()
    private var isReceiving = false
    private var isSending = false
    private var isCancelled = false
    private var hasEnded = false
    private var hasShut = false

    init(engine: EngineUnderTest, socket: SocketID) {
        self.engine = engine
        self.socket = socket
        receive = engine.token()
        send = engine.token()
    }

    mutating func step(_ random: inout SimulatedRandom) {
        while let completion = engine.claim(receive) {
            if completion.result > 0 {
                outbox.append(completion.buffer, length: Int(completion.result), in: engine.pool)
            } else if completion.result == 0 {
                hasEnded = true
            }
            if !completion.more {
                isReceiving = false
                isCancelled = false
            }
        }
        while let completion = engine.claim(send) {
            isSending = false
            if completion.result > 0 { outbox.consume(Int(completion.result), in: engine.pool) }
        }
        if isReceiving, !isCancelled, random.chance(0.3) {
            isCancelled = true
            cancels += 1
            engine.submit(.cancel(receive, on: socket))
        } else if !isReceiving, !hasEnded, random.chance(0.7) {
            isReceiving = true
            engine.submit(.receive(socket, receive))
        }
        if isSending, random.chance(0.3) {
            cancels += 1
            engine.submit(.cancel(send, on: socket))
        } else if !isSending, !outbox.isEmpty, random.chance(0.7) {
            isSending = true
            engine.submit(.send(socket, outbox, send))
        } else if !isSending, outbox.isEmpty, hasEnded, !hasShut {
            hasShut = true
            engine.submit(.shutdownWrite(socket))
        }
    }
}
