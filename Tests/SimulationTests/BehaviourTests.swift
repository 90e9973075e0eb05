import Addressing
import Engine
import EngineSimulator
import Forwarding
@testable import Simulate
import Testing

/// What a whole worker does in one situation each, on the simulated driver with no faults.
struct BehaviourTests {
    private static func script(_ change: (inout PeerScript) -> Void) -> PeerScript {
        var script = PeerScript()
        change(&script)
        return script
    }

    @Test func clientThatEndsFirstStillGetsTheAnswer() {
        let stage = Stage()
        stage.addEndpoint(
            Self.script {
                $0.speaking = .afterFin
                $0.ending = .closeAfterFin
                $0.bytes = 20_000
            })
        stage.open()
        let client = stage.addClient(Self.script { $0.bytes = 9000 })
        #expect(stage.finish([client]))
        let peer = stage.network.peer(client)
        #expect(peer.sawFin && peer.received == 20_000 && peer.matchesAnswer)
        #expect(stage.worker.closed(.clientFin) == 1)
        stage.close()
    }

    @Test func serverThatEndsFirstStillGetsTheRequest() {
        let stage = Stage()
        stage.addEndpoint(Self.script { $0.bytes = 10 })
        stage.open()
        let client = stage.addClient(
            Self.script {
                $0.bytes = 30_000
                $0.sendMax = 100
                $0.pauseNanosecondsMax = 1_000_000
            })
        #expect(stage.finish([client]))
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(stage.servers.count == 1)
        #expect(stage.servers[0].sawFin && stage.servers[0].received == 30_000 && stage.servers[0].matchesEcho)
        #expect(stage.worker.closed(.serverFin) == 1)
        stage.close()
    }

    @Test(arguments: [false, true])
    func resetOfOneSideBecomesAResetOfTheOther(_ byServer: Bool) {
        let stage = Stage()
        let resets = Self.script {
            $0.bytes = 100_000
            $0.ending = .resetAfter
            $0.endingBytes = 5000
        }
        stage.addEndpoint(byServer ? resets : .echo)
        stage.open()
        let client = stage.addClient(byServer ? Self.script { $0.bytes = 100_000 } : resets)
        #expect(stage.finish([client]))
        stage.worker.run(nanoseconds: 3_000_000_000)
        #expect(stage.servers.count == 1)
        #expect(byServer ? stage.network.peer(client).sawReset : stage.servers[0].sawReset)
        #expect(!stage.network.peer(client).sawFin && !stage.servers[0].sawFin)
        stage.close()
    }

