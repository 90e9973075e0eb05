import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// What a worker hands over about the UDP sessions that end, on the simulated driver.
struct SessionLogTests {
    private static func stage(_ logging: ConnectionLogging, endpoints: Int = 1) -> (DatagramStage, ConnectionRing) {
        let ring = ConnectionRing(capacity: 64)
        let stage = DatagramStage(endpoints: endpoints) {
            $0.connectionLogging = logging
            $0.connectionRing = ring
            $0.sessionsMax = 2
        }
        return (stage, ring)
    }

    private static func records(_ ring: ConnectionRing) -> [ConnectionRecord] { Array(sequence(state: (), next: { _ in ring.take() })) }

    @Test func allThatIsKnownOfASessionIsHandedOver() throws {
        let (stage, ring) = Self.stage(.all)
        stage.open()
        let began = stage.network.now
        let asked = try #require(stage.ask([1, 2, 3], from: 7))
        stage.run(seconds: 1)
        stage.reply([4, 5], to: asked.request, by: 0)
        stage.reply([6], to: asked.request, by: 0)
        stage.run(seconds: 200)
        let records = Self.records(ring)
        let record = try #require(records.first)
        #expect(records.count == 1 && record.isSession && record.reason == .clientIdle)
        #expect(record.client == IPAddress(ipv4: 0x0a01_0007) && record.clientPort == 40_007)
        #expect(record.frontend == DatagramStage.frontend && record.attempts == 1)
        #expect(Int(record.endpointRow) == stage.worker.datagramEndpointRows[stage.endpoints[0]])
        #expect(record.datagramsFromClient == 1 && record.bytesFromClient == 3)
        #expect(record.datagramsToClient == 2 && record.bytesToClient == 3)
        #expect(record.isConnected && (1_000_000..<1_100_000).contains(record.connectMicroseconds))
        // 120 seconds after the last reply, within two ticks of the timers.
        #expect((121_000_000_000..<121_200_000_000).contains(record.durationNanoseconds))
        #expect((121_000_000_000..<121_200_000_000).contains(record.closedAt - began))
        stage.close()
    }

    @Test func behindAWildcardTheAddressThatWasAskedIsNamed() throws {
        let (stage, ring) = Self.stage(.all)
        let port = DatagramStage.frontend.port
        stage.open(at: SocketAddress(.anyIPv4, port))
        #expect(stage.ask(from: 1) != nil)
        stage.run(seconds: 60)
        #expect(Self.records(ring).map(\.frontend) == [DatagramStage.frontend])
        stage.close()
    }

    @Test func everyEndpointIsCountedAndTheLastOneNamed() throws {
        let (stage, ring) = Self.stage(.all, endpoints: 2)
        stage.open(to: [0])
        #expect(stage.ask(from: 1)?.endpoint == 0)
        stage.replace(to: [1])
        #expect(stage.ask(from: 1)?.endpoint == 1)
        let row = stage.worker.datagramEndpointRows[stage.endpoints[1]]
        stage.run(seconds: 60)
        let record = try #require(ring.take())
        #expect(record.attempts == 2 && Int(record.endpointRow) == row && record.reason == .serverIdle && !record.isConnected)
        stage.close()
    }

    /// One that was answered, one that nobody answers, one that is pushed out, and one whose Service is deleted.
    @Test func onlyWhatWasCutOffOrNotAnsweredIsAnError() throws {
        let (stage, ring) = Self.stage(.errors)
        stage.open(DatagramStage.settings(.oneReply))
        let asked = try #require(stage.ask(from: 1))
        stage.reply([2], to: asked.request, by: 0)
        #expect(stage.closed(.serverFin) == 1 && ring.take() == nil)
        for client in 2...4 { #expect(stage.ask(from: client) != nil) }
        #expect(Self.records(ring).map(\.reason) == [.limitProcess])
        stage.run(seconds: 40)
        #expect(Self.records(ring).map(\.reason) == [.serverIdle, .serverIdle])
        #expect(stage.ask(from: 5) != nil)
        stage.worker.closeDatagrams(DatagramStage.frontend)
        stage.run()
        #expect(Self.records(ring).map(\.reason) == [.noEndpoint])
        stage.close()
    }

    @Test func nobodyMissesTheRepliesOfWhatIsOneWay() {
        let (stage, ring) = Self.stage(.errors)
        stage.open(DatagramStage.settings(.oneWay))
        #expect(stage.ask(from: 1) != nil)
        stage.run(seconds: 200)
        #expect(stage.closed(.clientIdle) == 1 && ring.take() == nil)
        stage.close()
    }
}
