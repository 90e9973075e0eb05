import Addressing
import Engine
import EngineSimulator
import Glibc
import Testing

/// The simulator's own duties with datagrams: it notices every breach, its faults happen and are counted, and its far sides can tell
/// what is wrong.
struct SimulatedDatagramTests {
    /// What callers must never do, each with a word of the finding.
    enum Breach: CaseIterable {
        case twoWatches, watchOfAStream, closeWhileWatching, staleSocket, receiveOfAStream, receiveWithoutRoom, receiveWithoutNames
        case sendToNobody, sendOnAConnectedSocketToAnother, joinedWithAShortOne, joinedWithAnEmptyOne, joinedTooMany, acceptOnDatagrams

        var finding: String {
            switch self {
            case .twoWatches: "watch while a watch is pending"
            case .watchOfAStream: "watch on a socket of kind fresh"
            case .closeWhileWatching: "close while a watch is pending"
            case .staleSocket: "sendDatagrams on a socket that is not open"
            case .receiveOfAStream: "receiveDatagrams on a socket of kind fresh"
            case .receiveWithoutRoom: "without room in the batch"
            case .receiveWithoutNames: "into a batch that takes no names"
            case .sendToNobody: "sendDatagrams to nobody"
            case .sendOnAConnectedSocketToAnother: "with an address on a connected socket"
            case .joinedWithAShortOne: "of which one is shorter, and not the last"
            case .joinedWithAnEmptyOne: "an empty datagram is joined"
            case .joinedTooMany: "more is joined than can be sent at once"
            case .acceptOnDatagrams: "accept on a socket of kind datagramListener"
            }
        }
    }

    @Test(arguments: Breach.allCases)
    func everyBreachIsNoticed(_ breach: Breach) throws {
        let engine = try EngineUnderTest(.simulated)
        let driver = try #require(engine.driver as? SimulatedDriver)
        let listener = try engine.listenForDatagrams()
        let peer = try engine.openDatagramsFar()
        let (socket, _) = try engine.connectDatagrams(to: peer.address)
        let batch = DatagramBatch(takesNames: true)
        func sendJoined(_ sizes: [Int]) {
            for size in sizes { batch.append([UInt8](repeating: 1, count: size)) }
            batch.enqueue(first: 0, count: sizes.count, segment: 100)
            _ = driver.sendDatagrams(socket, from: batch)
        }
        #expect(driver.breaches == [])
        switch breach {
        case .twoWatches:
            engine.submit(.watch(listener, engine.token()))
            engine.submit(.watch(listener, engine.token()))
        case .watchOfAStream: engine.submit(.watch(driver.openStream(.ipv4, from: nil).socket, engine.token()))
        case .closeWhileWatching:
            engine.submit(.watch(socket, engine.token()))
            engine.submit(.close(socket))
        case .staleSocket:
            engine.submit(.close(socket))
            engine.exchange(waitNanoseconds: 0)
            #expect(engine.sendDatagram([1], on: socket) == EBADF)
        case .receiveOfAStream: _ = driver.receiveDatagrams(driver.openStream(.ipv4, from: nil).socket, into: batch, most: 1)
        case .receiveWithoutRoom:
            for _ in 0..<DatagramBatch.capacity { batch.append([]) }
            _ = driver.receiveDatagrams(socket, into: batch, most: 1)
        case .receiveWithoutNames: _ = driver.receiveDatagrams(listener, into: DatagramBatch(takesNames: false), most: 1)
        case .sendToNobody: #expect(engine.sendDatagram([1], on: listener) == EDESTADDRREQ)
        case .sendOnAConnectedSocketToAnother: _ = engine.sendDatagram([1], on: socket, to: FreshAddress.next(.ipv4))
        case .joinedWithAShortOne: sendJoined([100, 50, 100])
        case .joinedWithAnEmptyOne: sendJoined([100, 0])
        case .joinedTooMany:
            batch.append([UInt8](repeating: 1, count: 6500), segment: 100)
            batch.enqueue(first: 0, count: 1, segment: 100)
            _ = driver.sendDatagrams(socket, from: batch)
        case .acceptOnDatagrams: engine.submit(.accept(listener, engine.token()))
        }
        engine.exchange(waitNanoseconds: 0)
        #expect(driver.breaches.contains { $0.contains(breach.finding) }, "\(driver.breaches)")
    }

    @Test func leaksNameDatagramSocketsAndWatches() throws {
        let engine = try EngineUnderTest(.simulated)
        let driver = try #require(engine.driver as? SimulatedDriver)
        let listener = try engine.listenForDatagrams()
        engine.submit(.watch(listener, engine.token()))
        engine.exchange(waitNanoseconds: 0)
        #expect(driver.leaks().contains { $0.contains("datagramListener") } && driver.leaks().contains { $0.contains("pending watch") })
    }

