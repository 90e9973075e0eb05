import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Frontends that share a listener, on one worker.
@Suite struct SharedListenerTests {
    private static let home = SocketAddress("127.0.0.1:45000")!
    private static let first = SocketAddress("10.96.0.1:80")!
    private static let second = SocketAddress("10.96.0.2:443")!
    private static let script = ChoosingBehaviourTests.script

    private let stage = Stage()
    private let endpoints: [SocketAddress]

    init() {
        endpoints = (0..<2).map { [stage] _ in stage.addEndpoint(.echo) }
        stage.worker.open(Self.first, to: [endpoints[0]], sharedAt: Self.home)
        stage.worker.open(Self.second, to: [endpoints[1]], sharedAt: Self.home)
        stage.worker.run(nanoseconds: 1_000_000)
    }

    private func clients(_ count: Int, of address: SocketAddress, at time: UInt64? = nil) -> [Int] {
        (0..<count).map { _ in
            let source = SocketAddress(IPAddress(ipv4: 0x0a01_0000 + UInt32(stage.network.peerCount)), PortNumber(40_000)!)
            return stage.network.addClient(Self.script, from: source, to: address, at: time)
        }
    }

    private func served(_ clients: [Int]) -> Int {
        clients.map { stage.network.peer($0) }.count { $0.sawFin && $0.received == 100 }
    }

    @Test func theAddressThatWasAskedForDecidesWhoseAConnectionIs() {
        let all = clients(5, of: Self.first) + clients(7, of: Self.second)
        #expect(stage.finish(all) && served(all) == 12)
        #expect(stage.connections == [5, 7] && stage.worker.counter(Column.listeners) == 2 && stage.worker.flowsAccepted == 12)
        stage.close()
    }

    @Test func whatNobodyServesIsReset() {
        // The listener's own address, and one that is led to it by mistake.
        stage.network.steered[SocketAddress("10.96.0.3:80")!] = Self.home
        let strangers = clients(2, of: Self.home) + clients(2, of: SocketAddress("10.96.0.3:80")!)
        #expect(stage.finish(strangers) && strangers.allSatisfy { stage.network.peer($0).sawReset })
        #expect(stage.connections == [0, 0] && stage.worker.flowsAccepted == 0)
        let all = clients(1, of: Self.first)
        #expect(stage.finish(all) && served(all) == 1)
        stage.close()
    }

    @Test func aClosedFrontendServesWhatHadComeAndNothingAfter() {
        // These are in the listener's queue, or on their way, when it closes.
        let early = clients(6, of: Self.first)
        stage.worker.close(Self.first)
        #expect(stage.finish(early) && served(early) == 6)
        stage.worker.run(nanoseconds: 2_000_000_000)
        let late = clients(3, of: Self.first) + clients(3, of: Self.second)
        #expect(stage.finish(late) && served(late) == 3)
        #expect(late.prefix(3).allSatisfy { stage.network.peer($0).sawReset })
        #expect(stage.connections == [6, 3] && stage.worker.counter(Column.listeners) == 1)
        stage.close()
    }

    @Test func aFrontendThatComesBackIsTheNewOneAtOnce() {
        stage.worker.close(Self.first)
        stage.worker.run(nanoseconds: 1_000_000)
        stage.worker.open(Self.first, to: [endpoints[1]], sharedAt: Self.home)
        stage.worker.run(nanoseconds: 1_000_000)
        let all = clients(4, of: Self.first)
        #expect(stage.finish(all) && served(all) == 4)
        // The old one is forgotten meanwhile, which takes nothing from the new one.
        stage.worker.run(nanoseconds: 2_000_000_000)
        let later = clients(4, of: Self.first)
        #expect(stage.finish(later) && served(later) == 4)
        #expect(stage.connections == [0, 0, 8])
        stage.close()
    }

    /// What a listener of its own would hand down, a guest's connections are told one by one.
    @Test func aServicesOwnTimeoutsHold() {
        var settings = EndpointGroup.Settings()
        settings.timeouts.idle = .seconds(2)
        stage.worker.replace(Self.first, to: [endpoints[0]], settings: settings)
        stage.worker.run(nanoseconds: 1_000_000)
        let silent = stage.network.connectByHand(from: SocketAddress("10.1.0.1:40000")!, to: Self.first)
        let patient = stage.network.connectByHand(from: SocketAddress("10.1.0.2:40000")!, to: Self.second)
        stage.worker.run(nanoseconds: 10_000_000_000)
        #expect(stage.worker.closed(.clientIdle) + stage.worker.closed(.serverIdle) == 1 && stage.worker.connectionsActive == 1)
        for peer in [silent, patient] { stage.network.reset(peer) }
        stage.close()
    }
}
