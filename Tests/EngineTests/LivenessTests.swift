import Addressing
import Engine
import Glibc
import Testing

/// The options by which the kernel notices that a peer is gone, read back from the sockets.
struct LivenessTests {
    private static let liveness = Liveness(keepaliveSeconds: 40, userTimeoutMilliseconds: 90_000)

    /// SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT of a socket of a kernel driver: its index is the
    /// descriptor.
    private static func options(_ socket: SocketID) -> [Int32] {
        let transport = Int32(IPPROTO_TCP)
        return [
            (SOL_SOCKET, SO_KEEPALIVE), (transport, TCP_KEEPIDLE), (transport, TCP_KEEPINTVL), (transport, TCP_KEEPCNT),
            (transport, TCP_USER_TIMEOUT),
        ].map { level, option in
            var value: Int32 = -1
            var length = socklen_t(MemoryLayout<Int32>.size)
            _ = unsafe getsockopt(Int32(bitPattern: socket.index), level, option, &value, &length)
            return value
        }
    }

    @Test(arguments: [EngineKind.ioUring, .epoll], [IPAddress.Family.ipv4, .ipv6])
    func whatAListenerAcceptsInheritsThemAll(_ kind: EngineKind, _ family: IPAddress.Family) throws {
        let engine = try EngineUnderTest(kind)
        let listener = try engine.listen(family)
        let before = engine.driver.systemCalls
        engine.driver.setLiveness(Self.liveness, of: listener.socket, inPlaceOf: .none)
        #expect(engine.driver.systemCalls - before == 5)
        let peer = try engine.connectFar(to: listener.address)
        let token = engine.token()
        engine.submit(.acceptOne(listener.socket, token))
        let accepted = try engine.completion(of: token).socket
        #expect(Self.options(accepted) == [1, 40, 5, 4, 90_000])
        // What is the same costs nothing, and what is switched off is off for the next.
        let between = engine.driver.systemCalls
        engine.driver.setLiveness(Self.liveness, of: listener.socket, inPlaceOf: Self.liveness)
        #expect(engine.driver.systemCalls == between)
        engine.driver.setLiveness(.none, of: listener.socket, inPlaceOf: Self.liveness)
        #expect(engine.driver.systemCalls == between + 2)
        let next = try engine.connectFar(to: listener.address)
        let nextToken = engine.token()
        engine.submit(.acceptOne(listener.socket, nextToken))
        let plain = Self.options(try engine.completion(of: nextToken).socket)
        #expect(plain[0] == 0 && plain[4] == 0)
        _ = (peer, next)
    }

    @Test(arguments: [EngineKind.ioUring, .epoll])
    func aConnectedSocketTakesThem(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let (socket, peer) = try engine.connected()
        let before = engine.driver.systemCalls
        engine.driver.setLiveness(Self.liveness, of: socket, inPlaceOf: .none)
        #expect(engine.driver.systemCalls - before == 5)
        #expect(Self.options(socket) == [1, 40, 5, 4, 90_000])
        engine.driver.setLiveness(Liveness(userTimeoutMilliseconds: 7), of: socket, inPlaceOf: Self.liveness)
        #expect(Self.options(socket)[0] == 0 && Self.options(socket)[4] == 7)
        _ = peer
    }
}
