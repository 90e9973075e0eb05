import CEpoll
import Glibc

/// The client's connections, each in a slot, each with at most one request on it.
///
/// ```
///  vacant ──open──► connecting ──► idle ──send──► awaiting ──response──► idle
///    ▲                  └──────open(sending)─────────▲  │
///    └──── failure, close, the peer's end ──────────────┘
/// ```
/// Sockets are in the set once and edge-triggered, so that a request on an open connection is three system calls: a send, a wait, a
/// receive. A socket is closed by a reset (SO_LINGER of 0), even when the process dies: a FIN would leave the client's port in
/// TIME_WAIT for a minute, and 28,000 ports would bound a run to 470 connections a second. Nothing is lost by it, for a
/// connection is closed after its response has been read, or because it failed.
@safe
final class Connections {
    let target: Target
    /// Connections that stood, ever.
    private(set) var established = 0
    private let poller = Poller()
    private let sources: [Target]
    private let stampsArrivals: Bool
    private let request: [UInt8]
    private var slots: [Slot]
    private let buffer: UnsafeMutableRawBufferPointer

    static let bufferBytes = 262_144
    private static let inputToken = UInt64.max

    enum Event {
        /// The connection stands and carries no request.
        case connected
        /// A response is complete. The slot is idle, or vacant if the server closes.
        case completed(status: Int, arrivedNanoseconds: UInt64)
        /// The request, or the connect before it, failed. The slot is vacant.
        case failed(FailureKind)
        /// The peer ended a connection without a request on it. The slot is vacant.
        case closedWhileIdle
        /// Standard input has something to read, or ended. No slot.
        case inputReady
    }

    private enum State { case vacant, connecting, idle, awaiting }

    private struct Slot {
        var descriptor: Int32 = -1
        /// Tells events of the socket from those of the one before it.
        var generation: UInt32 = 0
        var state = State.vacant
        var sendsWhenConnected = false
        var bytesSent = 0
        var parser = ResponseParser()
    }

    /// - sources: addresses to send from, taken in turn; none: the kernel's choice.
    /// - stampsArrivals: whether a response arrives when the kernel got its last packet, and not when it is read.
    init(
        _ target: Target, path: String, count: Int, closesEach: Bool = false, sources: [Target] = [], stampsArrivals: Bool = false
    ) {
        self.target = target
        self.sources = sources
        self.stampsArrivals = stampsArrivals
        let fields = closesEach ? "Connection: close\r\n" : ""
        request = Array("GET \(path) HTTP/1.1\r\nHost: \(target.text)\r\n\(fields)\r\n".utf8)
        slots = [Slot](repeating: Slot(), count: count)
        unsafe buffer = .allocate(byteCount: Self.bufferBytes, alignment: 64)
    }

    deinit {
        closeAll()
        unsafe buffer.deallocate()
    }

    var count: Int { slots.count }
    func isIdle(_ slot: Int) -> Bool { slots[slot].state == .idle }
    func isVacant(_ slot: Int) -> Bool { slots[slot].state == .vacant }

    // MARK: - Acts

