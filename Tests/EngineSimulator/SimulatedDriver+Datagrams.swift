package import Addressing
package import Engine
import Glibc

// UDP sockets: calls that don't wait, and the watch that tells when they are worth their while.
extension SimulatedDriver {
    package func openDatagramListener(_ address: SocketAddress, fragments: Bool) -> Opened {
        systemCalls &+= 5
        if let errno = network.datagramBindErrors[address] { return Opened(error: errno) }
        let opened = open(.datagramListener, place: 0, address.address.family)
        guard opened.error == 0 else { return opened }
        sockets[Int(opened.socket.index)].place = UInt32(network.openDatagramListener(address, .socket(opened.socket.index)))
        sockets[Int(opened.socket.index)].fragments = fragments
        return opened
    }

    package func openDatagramSocket(to peer: SocketAddress, from source: IPAddress?) -> Opened {
        systemCalls &+= source == nil ? 4 : 6
        if network.happens(.openNoDescriptor) { return Opened(error: either(EMFILE, ENFILE)) }
        if network.happens(.openNoMemory) { return Opened(error: either(ENOBUFS, ENOMEM)) }
        if let source {
            if source.family != peer.address.family { breach("a socket is bound to an address of another family") }
            if network.foreignAddresses.contains(source) { return Opened(error: EADDRNOTAVAIL) }
        }
        if network.happens(.datagramNoPort) { return Opened(error: either(EAGAIN, EADDRNOTAVAIL)) }
        if network.happens(.datagramNoRoute) { return Opened(error: either(ENETUNREACH, EHOSTUNREACH)) }
        let opened = open(.datagramSocket, place: 0, peer.address.family)
        guard opened.error == 0 else { return opened }
        let index = Int(opened.socket.index)
        guard let place = network.openDatagramSocket(from: source ?? loopback(peer), to: peer, .socket(opened.socket.index)) else {
            retire(index)
            return Opened(error: EAGAIN)
        }
        sockets[index].place = UInt32(place)
        return opened
    }

    /// What an IPv4 packet holds, and so what can be sent at once; what is joined is no longer either.
    private static let datagramBytesMax = 65_507

    /// What every link takes: the least payload of DNS.
    private static let narrowLinkBytes = 512

    private func loopback(_ peer: SocketAddress) -> IPAddress { peer.address.family == .ipv4 ? .loopbackIPv4 : .loopbackIPv6 }

    /// The network's socket, if it is one of datagrams.
    private func datagramPlace(_ socket: SocketID, _ call: StaticString) -> Int? {
        guard isCurrent(socket) else {
            breach("\(call) on a socket that is not open")
            return nil
        }
        let row = sockets[Int(socket.index)]
        guard row.kind == .datagramListener || row.kind == .datagramSocket else {
            breach("\(call) on a socket of kind \(row.kind)")
            return nil
        }
        return Int(row.place)
    }

    // MARK: - Receiving

    package func receiveDatagrams(_ socket: SocketID, into batch: DatagramBatch, most: Int) -> Int {
        systemCalls &+= 1
        guard let place = datagramPlace(socket, "receiveDatagrams") else { return -Int(EBADF) }
        let wanted = min(most, batch.room)
        guard wanted > 0 else {
            breach("receiveDatagrams without room in the batch")
            return -Int(EINVAL)
        }
        let local = network.datagrams.sockets[place].local
        if network.datagrams.sockets[place].remote == nil, !batch.takesNames {
            breach("receiveDatagrams of a listener into a batch that takes no names")
        }
        if let errno = network.takeDatagramError(place) { return -Int(errno) }
        var taken = 0
        while taken < wanted, let row = network.datagrams.dequeue(place) {
            let datagram = network.datagrams.rows[Int(row)]
            batch.append(
                from: batch.takesNames ? datagram.from : nil, to: local.address.isUnspecified ? datagram.to.address : nil)
            move(row, datagram.length, to: batch)
            let joined = join(datagram, place, to: batch)
            if network.datagrams.sockets[place].remote == nil {
                datagramsTakenFromClients += joined
            } else {
                datagramsTakenFromEndpoints += joined
            }
            taken += 1
        }
        return taken > 0 ? taken : -Int(EAGAIN)
    }

    private func move(_ row: UInt32, _ length: Int, segment: Int = 0, to batch: DatagramBatch) {
        batch.extendLast(from: network.datagrams.bytes, at: Int(row) * SimulatedDatagrams.bytesMax, count: length, segment: segment)
        network.datagrams.free(row)
    }

    /// Hands over those behind a datagram with it, as UDP_GRO does: of the same sender, as long, and the last may be shorter. Answers how
    /// many they are together.
    private func join(_ first: SimulatedDatagram, _ place: Int, to batch: DatagramBatch) -> Int {
        var bytes = first.length
        var count = 1
        while count < 64, network.datagrams.sockets[place].count > 0 {
            let next = network.datagrams.rows[Int(network.datagrams.sockets[place].head)]
            guard next.from == first.from, next.to == first.to, next.length > 0, next.length <= first.length,
                bytes + next.length <= Self.datagramBytesMax, network.happens(.datagramsJoined),
                let row = network.datagrams.dequeue(place)
            else { break }
            move(row, next.length, segment: first.length, to: batch)
            bytes += next.length
            count += 1
            if next.length < first.length { break }
        }
        return count
    }

