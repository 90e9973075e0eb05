import Addressing
import Engine
import EngineSimulator
import Glibc
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Where connections to endpoints come from, and what happens when there are no ports left.
struct SourceAddressTests {
    private static let sources = (1...4).map { IPAddress(ipv4: 0x0a03_0000 + $0) }

    /// A client that speaks a little and holds its connection.
    private static func script(holding nanoseconds: UInt64 = 3_000_000_000) -> PeerScript {
        var script = PeerScript()
        script.bytes = 100
        script.holdNanoseconds = nanoseconds
        return script
    }

    private static func stage(_ sources: Int, endpoints: Int, ports: Int?, change: (inout WorkerSettings) -> Void = { _ in }) -> Stage {
        let stage = Stage(connectionsMax: 1024, flowsMax: 1024) {
            $0.sourceAddresses = SourceAddresses(Array(Self.sources.prefix(sources)))
            change(&$0)
        }
        for _ in 0..<endpoints { stage.addEndpoint(.echo) }
        stage.network.portsPerSource = ports
        stage.open()
        return stage
    }

    /// How many were served and how many reset.
    private static func outcome(_ stage: Stage, _ clients: [Int]) -> [Int] {
        #expect(stage.finish(clients))
        let peers = clients.map { stage.network.peer($0) }
        return [peers.count { $0.sawFin && $0.received == 100 }, peers.count { $0.sawReset }]
    }

    @Test(arguments: [(0, 1), (1, 1), (1, 3), (2, 1), (2, 2), (4, 1)])
    func eachSourceHasItsPortsForEachEndpointAndNoneIsLost(_ sources: Int, _ endpoints: Int) {
        let stage = Self.stage(sources, endpoints: endpoints, ports: 5)
        let room = max(1, sources) * endpoints * 5
        let clients = (0..<room + 20).map { _ in stage.addClient(Self.script()) }
        #expect(Self.outcome(stage, clients) == [room, 20])
        #expect(stage.worker.closed(.noSourcePort) == 20)
        // It is the host that has no ports: no endpoint is blamed.
        let failures = stage.worker.endpointRows.map { stage.worker.counters.read(row: $0, column: Column.connectFailures) }
        #expect(failures.allSatisfy { $0 == 0 })
        stage.close()
    }

    @Test func connectionsTakeTheSourcesByTurns() {
        let stage = Self.stage(4, endpoints: 1, ports: nil)
        let clients = (0..<200).map { _ in stage.addClient(Self.script()) }
        stage.worker.run(nanoseconds: 1_000_000_000)
        let counts = Self.sources.map { stage.network.connections(from: $0) }
        #expect(counts == [50, 50, 50, 50])
        #expect(Self.outcome(stage, clients) == [200, 0])
        stage.close()
    }

    @Test func workersBeginAtDifferentSources() {
        let first = (0..<4).map { index in
            let stage = Self.stage(4, endpoints: 1, ports: nil) {
                $0.index = index
                $0.others = (0..<3).map { _ in makeCounterTable() }
            }
            let client = stage.addClient(Self.script())
            stage.worker.run(nanoseconds: 1_000_000_000)
            defer {
                #expect(stage.finish([client]))
                stage.close()
            }
            return Self.sources.firstIndex { stage.network.connections(from: $0) == 1 }
        }
        #expect(Set(first) == [0, 1, 2, 3])
    }

    @Test func anEndpointOfAFamilyWithoutSourcesIsConnectedAsEver() {
        let stage = Stage { $0.sourceAddresses = SourceAddresses([.loopbackIPv6]) }
        stage.addEndpoint(.echo)
        stage.open()
        let clients = (0..<10).map { _ in stage.addClient(Self.script(holding: 0)) }
        #expect(Self.outcome(stage, clients) == [10, 0])
        stage.close()
    }

    /// An address may go while the program runs.
    @Test func anAddressThatTheHostHasLostIsPassedOver() {
        let stage = Self.stage(2, endpoints: 1, ports: nil)
        stage.network.foreignAddresses = [Self.sources[0]]
        #expect(Self.outcome(stage, (0..<50).map { _ in stage.addClient(Self.script()) }) == [50, 0])
        stage.network.foreignAddresses = Set(Self.sources)
        #expect(Self.outcome(stage, (0..<50).map { _ in stage.addClient(Self.script()) }) == [0, 50])
        #expect(stage.worker.closed(.noSourcePort) == 50)
        stage.close()
    }

    /// Each look costs the kernel a search through all ports, so clients that come while there are none don't cause one each.
    @Test func wantOfPortsIsRememberedAndFoundOverWhenItIs() {
        let stage = Self.stage(2, endpoints: 2, ports: 5)
        let first = (0..<20).map { _ in stage.addClient(Self.script()) }
        stage.worker.run(nanoseconds: 100_000_000)
        let before = stage.worker.counter(Column.portsExhausted)
        let ticks = stage.worker.ticks
        var late: [Int] = []
        for _ in 0..<50 {
            late += (0..<10).map { _ in stage.addClient(Self.script()) }
            stage.worker.run(nanoseconds: 20_000_000)
        }
        #expect(Self.outcome(stage, late) == [0, 500])
        // Once for each of the four pairs, and then one look in 20 ms.
        let looks = stage.worker.counter(Column.portsExhausted) - before
        #expect((10...60).contains(looks), "\(looks) looks in a second")
        #expect(stage.worker.ticks - ticks < 5000)
        #expect(Self.outcome(stage, first) == [20, 0])
        stage.worker.run(nanoseconds: 1_000_000_000)
        // Ports are back: within a few looks for each pair everybody is served again.
        var served = 0
        for _ in 0..<20 where served < 4 {
            served = Self.outcome(stage, (0..<4).map { _ in stage.addClient(Self.script(holding: 0)) })[0]
            stage.worker.run(nanoseconds: 20_000_000)
        }
        #expect(served == 4)
        stage.close()
    }

    @Test func aRefusalFromOneSourceGoesToTheNextEndpointAndNotToTheNextSource() {
        let stage = Stage { $0.sourceAddresses = SourceAddresses(Self.sources) }
        for _ in 0..<2 { stage.addEndpoint() }
        stage.open()
        let client = stage.addClient(Self.script())
        #expect(Self.outcome(stage, [client]) == [0, 1])
        #expect(stage.worker.closed(.connectRefused) == 1)
        #expect(stage.connections == [1, 1])
        stage.close()
    }
}
