import CLinux
import Glibc
import Synchronization

/// A UDP socket; a receive is bounded in time. Closed when the last owner lets go of it.
final class DatagramSocket: Sendable {
    struct Arrival: Equatable {
        let bytes: [UInt8]
        let from: String

        var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    let descriptor: Int32
    let port: Int

    /// - Parameters:
    ///   - address: where it is bound; of port 0 the kernel chooses.
    ///   - peer: whom it is connected to: then it hears that address and port only, and of its ICMP errors.
    ///   - namespace: where it is; nil for the test's own.
    init(
        on address: String = "127.0.0.1", _ port: Int = 0, to peer: (address: String, port: Int)? = nil, in namespace: Namespace? = nil
    ) throws {
        let family = address.contains(":") ? AF_INET6 : AF_INET
        descriptor =
            try namespace?.openDatagramSocket(family) ?? socket(family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw TestSocket.Failure(operation: "socket", errno: errno) }
        var room: Int32 = 4 << 20
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, socklen_t(MemoryLayout<Int32>.size))
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let descriptor = descriptor
        var failed = unsafe TestSocket.withAddress(address, port) { unsafe Glibc.bind(descriptor, $0, $1) } != 0
        if let peer, !failed {
            failed = unsafe TestSocket.withAddress(peer.address, peer.port) { unsafe Glibc.connect(descriptor, $0, $1) } != 0
        }
        unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            _ = unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(descriptor, $0, &length) }
        }
        self.port = unsafe withUnsafeBytes(of: &storage) { Int(UInt16(bigEndian: unsafe $0.load(fromByteOffset: 2, as: UInt16.self))) }
        if failed { throw TestSocket.Failure(operation: "bind or connect of \(address):\(port)", errno: errno) }
    }

    deinit { close(descriptor) }

    /// From now on what it sends is cut into datagrams of so many bytes, by the kernel (UDP_SEGMENT).
    func cut(into bytes: Int) {
        var size = Int32(bytes)
        unsafe setsockopt(descriptor, Int32(IPPROTO_UDP), Int32(RINGWAY_UDP_SEGMENT), &size, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Sends to the connected peer: 0, or the errno, which may be an earlier datagram's.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Int32 {
        let result = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        return result < 0 ? errno : 0
    }

    @discardableResult
    func send(_ text: String) -> Int32 { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8], to address: String, _ port: Int) {
        _ = unsafe TestSocket.withAddress(address, port) { name, length in
            unsafe bytes.withUnsafeBytes {
                Int32(truncatingIfNeeded: unsafe sendto(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), name, length))
            }
        }
    }

    /// The next datagram; nil when none comes within the time, or an error does.
    func receive(within milliseconds: Int32 = 10_000) -> Arrival? {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&poller, 1, milliseconds) > 0 else { return nil }
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                unsafe buffer.withUnsafeMutableBytes { bytes in
                    unsafe recvfrom(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT), name, &length)
                }
            }
        }
        guard count >= 0 else { return nil }
        var host = [CChar](repeating: 0, count: 64)
        var service = [CChar](repeating: 0, count: 16)
        unsafe withUnsafePointer(to: &storage) { pointer in
            _ = unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getnameinfo($0, length, &host, 64, &service, 16, NI_NUMERICHOST | NI_NUMERICSERV)
            }
        }
        func text(_ characters: [CChar]) -> String {
            String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        return Arrival(bytes: Array(buffer[..<count]), from: "\(text(host)):\(text(service))")
    }
}

/// A UDP server inside the test, on a thread of its own: what it answers to a datagram is the test's closure.
final class DatagramBackend: Sendable {
    let port: Int
    private let host: String
    private let socket: Mutex<DatagramSocket?>
    private let counter: Counter

    /// Datagrams that have come.
    var received: Int { counter.value }
    var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// - Parameter segment: what the kernel is to cut its answers into; 0 for as they are.
    init(
        on host: String = "127.0.0.1", _ port: Int = 0, in namespace: Namespace? = nil, segment: Int = 0,
        _ answers: @escaping @Sendable ([UInt8]) -> [[UInt8]]
    ) throws {
        let socket = try DatagramSocket(on: host, port, in: namespace)
        if segment > 0 { socket.cut(into: segment) }
        self.host = host
        self.port = socket.port
        self.socket = Mutex(socket)
        let counter = Counter()
        self.counter = counter
        onThread {
            while !counter.isStopped {
                guard let arrival = socket.receive(within: 20) else { continue }
                counter.add(1)
                guard let colon = arrival.from.lastIndex(of: ":"), let port = Int(arrival.from[colon...].dropFirst()) else { continue }
                for answer in answers(arrival.bytes) { socket.send(answer, to: String(arrival.from[..<colon]), port) }
            }
        }
    }

    deinit { stop() }

    /// Sends back what it gets, with its name before it where it has one.
    static func echo(
        _ name: String = "", on host: String = "127.0.0.1", _ port: Int = 0, in namespace: Namespace? = nil
    ) throws -> DatagramBackend {
        try DatagramBackend(on: host, port, in: namespace) { [Array(name.utf8) + $0] }
    }

    static func silent() throws -> DatagramBackend { try DatagramBackend { _ in [] } }

    /// Stops; its port refuses datagrams soon after.
    func stop() {
        counter.stop()
        socket.withLock { $0 = nil }
    }
}

/// A Service with one UDP port.
func udpServiceYAML(
    _ name: String = "echo", on address: String = "127.0.0.1", port: Int, endpoints: [String], affinity: String = "None",
    annotations: [String: String] = [:]
) -> String {
    serviceYAML(name, on: address, port: port, endpoints: endpoints, affinity: affinity, annotations: annotations) + "    protocol: UDP\n"
}