    // MARK: - Sending

    package func sendDatagrams(_ socket: SocketID, from batch: DatagramBatch) -> Int32 {
        systemCalls &+= 1
        guard let place = datagramPlace(socket, "sendDatagrams") else { return EBADF }
        let local = network.datagrams.sockets[place].local
        let peer = network.datagrams.sockets[place].remote
        while let message = batch.firstQueued {
            if let errno = network.takeDatagramError(place) { return errno }
            if network.happens(.datagramSendNoRoom) { return either(ENOBUFS, EAGAIN) }
            let (to, source) = batch.firstQueuedAddresses
            if peer != nil, to != nil || source != nil { breach("sendDatagrams with an address on a connected socket") }
            guard let remote = peer ?? to else {
                breach("sendDatagrams to nobody")
                return EDESTADDRREQ
            }
            guard remote.address.family == local.address.family else { return EAFNOSUPPORT }
            if let source, network.foreignAddresses.contains(source) { return EINVAL }
            if let errno = shortcoming(of: message, batch) { return errno }
            if !sockets[Int(socket.index)].fragments, message.bytes > Self.narrowLinkBytes, network.happens(.linkTooNarrow) {
                return EMSGSIZE
            }
            // Who does not say which address it is to come from gets the one that the way there begins with.
            let address = source ?? (local.address.isUnspecified ? loopback(remote) : local.address)
            send(message, batch, place, from: SocketAddress(address, local.port), to: remote)
            batch.dropFirstQueued()
        }
        return 0
    }

    /// What a kernel would make of a message otherwise than the caller means it: each is a breach, or too long.
    private func shortcoming(of message: DatagramBatch.Queued, _ batch: DatagramBatch) -> Int32? {
        guard message.segment > 0 else {
            if message.count > 1 { breach("several places are sent as one datagram") }
            return message.bytes > Self.datagramBytesMax ? EMSGSIZE : nil
        }
        if message.bytes > Self.datagramBytesMax || message.datagrams > 64 { breach("more is joined than can be sent at once") }
        for place in message.first..<message.first + message.count {
            let length = batch[place].length
            let isLast = place == message.first + message.count - 1
            if length == 0 { breach("an empty datagram is joined: it would vanish") }
            if !isLast, length % message.segment != 0 { breach("joined datagrams of which one is shorter, and not the last") }
            if batch[place].segment == 0 ? length > message.segment : batch[place].segment != message.segment {
                breach("datagrams are joined that are not as long as the segment")
            }
        }
        return nil
    }

    private func send(
        _ message: DatagramBatch.Queued, _ batch: DatagramBatch, _ place: Int, from local: SocketAddress, to remote: SocketAddress
    ) {
        for index in message.first..<message.first + message.count {
            let total = batch[index].length
            let step = message.segment == 0 ? total : message.segment
            var offset = 0
            repeat {
                let length = min(step, total - offset)
                if network.datagrams.sockets[place].remote == nil {
                    datagramsSentToClients += 1
                } else {
                    datagramsSentToEndpoints += 1
                    onDatagramToEndpoint?(remote)
                }
                network.sendDatagram(place, from: local, to: remote, length: length) { bytes, position in
                    batch.copyBytes(of: index, from: offset, count: length, to: &bytes, at: position)
                }
                offset += length
            } while offset < total
        }
    }

    // MARK: - Watching

    func armWatch(_ index: Int, _ submission: Submission) {
        let row = sockets[index]
        guard row.kind == .datagramListener || row.kind == .datagramSocket else { return breach("watch on a socket of kind \(row.kind)") }
        guard row.input.state == .none else { return breach("watch while a \(row.input.operation) is pending") }
        sockets[index].input = Pending(state: .armed, operation: .watch, token: submission.token)
        sockets[index].watchIsSingle = submission.isSingle
        if network.happens(.watchNoMemory) {
            return post(Completion(token: submission.token, result: -ENOMEM), socket: UInt32(index), ends: .input)
        }
        network.markReady(UInt32(index))
    }

    /// Tells what has come since the last time, once, however much it is.
    func performWatch(_ index: UInt32) {
        let place = Int(sockets[Int(index)].place)
        let token = sockets[Int(index)].input.token
        guard network.datagrams.sockets[place].hasNews else { return }
        network.datagrams.sockets[place].hasNews = false
        let isSingle = sockets[Int(index)].watchIsSingle
        if !isSingle, network.happens(.watchSpurious) {
            post(Completion(token: token, result: 1, more: true), socket: index, ends: .nothing)
        }
        let more = !isSingle && !network.happens(.watchEnded)
        post(Completion(token: token, result: 1, more: more), socket: index, ends: more ? .nothing : .input)
    }
}
