import Addressing
import CLinux
import CLiburing
import Glibc

/// The descriptors a kernel driver holds, by number, with the generation each was opened in; and the socket calls that both
/// kernel drivers make at once. Every descriptor in the table is owned by it.
struct KernelSockets: ~Copyable {
    struct Row: BitwiseCopyable {
        var generation: UInt32
        var isOpen: Bool
        var isListener: Bool
        /// Datagrams go out one by one: joined ones were refused.
        var isUnjoined: Bool
    }

    private var rows: FixedTable<Row>
    /// System calls made so far, by this table and by the driver around it.
    var systemCalls: UInt64 = 0

    init() {
        rows = FixedTable(zeroedCapacity: Limits.descriptorsMax)
    }

    deinit {
        for index in 0..<rows.capacity where rows[index].isOpen { closeDescriptor(Int32(index)) }
    }

    /// The open descriptor behind an identifier; nil for a stale one.
    func descriptor(of socket: SocketID) -> Int32? {
        guard socket.index < UInt32(rows.capacity) else { return nil }
        let row = rows[Int(socket.index)]
        return row.isOpen && row.generation == socket.generation ? Int32(bitPattern: socket.index) : nil
    }

    func isListener(_ socket: SocketID) -> Bool {
        descriptor(of: socket) != nil && rows[Int(socket.index)].isListener
    }

    func isUnjoined(_ socket: SocketID) -> Bool { rows[Int(socket.index)].isUnjoined }

    mutating func setUnjoined(_ socket: SocketID) { rows[Int(socket.index)].isUnjoined = true }

    /// Takes over an open descriptor. One beyond the table is closed: as if there were no more descriptors (EMFILE).
    mutating func adopt(_ descriptor: Int32, isListener: Bool = false) -> Opened {
        guard descriptor < Int32(rows.capacity) else {
            closeDescriptor(descriptor)
            return Opened(error: EMFILE)
        }
        let index = Int(descriptor)
        precondition(!rows[index].isOpen, "a descriptor is open twice")
        rows[index].generation &+= 1
        rows[index].isOpen = true
        rows[index].isListener = isListener
        rows[index].isUnjoined = false
        return Opened(socket: SocketID(index: UInt32(bitPattern: descriptor), generation: rows[index].generation))
    }

    /// Gives up ownership: the caller closes the descriptor, by close(2) or through the ring. nil for a stale identifier.
    mutating func release(_ socket: SocketID) -> Int32? {
        guard let descriptor = descriptor(of: socket) else { return nil }
        rows[Int(socket.index)].isOpen = false
        return descriptor
    }

