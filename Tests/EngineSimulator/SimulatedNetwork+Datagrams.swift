package import Addressing
import Engine
import Glibc

/// A UDP datagram: on its way, in a queue, or its place is free.
struct SimulatedDatagram: BitwiseCopyable {
    var from: SocketAddress
    var to: SocketAddress
    var length: Int
    /// The errno of an ICMP error, which takes the way back; 0 for a datagram.
    var error: Int32
    var next: UInt32
}

struct SimulatedDatagramSocket {
    enum Owner { case none, socket(UInt32), peer(UInt32), hand }

    var owner: Owner
    /// Tells one use of a place from the next.
    var stamp: UInt32
    var local: SocketAddress
    /// nil for one that hears everybody.
    var remote: SocketAddress?
    var head = SimulatedDatagrams.none
    var tail = SimulatedDatagrams.none
    var count = 0
    /// An errno that the next receive or send is to answer with.
    var error: Int32 = 0
    /// Something has come that no watch has told of.
    var hasNews = false
    /// When the last datagram that it sent arrives: the next one does not overtake it.
    var arrivesLast: UInt64 = 0
    /// The next socket of the same local address, plus 1.
    var next: UInt32 = 0
}

/// All UDP sockets and datagrams of a network. Nothing is allocated once it is warm.
struct SimulatedDatagrams: ~Copyable {
    static let none = UInt32.max
    static let bytesMax = 65_536

    var rows: FixedTable<SimulatedDatagram>
    /// `bytesMax` of each; pages are touched as far as datagrams are long.
    var bytes: FixedTable<UInt8>
    private var freeRows: FixedTable<UInt32>
    private var freeCount = 0
    private var touched = 0

    var sockets: [SimulatedDatagramSocket] = []
    private var freeSockets: [UInt32] = []
    /// Where the search for a free port goes on.
    var nextPort: Int?
    /// By local address: the first socket, plus 1.
    private var byAddress: [SocketAddress: UInt32] = [:]

    init(capacity: Int) {
        rows = FixedTable(zeroedCapacity: capacity)
        bytes = FixedTable(zeroedCapacity: capacity * Self.bytesMax)
        freeRows = FixedTable(zeroedCapacity: capacity)
    }

    var underWay: Int { touched - freeCount }

    mutating func takeRow() -> UInt32? {
        if freeCount > 0 {
            freeCount -= 1
            return freeRows[freeCount]
        }
        guard touched < rows.capacity else { return nil }
        touched += 1
        return UInt32(touched - 1)
    }

    mutating func free(_ row: UInt32) {
        freeRows[freeCount] = row
        freeCount += 1
    }

    mutating func copy(_ row: UInt32, to other: UInt32) {
        rows[Int(other)] = rows[Int(row)]
        for index in 0..<rows[Int(row)].length { bytes[Int(other) * Self.bytesMax + index] = bytes[Int(row) * Self.bytesMax + index] }
    }

    mutating func open(_ owner: SimulatedDatagramSocket.Owner, local: SocketAddress, remote: SocketAddress?) -> Int {
        let index: Int
        if let free = freeSockets.popLast() {
            index = Int(free)
        } else {
            index = sockets.count
            sockets.append(SimulatedDatagramSocket(owner: .none, stamp: 0, local: local))
            freeSockets.reserveCapacity(sockets.count)
        }
        let stamp = sockets[index].stamp &+ 1
        sockets[index] = SimulatedDatagramSocket(owner: owner, stamp: stamp, local: local, remote: remote, next: byAddress[local] ?? 0)
        byAddress[local] = UInt32(index) + 1
        return index
    }

    mutating func close(_ index: Int) {
        while let row = dequeue(index) { free(row) }
        let socket = sockets[index]
        if byAddress[socket.local] == UInt32(index) + 1 {
            byAddress[socket.local] = socket.next == 0 ? nil : socket.next
        } else {
            var previous = Int(byAddress[socket.local]!) - 1
            while sockets[previous].next != UInt32(index) + 1 { previous = Int(sockets[previous].next) - 1 }
            sockets[previous].next = socket.next
        }
        sockets[index].owner = .none
        sockets[index].stamp &+= 1
        freeSockets.append(UInt32(index))
    }

    func isTaken(_ local: SocketAddress) -> Bool { byAddress[local] != nil }

    mutating func enqueue(_ row: UInt32, at index: Int) {
        rows[Int(row)].next = Self.none
        if sockets[index].count == 0 { sockets[index].head = row } else { rows[Int(sockets[index].tail)].next = row }
        sockets[index].tail = row
        sockets[index].count += 1
    }

