import Addressing
import Engine
import EngineSimulator
import Glibc
import Testing

/// Sockets that connect from an address of the caller's choice, and ports that run out.
struct SourceTests {
    /// An address that no other test connects from.
    private static func source() -> IPAddress { FreshAddress.next(.ipv4).address }

    /// Connects from an address and answers the socket and the errno.
    private static func connect(
        _ engine: EngineUnderTest, from source: IPAddress, to address: SocketAddress, port: UInt16? = nil
    ) throws -> (socket: SocketID, errno: Int32) {
        let opened = engine.driver.openStream(source.family, from: source)
        try #require(opened.error == 0)
        if let port, engine.kind != .simulated { try narrow(opened.socket, to: port) }
        let token = engine.token()
        engine.submit(.connect(opened.socket, to: address, token))
        let completion = try engine.completion(of: token)
        #expect(!completion.more)
        return (opened.socket, -completion.result)
    }

    /// Leaves a socket one port to choose from. Cancels the test on kernels without that option (before Linux 6.3).
    private static func narrow(_ socket: SocketID, to port: UInt16) throws {
        let localPortRange: Int32 = 51
        var range = UInt32(port) << 16 | UInt32(port)
        let size = socklen_t(MemoryLayout<UInt32>.size)
        if unsafe setsockopt(Int32(bitPattern: socket.index), Int32(IPPROTO_IP), localPortRange, &range, size) != 0 {
            try Test.cancel("the kernel has no IP_LOCAL_PORT_RANGE")
        }
    }

    @Test(arguments: EngineKind.allCases)
    func aConnectionComesFromItsSourceAddress(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let listener = try engine.listenFar()
        let source = Self.source()
        let (socket, errno) = try Self.connect(engine, from: source, to: listener.address)
        #expect(errno == 0)
        #expect(engine.driver.localAddress(of: socket)?.address == source)
        #expect(engine.driver.peerAddress(of: socket) == listener.address)
        let overIPv6 = try engine.listenFar(.ipv6)
        let (second, errnoOverIPv6) = try Self.connect(engine, from: .loopbackIPv6, to: overIPv6.address)
        #expect(errnoOverIPv6 == 0)
        #expect(engine.driver.localAddress(of: second)?.address == .loopbackIPv6)
        engine.expectNoBreach()
    }

    /// The port is the connect's choice, so two connections may share it; bind(2) alone would give each a port of its own.
    @Test(arguments: [EngineKind.ioUring, .epoll], [IPAddress.Family.ipv4, .ipv6])
    func bindingTakesNoPort(_ kind: EngineKind, _ family: IPAddress.Family) throws {
        let engine = try EngineUnderTest(kind)
        let before = engine.driver.systemCalls
        let opened = engine.driver.openStream(family, from: family == .ipv4 ? Self.source() : .loopbackIPv6)
        #expect(opened.error == 0 && engine.driver.systemCalls - before == 5)
        // A socket without a port has no name yet.
        #expect(engine.driver.localAddress(of: opened.socket) == nil)
        let plain = engine.driver.systemCalls
        #expect(engine.driver.openStream(family).error == 0 && engine.driver.systemCalls - plain == 3)
    }

    @Test(arguments: EngineKind.allCases)
    func anAddressThatIsNotTheHostsOwnIsRefused(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        // For documentation only (RFC 5737).
        let foreign = IPAddress("192.0.2.1")!
        (engine.driver as? SimulatedDriver)?.network.foreignAddresses = [foreign]
        #expect(engine.driver.openStream(.ipv4, from: foreign).error == EADDRNOTAVAIL)
        #expect(HostLimits.probeSource(foreign) == EADDRNOTAVAIL)
        #expect(HostLimits.probeSource(Self.source()) == 0 && HostLimits.probeSource(.loopbackIPv6) == 0)
        engine.expectNoBreach()
    }

    @Test(arguments: EngineKind.allCases)
    func aConnectWithoutAPortLeftSaysSoAndOthersFindTheirs(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        (engine.driver as? SimulatedDriver)?.network.portsPerSource = 1
        let listeners = try (0..<2).map { _ in try engine.listenFar() }
        let sources = [Self.source(), Self.source()]
        // Within the range that the kernel chooses from, or it would not be heeded.
        let port: UInt16 = 45_678
        let first = try Self.connect(engine, from: sources[0], to: listeners[0].address, port: port)
        #expect(first.errno == 0)
        let second = try Self.connect(engine, from: sources[0], to: listeners[0].address, port: port)
        #expect(second.errno == EADDRNOTAVAIL)
        engine.submit(.close(second.socket))
        // Another endpoint, and another source, have the port still.
        let elsewhere = try Self.connect(engine, from: sources[0], to: listeners[1].address, port: port)
        let otherwise = try Self.connect(engine, from: sources[1], to: listeners[0].address, port: port)
        #expect(elsewhere.errno == 0 && otherwise.errno == 0)
        if kind != .simulated { #expect(engine.driver.localAddress(of: otherwise.socket)?.port.rawValue == port) }
        // A connection that is gone gives it back.
        engine.submit(.closeWithReset(first.socket))
        engine.exchange(waitNanoseconds: 0)
        let again = try Self.connect(engine, from: sources[0], to: listeners[0].address, port: port)
        #expect(again.errno == 0)
        for socket in [elsewhere.socket, otherwise.socket, again.socket] { engine.submit(.closeWithReset(socket)) }
        engine.exchange(waitNanoseconds: 0)
        engine.expectNoBreach()
    }
}
