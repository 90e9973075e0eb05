import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Clients that return to their endpoint, whatever becomes of the others; told apart by their address, each datagram from a new port.
struct AffinityBehaviourTests {
    private static let clients = 0..<40

    /// A Service whose clients return, and their requests, each a session of its own.
    private final class Returning {
        let stage: DatagramStage
        let settings: EndpointGroup.Settings
        private var sockets = 0

        init(endpoints: Int, to some: [Int], timeout: UInt32 = 100) {
            stage = DatagramStage(endpoints: endpoints)
            settings = DatagramStage.settings(.oneReply, .clientIP) { $0.affinityTimeout = timeout }
            stage.open(settings, to: some)
        }

        func replace(to some: [Int]) { stage.replace(settings, to: some) }

        /// The endpoint that hears a client; it answers.
        func ask(_ client: Int) -> Int? {
            sockets += 1
            _ = stage.client(sockets, host: 0x0a01_0000 + UInt32(client))
            guard let (endpoint, request) = stage.ask(from: sockets) else { return nil }
            stage.reply([2], to: request, by: endpoint)
            return endpoint
        }

        func askAll() -> [Int?] { AffinityBehaviourTests.clients.map(ask) }
    }

    @Test func aClientStaysWhileOthersComeAndMovesOnlyWhenItsEndpointGoes() {
        let service = Returning(endpoints: 4, to: [0, 1])
        let first = service.askAll()
        #expect(Set(first) == [0, 1])
        service.replace(to: [0, 1, 2, 3])
        #expect(service.askAll() == first)
        service.replace(to: [1, 2, 3])
        let second = service.askAll()
        #expect(zip(first, second).allSatisfy { $0 == 1 ? $1 == 1 : $1 != 0 && $1 != nil } && Set(second) == [1, 2, 3])
        service.replace(to: [0, 1, 2, 3])
        #expect(service.askAll() == second)
        service.stage.close()
    }

    /// What the hash alone would do, so that the test above means something.
    @Test func withoutATimeoutNewEndpointsTakeTheirShareOfAllClients() {
        let service = Returning(endpoints: 4, to: [0, 1], timeout: 0)
        let first = service.askAll()
        service.replace(to: [0, 1, 2, 3])
        let moved = zip(first, service.askAll()).count { $0 != $1 }
        #expect((10...30).contains(moved), "\(moved)")
        service.stage.close()
    }

    @Test func theTimeCountsFromTheLastRequestAndThenTheHashChoosesAgain() {
        let service = Returning(endpoints: 2, to: [0])
        let fresh = Returning(endpoints: 2, to: [0, 1]).askAll()
        #expect(Set(fresh) == [0, 1])
        _ = service.askAll()
        service.replace(to: [0, 1])
        for _ in 0..<3 {
            service.stage.run(seconds: 60)
            #expect(Set(service.askAll()) == [0])
        }
        service.stage.run(seconds: 101)
        #expect(service.askAll() == fresh)
        service.stage.close()
    }

    @Test func anEndpointThatRefusesLosesItsClientsForGood() throws {
        let service = Returning(endpoints: 2, to: [0, 1])
        let lost = try #require(Self.clients.first { service.ask($0) == 0 })
        service.stage.end(0)
        #expect(service.ask(lost) == nil)
        // The same client's next socket asks the same endpoint, until it is ejected: the refusal was another session's.
        for _ in 0..<5 where service.ask(lost) == nil {}
        #expect(service.ask(lost) == 1)
        service.stage.start(0)
        service.stage.run(seconds: 20)
        #expect(service.ask(lost) == 1)
        service.stage.close()
    }

    @Test func connectionsGoByItToo() {
        let table = AffinityTable(setBits: 8)
        let stage = Stage { $0.affinities = table }
        for _ in 0..<2 { stage.addEndpoint(.echo) }
        var settings = EndpointGroup.Settings()
        settings.selection = .clientIP
        settings.affinityTimeout = 10
        let source = SocketAddress("10.1.0.1:4000")!
        stage.open(settings)
        let service = ServicePortName(namespace: "default", name: "s0", port: "", transport: .tcp)
        let group = EndpointGroup(service: service, settings: settings, endpoints: stage.endpoints.map { Endpoint($0) })
        let key = table.key(client: source.address, service: group.identity)
        for (number, endpoint) in stage.endpoints.enumerated() {
            #expect(table.remember(Endpoint(endpoint), for: key, timeout: 10, now: stage.network.now / 1_000_000_000))
            let before = stage.connections[number]
            for _ in 0..<3 { #expect(stage.finish([stage.addClient(ChoosingBehaviourTests.script, from: source)])) }
            #expect(stage.connections[number] == before + 3)
        }
        stage.close()
    }
}
