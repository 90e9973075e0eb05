import Foundation
import Glibc
import Synchronization
import Testing

@testable import Load

/// An HTTP server with a thread for each connection, which misbehaves when it is told to.
///
// Safety: what changes is behind the mutex.
final class TestServer: @unchecked Sendable {
    enum Behaviour: Sendable {
        case respond(String)
        /// Responds, but answers nothing for a while, once, beginning so long after the first request.
        case stall(afterNanoseconds: UInt64, nanoseconds: UInt64)
        /// Resets the connection in place of a response.
        case reset
        /// Ends the connection after half a response.
        case closeEarly
        case silence
        /// Responds, and ends the connection a moment later, without having said so.
        case closeAfterResponse
    }

    static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    let behaviour: Behaviour
    let target: Target
    private let listener: Int32
    private let state = Mutex(State())

    private struct State {
        var requests = 0
        var firstNanoseconds: UInt64?
        var descriptors: [Int32] = []
    }

    init(_ behaviour: Behaviour) throws {
        self.behaviour = behaviour
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                _ = unsafe bind(descriptor, pointer, length)
                _ = unsafe getsockname(descriptor, pointer, &length)
            }
        }
        #expect(listen(listener, 1024) == 0)
        target = try #require(Target("127.0.0.1:\(UInt16(bigEndian: address.sin_port))"))
        Thread.detachNewThread { self.acceptAll() }
    }

    /// Nobody listens there any more.
    static func refusingTarget() throws -> Target {
        let server = try TestServer(.silence)
        server.stop()
        return server.target
    }

    var requests: Int { state.withLock { $0.requests } }
    var connections: Int { state.withLock { $0.descriptors.count } }

    /// Shuts the listener; open connections go on.
    func stop() {
        // A thread blocked in accept wakes up by this, and closes.
        shutdown(listener, Int32(SHUT_RDWR))
    }

    /// Ends some of the connections.
    func endConnections(_ count: Int) {
        for descriptor in state.withLock({ Array($0.descriptors.prefix(count)) }) { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    private func acceptAll() {
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else { break }
            state.withLock { $0.descriptors.append(descriptor) }
            Thread.detachNewThread { self.serve(descriptor) }
        }
        close(listener)
    }

    private func serve(_ descriptor: Int32) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            state.withLock { $0.requests += 1 }
            guard respond(descriptor) else { break }
        }
        close(descriptor)
    }

    /// False to close.
    private func respond(_ descriptor: Int32) -> Bool {
        switch behaviour {
        case .respond(let text): write(text, descriptor)
        case .stall(let after, let nanoseconds):
            waitOutStall(after, nanoseconds)
            write(Self.ok, descriptor)
        case .reset:
            var value = linger(l_onoff: 1, l_linger: 0)
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
            return false
        case .closeEarly:
            write(String(Self.ok.dropLast()), descriptor)
            return false
        case .silence: break
        case .closeAfterResponse:
            write(Self.ok, descriptor)
            usleep(20_000)
            return false
        }
        return true
    }

    private func waitOutStall(_ after: UInt64, _ nanoseconds: UInt64) {
        let now = Clock.nanoseconds()
        let first = state.withLock { state in
            if state.firstNanoseconds == nil { state.firstNanoseconds = now }
            return state.firstNanoseconds ?? now
        }
        let end = first + after + nanoseconds
        if now >= first + after, now < end { usleep(UInt32((end - now) / 1000)) }
    }

    private func write(_ text: String, _ descriptor: Int32) {
        let bytes = Array(text.utf8)
        _ = unsafe send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }
}
