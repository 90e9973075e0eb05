@testable import Engine
import EngineSimulator
import Glibc
import Testing

/// Transfers: the same contract on every engine.
struct TransferTests {
    /// A driver with a socket to read from, one to write to, and their far ends.
    private final class Pair {
        let engine: EngineUnderTest
        let source: SocketID
        let destination: SocketID
        let sender: any FarPeer
        let receiver: any FarPeer

        init(_ engine: EngineUnderTest, receiveBytes: Int32? = nil) throws {
            self.engine = engine
            (source, sender) = try engine.accepted()
            (destination, receiver) = try engine.connected(receiveBytes: receiveBytes)
        }

        /// Transfers until the end or a failure; `whileWaiting` plays the far sides.
        func transferAll(whileWaiting: () -> Void) throws -> (bytes: Int, result: Int32, isDestination: Bool) {
            var token = engine.token()
            var bytes = 0
            var last: Completion?
            engine.submit(.transfer(from: source, to: destination, token))
            let isOver = engine.wait {
                whileWaiting()
                while let completion = engine.claim(token) {
                    if completion.result > 0 { bytes += Int(completion.result) }
                    if completion.more {
                        #expect(completion.result > 0)
                    } else if completion.result > 0 {
                        token = engine.token()
                        engine.submit(.transfer(from: source, to: destination, token))
                    } else {
                        last = completion
                    }
                }
                return last != nil
            }
            try #require(isOver, "the transfer came to no end after \(bytes) bytes")
            return (bytes, last!.result, last!.isDestination)
        }

        /// Fills the destination until a transfer is pending with bytes on their way; answers how many were told as delivered.
        func stall(_ token: OperationToken) throws -> Int {
            var delivered = 0
            var sent = 0
            engine.submit(.transfer(from: source, to: destination, token))
            let pattern = EngineUnderTest.pattern(2 * EngineUnderTest.patternPeriod)
            for _ in 0..<4000 {
                let start = sent % EngineUnderTest.patternPeriod
                let taken = sender.send(pattern[start..<start + 60_000])
                if taken > 0 { sent += taken }
                engine.exchange(waitNanoseconds: 1_000_000)
                while let completion = engine.claim(token) {
                    try #require(completion.result > 0)
                    delivered += Int(completion.result)
                    if !completion.more { engine.submit(.transfer(from: source, to: destination, token)) }
                }
                if taken <= 0, !engine.completesSoon(token) { return delivered }
            }
            Issue.record("the destination is never full")
            return delivered
        }

        func close() {
            engine.submit(.close(source))
            engine.submit(.close(destination))
            engine.exchange(waitNanoseconds: 0)
            engine.expectNoBreach()
        }
    }

    @Test(arguments: EngineKind.allCases)
    func everyByteArrivesInOrderAndThenTheEnd(_ kind: EngineKind) throws {
        try everyByteArrives(kind, pipesMax: 16)
    }

    /// Copied, and not received: the caller's buffers are not needed.
    @Test(arguments: [EngineKind.ioUring, .epoll])
    func withoutAPipeEveryByteArrivesAllTheSame(_ kind: EngineKind) throws {
        try everyByteArrives(kind, pipesMax: 0)
    }

    private func everyByteArrives(_ kind: EngineKind, pipesMax: Int) throws {
        let pair = try Pair(EngineUnderTest(kind, pipesMax: pipesMax), receiveBytes: 8192)
        let message = EngineUnderTest.pattern(3_000_000)
        var sent = 0
        var received: [UInt8] = []
        let outcome = try pair.transferAll {
            if sent < message.count {
                let count = pair.sender.send(message[sent..<min(message.count, sent + 50_000)])
                if count > 0 { sent += count }
                if sent == message.count { pair.sender.shutdownWrite() }
            }
            _ = pair.receiver.drain(into: &received, most: 70_000)
        }
        #expect(outcome.result == 0 && outcome.bytes == message.count)
        pair.engine.submit(.shutdownWrite(pair.destination))
        #expect(pair.engine.wait { pair.receiver.drain(into: &received) == 0 })
        #expect(received == message)
        pair.close()
    }

