import Addressing
import DNS
import Engine
import Routing

/// What a worker has to answer queries with. Where nobody asked for that it is empty, and nothing in it is touched.
struct NameServer: ~Copyable {
    /// A socket of the worker at which queries come: those of UDP at even numbers, the one of TCP at the same address behind it.
    struct Socket: BitwiseCopyable {
        enum Phase: UInt8, BitwiseCopyable { case closed, open, closing }

        var generation: UInt32 = 0
        var phase = Phase.closed
        /// Whether a watch, or an accept, is in the kernel.
        var isArmed = false
        var isCancelled = false
        /// There was more than a turn takes.
        var isUnread = false
        var socket = SocketID.none
    }

    let settings: NameSettings?
    let answering: Answering
    /// The names that are answered from now on.
    private var zone = Zone.empty
    /// What clients were answered from these names over UDP, but for answers in an order by chance: most ask what others have asked.
    private var packets: PacketCache
    var sockets: FixedTable<Socket>
    let socketCount: Int
    var connections: NameConnectionTable
    /// What UDP clients are answered in a turn.
    let answers: DatagramBatch
    /// What others are asked with.
    var forwarding: NameForwarding
    var hasUnread = false
    /// When connections are looked after.
    var lookAt = UInt64.max
    private var rates: ResponseRates
    /// Beginnings of queries, one place for each connection: the length and what follows.
    private var partials: FixedTable<UInt8>
    /// Answers to what came at once over one connection.
    private var written: FixedTable<UInt8>

    private static let partialStride = 2 + Limits.queryBytesMax
    private static let messageMax = 65_535
    private static let writtenMax = 2 * (2 + messageMax)

    /// - Parameters:
    ///   - names: nil where nobody is answered.
    ///   - counters: and a batch, that are not written to then.
    init(_ names: WorkerNames?, seed: UInt64, now: UInt64, unused counters: CounterTable, _ batch: DatagramBatch) {
        let settings = names?.settings
        self.settings = settings
        forwarding = NameForwarding(settings?.forwarding, replyCounters: names?.replyCounters, now: now)
        var responder = settings?.responder ?? .init(domain: DomainName(".")!)
        responder.offersRecursion = forwarding.isUsed
        answering = Answering(responder: Responder(responder), counters: names?.counters ?? counters)
        let addresses = min(settings?.addresses.count ?? 0, Limits.nameAddressesMax)
        let connectionsMax = names.map { max(1, $0.connectionsMax) } ?? 0
        socketCount = 2 * addresses
        sockets = FixedTable(zeroedCapacity: socketCount)
        connections = NameConnectionTable(openMax: connectionsMax)
        answers = settings == nil ? batch : DatagramBatch(takesNames: false)
        rates = ResponseRates(rate: settings?.responsesPerSourceMax, secret: Mixer.mix(seed ^ 0x6e61_6d65_7261_7465))
        partials = FixedTable(zeroedCapacity: 2 * connectionsMax * Self.partialStride)
        written = FixedTable(zeroedCapacity: settings == nil ? 0 : Self.writtenMax)
        packets = PacketCache(rows: settings == nil ? 0 : Limits.namePackets)
    }

    /// Whether sockets or connections are still to be closed.
    var isBusy: Bool {
        for index in 0..<socketCount where sockets[index].phase != .closed { return true }
        return connections.active > 0 || forwarding.sockets.active > 0
    }

    func address(of socket: Int) -> SocketAddress {
        guard let settings else { preconditionFailure("a socket for names, which nobody asked for") }
        return settings.addresses[socket / 2]
    }

    var counters: CounterTable { answering.counters }

    /// Answers from other names from now on.
    mutating func serve(_ handover: ZoneHandover) {
        handover.exchange(&zone)
        packets.forget()
    }

    // MARK: - Answering over UDP

    /// Answers what was taken from a socket, from a place on, as long as there is room for answers.
    ///
    /// - Parameter offset: within that place, where the kernel has joined datagrams.
    /// - Returns: where to go on once the answers have left; nil where all are answered.
    mutating func answer(
        _ queries: DatagramBatch, at socket: Int, from start: (place: Int, offset: Int), _ now: UInt64, random: inout RandomSource
    ) -> (place: Int, offset: Int)? {
        var offset = start.offset
        var next = hash(of: start.place, in: queries)
        for place in start.place..<queries.count {
            let hash = next
            // What the next one needs lies in memory that nobody has touched since it was asked last.
            next = self.hash(of: place + 1, in: queries)
            packets.prefetch(next)
            let datagram = queries[place]
            // One that can't be answered, for its sender has no port, is no client's.
            guard let client = datagram.from else { continue }
            let step = datagram.segment == 0 ? max(1, datagram.length) : datagram.segment
            while offset < datagram.length {
                guard answers.room > 0 else { return (place, offset) }
                let range = offset..<min(offset &+ step, datagram.length)
                queries.withBytes(of: place, range) { message in
                    answers.enqueue(to: client, source: datagram.to) { reply in
                        answerLimited(
                            message, datagram.segment == 0 ? hash : PacketCache.hash(message), from: client, to: datagram.to, at: socket,
                            now, random: &random, into: &reply)
                    }
                }
                offset &+= step
            }
            offset = 0
        }
        return nil
    }