    @Test func refusedAndUnreachableEndpointsArePassedOver() {
        let stage = Stage()
        stage.addEndpoint()
        stage.network.unreachable.insert(stage.addEndpoint())
        stage.addEndpoint(.echo)
        stage.open()
        let clients = (0..<30).map { _ in stage.addClient(Self.script { $0.bytes = 100 }) }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin && stage.network.peer($0).received == 100 })
        stage.close()
    }

    @Test func blackHoleCostsOneAttemptAndOnlyBlackHolesEndInATimeout() {
        let stage = Stage()
        stage.network.blackHoles.insert(stage.addEndpoint())
        stage.addEndpoint(.echo)
        stage.open()
        let clients = (0..<20).map { _ in stage.addClient(Self.script { $0.bytes = 100 }) }
        let began = stage.network.now
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin })
        #expect(clients.allSatisfy { stage.network.peer($0).endedAt - began < 1_200_000_000 })
        stage.close()

        let dark = Stage()
        for _ in 0..<5 { dark.network.blackHoles.insert(dark.addEndpoint()) }
        dark.open()
        let client = dark.addClient(Self.script { $0.bytes = 100 })
        let darkBegan = dark.network.now
        #expect(dark.finish([client]))
        #expect(dark.network.peer(client).sawReset)
        #expect((3_000_000_000...3_200_000_000).contains(dark.network.peer(client).endedAt - darkBegan))
        #expect(dark.worker.closed(.connectTimeout) == 1)
        dark.close()
    }

    @Test func clientThatNeverReadsCostsFewBuffers() {
        let stage = Stage()
        stage.addEndpoint(
            Self.script {
                $0.bytes = 10_000_000
                $0.ending = .closeAfterFin
            })
        stage.open()
        let deaf = Self.script {
            $0.bytes = 4
            $0.reads = false
            $0.ending = .closeAfterFin
            $0.patienceNanoseconds = 5_000_000_000
        }
        let clients = (0..<10).map { _ in stage.addClient(deaf) }
        stage.worker.run(nanoseconds: 1_000_000_000)
        let held = stage.worker.driver.buffers.capacity - stage.worker.driver.buffers.freeCount
        #expect(held > 10 && held <= 10 * 48, "\(held) buffers are held")
        let sent = stage.servers.map(\.sent)
        stage.worker.run(nanoseconds: 2_000_000_000)
        #expect(stage.servers.map(\.sent) == sent)
        #expect(stage.finish(clients))
        stage.close()
    }

    @Test func clientsThatNeverReadCanNotHoldEveryBufferFromTheOthers() {
        // Two buffers each are their least share, and there are not as many.
        let stage = Stage(buffers: 160)
        stage.addEndpoint(Self.script { $0.bytes = 100_000 })
        stage.open()
        let deaf = Self.script {
            $0.bytes = 4
            $0.reads = false
            $0.patienceNanoseconds = 20_000_000_000
        }
        let clients = (0..<120).map { _ in stage.addClient(deaf) }
        stage.worker.run(nanoseconds: 500_000_000)
        #expect(stage.worker.driver.receiveBuffers < Limits.shedBuffers)
        let reader = stage.addClient(Self.script { $0.bytes = 4 })
        #expect(stage.finish([reader]))
        #expect(stage.network.peer(reader).received == 100_000 && stage.network.peer(reader).matchesAnswer)
        let shed = stage.worker.closed(.limitProcess)
        #expect(shed > 0 && shed < clients.count, "\(shed) of \(clients.count) were reset")
        #expect(stage.finish(clients))
        stage.close()
    }

    @Test func aServerThatResetsBeforeItWasSentAByteIsReplacedUnseen() {
        let stage = Stage()
        for _ in 0..<2 { stage.addEndpoint(Self.script { $0.ending = .resetAfter }) }
        stage.addEndpoint(Self.script { $0.bytes = 500 })
        stage.open()
        // They wait to be spoken to: what had been sent to the first server could not be sent to the next.
        let clients = (0..<30).map { _ in
            stage.addClient(
                Self.script {
                    $0.bytes = 100
                    $0.speaking = .afterRequest
                })
        }
        #expect(stage.finish(clients))
        for client in clients.map(stage.network.peer) { #expect(client.sawFin && client.received == 500 && client.matchesAnswer) }
        #expect(stage.connectFailures[0] > 0 && stage.connectFailures[1] > 0 && stage.connectFailures[2] == 0)
        #expect(stage.active == [0, 0, 0])
        stage.close()
    }

    @Test func wantOfDescriptorsPausesAcceptingWithoutSpinning() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open()
        // The listener, and both sides of five flows.
        stage.worker.driver.descriptorLimit = 11
        let clients = (0..<40).map { _ in
            stage.addClient(
                Self.script {
                    $0.bytes = 50
                    $0.holdNanoseconds = 500_000_000
                })
        }
        let ticks = stage.worker.ticks
        stage.worker.run(nanoseconds: 400_000_000)
        #expect(stage.worker.ticks - ticks < 400)
        #expect(stage.worker.connectionsActive > 0)
        #expect(stage.finish(clients))
        #expect(clients.filter { stage.network.peer($0).sawFin && stage.network.peer($0).received == 50 }.count >= 20)
        stage.close()
    }

    @Test func listenerThatClosesServesWhatIsQueued() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open()
        // They stand in the queue when the worker hears that it is to close the frontend.
        let clients = (0..<50).map { _ in stage.addClient(Self.script { $0.bytes = 100 }) }
        stage.worker.close(Stage.frontend)
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin && stage.network.peer($0).received == 100 })
        stage.worker.run(nanoseconds: 100_000_000)
        let late = stage.addClient(Self.script { $0.bytes = 100 })
        #expect(stage.finish([late]))
        #expect(stage.network.peer(late).connectErrno != 0)
        stage.close()
    }

    @Test func manyFlowsAreResetInTurnAndNothingIsLeft() {
        let stage = Stage(connectionsMax: 7000, flowsMax: 4000)
        stage.addEndpoint(.echo, backlog: 7000)
        stage.open()
        let clients = (0..<3000).map { _ in
            stage.addClient(
                Self.script {
                    $0.bytes = 50
                    $0.holdNanoseconds = 100_000_000_000
                })
        }
        stage.worker.run(nanoseconds: 500_000_000)
        #expect(stage.worker.connectionsActive == 3000)
        stage.worker.post(.resetAll)
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawReset })
        #expect(stage.worker.closed(.drain) == 3000)
        stage.close()
    }

    /// Nothing of such a client is in the kernel that could tell: its receive is stopped by back-pressure, or has ended with its
    /// FIN. The worker asks the socket once a second.
    @Test(arguments: HiddenReset.allCases)
    fileprivate func resetThatNoOperationWaitsForIsFound(_ hidden: HiddenReset) {
        let stage = Stage()
        stage.addEndpoint(
            Self.script {
                $0.bytes = hidden == .behindBackPressureWhileSending ? 1_000_000 : 0
                $0.reads = hidden == .afterFin
                $0.ending = .vanishAfter
                $0.endingBytes = .max
                $0.patienceNanoseconds = 30_000_000_000
            })
        stage.open()
        let client = stage.addClient(
            Self.script {
                $0.bytes = hidden == .afterFin ? 10 : 100_000
                $0.readMax = 100
                $0.pauseNanosecondsMax = 1_000_000
                $0.patienceNanoseconds = 200_000_000
            })
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).didReset)
        stage.worker.run(nanoseconds: 10_000_000_000)
        #expect(stage.worker.connectionsActive == 0)
        stage.worker.run(nanoseconds: 25_000_000_000)
        stage.close()
    }

    fileprivate enum HiddenReset: CaseIterable { case behindBackPressure, behindBackPressureWhileSending, afterFin }
}
