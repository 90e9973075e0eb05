import Addressing
import Foundation
import Glibc
import Synchronization

/// A server on a port of the kernel's choice; what it does with each connection is the test's closure, on a thread of its own.
final class LocalServer: Sendable {
    struct Connection: Sendable {
        let descriptor: Int32

        /// What has come; nothing once the peer has ended.
        func receive() -> [UInt8] {
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
            return Array(buffer.prefix(max(0, count)))
        }

        /// False where the peer is gone.
        @discardableResult
        func send(_ text: String) -> Bool {
            var bytes = Array(text.utf8)[...]
            while !bytes.isEmpty {
                let sent = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                guard sent > 0 else { return false }
                bytes = bytes.dropFirst(sent)
            }
            return true
        }
    }

    let address: SocketAddress
    private let descriptor: Int32
    private let count = Atomic<Int>(0)

    /// Connections that have come.
    var accepted: Int { count.load(ordering: .relaxed) }

    init(_ serve: @escaping @Sendable (Connection) -> Void) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) == 0 && listen(listener, 128) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard isBound, let port = PortNumber(Int(UInt16(bigEndian: name.sin_port))) else { throw POSIXError(.EADDRNOTAVAIL) }
        address = SocketAddress(IPAddress(ipv4: 0x7f00_0001), port)
        descriptor = listener
        Thread.detachNewThread { [weak self] in
            while true {
                let accepted = accept(listener, nil, nil)
                guard accepted >= 0 else { return }
                self?.count.add(1, ordering: .relaxed)
                var limit = timeval(tv_sec: 20, tv_usec: 0)
                for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                    unsafe setsockopt(accepted, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
                }
                Thread.detachNewThread {
                    serve(Connection(descriptor: accepted))
                    close(accepted)
                }
            }
        }
    }

    deinit {
        stop()
        close(descriptor)
    }

    /// Connections are refused from now on.
    func stop() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
