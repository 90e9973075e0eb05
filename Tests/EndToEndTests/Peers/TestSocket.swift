import CLinux
import Glibc
import Synchronization

/// A blocking TCP socket; every call is bounded in time. Closed when the last owner lets go of it.
final class TestSocket: Sendable {
    struct Failure: Error, Equatable, CustomStringConvertible {
        let operation: String
        let errno: Int32

        var description: String { "\(operation): errno \(errno) (\(unsafe String(cString: strerror(errno))))" }
    }

    static let limitSeconds = 20

    let descriptor: Int32
    private let isClosed = Atomic<Bool>(false)

    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            var limit = timeval(tv_sec: Self.limitSeconds, tv_usec: 0)
            unsafe setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    deinit { close() }

    /// Connects to an address and port.
    ///
    /// - Parameters:
    ///   - receiveBuffer: bytes of the kernel's receive buffer, to be had before the connection is made.
    ///   - source: the address to connect from.
    convenience init(to address: String, _ port: Int, receiveBuffer: Int? = nil, from source: String? = nil) throws(Failure) {
        self.init(try Self.open(address))
        if let source, unsafe Self.withAddress(source, 0, { unsafe Glibc.bind(descriptor, $0, $1) }) != 0 {
            throw Failure(operation: "bind \(source)", errno: errno)
        }
        if let receiveBuffer { set(SOL_SOCKET, SO_RCVBUF, Int32(receiveBuffer)) }
        let outcome = unsafe Self.withAddress(address, port) { unsafe Glibc.connect(descriptor, $0, $1) }
        if outcome != 0 { throw Failure(operation: "connect to \(address):\(port)", errno: errno) }
    }

    /// Listens on an address; on a port of the kernel's choice for port 0.
    convenience init(listeningOn address: String, _ port: Int, backlog: Int = 128, reuseAddress: Bool = true) throws(Failure) {
        self.init(try Self.open(address))
        if reuseAddress { set(SOL_SOCKET, SO_REUSEADDR, 1) }
        guard unsafe Self.withAddress(address, port, { unsafe Glibc.bind(descriptor, $0, $1) }) == 0 else {
            throw Failure(operation: "bind \(address):\(port)", errno: errno)
        }
        guard listen(descriptor, Int32(backlog)) == 0 else { throw Failure(operation: "listen", errno: errno) }
    }

    /// Begins a connection that may never come about; the caller closes the descriptor.
    static func beginConnect(to port: Int) throws(Failure) -> Int32 {
        let descriptor = try open("127.0.0.1")
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = unsafe withAddress("127.0.0.1", port) { unsafe Glibc.connect(descriptor, $0, $1) }
        return descriptor
    }

    /// The next connection of a listener.
    func accept() throws(Failure) -> TestSocket {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&poller, 1, Int32(Self.limitSeconds) * 1000) > 0 else { throw Failure(operation: "accept", errno: EAGAIN) }
        let accepted = ChildProcess.betweenStarts {
            let accepted = Glibc.accept(descriptor, nil, nil)
            _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
            return accepted
        }
        guard accepted >= 0 else { throw Failure(operation: "accept", errno: errno) }
        return TestSocket(accepted)
    }

    /// Sends all of it.
    func send(_ bytes: [UInt8]) throws(Failure) {
        var sent = 0
        while sent < bytes.count {
            let result = unsafe bytes[sent...].withUnsafeBytes { bytes in
                unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            }
            if result < 0, errno == EINTR { continue }
            guard result > 0 else { throw Failure(operation: "send", errno: errno) }
            sent += result
        }
    }

    func send(_ text: String) throws(Failure) { try send(Array(text.utf8)) }

    /// Sends what the kernel takes at once; 0 when its buffers are full.
    func sendNow(_ bytes: [UInt8]) throws(Failure) -> Int {
        let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
        let result = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, flags) }
        if result >= 0 { return result }
        if errno == EAGAIN { return 0 }
        throw Failure(operation: "send", errno: errno)
    }

    /// Receives into `buffer`; 0 is the peer's FIN.
    func receive(into buffer: inout [UInt8]) throws(Failure) -> Int {
        while true {
            let result = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.recv(descriptor, $0.baseAddress, $0.count, 0) }
            if result < 0, errno == EINTR { continue }
            guard result >= 0 else { throw Failure(operation: "receive", errno: errno) }
            return result
        }
    }

    /// Receives at most so much; nothing is the peer's FIN.
    func receive(max count: Int = 65_536) throws(Failure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let received = try receive(into: &buffer)
        return Array(buffer[..<received])
    }

    /// Receives exactly so much text, or less if the peer sends FIN before.
    func receive(exactly count: Int) throws(Failure) -> String {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try receive(max: count - bytes.count)
            if more.isEmpty { break }
            bytes += more
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Receives up to the peer's FIN.
    func receiveAll() throws(Failure) -> String {
        var bytes: [UInt8] = []
        while true {
            let more = try receive()
            if more.isEmpty { return String(decoding: bytes, as: UTF8.self) }
            bytes += more
        }
    }

    /// How the connection ends, once everything that was sent is received: nil for FIN, else the errno.
    func ending() -> Int32? {
        do throws(Failure) {
            while try !receive().isEmpty {}
            return nil
        } catch {
            return error.errno
        }
    }

    /// Sends FIN; receiving goes on.
    func shutdownWrite() { Glibc.shutdown(descriptor, Int32(SHUT_WR)) }

    func close() {
        if !isClosed.exchange(true, ordering: .relaxed) { Glibc.close(descriptor) }
    }

    /// Closes with a reset.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Wakes a thread that waits in `accept` or `receive`, for good.
    func interrupt() { Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) }

    func makeNonBlocking() { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }

    private func set(_ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func open(_ address: String) throws(Failure) -> Int32 {
        let family = address.contains(":") ? AF_INET6 : AF_INET
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(operation: "socket", errno: errno) }
        return descriptor
    }

    static func withAddress(
        _ address: String, _ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var storage = sockaddr_storage()
        let size = unsafe withUnsafeMutableBytes(of: &storage) { bytes in
            if address.contains(":") {
                var value = sockaddr_in6()
                value.sin6_family = sa_family_t(AF_INET6)
                value.sin6_port = in_port_t(port).bigEndian
                unsafe inet_pton(AF_INET6, address, &value.sin6_addr)
                unsafe bytes.storeBytes(of: value, as: sockaddr_in6.self)
                return MemoryLayout<sockaddr_in6>.size
            }
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = in_port_t(port).bigEndian
            unsafe inet_pton(AF_INET, address, &value.sin_addr)
            unsafe bytes.storeBytes(of: value, as: sockaddr_in.self)
            return MemoryLayout<sockaddr_in>.size
        }
        return unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, socklen_t(size)) }
        }
    }
}

/// Ports nobody listens on now. Below the range the kernel takes for outgoing connections, so that none is taken by one.
enum FreePort {
    private static let next = Atomic<Int>(20_000 + Int(getpid()) % 97 * 100)

    static func take(on address: String = "127.0.0.1") throws -> Int {
        for _ in 0..<5000 {
            let port = 10_000 + next.add(1, ordering: .relaxed).newValue % 22_000
            if let socket = try? TestSocket(listeningOn: address, port, reuseAddress: false) {
                socket.close()
                return port
            }
        }
        throw ChildProcess.Failure(description: "no free port")
    }

    static func take(_ count: Int, on address: String = "127.0.0.1") throws -> [Int] {
        try (0..<count).map { _ in try take(on: address) }
    }
}