    mutating func dequeue(_ index: Int) -> UInt32? {
        guard sockets[index].count > 0 else { return nil }
        let row = sockets[index].head
        sockets[index].head = rows[Int(row)].next
        sockets[index].count -= 1
        return row
    }

    /// Who hears a datagram: the socket connected to its sender, else one on the address, else one on every address.
    func hearer(of datagram: SimulatedDatagram) -> Int? {
        if let index = hearer(at: datagram.to, from: datagram.from) { return index }
        let everywhere = datagram.to.address.family == .ipv4 ? IPAddress.anyIPv4 : .anyIPv6
        return hearer(at: SocketAddress(everywhere, datagram.to.port), from: datagram.from)
    }

    private func hearer(at local: SocketAddress, from sender: SocketAddress) -> Int? {
        guard let first = byAddress[local] else { return nil }
        var shared = 0
        var link = first
        while link != 0 {
            let socket = sockets[Int(link) - 1]
            if socket.remote == sender { return Int(link) - 1 }
            if socket.remote == nil { shared += 1 }
            link = socket.next
        }
        guard shared > 0 else { return nil }
        // Of several (SO_REUSEPORT) a sender has always the same.
        var skipped = Int((sender.address.low &+ UInt64(sender.port.rawValue) &* 31) % UInt64(shared))
        link = first
        while true {
            let socket = sockets[Int(link) - 1]
            if socket.remote == nil {
                if skipped == 0 { return Int(link) - 1 }
                skipped -= 1
            }
            link = socket.next
        }
    }
}

// UDP: what happens between sockets. A datagram takes its time, and one that nobody hears is answered by an ICMP error.
extension SimulatedNetwork {
    /// UDP sockets that are open, those of far sides included; and datagrams on their way or in a queue.
    package var datagramSocketsOpen: Int {
        datagrams.sockets.count { if case .none = $0.owner { false } else { true } }
    }
    package var datagramsUnderWay: Int { datagrams.underWay }

    /// Opens a socket that hears everybody.
    func openDatagramListener(_ address: SocketAddress, _ owner: SimulatedDatagramSocket.Owner) -> Int {
        datagrams.open(owner, local: address, remote: nil)
    }

    /// Opens a socket that hears one peer; nil when no port is left.
    func openDatagramSocket(from source: IPAddress, to peer: SocketAddress, _ owner: SimulatedDatagramSocket.Owner) -> Int? {
        let ports = settings.datagramPorts
        if datagrams.nextPort == nil { datagrams.nextPort = random.below(ports.count) }
        for _ in 0..<ports.count {
            let port = datagrams.nextPort!
            datagrams.nextPort = (port + 1) % ports.count
            let local = SocketAddress(source, PortNumber(ports.lowerBound + port)!)
            if !datagrams.isTaken(local) { return datagrams.open(owner, local: local, remote: peer) }
        }
        return nil
    }

    func closeDatagramSocket(_ index: Int) { datagrams.close(index) }

    func datagramAddresses(_ index: Int) -> (local: SocketAddress, remote: SocketAddress?) {
        (datagrams.sockets[index].local, datagrams.sockets[index].remote)
    }

    /// The error that a socket has heard of; it is told once.
    func takeDatagramError(_ index: Int) -> Int32? {
        let error = datagrams.sockets[index].error
        guard error != 0 else { return nil }
        datagrams.sockets[index].error = 0
        return error
    }

    /// Sends one datagram; `fill` puts its bytes at a place of the table.
    ///
    /// - Parameter delay: what the sender waits before it sends; others are sent meanwhile.
    func sendDatagram(
        _ socket: Int, from local: SocketAddress, to remote: SocketAddress, length: Int, after delay: UInt64 = 0,
        fill: (_ bytes: inout FixedTable<UInt8>, _ position: Int) -> Void
    ) {
        if happens(.datagramLost) { return }
        guard let row = datagrams.takeRow() else { return note(.datagramNoRoom) }
        datagrams.rows[Int(row)] = SimulatedDatagram(from: local, to: remote, length: length, error: 0, next: SimulatedDatagrams.none)
        fill(&datagrams.bytes, Int(row) * SimulatedDatagrams.bytesMax)
        var time = now &+ delay &+ latency()
        if happens(.datagramDelayed) {
            time &+= UInt64(random.below(Int(faults.datagramDelayNanosecondsMax)))
        } else if happens(.datagramReordered) {
            time &+= UInt64(random.within(1...1_000_000))
        } else if delay == 0 {
            time = max(time, datagrams.sockets[socket].arrivesLast)
            datagrams.sockets[socket].arrivesLast = time
        }
        if happens(.datagramDuplicated), let twin = datagrams.takeRow() {
            datagrams.copy(row, to: twin)
            events.insert(.datagramArrived, twin, at: time &+ latency())
        }
        events.insert(.datagramArrived, row, at: time)
    }

