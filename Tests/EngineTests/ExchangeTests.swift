import Engine
import EngineSimulator
import Glibc
import Testing

/// The exchange itself: waiting, waking, and its bounds.
struct ExchangeTests {
    /// Skipped, with the reason, where the cases named io_uring do nothing.
    @Test(.enabled(if: EngineKind.uringUnavailable == nil, "\(EngineKind.uringUnavailable.map(String.init(describing:)) ?? "")"))
    func ioUringIsGrantedAndUnderTest() throws {
        #expect(try EngineUnderTest(.ioUring).driver is UringDriver)
    }

    @Test(arguments: EngineKind.allCases)
    func aWaitEndsWhenItsTimeIsOver(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let began = engine.driver.monotonicNanoseconds()
        // A signal may end a wait early, so there may be more than one; but not as many as a driver that doesn't wait would need.
        var exchanges = 0
        while engine.driver.monotonicNanoseconds() - began < 4_000_000, exchanges < 20 {
            #expect(engine.exchange(waitNanoseconds: 5_000_000).isEmpty)
            exchanges += 1
        }
        let ended = engine.driver.monotonicNanoseconds()
        #expect(ended - began >= 4_000_000)
        #expect(ended - began < EngineUnderTest.patienceNanoseconds)
        engine.exchange(waitNanoseconds: 0)
        #expect(engine.driver.monotonicNanoseconds() >= ended)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func anotherThreadEndsAWaitAgainAndAgain(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        for _ in 0..<3 {
            let waker = Waker(engine.driver.wakeUp)
            var isWoken = false
            for _ in 0..<50 where !isWoken {
                isWoken = engine.exchange(waitNanoseconds: .max).contains { $0.token == .wakeUp }
            }
            waker.join()
            #expect(isWoken)
        }
        // Signals that come before the engine looks are one, and are not lost.
        engine.driver.wakeUp.signal()
        engine.driver.wakeUp.signal()
        #expect(engine.exchange(waitNanoseconds: 5_000_000_000).filter { $0.token == .wakeUp }.count == 1)
        #expect(engine.exchange(waitNanoseconds: 0).isEmpty)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func moreSubmissionsThanTheRingHoldsAreAllTaken(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.accepted()
        // Cancels of what is not pending do nothing, but each takes an entry.
        let nobody = engine.token()
        for _ in 0..<5000 { engine.submit(.cancel(nobody, on: socket)) }
        let token = engine.token()
        engine.submit(.receive(socket, token))
        #expect(peer.send([5]) == 1)
        #expect(engine.take(try engine.completion(of: token)) == [5])
        #expect(!engine.unclaimed.contains { $0.token == nobody })
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func completionsThatDoNotFitComeWithTheNextExchange(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind, completionsMax: 160)
        let listener = try engine.listen()
        let accept = engine.token()
        engine.submit(.accept(listener.socket, accept))
        let peers = try (0..<300).map { _ in try engine.connectFar(to: listener.address) }
        var sockets: [SocketID] = []
        for _ in peers { sockets.append(try engine.completion(of: accept).socket) }
        // All of them complete at one stroke.
        let tokens = sockets.map { _ in engine.token() }
        for (socket, token) in zip(sockets, tokens) { engine.submit(.receive(socket, token)) }
        engine.exchange(waitNanoseconds: 0)
        for peer in peers { #expect(peer.send([1]) == 1) }
        for token in tokens { #expect(engine.take(try engine.completion(of: token)) == [1]) }
        // And these at once, before the engine has waited for anything.
        let sends = sockets.map { _ in engine.token() }
        for (socket, token) in zip(sockets, sends) { engine.submit(.send(socket, try engine.queue([2]), token)) }
        for token in sends { #expect(try engine.completion(of: token).result == 1) }
        for (socket, token) in zip(sockets, tokens) { engine.submit(.cancel(token, on: socket)) }
        for token in tokens { #expect(try engine.completion(of: token).result == -ECANCELED) }
        engine.expectNoBreach()
    }
}

/// A thread that signals a wake-up after a moment.
private final class Waker {
    private let thread: PosixThread

    init(_ wakeUp: WakeUp) {
        thread = PosixThread {
            usleep(2000)
            wakeUp.signal()
        }
    }

    func join() { thread.join() }
}
