import Addressing
import Engine
import Glibc
import Testing

/// Accepting and connecting.
struct ConnectionTests {
    @Test(arguments: EngineKind.allCases)
    func multishotAcceptDeliversSeveralConnections(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let listener = try engine.listen()
        let token = engine.token()
        engine.submit(.accept(listener.socket, token))
        let peers = try (0..<20).map { _ in try engine.connectFar(to: listener.address) }
        var sockets: Set<SocketID> = []
        for _ in peers {
            let completion = try engine.completion(of: token)
            #expect(completion.result == 0 && completion.more)
            sockets.insert(completion.socket)
        }
        #expect(sockets.count == 20)
        #expect(!engine.completesSoon(token))
        // A cancelled accept tells so, once, and the listener may be closed.
        engine.submit(.cancel(token, on: listener.socket))
        let end = try engine.completion(of: token)
        #expect(end.result == -ECANCELED && !end.more)
        for socket in sockets { engine.submit(.close(socket)) }
        engine.submit(.close(listener.socket))
        #expect(!engine.completesSoon(token))
        for peer in peers { peer.close() }
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func acceptOneDeliversOneConnectionAndStops(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let listener = try engine.listen()
        let peers = try (0..<3).map { _ in try engine.connectFar(to: listener.address) }
        for _ in peers {
            let token = engine.token()
            engine.submit(.acceptOne(listener.socket, token))
            let completion = try engine.completion(of: token)
            #expect(completion.result == 0 && !completion.more)
            engine.submit(.close(completion.socket))
            #expect(!engine.completesSoon(token))
        }
        engine.submit(.close(listener.socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func bothAddressesOfASocketAreKnown(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, _) = try engine.accepted()
        #expect(engine.driver.peerAddress(of: socket)?.address == .loopbackIPv4)
        let listener = try engine.listenFar()
        let opened = engine.driver.openStream(.ipv4)
        #expect(engine.driver.peerAddress(of: opened.socket) == nil && engine.driver.localAddress(of: opened.socket) == nil)
        let token = engine.token()
        engine.submit(.connect(opened.socket, to: listener.address, token))
        #expect(try engine.completion(of: token).result == 0)
        #expect(engine.driver.peerAddress(of: opened.socket) == listener.address)
        #expect(engine.driver.localAddress(of: opened.socket)?.address == .loopbackIPv4)
        #expect(engine.driver.localAddress(of: opened.socket)?.port != engine.driver.localAddress(of: socket)?.port)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func connectsAndListensOverIPv6(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (accepted, client) = try engine.accepted(.ipv6)
        #expect(engine.driver.peerAddress(of: accepted)?.address == .loopbackIPv6)
        let message = EngineUnderTest.pattern(1000)
        #expect(client.send(message[...]) == 1000)
        client.shutdownWrite()
        #expect(try engine.receiveAll(accepted).bytes == message)
        let (connected, server) = try engine.connected(.ipv6)
        var queue = try engine.queue(message)
        #expect(try engine.sendAll(connected, &queue).errno == 0)
        var received: [UInt8] = []
        #expect(
            engine.wait {
                _ = server.drain(into: &received)
                return received == message
            })
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func connectToNobodyIsRefused(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let opened = engine.driver.openStream(.ipv4)
        let token = engine.token()
        engine.submit(.connect(opened.socket, to: FreshAddress.next(.ipv4), token))
        let completion = try engine.completion(of: token)
        #expect(completion.result == -ECONNREFUSED && !completion.more)
        engine.submit(.close(opened.socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func connectToABlackHoleStaysPendingUntilItIsCancelled(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let hole = try engine.blackHole()
        let opened = engine.driver.openStream(.ipv4)
        let token = engine.token()
        engine.submit(.connect(opened.socket, to: hole.address, token))
        #expect(!engine.completesSoon(token))
        engine.submit(.cancel(token, on: opened.socket))
        let completion = try engine.completion(of: token)
        #expect(completion.result == -ECANCELED && !completion.more)
        engine.submit(.close(opened.socket))
        #expect(!engine.completesSoon(token))
        engine.expectNoBreach()
        hole.listener?.close()
    }

    @Test(arguments: EngineKind.allCases)
    func stoppedListenerIsDrainedAndTakesNobodyElse(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let listener = try engine.listen()
        let early = try (0..<5).map { _ in try engine.connectFar(to: listener.address) }
        #expect(engine.wait { early.allSatisfy { $0.connectResult() == 0 } })
        // Not every host grants an unprivileged user the filter that keeps late ones out for good; the queue is emptied anyway.
        let isFiltered = engine.driver.stopArrivals(listener.socket)
        let late = try engine.connectFar(to: listener.address)
        #expect(!engine.completesSoon(.wakeUp))
        for peer in early {
            let opened = engine.driver.acceptQueued(listener.socket)
            try #require(opened.error == 0)
            // What was queued is served as if nothing were.
            #expect(peer.send([1, 2, 3]) == 3)
            peer.shutdownWrite()
            #expect(try engine.receiveAll(opened.socket).bytes == [1, 2, 3])
            engine.submit(.close(opened.socket))
        }
        if isFiltered {
            #expect(engine.driver.acceptQueued(listener.socket).error == EAGAIN)
            #expect(late.connectResult() == nil)
        }
        engine.submit(.close(listener.socket))
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func aSocketNumberUsedAgainHasAnotherGeneration(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let first = engine.driver.openStream(.ipv4).socket
        engine.submit(.close(first))
        engine.exchange(waitNanoseconds: 0)
        // The kernel gives the lowest number that is free, and other tests open sockets at the same time.
        var again: SocketID?
        var opened: [SocketID] = []
        for _ in 0..<50 where again == nil {
            let socket = engine.driver.openStream(.ipv4).socket
            opened.append(socket)
            if socket.index == first.index { again = socket }
        }
        if let again {
            #expect(again.generation != first.generation)
            if kind != .simulated { #expect(engine.driver.peerAddress(of: first) == nil) }
        } else {
            #expect(kind != .simulated)
        }
        for socket in opened { engine.submit(.close(socket)) }
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }
}
