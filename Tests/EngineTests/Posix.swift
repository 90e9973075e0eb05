import Addressing
import Glibc
import Synchronization

/// A loopback socket that a test plays by hand against a real engine: non-blocking, closed at the latest when it is forgotten.
final class PosixPeer: FarPeer {
    private var descriptor: Int32

    init(adopting descriptor: Int32) { self.descriptor = descriptor }

    /// Begins to connect.
    init(to remote: SocketAddress, receiveBytes: Int32?) throws(PosixError) {
        descriptor = try openSocket(remote.address.family)
        if let receiveBytes { setOption(descriptor, SOL_SOCKET, SO_RCVBUF, receiveBytes) }
        let result = unsafe withSocketAddress(remote) { unsafe Glibc.connect(descriptor, $0, $1) }
        if result != 0, errno != EINPROGRESS { throw PosixError(call: "connect", errno: errno) }
    }

    deinit { close() }

    func connectResult() -> Int32? {
        var interest = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard unsafe poll(&interest, 1, 0) == 1 else { return nil }
        var failure: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
        return failure
    }

    func send(_ bytes: ArraySlice<UInt8>) -> Int {
        let result = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        return result >= 0 ? result : -Int(errno)
    }

    /// Sends one byte as urgent data.
    func sendUrgent(_ byte: UInt8) -> Int {
        var byte = byte
        return unsafe Glibc.send(descriptor, &byte, 1, Int32(MSG_OOB))
    }

    func receive(most: Int) -> (bytes: [UInt8]?, errno: Int32) {
        var bytes = [UInt8](repeating: 0, count: most)
        let result = unsafe recv(descriptor, &bytes, most, 0)
        return result >= 0 ? (Array(bytes.prefix(result)), 0) : (nil, errno)
    }

    func shutdownWrite() { shutdown(descriptor, Int32(SHUT_WR)) }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    func reset() {
        var value = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        close()
    }
}

/// A loopback listener that a test plays by hand.
final class PosixListener: FarListener {
    let address: SocketAddress
    private var descriptor: Int32

    /// - Parameter receiveBytes: the receive buffer of what is accepted; nil for the kernel's own choice.
    init(_ address: SocketAddress, backlog: Int32, receiveBytes: Int32?) throws(PosixError) {
        self.address = address
        descriptor = try openSocket(address.address.family)
        setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if let receiveBytes { setOption(descriptor, SOL_SOCKET, SO_RCVBUF, receiveBytes) }
        guard unsafe withSocketAddress(address, { unsafe bind(descriptor, $0, $1) }) == 0, listen(descriptor, backlog) == 0 else {
            throw PosixError(call: "bind and listen", errno: errno)
        }
    }

    deinit { close() }

    func accept() -> (any FarPeer)? {
        let accepted = Glibc.accept(descriptor, nil, nil)
        guard accepted >= 0 else { return nil }
        _ = fcntl(accepted, F_SETFL, O_NONBLOCK)
        return PosixPeer(adopting: accepted)
    }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }
}

struct PosixError: Error {
    let call: String
    let errno: Int32
}

/// Loopback addresses that no other test of any process uses: 127.0.0.0/8 is large. IPv6 has one, so there the port differs.
enum FreshAddress {
    private static let taken = Atomic<UInt32>(0)

    static func next(_ family: IPAddress.Family) -> SocketAddress {
        let number = taken.wrappingAdd(1, ordering: .relaxed).newValue
        switch family {
        case .ipv4:
            let host = 0x7f00_0000 | UInt32(getpid() & 0xff) << 16 | (number & 0xffff)
            return SocketAddress(IPAddress(ipv4: host | 0x80_0000), PortNumber(9300)!)
        case .ipv6: return SocketAddress(.loopbackIPv6, PortNumber(10_000 + Int(number + UInt32(getpid()) * 97) % 20_000)!)
        }
    }
}

func openSocket(_ family: IPAddress.Family, _ type: __socket_type = SOCK_STREAM) throws(PosixError) -> Int32 {
    let domain = family == .ipv4 ? AF_INET : AF_INET6
    let descriptor = socket(domain, Int32(type.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw PosixError(call: "socket", errno: errno) }
    return descriptor
}

func setOption(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
}

func withSocketAddress(_ address: SocketAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    switch address.address.family {
    case .ipv4:
        var value = sockaddr_in()
        value.sin_family = sa_family_t(AF_INET)
        value.sin_port = address.port.rawValue.bigEndian
        value.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.address.low).bigEndian
        return unsafe withUnsafeBytes(of: &value) { bytes in
            unsafe body(bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
    case .ipv6:
        var value = sockaddr_in6()
        value.sin6_family = sa_family_t(AF_INET6)
        value.sin6_port = address.port.rawValue.bigEndian
        unsafe withUnsafeMutableBytes(of: &value.sin6_addr) { bytes in
            unsafe bytes.storeBytes(of: address.address.high.bigEndian, as: UInt64.self)
            unsafe bytes.storeBytes(of: address.address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return unsafe withUnsafeBytes(of: &value) { bytes in
            unsafe body(bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
    }
}

/// A plain thread, for what another thread must do while the test's own waits in the engine.
final class PosixThread {
    private let body: @Sendable () -> Void
    private var thread: pthread_t = 0

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
        // The thread takes over one reference; `join` is called before the test ends.
        let context = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
        let result = unsafe pthread_create(
            &thread, nil,
            { context in
                unsafe Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, context)
        precondition(result == 0, "no thread")
    }

    func join() { pthread_join(thread, nil) }

    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