    func datagramArrived(_ row: UInt32) {
        let datagram = datagrams.rows[Int(row)]
        if datagram.error != 0 { return datagramErrorArrived(row, datagram) }
        if blackHoles.contains(datagram.to) { return datagrams.free(row) }
        if unreachable.contains(datagram.to) { return refuse(row, EHOSTUNREACH) }
        guard let index = datagrams.hearer(of: datagram) else { return refuse(row, ECONNREFUSED) }
        if happens(.datagramRefused) { return refuse(row, [ECONNREFUSED, EHOSTUNREACH, ENOPROTOOPT][random.below(3)]) }
        guard datagrams.sockets[index].count < settings.datagramQueueMax else {
            note(.datagramNoRoom)
            return datagrams.free(row)
        }
        datagrams.enqueue(row, at: index)
        notifyDatagramSocket(index)
    }

    /// Sends an ICMP error back.
    private func refuse(_ row: UInt32, _ errno: Int32) {
        let datagram = datagrams.rows[Int(row)]
        datagrams.rows[Int(row)].from = datagram.to
        datagrams.rows[Int(row)].to = datagram.from
        datagrams.rows[Int(row)].error = errno
        events.insert(.datagramArrived, row, at: now &+ latency())
    }

    /// Only a connected socket hears of an error.
    private func datagramErrorArrived(_ row: UInt32, _ datagram: SimulatedDatagram) {
        datagrams.free(row)
        guard let index = datagrams.hearer(of: datagram), datagrams.sockets[index].remote == datagram.from else { return }
        datagrams.sockets[index].error = datagram.error
        notifyDatagramSocket(index)
    }

    private func notifyDatagramSocket(_ index: Int) {
        switch datagrams.sockets[index].owner {
        case .socket(let socket):
            datagrams.sockets[index].hasNews = true
            markReady(socket)
        case .peer(let peer): datagramPeerHears(Int(peer))
        case .none, .hand: break
        }
    }
}

/// A UDP socket on the far side that a test plays by hand, call by call.
package struct HandDatagramPeer {
    fileprivate let index: Int
    fileprivate let stamp: UInt32
    package let local: SocketAddress
}

extension SimulatedNetwork {
    /// - Parameter peer: the one that it hears, and that hears it; nil for everybody.
    package func openDatagramsByHand(at local: SocketAddress, connectedTo peer: SocketAddress? = nil) -> HandDatagramPeer {
        let index = datagrams.open(.hand, local: local, remote: peer)
        return HandDatagramPeer(index: index, stamp: datagrams.sockets[index].stamp, local: local)
    }

    /// - Parameters:
    ///   - to: left out where it is connected.
    ///   - source: the address it comes from, behind a socket on every address.
    package func send(_ peer: HandDatagramPeer, _ bytes: ArraySlice<UInt8>, to: SocketAddress? = nil, source: IPAddress? = nil) {
        let index = current(peer)
        guard let remote = to ?? datagrams.sockets[index].remote else { preconditionFailure("nobody to send to") }
        let local = SocketAddress(source ?? peer.local.address, peer.local.port)
        sendDatagram(index, from: local, to: remote, length: bytes.count) { table, position in
            for (offset, byte) in bytes.enumerated() { table[position + offset] = byte }
        }
    }

    /// The next datagram; nil where there is none.
    package func receive(_ peer: HandDatagramPeer) -> (bytes: [UInt8], from: SocketAddress, to: SocketAddress)? {
        guard let row = datagrams.dequeue(current(peer)) else { return nil }
        defer { datagrams.free(row) }
        let datagram = datagrams.rows[Int(row)]
        let position = Int(row) * SimulatedDatagrams.bytesMax
        return ((0..<datagram.length).map { datagrams.bytes[position + $0] }, datagram.from, datagram.to)
    }

    /// The errno of an ICMP error that a connected one has heard of; it is told once.
    package func takeError(_ peer: HandDatagramPeer) -> Int32? { takeDatagramError(current(peer)) }

    package func close(_ peer: HandDatagramPeer) { closeDatagramSocket(current(peer)) }

    private func current(_ peer: HandDatagramPeer) -> Int {
        precondition(datagrams.sockets[peer.index].stamp == peer.stamp, "a peer is used after it was closed")
        return peer.index
    }
}
