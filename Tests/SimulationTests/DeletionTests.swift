import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Connections of a Service that is deleted, by its policy, on one worker.
@Suite struct DeletionTests {
    private static let other = SocketAddress("10.96.0.2:80")!
    private static let many = 3000

    private let stage = Stage(connectionsMax: 8192, flowsMax: 4096, buffers: 8192)
    private let doomed: [HandPeer]
    private let spared: [HandPeer]

    init() {
        let endpoints = [stage.addEndpoint(.echo), stage.addEndpoint(.echo)]
        stage.worker.open(Stage.frontend, to: [endpoints[0]])
        stage.worker.open(Self.other, to: [endpoints[1]])
        stage.worker.run(nanoseconds: 1_000_000)
        let network = stage.network
        func connect(_ count: Int, to address: SocketAddress, _ net: UInt32) -> [HandPeer] {
            (0..<count).map {
                network.connectByHand(from: SocketAddress(IPAddress(ipv4: net + UInt32($0)), PortNumber(40_000)!), to: address)
            }
        }
        doomed = connect(Self.many, to: Stage.frontend, 0x0a02_0000)
        spared = connect(100, to: Self.other, 0x0a03_0000)
        stage.worker.run(nanoseconds: 2_000_000_000)
    }

    private var serviceRow: Int { stage.worker.serviceRows[0] }

    private func resets(_ peers: [HandPeer]) -> Int { peers.count { stage.network.receive($0, most: 1).errno == 104 } }

    private func close() {
        for peer in doomed + spared { stage.network.reset(peer) }
        stage.close()
    }

    @Test func theyAreResetAFewAtATimeAndOthersLiveOn() {
        #expect(stage.worker.connectionsActive == Self.many + 100)
        stage.worker.close(Stage.frontend)
        stage.worker.post(.resetDeleted([(serviceRow: serviceRow, after: UInt64(0))]))
        var (before, most, ticks) = (0, 0, 0)
        while stage.worker.closed(.drain) < UInt64(Self.many), ticks < 1000 {
            stage.worker.tick(waitMax: 1_000_000)
            let closed = Int(stage.worker.closed(.drain))
            most = max(most, closed - before)
            (before, ticks) = (closed, ticks + 1)
        }
        stage.worker.run(nanoseconds: 100_000_000)
        #expect(before == Self.many && most <= Int(Limits.deletionSweepPerTick))
        #expect(resets(doomed) == Self.many && resets(spared) == 0 && stage.worker.connectionsActive == 100)
        close()
    }

    @Test func theyMayEndInTheirTimeAndAreSparedWhenTheServiceIsBack() {
        stage.worker.close(Stage.frontend)
        stage.worker.post(.resetDeleted([(serviceRow: serviceRow, after: UInt64(60_000_000_000))]))
        stage.worker.run(nanoseconds: 59_000_000_000)
        #expect(stage.worker.connectionsActive == Self.many + 100)
        stage.worker.post(.spare([serviceRow]))
        stage.worker.run(nanoseconds: 10_000_000_000)
        #expect(resets(doomed) == 0 && stage.worker.connectionsActive == Self.many + 100)
        stage.worker.post(.resetDeleted([(serviceRow: serviceRow, after: UInt64(60_000_000_000))]))
        stage.worker.run(nanoseconds: 61_000_000_000)
        #expect(resets(doomed) == Self.many && resets(spared) == 0)
        close()
    }
}
