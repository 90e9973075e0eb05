import Addressing
import CLiburing
import CLinux
import Glibc

// UDP sockets: the calls are the same for both kernel drivers, which only differ in how they hear of readiness.
extension KernelSockets {
    mutating func openDatagramListener(_ address: SocketAddress, fragments: Bool) -> Opened {
        let descriptor = openSocket(address.address.family, SOCK_DGRAM)
        guard descriptor >= 0 else { return Opened(error: errno) }
        var failure: Int32 = 0
        func check(_ result: Int32) { if result != 0, failure == 0 { failure = errno } }
        check(set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1))
        let isIPv6 = address.address.family == .ipv6
        if isIPv6 { check(set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)) }
        if address.address.isUnspecified {
            check(isIPv6 ? set(descriptor, Int32(IPPROTO_IPV6), IPV6_RECVPKTINFO, 1) : set(descriptor, Int32(IPPROTO_IP), IP_PKTINFO, 1))
            // Replies leave from the address that was asked, which may be this host's by a route alone.
            if isIPv6 { _ = set(descriptor, Int32(IPPROTO_IPV6), IPV6_FREEBIND, 1) }
        }
        prepare(descriptor, address.address.family, bytes: Limits.datagramListenerBytes, fragments: fragments)
        systemCalls &+= 1
        check(bindHere(descriptor, address))
        guard failure == 0 else {
            closeDescriptor(descriptor)
            return Opened(error: failure)
        }
        return adopt(descriptor)
    }

    mutating func openDatagramSocket(to peer: SocketAddress, from source: IPAddress?) -> Opened {
        let descriptor = openSocket(peer.address.family, SOCK_DGRAM)
        guard descriptor >= 0 else { return Opened(error: errno) }
        let family = peer.address.family
        prepare(descriptor, family, bytes: Limits.datagramSocketBytes, fragments: true)
        // The kernel tells of a closed port, but not otherwise of a host or a network that can't be reached.
        _ = family == .ipv6 ? set(descriptor, Int32(IPPROTO_IPV6), IPV6_RECVERR, 1) : set(descriptor, Int32(IPPROTO_IP), IP_RECVERR, 1)
        var failure: Int32 = 0
        if let source { failure = bindSource(descriptor, source) }
        if failure == 0 {
            systemCalls &+= 1
            if unsafe withKernelAddress(of: peer, { unsafe connect(descriptor, $0, $1) }) != 0 { failure = errno }
        }
        guard failure == 0 else {
            closeDescriptor(descriptor)
            return Opened(error: failure)
        }
        return adopt(descriptor)
    }

    /// Room for bursts (the kernel grants at most net.core.rmem_max and wmem_max, and counts its own overhead against it), and datagrams
    /// of one sender handed over together. What we forward and is too long for a link on the way is cut there, where a router may (IPv4):
    /// whoever sent it to us would never hear that it was lost. What may not be cut needs no number to join its parts by, which takes the
    /// kernel 5 % of a send (Linux 6.18); and nobody on the way lowers its length by an ICMP message that he made up.
    private mutating func prepare(_ descriptor: Int32, _ family: IPAddress.Family, bytes: Int32, fragments: Bool) {
        _ = set(descriptor, SOL_SOCKET, SO_RCVBUF, bytes)
        _ = set(descriptor, SOL_SOCKET, SO_SNDBUF, bytes)
        _ = set(descriptor, Int32(IPPROTO_UDP), Int32(RINGWAY_UDP_GRO), 1)
        if family == .ipv4 {
            _ = set(descriptor, Int32(IPPROTO_IP), IP_MTU_DISCOVER, fragments ? IP_PMTUDISC_DONT : IP_PMTUDISC_PROBE)
        } else if !fragments {
            _ = set(descriptor, Int32(IPPROTO_IPV6), IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)
        }
    }

    /// With RECVERR each error is kept, beside the datagrams, until it is taken. Those that are left are told again.
    private mutating func dropErrors(_ descriptor: Int32) {
        var header = unsafe msghdr()
        for _ in 0..<DatagramBatch.capacity {
            systemCalls &+= 1
            guard unsafe recvmsg(descriptor, &header, Int32(MSG_ERRQUEUE | MSG_DONTWAIT)) >= 0 else { return }
        }
    }

    mutating func receiveDatagrams(_ socket: SocketID, into batch: DatagramBatch, most: Int) -> Int {
        guard let descriptor = descriptor(of: socket) else { preconditionFailure("datagrams of a socket that is not open") }
        while true {
            systemCalls &+= 1
            let result = batch.receive(descriptor, most: most)
            if result == -Int(EINTR) { continue }
            if result < 0, result != -Int(EAGAIN) { dropErrors(descriptor) }
            return result
        }
    }

    mutating func sendDatagrams(_ socket: SocketID, from batch: DatagramBatch) -> Int32 {
        guard let descriptor = descriptor(of: socket) else { preconditionFailure("datagrams for a socket that is not open") }
        let failure = send(batch, on: socket, descriptor)
        if failure != 0, failure != EAGAIN { dropErrors(descriptor) }
        return failure
    }

    private mutating func send(_ batch: DatagramBatch, on socket: SocketID, _ descriptor: Int32) -> Int32 {
        var isAgain = false
        while let message = batch.firstQueued {
            if message.segment > 0, isUnjoined(socket) {
                let failure = sendApart(descriptor, batch)
                guard failure == 0 else { return failure }
                continue
            }
            systemCalls &+= 1
            let result = batch.sendSome(descriptor, isSingle: isUnjoined(socket))
            switch -result {
            case _ where result > 0:
                for _ in 0..<result { batch.dropFirstQueued() }
                isAgain = false
            case Int(EINTR): continue
            // udp(7): a device that can't make checksums, which stays so.
            case Int(EIO), Int(EOPNOTSUPP):
                guard message.segment > 0 else { return Int32(truncatingIfNeeded: -result) }
                setUnjoined(socket)
            // Longer than a packet may be on the way to this one peer.
            case Int(EINVAL), Int(EMSGSIZE):
                guard message.segment > 0 else {
                    // ICMP may have said so of an earlier one; then it is said once.
                    guard -result == Int(EMSGSIZE), !isAgain else { return Int32(truncatingIfNeeded: -result) }
                    isAgain = true
                    continue
                }
                let failure = sendApart(descriptor, batch)
                guard failure == 0 else { return failure }
            default: return Int32(truncatingIfNeeded: -result)
            }
        }
        return 0
    }

    /// The first message as single datagrams.
    private mutating func sendApart(_ descriptor: Int32, _ batch: DatagramBatch) -> Int32 {
        let (failure, calls) = batch.sendApart(descriptor)
        systemCalls &+= calls
        if failure == 0 { batch.dropFirstQueued() }
        return failure
    }
}