    @Test(arguments: EngineKind.allCases)
    func receiveGoesOnWhereATransferEnded(_ kind: EngineKind) throws {
        let pair = try Pair(EngineUnderTest(kind))
        let token = pair.engine.token()
        pair.engine.submit(.transfer(from: pair.source, to: pair.destination, token))
        #expect(!pair.engine.completesSoon(token))
        #expect(pair.sender.send([1, 2, 3]) == 3)
        let completion = try pair.engine.completion(of: token)
        #expect(completion.result == 3 && !completion.more)
        // No transfer is pending: the next bytes come to a receive.
        #expect(pair.sender.send([4, 5]) == 2)
        pair.sender.shutdownWrite()
        #expect(try pair.engine.receiveAll(pair.source).bytes == [4, 5])
        var received: [UInt8] = []
        #expect(
            pair.engine.wait {
                _ = pair.receiver.drain(into: &received)
                return received == [1, 2, 3]
            })
        pair.close()
    }

    @Test(arguments: EngineKind.allCases)
    func aResetOfTheSourceIsTold(_ kind: EngineKind) throws {
        let pair = try Pair(EngineUnderTest(kind))
        let token = pair.engine.token()
        pair.engine.submit(.transfer(from: pair.source, to: pair.destination, token))
        pair.engine.exchange(waitNanoseconds: 0)
        pair.sender.reset()
        let completion = try pair.engine.completion(of: token)
        #expect(completion.result == -ECONNRESET && !completion.more && !completion.isDestination)
        pair.close()
    }

    /// On a real kernel this would be SIGPIPE, which no flag of splice(2) prevents.
    @Test(arguments: EngineKind.allCases)
    func aResetOfTheDestinationIsToldAsTheDestinations(_ kind: EngineKind) throws {
        let pair = try Pair(EngineUnderTest(kind))
        pair.receiver.reset()
        #expect(pair.engine.wait { pair.engine.driver.hasFailed(pair.destination) })
        // The error is handed out once; after it, every attempt is a broken pipe.
        for errno in [ECONNRESET, EPIPE, EPIPE] {
            #expect(pair.sender.send([1, 2, 3]) == 3)
            let outcome = try pair.transferAll {}
            #expect(outcome.result == -errno || outcome.result == -EPIPE)
            #expect(outcome.isDestination)
        }
        pair.close()
    }

    @Test(arguments: EngineKind.allCases)
    func aCancelledTransferThatWaitsForItsSourceLosesNothing(_ kind: EngineKind) throws {
        let pair = try Pair(EngineUnderTest(kind))
        let token = pair.engine.token()
        pair.engine.submit(.transfer(from: pair.source, to: pair.destination, token))
        pair.engine.exchange(waitNanoseconds: 0)
        pair.engine.submit(.cancel(token, on: pair.source))
        let end = try pair.engine.completion(of: token)
        #expect(end.result == -ECANCELED && !end.more)
        pair.engine.submit(.cancel(token, on: pair.source))
        #expect(!pair.engine.completesSoon(token))
        #expect(pair.sender.send([7, 8]) == 2)
        pair.sender.shutdownWrite()
        #expect(try pair.engine.receiveAll(pair.source).bytes == [7, 8])
        pair.close()
    }

    /// The pipe of a transfer that was cancelled must not come back with its bytes in it.
    @Test(arguments: EngineKind.allCases)
    func bytesOfACancelledTransferReachNobody(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let stalled = try Pair(engine, receiveBytes: 4096)
        let token = engine.token()
        let delivered = try stalled.stall(token)
        engine.submit(.cancel(token, on: stalled.source))
        let end = try engine.completion(of: token)
        #expect(end.result == -ECANCELED && !end.more)
        // What was told as delivered is what arrives, and nothing else.
        engine.submit(.shutdownWrite(stalled.destination))
        var received: [UInt8] = []
        #expect(engine.wait { stalled.receiver.drain(into: &received) == 0 })
        #expect(received.count == delivered)
        let others = try (0..<20).map { _ in try Pair(engine) }
        for (number, other) in others.enumerated() {
            let message = [UInt8](repeating: UInt8(number + 100), count: 1000)
            #expect(other.sender.send(message[...]) == 1000)
            other.sender.shutdownWrite()
            #expect(try other.transferAll {}.bytes == 1000)
            engine.submit(.shutdownWrite(other.destination))
            var bytes: [UInt8] = []
            #expect(engine.wait { other.receiver.drain(into: &bytes) == 0 })
            #expect(bytes == message)
        }
        for pair in others + [stalled] { pair.close() }
    }

    @Test(arguments: EngineKind.allCases)
    func aStalledTransferGoesOnWhenTheDestinationHasRoom(_ kind: EngineKind) throws {
        let pair = try Pair(EngineUnderTest(kind), receiveBytes: 4096)
        let token = pair.engine.token()
        var delivered = try pair.stall(token)
        var received: [UInt8] = []
        #expect(
            pair.engine.wait {
                _ = pair.receiver.drain(into: &received)
                while let completion = pair.engine.claim(token) {
                    delivered += Int(completion.result)
                    if !completion.more { return true }
                }
                return false
            })
        #expect(
            pair.engine.wait {
                _ = pair.receiver.drain(into: &received)
                return received.count == delivered
            })
        pair.close()
    }

    /// The destination's FIN is no room: waiting for room must be waiting.
    @Test(arguments: EngineKind.allCases, [false, true])
    func aStalledTransferToAPeerThatHasSentFinSleeps(_ kind: EngineKind, cancels: Bool) throws {
        let pair = try Pair(EngineUnderTest(kind), receiveBytes: 4096)
        pair.receiver.shutdownWrite()
        let token = pair.engine.token()
        var delivered = try pair.stall(token)
        let before = pair.engine.driver.systemCalls
        #expect(!pair.engine.completesSoon(token))
        #expect(pair.engine.driver.systemCalls - before < 100)
        if cancels {
            pair.engine.submit(.cancel(token, on: pair.source))
            #expect(try pair.engine.completion(of: token).result == -ECANCELED)
            return pair.close()
        }
        var received: [UInt8] = []
        #expect(
            pair.engine.wait {
                _ = pair.receiver.drain(into: &received)
                while let completion = pair.engine.claim(token) {
                    delivered += Int(completion.result)
                    if !completion.more { return true }
                }
                return false
            })
        #expect(
            pair.engine.wait {
                _ = pair.receiver.drain(into: &received)
                return received.count == delivered
            })
        pair.close()
    }

    @Test(arguments: EngineKind.allCases)
    func bothDirectionsOfAConnectionAreTransferredAtOnce(_ kind: EngineKind) throws {
        let pair = try Pair(EngineUnderTest(kind))
        let there = pair.engine.token()
        let back = pair.engine.token()
        pair.engine.submit(.transfer(from: pair.source, to: pair.destination, there))
        pair.engine.submit(.transfer(from: pair.destination, to: pair.source, back))
        #expect(pair.sender.send([1, 2]) == 2)
        #expect(pair.receiver.send([3, 4, 5]) == 3)
        #expect(try pair.engine.completion(of: there).result == 2)
        #expect(try pair.engine.completion(of: back).result == 3)
        var forth: [UInt8] = []
        var backwards: [UInt8] = []
        #expect(
            pair.engine.wait {
                _ = pair.receiver.drain(into: &forth)
                _ = pair.sender.drain(into: &backwards)
                return forth == [1, 2] && backwards == [3, 4, 5]
            })
        pair.close()
    }

    /// Without a pipe nothing has left the source that has not arrived: whoever gives up goes on with a receive.
    @Test(arguments: [EngineKind.ioUring, .epoll])
    func aStalledTransferWithoutAPipeLosesNothingWhenItIsCancelled(_ kind: EngineKind) throws {
        let pair = try Pair(EngineUnderTest(kind, buffers: 16_384, pipesMax: 0), receiveBytes: 4096)
        let token = pair.engine.token()
        let delivered = try pair.stall(token)
        pair.engine.submit(.cancel(token, on: pair.source))
        #expect(try pair.engine.completion(of: token).result == -ECANCELED)
        pair.sender.shutdownWrite()
        let rest = try pair.engine.receiveAll(pair.source).bytes
        var received: [UInt8] = []
        #expect(
            pair.engine.wait {
                _ = pair.receiver.drain(into: &received)
                return received.count == delivered
            })
        #expect(!rest.isEmpty)
        #expect(received + rest == EngineUnderTest.pattern(received.count + rest.count))
        pair.close()
    }

    /// An engine may have no way but a pipe: then a receive serves.
    @Test func aTransferThatIsRefusedHasTakenNothing() throws {
        var faults = Faults()
        faults[.noPipe] = 1
        let pair = try Pair(EngineUnderTest(.simulated, faults: faults, pipesMax: 0))
        #expect(pair.sender.send([1, 2, 3]) == 3)
        let token = pair.engine.token()
        pair.engine.submit(.transfer(from: pair.source, to: pair.destination, token))
        let completion = try pair.engine.completion(of: token)
        #expect(completion.result == -EAGAIN && !completion.more)
        pair.sender.shutdownWrite()
        #expect(try pair.engine.receiveAll(pair.source).bytes == [1, 2, 3])
        pair.close()
    }

    /// splice(2) stops before urgent data, with EAGAIN or even with 0, and would do so for ever.
    @Test(arguments: [EngineKind.ioUring, .epoll])
    func urgentDataIsNoEndAndNoReasonToSpin(_ kind: EngineKind) throws {
        let pair = try Pair(EngineUnderTest(kind))
        #expect(pair.sender.send([1, 2, 3]) == 3)
        #expect((pair.sender as? PosixPeer)?.sendUrgent(9) == 1)
        #expect(pair.sender.send([4, 5]) == 2)
        pair.sender.shutdownWrite()
        let outcome = try pair.transferAll {}
        #expect(outcome.bytes == 3 && outcome.result == -EAGAIN)
        #expect(try pair.engine.receiveAll(pair.source).bytes == [4, 5])
        pair.close()
    }
}

