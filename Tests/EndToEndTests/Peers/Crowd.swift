import CLinux
import Foundation
import Glibc
import Synchronization

/// A backend for thousands of connections on one thread: it sends back what it gets, and FIN for FIN.
final class CrowdBackend: Sendable {
    /// What has become of the connections so far.
    struct Tally: Sendable {
        var accepted = 0
        var open = 0
        /// Ended by a reset, as against FIN.
        var resets = 0
    }

    let port: Int
    private let listener: TestSocket
    private let stopped = Counter()
    private let current: Mutex<Tally>

    var tally: Tally { current.withLock { $0 } }

    init() throws {
        port = try FreePort.take()
        listener = try TestSocket(listeningOn: "127.0.0.1", port, backlog: 4096)
        listener.makeNonBlocking()
        current = Mutex(Tally())
        // The thread holds what it needs, and not the backend, or that would never end.
        let server = Server(listener: listener, stopped: stopped) { [weak self] change in self?.current.withLock { change(&$0) } }
        onThread { server.run() }
    }

    deinit { stopped.stop() }

    private final class Server: Sendable {
        private let listener: TestSocket
        private let stopped: Counter
        private let note: @Sendable ((inout Tally) -> Void) -> Void

        init(listener: TestSocket, stopped: Counter, note: @escaping @Sendable ((inout Tally) -> Void) -> Void) {
            self.listener = listener
            self.stopped = stopped
            self.note = note
        }

        func run() {
            let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
            var connections: [Int32: [UInt8]] = [:]
            defer {
                connections.keys.forEach { close($0) }
                close(epoll)
            }
            Self.watch(epoll, EPOLL_CTL_ADD, listener.descriptor, EPOLLIN.rawValue)
            let most = 256
            var events = unsafe [epoll_event](repeating: epoll_event(), count: most)
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while !stopped.isStopped {
                let count = unsafe epoll_wait(epoll, &events, Int32(most), 200)
                for index in 0..<max(0, Int(count)) {
                    let descriptor = unsafe events[index].data.fd
                    if descriptor == listener.descriptor {
                        accept(epoll, &connections)
                    } else if connections[descriptor] != nil, !serve(descriptor, epoll, &connections, &buffer) {
                        connections[descriptor] = nil
                        // A program that is being started may hold a copy for a moment, which would be watched on.
                        Self.watch(epoll, EPOLL_CTL_DEL, descriptor, 0)
                        close(descriptor)
                    }
                }
            }
        }

        private func accept(_ epoll: Int32, _ connections: inout [Int32: [UInt8]]) {
            while true {
                let descriptor = accept4(listener.descriptor, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
                guard descriptor >= 0 else { return }
                connections[descriptor] = []
                Self.watch(epoll, EPOLL_CTL_ADD, descriptor, EPOLLIN.rawValue)
                note {
                    $0.accepted += 1
                    $0.open += 1
                }
            }
        }

        /// Sends what is left over, else reads and sends back. False when the connection is over.
        private func serve(_ descriptor: Int32, _ epoll: Int32, _ connections: inout [Int32: [UInt8]], _ buffer: inout [UInt8]) -> Bool {
            var unsent = connections[descriptor] ?? []
            if unsent.isEmpty {
                let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
                if count < 0, errno == EAGAIN { return true }
                guard count > 0 else {
                    note {
                        $0.open -= 1
                        if count < 0 { $0.resets += 1 }
                    }
                    return false
                }
                unsent = Array(buffer[..<count])
            }
            let sent = unsafe send(descriptor, unsent, unsent.count, Int32(MSG_NOSIGNAL))
            if sent < 0, errno != EAGAIN {
                note {
                    $0.open -= 1
                    $0.resets += 1
                }
                return false
            }
            unsent.removeFirst(max(0, sent))
            let hadRest = connections[descriptor]?.isEmpty == false
            if unsent.isEmpty == hadRest {
                Self.watch(epoll, EPOLL_CTL_MOD, descriptor, unsent.isEmpty ? EPOLLIN.rawValue : EPOLLOUT.rawValue)
            }
            connections[descriptor] = unsent
            return true
        }

        private static func watch(_ epoll: Int32, _ operation: Int32, _ descriptor: Int32, _ events: UInt32) {
            var event = unsafe epoll_event(events: events, data: epoll_data_t(fd: descriptor))
            unsafe epoll_ctl(epoll, operation, descriptor, &event)
        }
    }
}

/// Thousands of clients, played one after the other: what each waits for has long come when its turn is there.
extension [TestSocket] {
    init(_ count: Int, to port: Int, from source: String? = nil) throws(TestSocket.Failure) {
        self = []
        for _ in 0..<count { append(try TestSocket(to: "127.0.0.1", port, from: source)) }
    }

    /// Makes connections, and keeps those that are served. The others must be reset, be it before their connect returns.
    static func served(_ count: Int, to port: Int, from source: String? = nil) throws -> [TestSocket] {
        try (0..<count).compactMap { _ in
            do throws(TestSocket.Failure) {
                let client = try TestSocket(to: "127.0.0.1", port, from: source)
                try client.send("hello")
                return try client.receive(exactly: 5) == "hello" ? client : nil
            } catch {
                guard error.errno == ECONNRESET || error.errno == EPIPE else { throw error }
                return nil
            }
        }
    }

    /// Sends the same on all, and answers how many get it back.
    func exchange(_ text: String) throws -> Int {
        for client in self { try client.send(text) }
        return try count { try $0.receive(exactly: text.utf8.count) == text }
    }

    /// How the connections end: how many with FIN, how many with a reset.
    func endings() -> (fins: Int, resets: Int) {
        let endings = map { $0.ending() }
        return (endings.count { $0 == nil }, endings.count { $0 == ECONNRESET })
    }

    func closeAll() { forEach { $0.close() } }
}
