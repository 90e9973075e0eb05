import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Frontends that treat clients by their address, on one worker.
struct ClientRuleTests {
    private static let script = ChoosingBehaviourTests.script
    private static let inside = [IPRange("10.1.0.0/24")!]

    private static func client(_ stage: Stage, _ address: String) -> Int {
        stage.addClient(script, from: SocketAddress(IPAddress(address)!, PortNumber(40_000 + stage.network.peerCount)!))
    }

    private static func clients(_ stage: Stage, from addresses: [String]) -> [Int] { addresses.map { client(stage, $0) } }

    /// Opens connections and answers how many were served to their end, and how many reset.
    private static func outcome(_ stage: Stage, _ clients: [Int]) -> [Int] {
        #expect(stage.finish(clients))
        let peers = clients.map { stage.network.peer($0) }
        return [peers.count { $0.sawFin && $0.received == 100 }, peers.count { $0.sawReset }]
    }

    private static func open(_ stage: Stage, to endpoints: [SocketAddress], _ clients: WorkerUnderTest.Clients) {
        stage.worker.open(Stage.frontend, to: endpoints, clients: clients)
        stage.worker.run(nanoseconds: 1_000_000)
    }

    @Test func clientsOutsideTheRangesHearNothing() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        Self.open(stage, to: stage.endpoints, WorkerUnderTest.Clients(permitted: Self.inside))
        let outside = Self.client(stage, "10.1.1.1")
        #expect(Self.outcome(stage, Self.clients(stage, from: ["10.1.0.1", "10.1.0.255"])) == [2, 0])
        stage.worker.run(nanoseconds: 2_000_000_000)
        #expect(!stage.network.peer(outside).isOver && stage.network.count(.synDropped) >= 2)
        #expect(stage.worker.counter(Column.accepted) == 2 && stage.worker.closed(.denied) == 0)
        // Once its range is added, the next of its SYNs is taken.
        stage.worker.replace(
            Stage.frontend, to: stage.endpoints, settings: EndpointGroup.Settings(),
            clients: WorkerUnderTest.Clients(permitted: Self.inside + [IPRange("10.1.1.0/24")!]))
        #expect(Self.outcome(stage, [outside]) == [1, 0])
        stage.close()
    }

    /// So it goes where the ranges are too many for a filter, or the host grants none.
    @Test func withoutAFilterClientsOutsideTheRangesAreReset() {
        let stage = Stage()
        stage.worker.driver.grantsFilters = false
        stage.addEndpoint(.echo)
        Self.open(stage, to: stage.endpoints, WorkerUnderTest.Clients(permitted: Self.inside))
        #expect(Self.outcome(stage, Self.clients(stage, from: ["10.1.0.1", "10.1.1.1", "10.1.0.7", "10.2.0.1"])) == [2, 2])
        #expect(stage.worker.closed(.denied) == 2 && stage.connections == [2])
        stage.close()
    }

    @Test(arguments: [true, false])
    func clientsNearByReachEveryEndpointAndOthersTheLocalOne(_ grantsFilters: Bool) {
        let stage = Stage()
        stage.worker.driver.grantsFilters = grantsFilters
        for _ in 0..<3 { stage.addEndpoint(.echo) }
        let nearby = NearbyClients(pods: [IPRange("10.9.0.0/16")!], node: [IPAddress("192.0.2.1")!])
        Self.open(
            stage, to: [stage.endpoints[0]], WorkerUnderTest.Clients(nearby: nearby, nearbyEndpoints: stage.endpoints))
        let far = (0..<20).map { _ in Self.client(stage, "10.1.0.1") }
        #expect(Self.outcome(stage, far) == [20, 0])
        #expect(stage.connections == [20, 0, 0, 0])
        let near = (0..<60).map { Self.client(stage, ["10.9.0.1", "192.0.2.1", "127.0.0.1", "10.96.0.1"][$0 % 4]) }
        #expect(Self.outcome(stage, near) == [60, 0])
        #expect(stage.connections[0] == 20 && stage.connections.dropFirst().allSatisfy { $0 > 0 })
        #expect(stage.connections.reduce(0, +) == 80)
        stage.close()
    }

    @Test func aClientNearByGoesOnToAnotherEndpointOfItsOwnWhenOneRefuses() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        // Nobody listens there.
        stage.addEndpoint()
        let nearby = NearbyClients(pods: [IPRange("10.9.0.0/16")!])
        Self.open(stage, to: [stage.endpoints[1]], WorkerUnderTest.Clients(nearby: nearby, nearbyEndpoints: stage.endpoints))
        #expect(Self.outcome(stage, (0..<20).map { _ in Self.client(stage, "10.9.0.1") }) == [20, 0])
        #expect(Self.outcome(stage, [Self.client(stage, "10.1.0.1")]) == [0, 1])
        stage.close()
    }

    @Test func aFrontendWhoseEndpointsAreElsewhereIsSilentButForClientsNearBy() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        let nearby = NearbyClients(pods: [IPRange("10.9.0.0/16")!])
        Self.open(stage, to: [], WorkerUnderTest.Clients(isSilent: true, nearby: nearby, nearbyEndpoints: stage.endpoints))
        let far = Self.client(stage, "10.1.0.1")
        #expect(Self.outcome(stage, [Self.client(stage, "10.9.0.1")]) == [1, 0])
        stage.worker.run(nanoseconds: 2_000_000_000)
        #expect(!stage.network.peer(far).isOver && stage.worker.counter(Column.accepted) == 1)
        // An endpoint has come up here: the next SYN is taken.
        stage.worker.replace(Stage.frontend, to: stage.endpoints, settings: EndpointGroup.Settings())
        #expect(Self.outcome(stage, [far]) == [1, 0])
        stage.close()
    }

    @Test func withoutAFilterASilentFrontendResets() {
        let stage = Stage()
        stage.worker.driver.grantsFilters = false
        Self.open(stage, to: [], WorkerUnderTest.Clients(isSilent: true))
        #expect(Self.outcome(stage, [Self.client(stage, "10.1.0.1")]) == [0, 1])
        #expect(stage.worker.closed(.denied) == 1)
        stage.close()
    }

    // MARK: - UDP

    @Test func datagramsOfClientsOutsideTheRangesTakeNoSession() {
        let stage = DatagramStage(endpoints: 1)
        stage.open(clients: WorkerUnderTest.Clients(permitted: [IPRange("10.1.0.1/32")!]))
        for number in 1...3 { stage.send([1], from: number) }
        #expect(stage.whoHeard() == [0] && stage.worker.dropped(.denied) == 2)
        #expect(stage.worker.sessionsActive == 1 && stage.error(of: 2) == nil)
        stage.close()
    }

    @Test func datagramsOfClientsNearByGoToEveryEndpointAndOthersHearNothing() throws {
        let stage = DatagramStage(endpoints: 3)
        let nearby = NearbyClients(node: [IPAddress("10.1.0.1")!])
        stage.open(to: [], clients: WorkerUnderTest.Clients(isSilent: true, nearby: nearby, nearbyEndpoints: stage.endpoints))
        stage.send([1], from: 2)
        #expect(stage.whoHeard() == [] && stage.worker.dropped(.denied) == 1 && stage.error(of: 2) == nil)
        let first = try #require(stage.ask(from: 1))
        // Its endpoint refuses: it goes on with another one of its own.
        stage.end(first.endpoint)
        stage.send([2], from: 1)
        let second = try #require(stage.ask([3], from: 1))
        #expect(second.endpoint != first.endpoint)
        stage.reply([4], to: second.request, by: second.endpoint)
        #expect(stage.replies(to: 1).last == [4])
        stage.close()
    }

    @Test func aClientThatIsNoLongerNearByLeavesItsEndpoint() throws {
        let stage = DatagramStage(endpoints: 2)
        let nearby = NearbyClients(node: [IPAddress("10.1.0.1")!])
        stage.open(to: [0], clients: WorkerUnderTest.Clients(nearby: nearby, nearbyEndpoints: [stage.endpoints[1]]))
        #expect(try #require(stage.ask(from: 1)).endpoint == 1)
        #expect(try #require(stage.ask(from: 2)).endpoint == 0)
        stage.replace(to: [0])
        #expect(try #require(stage.ask(from: 1)).endpoint == 0)
        #expect(stage.count(Column.rebinds) == 1)
        stage.close()
    }
}