    mutating func openListener(_ address: SocketAddress, backlog: Int32, _ arrivals: ArrivalFilter) -> Opened {
        let descriptor = openSocket(address.address.family, SOCK_STREAM)
        guard descriptor >= 0 else { return Opened(error: errno) }
        var failure: Int32 = 0
        func check(_ result: Int32) { if result != 0, failure == 0 { failure = errno } }
        check(set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1))
        check(set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1))
        // Accepted sockets inherit it: one call for the listener in place of one for each connection.
        check(set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1))
        if address.address.family == .ipv6 { check(set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)) }
        systemCalls &+= 2
        check(bindHere(descriptor, address))
        // Before the first SYN can come. Where it can't be had, everybody's connections are taken.
        if !arrivals.isOpenToAll { _ = attach(arrivals, to: descriptor) }
        if failure == 0 { check(listen(descriptor, backlog)) }
        guard failure == 0 else {
            closeDescriptor(descriptor)
            return Opened(error: failure)
        }
        return adopt(descriptor, isListener: true)
    }

    mutating func openStream(_ family: IPAddress.Family, from source: IPAddress?) -> Opened {
        let descriptor = openSocket(family, SOCK_STREAM)
        guard descriptor >= 0 else { return Opened(error: errno) }
        _ = set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        // The handshake's last ACK waits for the first bytes, and goes with them.
        _ = set(descriptor, Int32(IPPROTO_TCP), TCP_QUICKACK, 0)
        if let source {
            let failure = bindSource(descriptor, source)
            guard failure == 0 else {
                closeDescriptor(descriptor)
                return Opened(error: failure)
            }
        }
        return adopt(descriptor)
    }

    /// Binds to an address without a port. Without the option bind(2) would take a port that no other socket has, whatever it is
    /// connected to: 28,000 connections for an address, and not for each endpoint. IPv6 sockets heed it just as well.
    mutating func bindSource(_ descriptor: Int32, _ source: IPAddress) -> Int32 {
        _ = set(descriptor, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, 1)
        systemCalls &+= 1
        return unsafe withKernelAddress(of: source) { unsafe bind(descriptor, $0, $1) } == 0 ? 0 : errno
    }

    mutating func stopWithholdingACK(_ socket: SocketID) {
        guard let descriptor = descriptor(of: socket) else { return }
        _ = set(descriptor, Int32(IPPROTO_TCP), TCP_QUICKACK, 1)
    }

    /// Failures are of sockets whose peer has gone already: nobody is left to be watched.
    mutating func setLiveness(_ liveness: Liveness, of socket: SocketID, inPlaceOf old: Liveness) {
        guard let descriptor = descriptor(of: socket) else { return }
        let transport = Int32(IPPROTO_TCP)
        if liveness.keepaliveSeconds != old.keepaliveSeconds {
            let isOn = liveness.keepaliveSeconds > 0
            // First: on a socket that keeps alive already, TCP_KEEPIDLE counts from the last that came, not from now.
            if isOn != (old.keepaliveSeconds > 0) { _ = set(descriptor, SOL_SOCKET, SO_KEEPALIVE, isOn ? 1 : 0) }
            if isOn {
                _ = set(descriptor, transport, TCP_KEEPIDLE, Int32(liveness.keepaliveSeconds))
                _ = set(descriptor, transport, TCP_KEEPINTVL, Int32(liveness.intervalSeconds))
                _ = set(descriptor, transport, TCP_KEEPCNT, Liveness.probes)
            }
        }
        if liveness.userTimeoutMilliseconds != old.userTimeoutMilliseconds {
            _ = set(descriptor, transport, TCP_USER_TIMEOUT, Int32(clamping: liveness.userTimeoutMilliseconds))
        }
    }

    mutating func peerAddress(of socket: SocketID) -> SocketAddress? { name(of: socket, ofPeer: true) }

    mutating func localAddress(of socket: SocketID) -> SocketAddress? { name(of: socket, ofPeer: false) }

    private mutating func name(of socket: SocketID, ofPeer: Bool) -> SocketAddress? {
        guard let descriptor = descriptor(of: socket) else { return nil }
        systemCalls &+= 1
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return unsafe withUnsafeMutableBytes(of: &storage) { bytes -> SocketAddress? in
            let base = unsafe bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            let result = unsafe ofPeer ? getpeername(descriptor, base, &length) : getsockname(descriptor, base, &length)
            guard result == 0 else { return nil }
            return unsafe SocketAddress(kernelAddress: UnsafeRawBufferPointer(bytes))
        }
    }

    /// 0 for a socket that has a peer; otherwise its pending error, or EHOSTUNREACH where that has been handed out.
    mutating func connectError(_ socket: SocketID) -> Int32 {
        guard let descriptor = descriptor(of: socket), peerAddress(of: socket) == nil else { return 0 }
        let failure = pendingError(descriptor)
        return failure == 0 ? EHOSTUNREACH : failure
    }

    /// SO_ERROR, which clears it.
    mutating func pendingError(_ descriptor: Int32) -> Int32 {
        systemCalls &+= 1
        var failure: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        _ = unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
        return failure
    }

    mutating func hasFailed(_ socket: SocketID) -> Bool {
        guard let descriptor = descriptor(of: socket) else { return false }
        systemCalls &+= 1
        // poll(2) reports it without being asked, and leaves the error for the call that meets it. POLLHUP does not count: it also
        // stands for two FINs, one of them perhaps behind bytes that nobody has read yet.
        var entry = pollfd(fd: descriptor, events: 0, revents: 0)
        return unsafe poll(&entry, 1, 0) > 0 && Int32(entry.revents) & POLLERR != 0
    }

    mutating func stopArrivals(_ listener: SocketID) -> Bool {
        guard let descriptor = descriptor(of: listener) else { return false }
        if attach(.nobody, to: descriptor) { return true }
        // A backlog of nothing: the kernel drops SYNs for as long as a connection is queued.
        systemCalls &+= 1
        _ = listen(descriptor, 0)
        return false
    }

    mutating func acceptQueued(_ listener: SocketID) -> Opened {
        guard let descriptor = descriptor(of: listener) else { return Opened(error: EBADF) }
        while true {
            systemCalls &+= 1
            let accepted = accept4(descriptor, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            if accepted >= 0 { return adopt(accepted) }
            // accept(2): the network errors of a connection that died in the queue are passed on; the next may be well.
            switch errno {
            case EINTR, ECONNABORTED, ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH: continue
            default: return Opened(error: errno)
            }
        }
    }

    /// shutdown(2) of the write side. ENOTCONN, from a peer that has reset already, is no error.
    mutating func shutdownWrite(_ socket: SocketID) {
        guard let descriptor = descriptor(of: socket) else { return }
        systemCalls &+= 1
        _ = shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Makes the close that follows send RST and drop what is queued.
    mutating func setLingerZero(_ descriptor: Int32) {
        systemCalls &+= 1
        var value = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    mutating func openSocket(_ family: IPAddress.Family, _ type: __socket_type) -> Int32 {
        systemCalls &+= 1
        let domain = family == .ipv4 ? AF_INET : AF_INET6
        return socket(domain, Int32(type.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    }

    mutating func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) -> Int32 {
        systemCalls &+= 1
        var value = value
        return unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

/// Encodes `address` for a call that takes a sockaddr; the pointer is valid inside `body` only.
func withKernelAddress<Result>(of address: SocketAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    unsafe withKernelAddress(of: address.address, port: address.port.rawValue, body)
}

/// The same for an address with any port: 0.
func withKernelAddress<Result>(
    of address: IPAddress, port: UInt16 = 0, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
) -> Result {
    var storage = sockaddr_storage()
    return unsafe withUnsafeMutableBytes(of: &storage) { bytes in
        let length = unsafe address.encode(port: port, into: bytes.baseAddress!)
        return unsafe body(UnsafePointer(bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)), length)
    }
}

extension SocketAddress {
    func encode(into target: UnsafeMutableRawPointer) -> socklen_t { unsafe address.encode(port: port.rawValue, into: target) }
}

extension IPAddress {
    /// Writes a sockaddr_in or sockaddr_in6 to zeroed or old memory of at least 28 bytes; answers its length.
    func encode(port: UInt16, into target: UnsafeMutableRawPointer) -> socklen_t {
        switch family {
        case .ipv4:
            let value = sockaddr_in(
                sin_family: sa_family_t(AF_INET), sin_port: port.bigEndian,
                sin_addr: in_addr(s_addr: UInt32(truncatingIfNeeded: low).bigEndian), sin_zero: (0, 0, 0, 0, 0, 0, 0, 0))
            unsafe target.storeBytes(of: value, as: sockaddr_in.self)
            return socklen_t(MemoryLayout<sockaddr_in>.size)
        case .ipv6:
            var value = sockaddr_in6()
            value.sin6_family = sa_family_t(AF_INET6)
            value.sin6_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &value.sin6_addr) { bytes in
                unsafe bytes.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
                unsafe bytes.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            unsafe target.storeBytes(of: value, as: sockaddr_in6.self)
            return socklen_t(MemoryLayout<sockaddr_in6>.size)
        }
    }
}

extension SocketAddress {
    /// Reads a sockaddr_in or sockaddr_in6; nil for another family, and for port 0, which a socket without a name has.
    init?(kernelAddress bytes: UnsafeRawBufferPointer) {
        guard let address = unsafe IPAddress(kernelAddress: bytes) else { return nil }
        // Both families have the port at the same place.
        guard let port = PortNumber(UInt16(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))) else { return nil }
        self.init(address, port)
    }
}

extension IPAddress {
    /// Reads the address of a sockaddr_in or sockaddr_in6; nil for another family.
    init?(kernelAddress bytes: UnsafeRawBufferPointer) {
        switch Int32(unsafe bytes.loadUnaligned(as: sa_family_t.self)) {
        case AF_INET:
            self.init(ipv4: UInt32(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        case AF_INET6:
            self.init(
                ipv6High: UInt64(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                low: UInt64(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)))
        default: return nil
        }
    }
}