    /// Of a whole place; 0 behind the last one.
    private func hash(of place: Int, in queries: DatagramBatch) -> UInt64 {
        var hash: UInt64 = 0
        if place < queries.count { queries.withBytes(of: place) { hash = PacketCache.hash($0) } }
        return hash
    }

    private mutating func answerLimited(
        _ message: Span<UInt8>, _ hash: UInt64, from client: SocketAddress, to local: IPAddress?, at socket: Int, _ now: UInt64,
        random: inout RandomSource, into reply: inout MutableSpan<UInt8>
    ) -> Int {
        let verdict = rates.verdict(on: client.address, now, random: &random)
        if verdict == .drop {
            counters.add(1, row: socket, column: NameColumn.dropped + QueryDrop.rateLimit.rawValue)
            return 0
        }
        let length: Int
        if let found = packets.find(message, hash, into: &reply), let facts = ReplyFacts(note: found.note) {
            length = found.length
            answering.count(message, length, facts, at: socket)
        } else {
            let asker = Asker(
                transport: .udp, client: client, local: local, slot: UInt32(socket), generation: sockets[socket].generation)
            let outcome = answering.answer(
                message, zone, at: socket, by: asker, asksOthers: verdict == .answer, &forwarding, now, random: &random, into: &reply)
            guard case .reply(let answered, let facts) = outcome else { return 0 }
            length = answered
            if let facts { packets.keep(reply.span.extracting(0..<length), to: message, hash, note: facts.note) }
        }
        guard verdict == .truncate, length >= MessageFacts.headerBytes else { return length }
        counters.add(1, row: socket, column: NameColumn.dropped + QueryDrop.rateLimitTruncated.rawValue)
        return MessageFacts.truncate(&reply, length)
    }

    // MARK: - Answering over TCP

    /// Takes bytes out of a connection's inbox, and answers the queries among them, as long as its outbox has room.
    ///
    /// - Parameter outboxMax: buffers of the outbox.
    /// - Returns: why the connection is to be closed; nil where it isn't.
    mutating func answer(
        connection slot: UInt32, outboxMax: UInt16, in pool: BufferPool, _ now: UInt64, random: inout RandomSource
    ) -> NameConnection.Ending? {
        let base = Int(slot) * Self.partialStride
        while connections[slot].outbox.count < outboxMax {
            var held = Int(connections[slot].partialBytes)
            let taken = min(Self.partialStride - held, Int(connections[slot].inbox.firstBytes(in: pool)))
            if taken > 0 {
                pool.copyUnsent(of: connections[slot].inbox.head, count: taken, to: &partials, at: base + held)
                connections[slot].inbox.consume(taken, in: pool)
                held += taken
            }
            var position = 0
            var used = 0
            // One more answer fits behind half of what may be written at once.
            while used <= Self.writtenMax / 2, held - position >= 2 {
                let length = Int(partials[base + position]) << 8 | Int(partials[base + position + 1])
                guard (MessageFacts.headerBytes...Limits.queryBytesMax).contains(length) else { return .malformed }
                guard held - position >= 2 + length else { break }
                let query = base + position + 2..<base + position + 2 + length
                switch answer(query, of: slot, at: used + 2, now, random: &random) {
                case .nothing: return .malformed
                case .reply(let answered, _):
                    written[used] = UInt8(truncatingIfNeeded: answered >> 8)
                    written[used + 1] = UInt8(truncatingIfNeeded: answered)
                    used += 2 + answered
                case .later: connections[slot].awaited &+= 1
                }
                position += 2 + length
            }
            if position > 0 {
                partials.moveBytes(base + position..<base + held, to: base)
                connections[slot].movedAt = now
            }
            connections[slot].partialBytes = UInt16(truncatingIfNeeded: held - position)
            if used > 0, !connections[slot].outbox.append(written, count: used, in: pool) { return .noBuffer }
            if taken == 0, position == 0 { break }
        }
        return nil
    }

    private mutating func answer(
        _ query: Range<Int>, of slot: UInt32, at position: Int, _ now: UInt64, random: inout RandomSource
    ) -> Answering.Outcome {
        let socket = Int(connections[slot].origin)
        let asker = Asker(transport: .tcp, client: nil, local: nil, slot: slot, generation: connections[slot].generation)
        var outcome = Answering.Outcome.nothing
        partials.withBytes(query) { message in
            written.withMutableBytes(position..<position + Self.messageMax) { reply in
                outcome = answering.answer(
                    message, zone, at: socket, by: asker, &forwarding, now, random: &random, into: &reply)
            }
        }
        return outcome
    }
}
