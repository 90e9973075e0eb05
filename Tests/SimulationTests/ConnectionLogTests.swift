import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// What a worker hands over about the connections it closes, on the simulated driver.
struct ConnectionLogTests {
    private static func script(_ change: (inout PeerScript) -> Void = { _ in }) -> PeerScript {
        var script = PeerScript()
        script.bytes = 300
        change(&script)
        return script
    }

    private static let resets = script {
        $0.ending = .resetAfter
        $0.endingBytes = 200
    }

    /// A worker that logs, and the ring that it hands its records over in.
    private static func stage(
        _ logging: ConnectionLogging = .all, ring capacity: Int = 256, change: (inout WorkerSettings) -> Void = { _ in }
    ) -> (Stage, ConnectionRing) {
        let ring = ConnectionRing(capacity: capacity)
        let stage = Stage {
            $0.connectionLogging = logging
            $0.connectionRing = ring
            change(&$0)
        }
        return (stage, ring)
    }

    private static func records(_ ring: ConnectionRing) -> [ConnectionRecord] { Array(sequence(state: (), next: { _ in ring.take() })) }

    @Test func allThatIsKnownOfAConnectionIsHandedOver() throws {
        let (stage, ring) = Self.stage()
        stage.addEndpoint(.echo)
        stage.open()
        let began = stage.network.now
        let local = SocketAddress(IPAddress("2001:db8::7")!, PortNumber(4711)!)
        let client = stage.addClient(Self.script { $0.holdNanoseconds = 1_000_000_000 }, from: local)
        #expect(stage.finish([client]))
        stage.worker.run(nanoseconds: 1_000_000)
        let records = Self.records(ring)
        let record = try #require(records.first)
        #expect(records.count == 1)
        #expect(record.client == local.address && record.clientPort == 4711)
        #expect(record.frontend == Stage.frontend && record.attempts == 1)
        #expect(Int(record.serviceRow) == stage.worker.serviceRows[0] && Int(record.endpointRow) == stage.worker.endpointRows[0])
        #expect(record.reason == .clientFin)
        #expect(record.bytesFromClient == 300 && record.bytesToClient == 300)
        #expect(record.isConnected && record.connectMicroseconds < 1000)
        #expect((1_000_000_000...1_010_000_000).contains(record.durationNanoseconds))
        #expect((1_000_000_000...1_010_000_000).contains(record.closedAt - began))
        stage.close()
    }

    @Test func bytesOfTransfersCount() {
        let (stage, ring) = Self.stage { $0.bulk.enterUnits = 2 }
        stage.addEndpoint(.echo)
        stage.open()
        let client = stage.addClient(Self.script { $0.bytes = 200_000 })
        #expect(stage.finish([client]))
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(stage.worker.driver.bytesTransferred > 100_000 && stage.worker.counter(Column.bulkDirections) >= 2)
        #expect(Self.records(ring).map(\.bytesFromClient) == [200_000])
        stage.close()
    }

    @Test func onlyWhatDidNotEndWithBothFinsIsAnError() {
        let (stage, ring) = Self.stage(.errors)
        stage.addEndpoint(.echo)
        stage.open()
        let clients = [Self.script(), Self.resets, Self.script()].map { stage.addClient($0) }
        #expect(stage.finish(clients))
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(stage.worker.closed(.clientFin) == 2)
        #expect(Self.records(ring).map(\.reason) == [.clientReset])
        stage.close()
    }

    @Test(arguments: [ConnectionLogging.errors, .all])
    func aConnectionBeyondALimitIsLoggedThoughItNeverWasAFlow(_ logging: ConnectionLogging) throws {
        let (stage, ring) = Self.stage(logging)
        stage.addEndpoint(.echo)
        var settings = EndpointGroup.Settings()
        settings.connectionsMax = 1
        stage.open(settings)
        let clients = (0..<2).map { _ in stage.addClient(Self.script { $0.holdNanoseconds = 100_000_000 }) }
        stage.worker.run(nanoseconds: 10_000_000)
        let records = Self.records(ring)
        let record = try #require(records.first)
        #expect(records.count == 1 && record.reason == .limitService && record.attempts == 0)
        // The first of the two took the place.
        #expect(record.client == IPAddress(ipv4: 0x0a01_0001) && record.frontend == Stage.frontend)
        #expect(stage.finish(clients))
        stage.close()
    }

    @Test func everyAttemptIsCountedAndTheLastEndpointNamed() throws {
        let (stage, ring) = Self.stage()
        for _ in 0..<2 { stage.network.unreachable.insert(stage.addEndpoint()) }
        stage.open()
        let client = stage.addClient(Self.script())
        #expect(stage.finish([client]))
        stage.worker.run(nanoseconds: 1_000_000)
        let record = try #require(ring.take())
        #expect(record.reason == .connectUnreachable && record.attempts == 2)
        #expect(stage.worker.endpointRows.contains(Int(record.endpointRow)) && !record.isConnected)
        stage.close()
    }

    @Test func theClientIsTheOneThatAPROXYHeaderTold() throws {
        let (stage, ring) = Self.stage()
        stage.addEndpoint(.echo)
        var settings = EndpointGroup.Settings()
        settings.acceptsHeadersFrom = [IPRange("10.1.0.0/16")!]
        stage.open(settings)
        let told = stage.addClient(Self.script(), saying: Headers.bytes(.v2, ProxyBehaviourTests.told))
        #expect(stage.finish([told]))
        let bad = stage.addClient(Self.script(), saying: Array("GET / HTTP/1.0".utf8))
        #expect(stage.finish([bad]))
        stage.worker.run(nanoseconds: 1_000_000)
        let records = Self.records(ring)
        #expect(records.map(\.reason) == [.clientFin, .proxyHeaderBad])
        #expect(records.map(\.client) == [ProxyBehaviourTests.told.source, IPAddress(ipv4: 0x0a01_0000 + UInt32(bad))])
        #expect(records.first?.clientPort == ProxyBehaviourTests.told.sourcePort)
        stage.close()
    }

    /// Nobody takes anything: the first ones stay, and the others are counted.
    @Test func whatFindsTheRingFullIsCountedAndHoldsNothingUp() {
        let (stage, ring) = Self.stage(ring: 4)
        stage.addEndpoint(.echo)
        stage.open()
        for _ in 0..<10 {
            let client = stage.addClient(Self.script())
            #expect(stage.finish([client]) && stage.network.peer(client).sawFin)
        }
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.worker.counter(Column.connectionsNotLogged) == 6)
        #expect(Self.records(ring).map(\.client) == (0..<4).map { IPAddress(ipv4: 0x0a01_0000 + UInt32(2 * $0)) })
        stage.close()
    }

    @Test func nothingIsHandedOverWhileTheLogIsOff() {
        let (stage, ring) = Self.stage(.off)
        stage.addEndpoint(.echo)
        stage.open()
        let clients = [stage.addClient(Self.script()), stage.addClient(Self.resets)]
        #expect(stage.finish(clients))
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(stage.worker.closed == 2 && ring.take() == nil)
        stage.close()
    }
}
