import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Limits that users set, on one worker that sees the counts of another.
struct LimitTests {
    private static let script = ChoosingBehaviourTests.script

    private static func settings(_ change: (inout EndpointGroup.Settings) -> Void) -> EndpointGroup.Settings {
        var settings = EndpointGroup.Settings()
        change(&settings)
        return settings
    }

    /// Opens connections and answers how many were served to their end, and how many reset.
    private static func outcome(_ stage: Stage, _ clients: [Int]) -> [Int] {
        #expect(stage.finish(clients))
        let peers = clients.map { stage.network.peer($0) }
        return [peers.count { $0.sawFin && $0.received == 100 }, peers.count { $0.sawReset }]
    }

    @Test func aServiceTakesItsLimitAndNoMore() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open(Self.settings { $0.connectionsMax = 7 })
        let clients = (0..<20).map { _ in stage.addClient(Self.script) }
        #expect(Self.outcome(stage, clients) == [7, 13])
        #expect(stage.worker.closed(.limitService) == 13)
        // Once they have gone there is room again.
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(Self.outcome(stage, (0..<7).map { _ in stage.addClient(Self.script) }) == [7, 0])
        stage.close()
    }

    @Test func connectionsOfOtherWorkersCount() {
        let other = makeCounterTable()
        let stage = Stage { $0.others = [other] }
        stage.addEndpoint(.echo)
        stage.open(Self.settings { $0.connectionsMax = 7 })
        other.add(5, row: stage.worker.serviceRows[0], column: Column.connectionsActive)
        #expect(Self.outcome(stage, (0..<10).map { _ in stage.addClient(Self.script) }) == [2, 8])
        other.subtract(5, row: stage.worker.serviceRows[0], column: Column.connectionsActive)
        #expect(Self.outcome(stage, (0..<10).map { _ in stage.addClient(Self.script) }) == [7, 3])
        stage.close()
    }

    @Test func theProcessTakesItsLimitOverAllServicesAndWorkers() {
        let other = makeCounterTable()
        let stage = Stage {
            $0.others = [other]
            $0.connectionsLimit = 9
        }
        stage.addEndpoint(.echo)
        stage.open()
        other.set(4, row: Column.workerRow, column: Column.active)
        #expect(Self.outcome(stage, (0..<30).map { _ in stage.addClient(Self.script) }) == [5, 25])
        #expect(stage.worker.closed(.limitProcess) == 25)
        #expect(stage.worker.counter(Column.acceptPauses) == 0)
        stage.close()
    }

    @Test func eachClientTakesItsLimitOnAllWorkers() {
        let other = SourceCounts(secret: 3)
        let stage = Stage {
            $0.sources = SourceCounts(secret: 3)
            $0.otherSources = [other]
        }
        stage.addEndpoint(.echo)
        stage.open(Self.settings { $0.connectionsPerSourceMax = 4 })
        let address = IPAddress(ipv4: 0x0a02_0000)
        let key = other.key(client: address, serviceRow: stage.worker.serviceRows[0])
        let elsewhere = other.key(client: address, serviceRow: stage.worker.serviceRows[0] + 1)
        for _ in 0..<9 { _ = other.add(elsewhere) }
        #expect(other.add(key) != nil)
        let mine = (0..<10).map { stage.addClient(Self.script, from: SocketAddress(address, PortNumber(40_000 + $0)!)) }
        // Their addresses are all different.
        let others = (0..<10).map { _ in stage.addClient(Self.script) }
        #expect(Self.outcome(stage, mine) == [3, 7])
        #expect(Self.outcome(stage, others) == [10, 0])
        #expect(stage.worker.closed(.limitSource) == 7)
        stage.worker.run(nanoseconds: 1_000_000_000)
        let again = (0..<10).map { stage.addClient(Self.script, from: SocketAddress(address, PortNumber(41_000 + $0)!)) }
        #expect(Self.outcome(stage, again) == [3, 7])
        stage.close()
    }

    /// Behind a balancer all clients have one address, and those that its headers tell are meant.
    @Test func aClientThatIsToldIsHeldToItsLimitAndItsBalancerIsNot() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open(
            Self.settings {
                $0.connectionsPerSourceMax = 4
                $0.acceptsHeadersFrom = [IPRange("10.1.0.0/16")!]
            })
        let balancer = IPAddress(ipv4: 0x0a01_0000)
        func clients(_ count: Int, _ told: (Int) -> String) -> [Int] {
            (0..<count).map { index in
                stage.addClient(
                    Self.script, from: SocketAddress(balancer, PortNumber(40_000 + stage.network.peerCount)!),
                    saying: Array("PROXY TCP4 \(told(index)) 10.96.0.1 1000 80\r\n".utf8))
            }
        }
        let one = clients(10) { _ in "192.0.2.1" }
        let many = clients(10) { "192.0.2.\($0 + 2)" }
        #expect(Self.outcome(stage, one) == [4, 6])
        #expect(Self.outcome(stage, many) == [10, 0])
        #expect(stage.worker.closed(.limitSource) == 6)
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(Self.outcome(stage, clients(10) { _ in "192.0.2.1" }) == [4, 6])
        stage.close()
    }
}
