import Addressing
import Engine
import EngineSimulator
@testable import Forwarding
import Routing
@testable import Simulate
import Testing

/// What a whole worker does with PROXY headers, of clients and for endpoints.
struct ProxyBehaviourTests {
    static let everyVersion = ProxyProtocolVersion.allCases
    static let told = ProxyAddresses(
        source: IPAddress("203.0.113.9")!, sourcePort: 1234, destination: IPAddress("198.51.100.1")!, destinationPort: 443)

    private static func settings(
        _ version: ProxyProtocolVersion? = nil, accepting range: String? = nil, _ selection: Selection = .random
    ) -> EndpointGroup.Settings {
        var settings = EndpointGroup.Settings()
        settings.selection = selection
        settings.proxyProtocol = version
        settings.acceptsHeadersFrom = range.map { [IPRange($0)!] } ?? []
        return settings
    }

    /// An echo that hears a header first.
    private static var strict: PeerScript {
        var script = PeerScript.echo
        script.expectsHeader = true
        return script
    }

    private static func client(_ change: (inout PeerScript) -> Void = { _ in }) -> PeerScript {
        var script = PeerScript()
        script.bytes = 300
        change(&script)
        return script
    }

    /// What the endpoints heard, by the client whose bytes followed.
    private func heard(_ stage: Stage) -> [Int: [UInt8]] {
        var heard: [Int: [UInt8]] = [:]
        for index in 0..<stage.network.peerCount where stage.network.peer(index).isServer && stage.network.peer(index).received >= 4 {
            heard[Int(stage.network.peer(index).number)] = stage.network.header(heardBy: index)
        }
        return heard
    }

    private func own(_ client: Int) -> ProxyAddresses {
        let local = SocketAddress(IPAddress(ipv4: 0x0a01_0000 + UInt32(client)), PortNumber(40_000)!)
        return ProxyAddresses(source: local, destination: Stage.frontend)
    }

    // MARK: To endpoints

