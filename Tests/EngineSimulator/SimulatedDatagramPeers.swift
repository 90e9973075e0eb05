package import Addressing
import Engine
import Glibc

/// What a simulated endpoint or client does with datagrams.
///
/// A datagram of at least 8 bytes begins with the client's number and its own, 4 bytes each; its length and all other bytes are made
/// from these, so that whoever gets it can tell whether it is whole. Replies begin as the request does.
package struct DatagramScript: BitwiseCopyable, Sendable {
    /// Of an endpoint, replies to each datagram; none: it is silent.
    package var replies = 1
    /// Bytes of a reply; nil for those that came.
    package var replyBytes: Int?
    /// Time before each reply, drawn from 0 to this.
    package var delayNanosecondsMax: UInt64 = 0
    /// Of a client, datagrams that it sends, and how long they are, drawn from the least to the greatest.
    package var requests = 1
    package var bytesMin = 8
    package var bytesMax = 8
    /// Datagrams that it sends at a time, and the time between, drawn from 0 to this.
    package var burst = 1
    package var pauseNanosecondsMax: UInt64 = 0
    /// A client that hears everybody, and no ICMP errors.
    package var isUnconnected = false

    package init() {}
}

/// An endpoint or client of datagrams and all that is known of it.
package struct SimulatedDatagramPeer: BitwiseCopyable {
    package let script: DatagramScript
    package let isServer: Bool
    package let local: SocketAddress
    /// Whom a client asks.
    package let remote: SocketAddress?
    package internal(set) var isOpen = true
    package internal(set) var sent = 0
    package internal(set) var received = 0
    package internal(set) var bytesReceived = 0
    /// Of those: cut, joined or changed; meant for another client; from another address than the one that was asked.
    package internal(set) var damaged = 0
    package internal(set) var misled = 0
    package internal(set) var fromElsewhere = 0
    /// Those too short to tell whose they are.
    package internal(set) var unmarked = 0
    /// ICMP errors that a client has heard of, and the last.
    package internal(set) var errors = 0
    package internal(set) var lastError: Int32 = 0
    package internal(set) var receivedLastAt: UInt64 = 0

    var socket: Int

    /// Whether a client has sent all it had to.
    package var isOver: Bool { isServer || !isOpen || sent >= script.requests }
}

// The far sides by script.
extension SimulatedNetwork {
    /// Starts an endpoint. Answers its place in the table.
    @discardableResult
    package func addDatagramServer(_ script: DatagramScript = DatagramScript(), at address: SocketAddress) -> Int {
        addDatagramPeer(script, isServer: true, local: address, remote: nil)
    }

    /// Starts a client at a time to come. Answers its place in the table, which is also its number.
    @discardableResult
    package func addDatagramClient(
        _ script: DatagramScript = DatagramScript(), from local: SocketAddress, to remote: SocketAddress, at time: UInt64? = nil
    ) -> Int {
        let index = addDatagramPeer(script, isServer: false, local: local, remote: remote)
        events.insert(.datagramPeerStepped, UInt32(index), at: max(now, time ?? now))
        return index
    }

    package var datagramPeerCount: Int { datagramPeers.count }
    package func datagramPeer(_ index: Int) -> SimulatedDatagramPeer { datagramPeers[index] }

    /// Ends an endpoint or a client: what comes for it is refused from now on.
    package func removeDatagramPeer(_ index: Int) {
        guard datagramPeers[index].isOpen else { return }
        datagramPeers[index].isOpen = false
        closeDatagramSocket(datagramPeers[index].socket)
    }

    /// Ends and forgets all, so that a run that is warm can begin anew.
    package func removeAllDatagramPeers() {
        for index in datagramPeers.indices { removeDatagramPeer(index) }
        datagramPeers.removeAll(keepingCapacity: true)
    }

    private func addDatagramPeer(_ script: DatagramScript, isServer: Bool, local: SocketAddress, remote: SocketAddress?) -> Int {
        let index = datagramPeers.count
        let peer = script.isUnconnected ? nil : remote
        let socket = datagrams.open(.peer(UInt32(index)), local: local, remote: peer)
        datagramPeers.append(SimulatedDatagramPeer(script: script, isServer: isServer, local: local, remote: remote, socket: socket))
        return index
    }

    // MARK: - Steps