    /// Begins to connect a vacant slot, and sends a request as soon as the connection stands, if wanted. Answers the failure if
    /// there is one at once; the slot is vacant again then.
    func open(_ slot: Int, sending: Bool) -> FailureKind? {
        precondition(slots[slot].state == .vacant, "slot \(slot) is in use")
        let descriptor = socket(target.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return .connectFailed }
        slots[slot].descriptor = descriptor
        slots[slot].state = .connecting
        slots[slot].sendsWhenConnected = sending
        set(descriptor, SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0))
        if stampsArrivals { set(descriptor, SOL_SOCKET, SO_TIMESTAMPNS, Int32(1)) }
        if !sources.isEmpty, !bind(descriptor, to: sources[slot % sources.count]) { return failNow(slot, .connectFailed) }
        let result = unsafe target.withAddress { unsafe connect(descriptor, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else { return failNow(slot, Self.connectFailure(errno)) }
        // After connect: a socket that is not connecting reports a hang-up.
        let interest = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        let token = UInt64(slots[slot].generation) << 32 | UInt64(slot)
        guard poller.add(descriptor, interest: interest, token: token) else { return failNow(slot, .connectFailed) }
        return nil
    }

    /// Sends a request on an idle connection. Answers the failure if there is one at once; the slot is vacant then.
    func send(_ slot: Int) -> FailureKind? {
        precondition(slots[slot].state == .idle, "slot \(slot) is not idle")
        slots[slot].state = .awaiting
        slots[slot].bytesSent = 0
        slots[slot].parser.reset()
        return continueSend(slot).flatMap { failNow(slot, $0) }
    }

    /// Resets the connection of a slot, in whatever state it is.
    func close(_ slot: Int) {
        guard slots[slot].state != .vacant else { return }
        Glibc.close(slots[slot].descriptor)
        slots[slot].descriptor = -1
        slots[slot].generation &+= 1
        slots[slot].state = .vacant
    }

    func closeAll() {
        for slot in slots.indices { close(slot) }
    }

    /// Reports standard input; false if it is a file, which is always ready.
    func watchInput() -> Bool { poller.add(STDIN_FILENO, interest: EPOLLIN.rawValue, token: Self.inputToken) }

    // MARK: - Events

    /// Waits for events, or until a time (nil: without end), and tells each of them.
    func wait(untilNanoseconds deadline: UInt64?, _ handle: (_ slot: Int, Event) -> Void) {
        for index in 0..<poller.wait(untilNanoseconds: deadline) {
            let (flags, token) = poller[index]
            if token == Self.inputToken {
                handle(-1, .inputReady)
                continue
            }
            let slot = Int(token & 0xffff_ffff)
            guard slots[slot].state != .vacant, slots[slot].generation == UInt32(token >> 32) else { continue }
            if let event = ready(slot, flags) { handle(slot, event) }
        }
    }

    private func ready(_ slot: Int, _ flags: UInt32) -> Event? {
        let ending = flags & (EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
        if slots[slot].state == .connecting {
            if flags & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { return fail(slot, Self.connectFailure(pendingError(slot))) }
            guard flags & EPOLLOUT.rawValue != 0 else { return nil }
            established += 1
            slots[slot].state = .idle
            guard slots[slot].sendsWhenConnected else {
                // A server that has already ended the connection is heard of by the next send.
                return .connected
            }
            if let failure = send(slot) { return .failed(failure) }
        } else if slots[slot].state == .awaiting, slots[slot].bytesSent < request.count {
            if let failure = continueSend(slot) { return fail(slot, failure) }
        }
        return ending || flags & EPOLLIN.rawValue != 0 ? receive(slot, ending: ending) : nil
    }

    /// Reads what there is. A read that does not fill the buffer has emptied the socket, unless it is ending: then the end follows.
    private func receive(_ slot: Int, ending: Bool) -> Event? {
        while true {
            var stamp: UInt64 = 0
            let count = unsafe ringway_load_receive(slots[slot].descriptor, buffer.baseAddress, buffer.count, &stamp)
            if count == 0 { return ended(slot) }
            if count < 0 {
                if errno == EAGAIN { return nil }
                if errno == EINTR { continue }
                return slots[slot].state == .idle ? ended(slot) : fail(slot, Self.failure(errno))
            }
            guard slots[slot].state == .awaiting else { return ended(slot) }
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
            let progress = unsafe slots[slot].parser.feed(bytes.bindMemory(to: UInt8.self).span)
            switch progress {
            case .malformed: return fail(slot, .other)
            case .complete:
                let status = slots[slot].parser.status
                if ending || slots[slot].parser.closesConnection { close(slot) } else { slots[slot].state = .idle }
                let arrived = stamp > 0 ? Clock.monotonic(fromRealtimeNanoseconds: stamp) : Clock.nanoseconds()
                return .completed(status: status, arrivedNanoseconds: arrived)
            case .incomplete:
                if count < Self.bufferBytes, !ending { return nil }
            }
        }
    }

    private func ended(_ slot: Int) -> Event {
        if slots[slot].state == .awaiting { return fail(slot, .closed) }
        close(slot)
        return .closedWhileIdle
    }

    private func continueSend(_ slot: Int) -> FailureKind? {
        let sent = unsafe request.withUnsafeBytes { bytes in
            let offset = slots[slot].bytesSent
            let start = unsafe bytes.baseAddress.map { unsafe $0 + offset }
            return unsafe Glibc.send(slots[slot].descriptor, start, bytes.count - offset, Int32(MSG_NOSIGNAL))
        }
        if sent >= 0 {
            slots[slot].bytesSent += sent
            return nil
        }
        // Room comes as an event.
        return errno == EAGAIN || errno == EINTR ? nil : Self.failure(errno)
    }

    private func fail(_ slot: Int, _ kind: FailureKind) -> Event {
        close(slot)
        return .failed(kind)
    }

    private func failNow(_ slot: Int, _ kind: FailureKind) -> FailureKind {
        close(slot)
        return kind
    }

    // MARK: - System calls

    private func bind(_ descriptor: Int32, to source: Target) -> Bool {
        // The port is found by connect, for this target: bind would find one that no connection at all has.
        set(descriptor, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, Int32(1))
        return unsafe source.withAddress { unsafe Glibc.bind(descriptor, $0, $1) } == 0
    }

    private func set<Value>(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Value) {
        let result = unsafe withUnsafePointer(to: value) {
            unsafe setsockopt(descriptor, level, option, $0, socklen_t(MemoryLayout<Value>.size))
        }
        precondition(result == 0, "setsockopt \(option): errno \(errno)")
    }

    private func pendingError(_ slot: Int) -> Int32 {
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        unsafe getsockopt(slots[slot].descriptor, SOL_SOCKET, SO_ERROR, &error, &length)
        return error
    }

    private static func connectFailure(_ error: Int32) -> FailureKind { error == ECONNREFUSED ? .connectRefused : .connectFailed }

    private static func failure(_ error: Int32) -> FailureKind {
        error == ECONNRESET || error == EPIPE ? .reset : .other
    }
}