/// The pipes themselves.
struct PipePoolTests {
    @Test func aPipeIsPooledOnlyWhenItIsEmpty() throws {
        var pool = PipePool(capacity: 2, pipeBytes: 65_536)
        var pair: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(unsafe socketpair(AF_UNIX, kind, 0, &pair) == 0)
        defer { for descriptor in pair { close(descriptor) } }
        // A pool can't be copied, so it can't stand in an expectation.
        func take() throws -> PipePool.ID {
            let taken = pool.take()
            return try #require(taken)
        }
        let first = try take()
        #expect(unsafe write(pair[0], "secret", 6) == 6)
        var count = pool.fill(first, from: pair[1], most: 100)
        #expect(count == 6)
        pool.release(first)
        var counts = [pool.freeCount, pool.openCount]
        #expect(counts == [0, 0])
        // The one that comes in its place is empty, and is kept.
        let second = try take()
        #expect(unsafe write(pair[0], "x", 1) == 1)
        count = pool.fill(second, from: pair[1], most: 100)
        #expect(count == 1)
        count = pool.drain(second, to: pair[1])
        #expect(count == 1)
        var byte: UInt8 = 0
        #expect(unsafe read(pair[0], &byte, 1) == 1)
        #expect(byte == UInt8(ascii: "x"))
        pool.release(second)
        counts = [pool.freeCount, pool.openCount]
        #expect(counts == [1, 1])
        // As many as there may be, and no more.
        let third = try take()
        let fourth = try take()
        let fifth = pool.take()
        #expect(fifth == nil)
        pool.release(third)
        pool.release(fourth)
        count = pool.freeCount
        #expect(count == 2)
    }

    @Test func aDriverMakesTheProcessDeafToBrokenPipes() {
        _ = EpollDriver()
        var action = sigaction()
        #expect(unsafe sigaction(SIGPIPE, nil, &action) == 0)
        #expect(unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1)
    }
}