    /// A client sends its next burst.
    func stepDatagramPeer(_ index: Int) {
        guard index < datagramPeers.count, !datagramPeers[index].isOver, let remote = datagramPeers[index].remote else { return }
        let script = datagramPeers[index].script
        // The error of an earlier one is met first, as by a sender who has to send again.
        hearDatagramError(index)
        for _ in 0..<script.burst where !datagramPeers[index].isOver {
            let mark = DatagramMark(client: UInt32(index), number: UInt32(datagramPeers[index].sent))
            datagramPeers[index].sent += 1
            sendMarked(index, mark, length: mark.length(script), to: remote)
        }
        guard !datagramPeers[index].isOver else { return }
        events.insert(.datagramPeerStepped, UInt32(index), at: now &+ 1 &+ UInt64(random.below(Int(script.pauseNanosecondsMax))))
    }

    private func hearDatagramError(_ index: Int) {
        guard let errno = takeDatagramError(datagramPeers[index].socket) else { return }
        datagramPeers[index].errors += 1
        datagramPeers[index].lastError = errno
    }

    private func sendMarked(
        _ index: Int, _ mark: DatagramMark, length: Int, to remote: SocketAddress, from local: SocketAddress? = nil, after delay: UInt64 = 0
    ) {
        sendDatagram(
            datagramPeers[index].socket, from: local ?? datagramPeers[index].local, to: remote, length: length, after: delay
        ) { bytes, position in
            for place in 0..<length { bytes[position + place] = mark.byte(place, length) }
        }
    }

    /// Something has come for a peer: it is looked at, and answered by an endpoint, at once.
    func datagramPeerHears(_ index: Int) {
        let socket = datagramPeers[index].socket
        hearDatagramError(index)
        while let row = datagrams.dequeue(socket) {
            let datagram = datagrams.rows[Int(row)]
            let mark = check(index, row, datagram)
            datagrams.free(row)
            datagramPeers[index].received += 1
            datagramPeers[index].bytesReceived += datagram.length
            datagramPeers[index].receivedLastAt = now
            onDatagramHeard?(index, mark.client, mark.number)
            guard datagramPeers[index].isServer else { continue }
            let script = datagramPeers[index].script
            for _ in 0..<script.replies {
                datagramPeers[index].sent += 1
                sendMarked(
                    index, mark, length: script.replyBytes ?? datagram.length, to: datagram.from, from: datagram.to,
                    after: UInt64(random.below(Int(script.delayNanosecondsMax))))
            }
        }
    }

    /// Compares a datagram with what it should be.
    private func check(_ index: Int, _ row: UInt32, _ datagram: SimulatedDatagram) -> DatagramMark {
        let peer = datagramPeers[index]
        let position = Int(row) * SimulatedDatagrams.bytesMax
        var mark = DatagramMark(client: 0, number: 0)
        if datagram.length >= 8 { mark.read { datagrams.bytes[position + $0] } } else { datagramPeers[index].unmarked += 1 }
        var isWhole = true
        for place in 0..<datagram.length where datagrams.bytes[position + place] != mark.byte(place, datagram.length) { isWhole = false }
        if !peer.isServer {
            if datagram.length >= 8, mark.client != UInt32(index) { datagramPeers[index].misled += 1 }
            if mark.client == UInt32(index), mark.number >= UInt32(peer.sent) { isWhole = false }
            if datagram.from != peer.remote { datagramPeers[index].fromElsewhere += 1 }
        }
        if !isWhole { datagramPeers[index].damaged += 1 }
        return mark
    }
}

/// Whose datagram it is and which: what its bytes are made from.
private struct DatagramMark {
    var client: UInt32
    var number: UInt32

    /// Zeroes where it is shorter than a mark.
    func byte(_ place: Int, _ length: Int) -> UInt8 {
        if length < 8 { return 0 }
        if place < 8 { return UInt8(truncatingIfNeeded: (place < 4 ? client : number) >> UInt32(8 * (place % 4))) }
        // The length is in each byte: of two that were joined, or one that was cut, none is right.
        return UInt8(truncatingIfNeeded: place &* 31 &+ Int(client) &* 131 &+ Int(number) &* 17 &+ length &* 7 &+ length >> 8)
    }

    mutating func read(_ byte: (Int) -> UInt8) {
        for place in 0..<4 {
            client |= UInt32(byte(place)) << UInt32(8 * place)
            number |= UInt32(byte(place + 4)) << UInt32(8 * place)
        }
    }

    /// Drawn by the mark, so that the same datagram is always as long.
    func length(_ script: DatagramScript) -> Int {
        let range = script.bytesMin...max(script.bytesMin, script.bytesMax)
        return range.lowerBound + Int(client &* 2_654_435_761 &+ number &* 40_503) % range.count
    }
}
