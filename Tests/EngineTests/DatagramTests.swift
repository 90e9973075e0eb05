import Addressing
import Engine
import EngineSimulator
import Glibc
import Testing

/// UDP sockets: who hears what, from whom, and where one datagram ends.
struct DatagramTests {
    private static let families = [IPAddress.Family.ipv4, .ipv6]

    private static func message(_ number: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ number &* 7) }
    }

    // MARK: - Addresses

    @Test(arguments: EngineKind.allCases, families)
    func aListenerHearsWhatWasSentToItAndWhoSentIt(_ kind: EngineKind, _ family: IPAddress.Family) throws {
        let engine = try EngineUnderTest(kind)
        let address = FreshAddress.next(family)
        let listener = try engine.listenForDatagrams(at: address)
        let clients = try (0..<3).map { _ in try engine.openDatagramsFar(family) }
        for (number, client) in clients.enumerated() { #expect(client.send(Self.message(number, 100 + number), to: address)) }
        let received = try engine.receiveDatagrams(listener, 3)
        for (number, client) in clients.enumerated() {
            #expect(received.contains(ReceivedDatagram(bytes: Self.message(number, 100 + number), from: client.address)))
        }
        // And it answers each.
        for client in clients {
            #expect(engine.sendDatagram([1, 2, 3], on: listener, to: client.address) == 0)
            let (bytes, from) = try engine.hear(client)
            #expect(bytes == [1, 2, 3] && from == address)
        }
        engine.closeDatagrams(listener)
    }

    @Test(arguments: EngineKind.allCases)
    func aListenerOnEveryAddressTellsWhichWasAskedAndAnswersFromIt(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let port = EngineUnderTest.freshPort()
        let listener = try engine.listenForDatagrams(at: SocketAddress(.anyIPv4, port))
        let client = try engine.openDatagramsFar()
        for asked in ["127.0.0.2", "127.0.0.3"].map({ IPAddress($0)! }) {
            #expect(client.send([7], to: SocketAddress(asked, port)))
            let received = try engine.receiveDatagrams(listener, 1)
            #expect(received == [ReceivedDatagram(bytes: [7], from: client.address, to: asked)])
            #expect(engine.sendDatagram([8], on: listener, to: client.address, source: asked) == 0)
            let (bytes, from) = try engine.hear(client)
            #expect(bytes == [8] && from == SocketAddress(asked, port))
        }
        engine.closeDatagrams(listener)
    }

    @Test(arguments: EngineKind.allCases)
    func aListenerOnEveryAddressOfIPv6DoesSoAndHearsNoIPv4(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let port = EngineUnderTest.freshPort()
        let listener = try engine.listenForDatagrams(at: SocketAddress(.anyIPv6, port))
        let client = try engine.openDatagramsFar(.ipv6)
        let stranger = try engine.openDatagramsFar(.ipv4)
        #expect(stranger.send([1], to: SocketAddress(.loopbackIPv4, port)))
        #expect(client.send([7], to: SocketAddress(.loopbackIPv6, port)))
        let received = try engine.receiveDatagrams(listener, 1)
        #expect(received == [ReceivedDatagram(bytes: [7], from: client.address, to: .loopbackIPv6)])
        #expect(engine.sendDatagram([8], on: listener, to: client.address, source: .loopbackIPv6) == 0)
        let (bytes, from) = try engine.hear(client)
        #expect(bytes == [8] && from == SocketAddress(.loopbackIPv6, port))
        #expect(engine.staysSilent(listener))
        engine.closeDatagrams(listener)
    }

    @Test(arguments: EngineKind.allCases, families)
    func aConnectedSocketHearsItsPeerOnly(_ kind: EngineKind, _ family: IPAddress.Family) throws {
        let engine = try EngineUnderTest(kind)
        let peer = try engine.openDatagramsFar(family)
        let stranger = try engine.openDatagramsFar(family)
        let (socket, local) = try engine.connectDatagrams(to: peer.address)
        #expect(local.address.isLoopback && local.address.family == family)
        #expect(engine.driver.peerAddress(of: socket) == peer.address)
        #expect(engine.sendDatagram([1, 2], on: socket) == 0)
        let (bytes, from) = try engine.hear(peer)
        #expect(bytes == [1, 2] && from == local)
        #expect(stranger.send([6, 6, 6], to: local))
        #expect(engine.staysSilent(socket))
        #expect(peer.send([3], to: local))
        #expect(try engine.receiveDatagrams(socket, 1, takesNames: false).map(\.bytes) == [[3]])
        engine.closeDatagrams(socket)
    }

    @Test(arguments: EngineKind.allCases)
    func aConnectedSocketComesFromTheAddressThatItWasGiven(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let peer = try engine.openDatagramsFar()
        let source = FreshAddress.next(.ipv4).address
        let sockets = try (0..<3).map { _ in try engine.connectDatagrams(to: peer.address, from: source) }
        #expect(Set(sockets.map(\.local.port)).count == 3)
        for (socket, local) in sockets {
            #expect(local.address == source)
            #expect(engine.sendDatagram([1], on: socket) == 0)
            #expect(try engine.hear(peer).from == local)
            engine.closeDatagrams(socket)
        }
        // An address that the host has not got is refused when the socket is opened.
        let foreign = IPAddress("203.0.113.7")!
        engine.network?.foreignAddresses.insert(foreign)
        #expect(engine.driver.openDatagramSocket(to: peer.address, from: foreign).error == EADDRNOTAVAIL)
    }

    // MARK: - Boundaries

    @Test(arguments: EngineKind.allCases)
    func boundariesAreKeptWhateverTheSize(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let address = FreshAddress.next(.ipv4)
        let listener = try engine.listenForDatagrams(at: address)
        let client = try engine.openDatagramsFar()
        let sizes = [0, 1, 1400, 0, 65_507, 1400, 0]
        for (number, size) in sizes.enumerated() { #expect(client.send(Self.message(number, size), to: address)) }
        let received = try engine.receiveDatagrams(listener, sizes.count)
        #expect(received.map(\.bytes.count) == sizes)
        #expect(received.map(\.bytes) == sizes.enumerated().map { Self.message($0, $1) })
        #expect(received.allSatisfy { $0.from == client.address && $0.to == nil })
        // And on the way back, all in one call.
        let batch = DatagramBatch(takesNames: true)
        for (number, size) in sizes.enumerated() {
            batch.append(Self.message(number, size))
            batch.enqueue(first: number, count: 1, segment: 0, to: client.address)
        }
        #expect(engine.driver.sendDatagrams(listener, from: batch) == 0)
        #expect(batch.firstQueued == nil)
        for (number, size) in sizes.enumerated() { #expect(try engine.hear(client).bytes == Self.message(number, size)) }
        engine.closeDatagrams(listener)
    }

    @Test(arguments: EngineKind.allCases)
    func whatIsTooLongForAPacketIsToldAndStaysFirstInTheQueue(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let peer = try engine.openDatagramsFar()
        let (socket, _) = try engine.connectDatagrams(to: peer.address)
        let batch = DatagramBatch(takesNames: false)
        for (index, size) in [10, 65_508, 20].enumerated() {
            batch.append(Self.message(index, size))
            batch.enqueue(first: index, count: 1, segment: 0)
        }
        #expect(engine.driver.sendDatagrams(socket, from: batch) == EMSGSIZE)
        #expect(batch.firstQueued?.first == 1)
        batch.dropFirstQueued()
        #expect(engine.driver.sendDatagrams(socket, from: batch) == 0)
        #expect(try engine.hear(peer).bytes.count == 10)
        #expect(try engine.hear(peer).bytes.count == 20)
        engine.closeDatagrams(socket)
    }

    // MARK: - Joined datagrams

    /// Three joined messages: of single datagrams, of places that hold several, and of both; and what they are by themselves.
    private static func fillJoined(_ batch: DatagramBatch, to: SocketAddress? = nil) -> [[UInt8]] {
        var expected: [[UInt8]] = []
        func add(_ sizes: [Int], segment: Int = 0) {
            let parts = sizes.map { size in
                defer { expected.append(message(expected.count, size)) }
                return message(expected.count, size)
            }
            batch.append(parts.flatMap { $0 }, segment: segment)
        }
        for size in [1000, 1000, 1000, 1] { add([size]) }
        batch.enqueue(first: 0, count: 4, segment: 1000, to: to)
        add([1200, 1200, 1200, 700], segment: 1200)
        batch.enqueue(first: 4, count: 1, segment: 1200, to: to)
        add([300])
        add([300, 300], segment: 300)
        add([300, 299], segment: 300)
        batch.enqueue(first: 5, count: 3, segment: 300, to: to)
        add([1000])
        batch.enqueue(first: 8, count: 1, segment: 0, to: to)
        return expected
    }

    @Test(arguments: EngineKind.allCases, families)
    func joinedDatagramsArriveOneByOne(_ kind: EngineKind, _ family: IPAddress.Family) throws {
        let engine = try EngineUnderTest(kind)
        let peer = try engine.openDatagramsFar(family)
        let (socket, _) = try engine.connectDatagrams(to: peer.address)
        let batch = DatagramBatch(takesNames: false)
        let expected = Self.fillJoined(batch)
        #expect(batch.firstQueued?.datagrams == 4)
        let before = engine.driver.systemCalls
        #expect(engine.driver.sendDatagrams(socket, from: batch) == 0)
        #expect(engine.driver.systemCalls - before == 1)
        for bytes in expected { #expect(try engine.hear(peer).bytes == bytes) }
        #expect(peer.receive() == nil)
        engine.closeDatagrams(socket)
    }

    @Test(arguments: EngineKind.allCases, families)
    func joinedDatagramsOfAListenerLeaveFromTheAddressThatWasAsked(_ kind: EngineKind, _ family: IPAddress.Family) throws {
        let engine = try EngineUnderTest(kind)
        let port = EngineUnderTest.freshPort()
        let listener = try engine.listenForDatagrams(at: SocketAddress(family == .ipv4 ? .anyIPv4 : .anyIPv6, port))
        let client = try engine.openDatagramsFar(family)
        let asked = family == .ipv4 ? IPAddress("127.0.0.2")! : .loopbackIPv6
        let batch = DatagramBatch(takesNames: true)
        for size in [500, 500, 20] { batch.append(Self.message(size, size)) }
        batch.enqueue(first: 0, count: 3, segment: 500, to: client.address, source: asked)
        #expect(engine.driver.sendDatagrams(listener, from: batch) == 0)
        for size in [500, 500, 20] {
            let (bytes, from) = try engine.hear(client)
            #expect(bytes == Self.message(size, size) && from == SocketAddress(asked, port))
        }
        engine.closeDatagrams(listener)
    }

    /// The kernel refuses to join without checksums (EINVAL): as it does for what is longer than a packet may be on the way.
    @Test(arguments: [EngineKind.ioUring, .epoll], [false, true])
    func whereJoiningIsRefusedTheyGoOutOneByOne(_ kind: EngineKind, _ isListener: Bool) throws {
        let engine = try EngineUnderTest(kind)
        let peer = try engine.openDatagramsFar()
        let port = EngineUnderTest.freshPort()
        let asked = IPAddress("127.0.0.2")!
        let socket =
            isListener
            ? try engine.listenForDatagrams(at: SocketAddress(.anyIPv4, port)) : try engine.connectDatagrams(to: peer.address).socket
        setOption(Int32(bitPattern: socket.index), SOL_SOCKET, SO_NO_CHECK, 1)
        for _ in 0..<2 {
            let batch = DatagramBatch(takesNames: true)
            let to = isListener ? peer.address : nil
            var expected = Self.fillJoined(batch, to: to)
            if isListener {
                for size in [40, 30] { batch.append(Self.message(expected.count, size)) }
                batch.enqueue(first: 9, count: 2, segment: 40, to: to, source: asked)
                expected += [40, 30].map { Self.message(expected.count, $0) }
            }
            let before = engine.driver.systemCalls
            #expect(engine.driver.sendDatagrams(socket, from: batch) == 0)
            #expect(batch.firstQueued == nil)
            // Each is refused once: the next may be for a peer on whose way it is not too long.
            #expect(engine.driver.systemCalls - before == UInt64(expected.count + (isListener ? 4 : 3)))
            for (number, bytes) in expected.enumerated() {
                let heard = try engine.hear(peer)
                #expect(heard.bytes == bytes)
                if number >= 14 { #expect(heard.from == SocketAddress(asked, port)) }
            }
        }
        engine.closeDatagrams(socket)
    }

    @Test(arguments: EngineKind.allCases, families)
    func whatComesJoinedKeepsItsBoundaries(_ kind: EngineKind, _ family: IPAddress.Family) throws {
        var faults = Faults()
        faults[.datagramsJoined] = 0.7
        let engine = try EngineUnderTest(kind, faults: faults)
        let address = FreshAddress.next(family)
        let listener = try engine.listenForDatagrams(at: address)
        let client = try engine.openDatagramsFar(family)
        // A batch that was used before is as good as a new one.
        let batch = DatagramBatch(takesNames: true)
        #expect(client.send([1], to: address))
        #expect(try engine.receiveOnce(listener, into: batch) == 1)
        #expect(batch.apart(0) == [ReceivedDatagram(bytes: [1], from: client.address)])
        batch.removeAll()
        let sizes = Array(repeating: 1200, count: 30) + [50]
        let whole = sizes.enumerated().flatMap { Self.message($0, $1) }
        if let client = client as? PosixDatagramPeer {
            client.setSegment(1200)
            #expect(client.send(whole, to: address))
        } else {
            for (number, size) in sizes.enumerated() { #expect(client.send(Self.message(number, size), to: address)) }
        }
        let places = try engine.receiveOnce(listener, into: batch)
        // Real ones are handed over as one, some of the simulated ones are.
        #expect(kind == .simulated ? places < sizes.count : places == 1)
        #expect((0..<places).allSatisfy { batch[$0].segment == 1200 || batch[$0].segment == 0 && batch[$0].count == 1 })
        #expect((0..<places).reduce(0) { $0 + batch[$1].count } == sizes.count)
        let received = (0..<places).flatMap { batch.apart($0) }
        #expect(received == sizes.enumerated().map { ReceivedDatagram(bytes: Self.message($0, $1), from: client.address) })
        // Sent on as they came.
        let peer = try engine.openDatagramsFar(family)
        for place in 0..<places {
            batch.enqueue(first: place, count: 1, segment: batch[place].count > 1 ? batch[place].segment : 0, to: peer.address)
        }
        #expect(engine.driver.sendDatagrams(listener, from: batch) == 0)
        for (number, size) in sizes.enumerated() { #expect(try engine.hear(peer).bytes == Self.message(number, size)) }
        engine.closeDatagrams(listener)
    }

    // MARK: - Errors

    @Test(arguments: EngineKind.allCases, families)
    func aPeerThatIsGoneIsToldOnceAndTheWatchFires(_ kind: EngineKind, _ family: IPAddress.Family) throws {
        let engine = try EngineUnderTest(kind)
        let peer = try engine.openDatagramsFar(family)
        let (socket, local) = try engine.connectDatagrams(to: peer.address)
        let token = engine.token()
        engine.submit(.watch(socket, token))
        #expect(!engine.completesSoon(token))
        peer.close()
        let batch = DatagramBatch(takesNames: false)
        #expect(engine.sendDatagram([1], on: socket) == 0)
        let completion = try engine.completion(of: token)
        #expect(completion.result > 0 && completion.more)
        #expect(engine.driver.receiveDatagrams(socket, into: batch, most: 8) == -Int(ECONNREFUSED))
        #expect(engine.driver.receiveDatagrams(socket, into: batch, most: 8) == -Int(EAGAIN))
        // A send is told as well, in place of the receive, and has not sent then.
        #expect(engine.sendDatagram([2], on: socket) == 0)
        #expect(try engine.completion(of: token).result > 0)
        #expect(engine.sendDatagram([3], on: socket) == ECONNREFUSED)
        #expect(engine.driver.receiveDatagrams(socket, into: batch, most: 8) == -Int(EAGAIN))
        // Once somebody is there again, all is well.
        let successor = try engine.openDatagramsFar(at: peer.address)
        #expect(engine.sendDatagram([4], on: socket) == 0)
        #expect(try engine.hear(successor).bytes == [4])
        #expect(successor.send([5], to: local))
        #expect(try engine.receiveDatagrams(socket, 1, takesNames: false).map(\.bytes) == [[5]])
        try endWatch(token, of: socket, engine)
    }

    private func endWatch(_ token: OperationToken, of socket: SocketID, _ engine: EngineUnderTest) throws {
        engine.submit(.cancel(token, on: socket))
        var last = try engine.completion(of: token)
        while last.more { last = try engine.completion(of: token) }
        #expect(last.result == -ECANCELED)
        engine.closeDatagrams(socket)
    }

    // MARK: - Watching

    @Test(arguments: EngineKind.allCases)
    func aWatchFiresForWhatComesAfterAllWasTaken(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let address = FreshAddress.next(.ipv4)
        let listener = try engine.listenForDatagrams(at: address)
        let client = try engine.openDatagramsFar()
        let token = engine.token()
        engine.submit(.watch(listener, token))
        #expect(!engine.completesSoon(token))
        for round in 0..<3 {
            for number in 0...round { #expect(client.send([UInt8(number)], to: address)) }
            let completion = try engine.completion(of: token)
            #expect(completion.result > 0 && completion.more)
            #expect(try engine.receiveDatagrams(listener, round + 1).map(\.bytes) == (0...round).map { [UInt8($0)] })
            // What came meanwhile may have been told twice; then there is silence.
            engine.exchange(waitNanoseconds: 0)
            while engine.claim(token) != nil {}
            #expect(!engine.completesSoon(token))
        }
        // Not even what is sent wakes it.
        #expect(engine.sendDatagram([1], on: listener, to: client.address) == 0)
        #expect(!engine.completesSoon(token))
        try endWatch(token, of: listener, engine)
    }

    @Test(arguments: EngineKind.allCases)
    func aWatchThatComesLateFiresForWhatIsThere(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let address = FreshAddress.next(.ipv4)
        let listener = try engine.listenForDatagrams(at: address)
        let client = try engine.openDatagramsFar()
        #expect(client.send([1], to: address))
        #expect(!engine.completesSoon(.wakeUp))
        let token = engine.token()
        engine.submit(.watch(listener, token))
        #expect(try engine.completion(of: token).result > 0)
        try endWatch(token, of: listener, engine)
    }

    @Test(arguments: EngineKind.allCases)
    func aWatchThatWasCancelledMayBeSubmittedAgain(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let address = FreshAddress.next(.ipv4)
        let listener = try engine.listenForDatagrams(at: address)
        let client = try engine.openDatagramsFar()
        for _ in 0..<3 {
            let token = engine.token()
            engine.submit(.watch(listener, token))
            engine.exchange(waitNanoseconds: 0)
            engine.submit(.cancel(token, on: listener))
            let end = try engine.completion(of: token)
            #expect(end.result == -ECANCELED && !end.more)
            // Nobody tells of what comes now; the next watch does.
            #expect(client.send([1], to: address))
            #expect(!engine.completesSoon(token))
            let next = engine.token()
            engine.submit(.watch(listener, next))
            #expect(try engine.completion(of: next).result > 0)
            #expect(try engine.receiveDatagrams(listener, 1).count == 1)
            engine.submit(.cancel(next, on: listener))
            #expect(try engine.completion(of: next).result == -ECANCELED)
        }
        engine.closeDatagrams(listener)
    }

    // MARK: - Batches

    @Test(arguments: EngineKind.allCases)
    func aFullBatchIsToldAndTheNextCallGetsTheRest(_ kind: EngineKind) throws {
        let engine = try EngineUnderTest(kind)
        let address = FreshAddress.next(.ipv4)
        let listener = try engine.listenForDatagrams(at: address)
        let client = try engine.openDatagramsFar()
        let count = DatagramBatch.capacity + 10
        for number in 0..<count { #expect(client.send([UInt8(number)], to: address)) }
        #expect(!engine.completesSoon(.wakeUp))
        let batch = DatagramBatch(takesNames: true)
        // Behind what is there, and no more than was asked for.
        #expect(engine.driver.receiveDatagrams(listener, into: batch, most: 3) == 3)
        #expect(engine.driver.receiveDatagrams(listener, into: batch, most: .max) == DatagramBatch.capacity - 3)
        #expect(batch.room == 0)
        #expect((0..<batch.count).map { batch.copyBytes(of: $0) } == (0..<batch.count).map { [UInt8($0)] })
        batch.removeAll()
        #expect(engine.driver.receiveDatagrams(listener, into: batch, most: DatagramBatch.capacity) == 10)
        #expect(batch.copyBytes(of: 9) == [UInt8(count - 1)])
        batch.removeAll()
        #expect(engine.driver.receiveDatagrams(listener, into: batch, most: 1) == -Int(EAGAIN))
        engine.closeDatagrams(listener)
    }

    @Test(arguments: [EngineKind.ioUring, .epoll], [64, 1400])
    func tenThousandDatagramsPassThroughBatchesAndNoneIsLost(_ kind: EngineKind, _ size: Int) throws {
        let engine = try EngineUnderTest(kind)
        let address = FreshAddress.next(.ipv4)
        let listener = try engine.listenForDatagrams(at: address)
        let client = try engine.openDatagramsFar()
        let server = try engine.openDatagramsFar()
        let (upstream, _) = try engine.connectDatagrams(to: server.address)
        let token = engine.token()
        engine.submit(.watch(listener, token))
        let batch = DatagramBatch(takesNames: true)
        var forwarded = 0
        func forward() {
            while true {
                batch.removeAll()
                let taken = engine.driver.receiveDatagrams(listener, into: batch, most: DatagramBatch.capacity)
                guard taken > 0 else { return }
                for place in 0..<taken { batch.enqueue(first: place, count: 1, segment: 0) }
                #expect(engine.driver.sendDatagrams(upstream, from: batch) == 0)
                forwarded += taken
                if taken < DatagramBatch.capacity { return }
            }
        }
        // Less than the smallest buffer that a kernel grants by default (212,992 bytes, 768 of them for each of these at least).
        let portion = 50
        for begin in stride(from: 0, to: 10_000, by: portion) {
            for number in begin..<begin + portion { #expect(client.send(Self.numbered(number, size), to: address)) }
            let isForwarded = engine.wait {
                while let completion = engine.claim(token) { if completion.result > 0 { forward() } }
                return forwarded == begin + portion
            }
            try #require(isForwarded, "\(forwarded) of \(begin + portion) came")
            for number in begin..<begin + portion {
                let heard = try engine.hear(server)
                try #require(heard.bytes == Self.numbered(number, size))
            }
        }
        try endWatch(token, of: listener, engine)
        engine.closeDatagrams(upstream)
    }

    private static func numbered(_ number: Int, _ size: Int) -> [UInt8] {
        [UInt8(number >> 8), UInt8(number & 255)] + [UInt8](repeating: UInt8(number % 251), count: size - 2)
    }
}