    @Test(arguments: everyVersion)
    func everyConnectionBeginsWithItsHeaderAlsoAfterFailedAttempts(_ version: ProxyProtocolVersion) {
        let stage = Stage()
        stage.addEndpoint()
        stage.network.unreachable.insert(stage.addEndpoint())
        stage.addEndpoint(Self.strict)
        stage.open(Self.settings(version))
        let clients = (0..<30).map { _ in stage.addClient(Self.client()) }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin && stage.network.peer($0).received == 300 })
        #expect(clients.allSatisfy { stage.network.peer($0).matchesEcho })
        #expect(heard(stage) == Dictionary(uniqueKeysWithValues: clients.map { ($0, Headers.bytes(version, own($0))) }))
        #expect(stage.connections[0] + stage.connections[1] > 0)
        stage.close()
    }

    @Test(arguments: everyVersion)
    func aServerThatSpeaksFirstIsToldAtOnce(_ version: ProxyProtocolVersion) {
        let stage = Stage()
        var greeter = Self.client()
        greeter.expectsHeader = true
        stage.addEndpoint(greeter)
        stage.open(Self.settings(version))
        // Says nothing before it has been greeted.
        let client = stage.addClient(Self.client { $0.speaking = .afterRequest })
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).received == 300 && stage.network.peer(client).matchesAnswer)
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(heard(stage) == [client: Headers.bytes(version, own(client))])
        stage.close()
    }

    @Test func ofAListenerOnEveryAddressTheOneThatWasAskedForIsTold() {
        let stage = Stage()
        let endpoint = stage.addEndpoint(Self.strict)
        stage.worker.open(SocketAddress(.anyIPv4, PortNumber(80)!), to: [endpoint], settings: Self.settings(.v2))
        stage.worker.run(nanoseconds: 1_000_000)
        let client = stage.addClient(Self.client())
        #expect(stage.finish([client]))
        #expect(heard(stage) == [client: Headers.bytes(.v2, own(client))])
        stage.close()
    }

    /// Buffers that come back in time, and those that never do.
    @Test(arguments: [true, false])
    func nothingIsSentWhileThereIsNoBufferForTheHeader(_ comesBack: Bool) {
        let stage = Stage()
        stage.addEndpoint(Self.strict)
        stage.open(Self.settings(.v1))
        var taken: [BufferID] = []
        while let buffer = stage.worker.driver.buffers.take() { taken.append(buffer) }
        let client = stage.addClient(Self.client())
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(stage.connections == [0] && stage.servers.isEmpty && stage.worker.connectionsActive == 1)
        if !comesBack { stage.worker.run(nanoseconds: 3_000_000_000) }
        for buffer in taken { stage.worker.driver.buffers.release(buffer) }
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).sawReset != comesBack)
        #expect(heard(stage) == (comesBack ? [client: Headers.bytes(.v1, own(client))] : [:]))
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.worker.closed(.limitProcess) == (comesBack ? 0 : 1))
        stage.close()
    }

    /// An endpoint that doesn't answer is left for one of a group that wants another header, or none.
    @Test(arguments: [ProxyProtocolVersion.v2, nil])
    func aGroupThatTookTheOthersPlaceGetsTheHeaderItAsksFor(_ version: ProxyProtocolVersion?) {
        let stage = Stage()
        stage.network.blackHoles.insert(stage.addEndpoint())
        stage.open(Self.settings(.v1))
        let client = stage.addClient(Self.client())
        stage.worker.run(nanoseconds: 500_000_000)
        let next = stage.addEndpoint(version == nil ? .echo : Self.strict)
        stage.worker.replace(Stage.frontend, to: [next], settings: Self.settings(version))
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).received == 300 && stage.network.peer(client).matchesEcho)
        if let version { #expect(heard(stage) == [client: Headers.bytes(version, own(client))]) }
        stage.close()
    }

    // MARK: From clients

    @Test(arguments: everyVersion, [1, 7, 4096])
    func whatABalancerTellsIsToldOn(_ version: ProxyProtocolVersion, _ pieces: Int) {
        let stage = Stage()
        stage.addEndpoint(Self.strict)
        stage.open(Self.settings(.v2, accepting: "10.1.0.0/16"))
        let script = Self.client {
            $0.sendMax = pieces
            $0.pauseNanosecondsMax = 10_000
        }
        let clients = (0..<10).map { _ in stage.addClient(script, saying: Headers.bytes(version, Self.told)) }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).received == 300 && stage.network.peer($0).matchesEcho })
        #expect(heard(stage) == Dictionary(uniqueKeysWithValues: clients.map { ($0, Headers.bytes(.v2, Self.told)) }))
        stage.close()
    }

    @Test(arguments: [Headers.local, Array("PROXY UNKNOWN\r\n".utf8)])
    func aBalancerThatSpeaksForItselfHasItsOwnAddress(_ header: [UInt8]) {
        let stage = Stage()
        stage.addEndpoint(Self.strict)
        stage.open(Self.settings(.v1, accepting: "10.1.0.0/16"))
        let client = stage.addClient(Self.client(), saying: header)
        #expect(stage.finish([client]))
        #expect(heard(stage) == [client: Headers.bytes(.v1, own(client))])
        stage.close()
    }

    @Test func theClientThatIsToldDecidesTheEndpoint() {
        let stage = Stage()
        for _ in 0..<8 { stage.addEndpoint(.echo) }
        stage.open(Self.settings(accepting: "10.1.0.0/16", .clientIP))
        let clients = (0..<20).map { _ in stage.addClient(Self.client(), saying: Headers.bytes(.v2, Self.told)) }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).matchesEcho && stage.network.peer($0).received == 300 })
        #expect(stage.connections.sorted() == [0, 0, 0, 0, 0, 0, 0, 20])
        stage.close()
    }

    @Test func bytesOfOthersAreTheirOwnWhateverTheyLookLike() {
        let stage = Stage()
        // It believes what it hears, and hears what a client has made up.
        stage.addEndpoint(Self.strict)
        stage.open(Self.settings(accepting: "10.2.0.0/16"))
        let client = stage.addClient(Self.client(), saying: Headers.bytes(.v1, Self.told))
        #expect(stage.finish([client]))
        #expect(heard(stage) == [client: Headers.bytes(.v1, Self.told)])
        stage.close()
    }

    static let bad: [[UInt8]] = [
        Array("GET / HTTP/1.1\r\n\r\n".utf8), Array("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n".utf8), [],
        Array("PROXY UNKNOWN ".utf8) + Array(repeating: 0x78, count: 100), Array(Headers.local.dropLast(4)) + [0x21, 0x41, 0, 0],
        Array(Headers.local.dropLast(2)) + [0xff, 0xff],
    ]

    @Test(arguments: bad)
    func aBadHeaderIsAResetAndReachesNobody(_ header: [UInt8]) {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open(Self.settings(accepting: "10.1.0.0/16"))
        let began = stage.network.now
        let client = stage.addClient(Self.client { $0.sendMax = 3 }, saying: header)
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).sawReset && stage.network.peer(client).endedAt - began < 100_000_000)
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.connections == [0] && stage.worker.closed(.proxyHeaderBad) == 1)
        stage.close()
    }

    @Test func aLateHeaderIsAResetToo() {
        let stage = Stage { $0.proxyHeaderNanoseconds = 500_000_000 }
        stage.addEndpoint(.echo)
        stage.open(Self.settings(accepting: "10.1.0.0/16"))
        let began = stage.network.now
        let silent = stage.addClient(
            Self.client {
                $0.bytes = 0
                $0.holdNanoseconds = 10_000_000_000
            }, saying: Array("PROXY TCP4 1.2".utf8))
        #expect(stage.finish([silent]))
        #expect(stage.network.peer(silent).sawReset)
        #expect((500_000_000...600_000_000).contains(stage.network.peer(silent).endedAt - began))
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.connections == [0] && stage.worker.closed(.proxyHeaderBad) == 1)
        stage.close()
    }

    @Test func whoLeavesWithoutAByteIsNoFaultAndWhoLeavesHalfwayIs() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open(Self.settings(accepting: "10.1.0.0/16"))
        let probe = stage.addClient(Self.client { $0.bytes = 0 })
        let half = stage.addClient(Self.client { $0.bytes = 0 }, saying: Array("PROXY TCP4 1.2".utf8))
        #expect(stage.finish([probe, half]))
        #expect(stage.network.peer(probe).sawFin && !stage.network.peer(probe).sawReset)
        #expect(stage.network.peer(half).sawReset)
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.worker.closed(.clientFin) == 1 && stage.worker.closed(.proxyHeaderBad) == 1)
        stage.close()
    }

    /// With buffers smaller than a header, one for each byte that comes, and never many.
    @Test func aHeaderThatComesByteByByteIsPacked() {
        let stage = Stage(bufferSize: 16)
        stage.addEndpoint(Self.strict)
        stage.open(Self.settings(.v1, accepting: "10.1.0.0/16"))
        // A name of 700 bytes behind the addresses.
        let extended =
            Array(Headers.bytes(.v2, Self.told).dropLast(14)) + [0x02, 0xcb] + Headers.bytes(.v2, Self.told).suffix(12)
            + [2, 0x02, 0xbc] + Array(repeating: 0x61, count: 700)
        let script = Self.client {
            $0.sendMax = 1
            $0.pauseNanosecondsMax = 5000
        }
        let client = stage.addClient(script, saying: extended)
        var most = 0
        let isOver = stage.worker.run(ticksMax: 20_000, waitMax: 1_000_000) {
            most = max(most, stage.worker.driver.buffers.capacity - stage.worker.driver.buffers.freeCount)
            return stage.network.peer(client).isOver
        }
        #expect(isOver && most <= 60, "\(most)")
        #expect(heard(stage) == [client: Headers.bytes(.v1, Self.told)])
        #expect(stage.network.peer(client).received == 300 && stage.network.peer(client).matchesEcho)
        stage.close()
    }
}
