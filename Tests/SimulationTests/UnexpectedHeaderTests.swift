import Addressing
import Engine
import EngineSimulator
import Routing
import Testing

@testable import Forwarding
@testable import Simulate

/// Clients that begin with a PROXY header though none is due, at Services that refuse them.
struct UnexpectedHeaderTests {
    static let everyVersion = ProxyProtocolVersion.allCases
    static let text = Headers.bytes(.v1, ProxyBehaviourTests.told)
    static let binary = Headers.bytes(.v2, ProxyBehaviourTests.told)

    private static func settings(_ version: ProxyProtocolVersion? = nil, accepting range: String? = nil) -> EndpointGroup.Settings {
        var settings = EndpointGroup.Settings()
        settings.refusesUnexpectedHeaders = true
        settings.proxyProtocol = version
        settings.acceptsHeadersFrom = range.map { [IPRange($0)!] } ?? []
        return settings
    }

    private static func client(_ change: (inout PeerScript) -> Void = { _ in }) -> PeerScript {
        var script = PeerScript()
        script.bytes = 300
        change(&script)
        return script
    }

    /// Says only what it is given to say first, and holds the connection open.
    private static let silent = client {
        $0.bytes = 0
        $0.holdNanoseconds = 20_000_000_000
    }

    @Test(arguments: [text, binary], [1, 5, 4096])
    func aHeaderIsAResetBeforeAByteOfItReachesTheEndpoint(_ header: [UInt8], _ pieces: Int) {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open(Self.settings())
        let script = Self.client {
            $0.sendMax = pieces
            $0.pauseNanosecondsMax = 100_000
        }
        let clients = (0..<10).map { _ in stage.addClient(script, saying: header) }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawReset })
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(stage.worker.closed(.proxyHeaderBad) == 10)
        #expect(stage.servers.allSatisfy { $0.received == 0 && $0.sawReset })
        stage.close()
    }

    @Test func itIsSeenWhileNoEndpointAnswersYet() {
        let stage = Stage()
        stage.network.blackHoles.insert(stage.addEndpoint())
        stage.open(Self.settings())
        let began = stage.network.now
        let client = stage.addClient(Self.client(), saying: Self.text)
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).sawReset && stage.network.peer(client).endedAt - began < 50_000_000)
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.worker.closed(.proxyHeaderBad) == 1)
        stage.close()
    }

    /// Also bytes that begin as a header does.
    @Test(arguments: ["", "G", "PROXX", "PROXY\t", "\r\n\r\nhello", "\r\n\r\n\0\r\nQUIT!"], [1, 3, 4096])
    func otherBytesPassUnchanged(_ beginning: String, _ pieces: Int) {
        let stage = Stage(bufferSize: 16)
        stage.addEndpoint(.echo)
        stage.open(Self.settings())
        let script = Self.client {
            $0.sendMax = pieces
            $0.pauseNanosecondsMax = 100_000
        }
        let first = Array(beginning.utf8)
        let client = stage.addClient(script, saying: first)
        #expect(stage.finish([client]))
        let peer = stage.network.peer(client)
        // What it sends after that is echoed after it, so of what comes back only the number can be told here.
        #expect(peer.sawFin && !peer.sawReset && peer.received == 300 + first.count)
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(stage.servers.map(\.received) == [300 + first.count])
        #expect(stage.worker.closed(.clientFin) == 1)
        stage.close()
    }

    @Test func theOrdinaryClientIsServedToTheLastByte() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open(Self.settings())
        // Their numbers, which they begin with, are first bytes of all kinds, 13 and 80 among them.
        let clients = (0..<100).map { number in stage.addClient(Self.client { $0.sendMax = number % 2 == 0 ? 1 : 4096 }) }
        #expect(stage.finish(clients))
        #expect(clients.allSatisfy { stage.network.peer($0).sawFin && stage.network.peer($0).received == 300 })
        #expect(clients.allSatisfy { stage.network.peer($0).matchesEcho })
        stage.close()
    }

    @Test func aServerThatSpeaksFirstIsHeardAtOnce() {
        let stage = Stage()
        stage.addEndpoint(Self.client())
        stage.open(Self.settings())
        let began = stage.network.now
        // Says nothing before it has been greeted.
        let client = stage.addClient(Self.client { $0.speaking = .afterRequest })
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).received == 300 && stage.network.peer(client).matchesAnswer)
        #expect(stage.network.peer(client).endedAt - began < 100_000_000)
        stage.close()
    }

    @Test(arguments: ["P", "PROXY", "\r\n", "\r\n\r\n\0\r\nQUIT"])
    func aBeginningThatGoesNowhereIsResetInTheEnd(_ beginning: String) {
        let stage = Stage { $0.proxyHeaderNanoseconds = 500_000_000 }
        stage.addEndpoint(.echo)
        stage.open(Self.settings())
        let began = stage.network.now
        let client = stage.addClient(Self.silent, saying: Array(beginning.utf8))
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).sawReset)
        #expect((500_000_000...600_000_000).contains(stage.network.peer(client).endedAt - began))
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.servers.map(\.received) == [0] && stage.worker.closed(.proxyHeaderBad) == 1)
        stage.close()
    }

    /// One that has said its say can't make a header of it any more.
    @Test func aBeginningAfterWhichTheClientEndsPasses() {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open(Self.settings())
        let client = stage.addClient(Self.client { $0.bytes = 0 }, saying: Array("PROXY".utf8))
        #expect(stage.finish([client]))
        #expect(stage.network.peer(client).sawFin && stage.network.peer(client).received == 5)
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.worker.closed(.clientFin) == 1)
        stage.close()
    }

    @Test(arguments: everyVersion)
    func ourOwnHeaderGoesOutAndTheClientsDoesNot(_ version: ProxyProtocolVersion) {
        let stage = Stage()
        var greeter = Self.client()
        greeter.expectsHeader = true
        stage.addEndpoint(greeter)
        stage.open(Self.settings(version))
        // The greeting comes before the client has said anything.
        let good = stage.addClient(Self.client { $0.speaking = .afterRequest })
        #expect(stage.finish([good]))
        #expect(stage.network.peer(good).received == 300 && stage.network.peer(good).matchesAnswer)
        let bad = (0..<5).map { _ in
            stage.addClient(
                Self.client {
                    $0.sendMax = 1
                    $0.pauseNanosecondsMax = 1_000_000
                }, saying: Self.text)
        }
        #expect(stage.finish(bad))
        #expect(bad.allSatisfy { stage.network.peer($0).sawReset })
        stage.worker.run(nanoseconds: 1_000_000_000)
        #expect(stage.worker.closed(.proxyHeaderBad) == 5)
        #expect(stage.servers.count { $0.received > 0 } == 1)
        stage.close()
    }

    /// What follows the header that is due is the client's own.
    @Test(arguments: [1, 4096])
    func aSecondHeaderBehindTheOneThatIsDueIsRefused(_ pieces: Int) {
        let stage = Stage()
        stage.addEndpoint(.echo)
        stage.open(Self.settings(accepting: "10.1.0.0/16"))
        let script = Self.client { $0.sendMax = pieces }
        let twice = stage.addClient(script, saying: Self.binary + Self.text)
        let once = stage.addClient(script, saying: Self.binary)
        #expect(stage.finish([twice, once]))
        #expect(stage.network.peer(twice).sawReset)
        #expect(stage.network.peer(once).received == 300 && stage.network.peer(once).matchesEcho)
        stage.worker.run(nanoseconds: 1_000_000)
        #expect(stage.worker.closed(.proxyHeaderBad) == 1 && stage.worker.closed(.clientFin) == 1)
        stage.close()
    }
}