    @Test func whatComesForAFullQueueIsDroppedAndCounted() throws {
        let engine = try EngineUnderTest(.simulated)
        let network = try #require(engine.network)
        let address = FreshAddress.next(.ipv4)
        let listener = try engine.listenForDatagrams(at: address)
        let client = try engine.openDatagramsFar()
        let most = network.settings.datagramQueueMax
        for number in 0..<most + 7 { #expect(client.send([UInt8(number & 255)], to: address)) }
        #expect(try engine.receiveDatagrams(listener, most).count == most)
        #expect(engine.staysSilent(listener))
        #expect(network.count(.datagramNoRoom) == 7 && network.datagramsUnderWay == 0)
    }

    @Test func portsRunOutAndComeBack() throws {
        var settings = SimulatedNetwork.Settings()
        settings.datagramPorts = 40_000...40_002
        let driver = SimulatedDriver(network: SimulatedNetwork(seed: 1, settings: settings))
        let peer = FreshAddress.next(.ipv4)
        let sockets = (0..<3).map { _ in driver.openDatagramSocket(to: peer, from: nil).socket }
        #expect(Set(sockets.map { driver.localAddress(of: $0)?.port }).count == 3)
        #expect(driver.openDatagramSocket(to: FreshAddress.next(.ipv4), from: nil).error == EAGAIN)
        #expect(driver.openDatagramSocket(to: peer, from: IPAddress("127.0.0.9")!).error == 0)
        var submissions = SubmissionQueue(capacity: 8)
        var completions = CompletionQueue(capacity: 8)
        submissions.append(.close(sockets[1]))
        driver.exchange(&submissions, &completions, waitNanoseconds: 0)
        #expect(driver.openDatagramSocket(to: peer, from: nil).error == 0)
        #expect(driver.breaches == [] && driver.socketsOpen == 4)
    }

    @Test func datagramsVanishOrAreRefusedWhereTheNetworkSaysSo() throws {
        let engine = try EngineUnderTest(.simulated)
        let network = try #require(engine.network)
        let batch = DatagramBatch(takesNames: false)
        let hole = try engine.openDatagramsFar()
        network.blackHoles.insert(hole.address)
        let (toHole, _) = try engine.connectDatagrams(to: hole.address)
        #expect(engine.sendDatagram([1], on: toHole) == 0)
        #expect(engine.staysSilent(toHole) && hole.receive() == nil)
        let far = try engine.openDatagramsFar()
        network.unreachable.insert(far.address)
        let (toFar, _) = try engine.connectDatagrams(to: far.address)
        #expect(engine.sendDatagram([1], on: toFar) == 0)
        #expect(try engine.receiveOnce(toFar, into: batch) == -Int(EHOSTUNREACH))
        #expect(engine.staysSilent(toFar))
        engine.expectNoBreach()
    }

    // MARK: - Far sides by script

    /// A proxy of a few lines: a socket for each client, and nothing that ever ends.
    private struct Proxy {
        let engine: EngineUnderTest
        let listener: SocketID
        let endpoint: SocketAddress
        private let listenerToken: OperationToken
        private let batch = DatagramBatch(takesNames: true)
        private var sockets: [SocketAddress: SocketID] = [:]
        private var clients: [OperationToken: (client: SocketAddress, socket: SocketID)] = [:]
        /// Joined places that were received.
        private(set) var joined = 0
        /// What a bad proxy does: passes everything on with a byte too few.
        var isBad = false

        init(_ engine: EngineUnderTest, at address: SocketAddress, to endpoint: SocketAddress) throws {
            self.engine = engine
            self.endpoint = endpoint
            listener = try engine.listenForDatagrams(at: address)
            listenerToken = engine.token()
            engine.submit(.watch(listener, listenerToken))
        }

        mutating func run(milliseconds: UInt64) throws {
            let deadline = engine.driver.monotonicNanoseconds() + milliseconds * 1_000_000
            while engine.driver.monotonicNanoseconds() < deadline {
                for completion in engine.exchange(waitNanoseconds: 1_000_000) {
                    if completion.token == listenerToken {
                        if !completion.more { engine.submit(.watch(listener, listenerToken)) }
                        try take(listener)
                    } else if let (client, socket) = clients[completion.token] {
                        if !completion.more { engine.submit(.watch(socket, completion.token)) }
                        try take(socket, for: client)
                    }
                    _ = engine.claim(completion.token)
                }
            }
        }

        private mutating func take(_ socket: SocketID, for client: SocketAddress? = nil) throws {
            while true {
                batch.removeAll()
                let taken = engine.driver.receiveDatagrams(socket, into: batch, most: 8)
                if taken == -Int(EAGAIN) { return }
                // An ICMP error is in the way of what is behind it.
                for place in 0..<max(0, taken) {
                    if batch[place].count > 1 { joined += 1 }
                    if let client {
                        send(place, on: listener, to: client)
                    } else {
                        let sender = try #require(batch[place].from)
                        if let socket = try connect(for: sender) { send(place, on: socket) }
                    }
                }
                if (0..<8).contains(taken) { return }
            }
        }

        private mutating func connect(for client: SocketAddress) throws -> SocketID? {
            if let socket = sockets[client] { return socket }
            let opened = engine.driver.openDatagramSocket(to: endpoint, from: nil)
            guard opened.error == 0 else { return nil }
            let token = engine.token()
            engine.submit(.watch(opened.socket, token))
            sockets[client] = opened.socket
            clients[token] = (client, opened.socket)
            return opened.socket
        }

        private func send(_ place: Int, on socket: SocketID, to client: SocketAddress? = nil) {
            if isBad {
                _ = engine.sendDatagram(batch.copyBytes(of: place).dropLast(), on: socket, to: client)
                return
            }
            batch.enqueue(first: place, count: 1, segment: batch[place].count > 1 ? batch[place].segment : 0, to: client)
            if engine.driver.sendDatagrams(socket, from: batch) != 0 { batch.removeQueued() }
        }
    }

    /// What a run with clients by script came to.
    private struct Outcome: Equatable {
        var sent = 0
        var replies = 0
        var damaged = 0
        var misled = 0
        var errors = 0
        var joined = 0
        var faults: [Int] = []
    }

    private static func play(_ faults: Faults, isBad: Bool = false, script: DatagramScript? = nil) throws -> Outcome {
        let engine = try EngineUnderTest(.simulated, faults: faults)
        let network = try #require(engine.network)
        let frontend = SocketAddress("10.0.0.1:53")!
        let endpoint = SocketAddress("10.1.0.1:5353")!
        var proxy = try Proxy(engine, at: frontend, to: endpoint)
        proxy.isBad = isBad
        let server = network.addDatagramServer(at: endpoint)
        var usual = DatagramScript()
        usual.requests = 100
        (usual.bytesMin, usual.bytesMax) = (0, 300)
        usual.burst = 5
        usual.pauseNanosecondsMax = 10_000_000
        let clients = (1...8).map {
            network.addDatagramClient(script ?? usual, from: SocketAddress("10.2.0.\($0):4000")!, to: frontend)
        }
        try proxy.run(milliseconds: 6000)
        #expect(clients.allSatisfy { network.datagramPeer($0).isOver })
        #expect(network.datagramsUnderWay == 0)
        engine.expectNoBreach()
        var outcome = Outcome(joined: proxy.joined, faults: Fault.allCases.map { network.count($0) })
        outcome.damaged = network.datagramPeer(server).damaged
        for client in clients.map({ network.datagramPeer($0) }) {
            outcome.sent += client.sent
            outcome.replies += client.received
            outcome.damaged += client.damaged
            outcome.misled += client.misled + client.fromElsewhere
            outcome.errors += client.errors
        }
        return outcome
    }

    @Test func withoutFaultsEveryDatagramIsAnsweredOnce() throws {
        let outcome = try Self.play(Faults())
        #expect(outcome.sent == 800 && outcome.replies == 800)
        #expect(outcome.damaged == 0 && outcome.misled == 0 && outcome.joined == 0 && outcome.errors == 0)
    }

    @Test func farSidesTellThatDatagramsWereCut() throws {
        let outcome = try Self.play(Faults(), isBad: true)
        // All but those without a byte, which can't be cut.
        #expect(outcome.damaged > 780)
    }

    /// Each with what it does to 800 datagrams and their answers.
    @Test(arguments: [
        Fault.datagramLost, .datagramDuplicated, .datagramReordered, .datagramDelayed, .datagramRefused, .datagramSendNoRoom,
        .datagramNoPort,
        .datagramsJoined, .watchEnded, .watchSpurious, .watchNoMemory,
    ])
    func eachFaultHappensAndIsCounted(_ fault: Fault) throws {
        var faults = Faults()
        faults[fault] = 0.2
        // Equal sizes, so that there is something to join.
        var script = DatagramScript()
        script.requests = 100
        (script.bytesMin, script.bytesMax) = (100, 100)
        script.burst = 5
        script.pauseNanosecondsMax = 10_000_000
        let outcome = try Self.play(faults, script: script)
        let count = outcome.faults[fault.rawValue]
        #expect(count > 0)
        #expect(outcome.damaged == 0 && outcome.misled == 0 && outcome.sent == 800)
        switch fault {
        case .datagramLost: #expect(outcome.replies < 800 && outcome.replies >= 800 - count)
        case .datagramDuplicated: #expect(outcome.replies > 800)
        case .datagramReordered, .datagramDelayed, .watchEnded, .watchSpurious, .watchNoMemory: #expect(outcome.replies == 800)
        case .datagramRefused: #expect(outcome.errors > 0 && outcome.replies < 800)
        case .datagramSendNoRoom: #expect(outcome.replies == 800 - count)
        case .datagramNoPort: #expect(outcome.replies <= 800)
        case .datagramsJoined: #expect(outcome.replies == 800 && outcome.joined > 0)
        default: Issue.record("\(fault) is not looked at")
        }
    }

    @Test func theSameSeedGivesTheSameRun() throws {
        var faults = Faults()
        for fault in Fault.allCases where fault.most > 0 && fault != .clockJump { faults[fault] = 0.1 }
        let first = try Self.play(faults)
        #expect(first == (try Self.play(faults)))
        #expect(first.damaged == 0 && first.misled == 0 && first.replies > 0)
    }
}
