package import Addressing
import CLinux
import CLiburing
import Glibc

/// The epoll driver: edge-triggered, each socket registered once, the completion contract kept by making the call when the
/// socket is ready.
///
/// ```
///  submission ──► armed ──ready──► call made ──► completion          receive: recv(2) into a pool buffer
///                   ▲                 │EAGAIN                        send:    tried at once, then on EPOLLOUT
///                   └─────────────────┘                             connect: connect(2), SO_ERROR on EPOLLOUT
/// ```
/// A wait's events are worked off a few sockets at a time (`readyBatch`): the caller sends what was received before the next
/// sockets are read, so that the bytes are still in the cache and few buffers are in use.
@safe
package final class EpollDriver: Driver {
    package let buffers: BufferPool
    package let wakeUp = WakeUp()
    private var sockets = KernelSockets()
    private var states: FixedTable<State>
    private var transfers: Transfers
    private let epoll: OwnedDescriptor
    private let events: UnsafeMutablePointer<epoll_event>
    private let readyBatch: Int

    /// Sockets to look at, linked through `State.nextReady`; each stands in the list at most once.
    private var readyHead = noSocket
    private var readyTail = noSocket
    /// Exchanges since the kernel was last asked, so that busy sockets can't keep new events out.
    private var exchangesSinceWait = 0

    private static let noSocket = UInt32.max

    /// What is known and wanted of one descriptor. Zero bytes are a closed one.
    struct State: BitwiseCopyable {
        var generation: UInt32
        var nextReady: UInt32
        var isRegistered: Bool
        var isInReadyList: Bool
        /// The last call did not meet EAGAIN, or an edge came since.
        var isReadable: Bool
        var isWritable: Bool
        /// FIN, reset or error is reported: reads go on to the end, short or not.
        var isEnding: Bool
        var isListener: Bool
        var receiveArmed: Bool
        var watchArmed: Bool
        var acceptArmed: Bool
        var acceptsMany: Bool
        var connecting: Bool
        var sending: Bool
        var sendBuffer: BufferID
        var sendBufferCount: UInt16
        var receiveToken: OperationToken  // or the accept's, or the watch's: a socket has one of the three
        var sendToken: OperationToken  // or the connect's
    }

    /// The shape of a driver's memory.
    package struct Settings: Sendable {
        /// Bytes of a buffer; larger than for a ring, for each fill is a system call.
        package var bufferSize = 16_384
        package var buffers = 8192
        /// Sockets whose readiness is turned into completions in one exchange.
        package var readyBatch = 8
        /// Pipes that may be open at once.
        package var pipesMax = Limits.pipesMax
        package var pipeBytes = Limits.pipeBytes
        package var transferTurnBytesMax = Limits.transferTurnBytesMax

        package init() {}
    }

    package init(_ settings: Settings = Settings()) {
        guard let epoll = OwnedDescriptor(epoll_create1(Int32(EPOLL_CLOEXEC))) else { fatalError("epoll_create1: errno \(errno)") }
        self.epoll = epoll
        buffers = BufferPool(bufferSize: settings.bufferSize, capacity: settings.buffers)
        states = FixedTable(zeroedCapacity: Limits.descriptorsMax)
        unsafe events = .allocate(capacity: Limits.epollEventsMax)
        readyBatch = settings.readyBatch
        transfers = Transfers(
            pipesMax: settings.pipesMax, pipeBytes: settings.pipeBytes, turnBytesMax: settings.transferTurnBytesMax, readsToEnd: true)
        var event = unsafe epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: UInt64(Self.noSocket)))
        let result = unsafe epoll_ctl(self.epoll.rawValue, EPOLL_CTL_ADD, wakeUp.descriptor, &event)
        precondition(result == 0, "epoll_ctl of the wake-up")
    }

    deinit { unsafe events.deallocate() }

    package var receiveBuffers: Int { buffers.freeCount }
    package var systemCalls: UInt64 { sockets.systemCalls &+ transfers.pipes.systemCalls }
    package var pipesOpen: Int { transfers.pipes.openCount }

    /// A registered socket costs the same, whatever is waited for.
    package var restsReceives: Bool { false }

    package func monotonicNanoseconds() -> UInt64 { monotonicClock() }

    package func openListener(_ address: SocketAddress, backlog: Int32, _ arrivals: ArrivalFilter) -> Opened {
        began(sockets.openListener(address, backlog: backlog, arrivals), isListener: true)
    }
    package func openStream(_ family: IPAddress.Family, from source: IPAddress?) -> Opened {
        began(sockets.openStream(family, from: source))
    }
    package func stopWithholdingACK(_ socket: SocketID) { sockets.stopWithholdingACK(socket) }
    package func setLiveness(_ liveness: Liveness, of socket: SocketID, inPlaceOf old: Liveness) {
        sockets.setLiveness(liveness, of: socket, inPlaceOf: old)
    }
    package func peerAddress(of socket: SocketID) -> SocketAddress? { sockets.peerAddress(of: socket) }
    package func localAddress(of socket: SocketID) -> SocketAddress? { sockets.localAddress(of: socket) }
    package func descriptor(of socket: SocketID) -> Int32? { sockets.descriptor(of: socket) }
    package func connectError(_ socket: SocketID) -> Int32 { 0 }
    package func hasFailed(_ socket: SocketID) -> Bool { sockets.hasFailed(socket) }
    package func setArrivals(_ arrivals: ArrivalFilter, of listener: SocketID) -> Bool { sockets.setArrivals(arrivals, of: listener) }
    package func stopArrivals(_ listener: SocketID) -> Bool { sockets.stopArrivals(listener) }
    package func acceptQueued(_ listener: SocketID) -> Opened { began(sockets.acceptQueued(listener)) }
    package func openDatagramListener(_ address: SocketAddress, fragments: Bool) -> Opened {
        began(sockets.openDatagramListener(address, fragments: fragments))
    }
    package func openDatagramSocket(to peer: SocketAddress, from source: IPAddress?) -> Opened {
        began(sockets.openDatagramSocket(to: peer, from: source))
    }
    package func receiveDatagrams(_ socket: SocketID, into batch: DatagramBatch, most: Int) -> Int {
        sockets.receiveDatagrams(socket, into: batch, most: most)
    }
    package func sendDatagrams(_ socket: SocketID, from batch: DatagramBatch) -> Int32 { sockets.sendDatagrams(socket, from: batch) }

    /// Takes over a connected non-blocking descriptor that somebody else opened; for tests.
    package func adopt(descriptor: Int32) -> Opened { began(sockets.adopt(descriptor)) }

    private func began(_ opened: Opened, isListener: Bool = false) -> Opened {
        guard opened.error == 0 else { return opened }
        let index = Int(opened.socket.index)
        states[index] = State(
            // A closed socket may still stand in the ready list, and the row is a link of it.
            generation: opened.socket.generation, nextReady: states[index].isInReadyList ? states[index].nextReady : Self.noSocket,
            isRegistered: false, isInReadyList: states[index].isInReadyList, isReadable: false, isWritable: true, isEnding: false,
            isListener: isListener,
            receiveArmed: false, watchArmed: false, acceptArmed: false, acceptsMany: false,
            connecting: false, sending: false, sendBuffer: .none,
            sendBufferCount: 0, receiveToken: .discarded, sendToken: .discarded)
        return opened
    }

    // MARK: - Exchange

    package func exchange(_ submissions: inout SubmissionQueue, _ completions: inout CompletionQueue, waitNanoseconds: UInt64) {
        precondition(completions.isEmpty, "completions of the last exchange were not handled")
        // A submission is answered at once by at most one completion; some room is left for what is ready.
        var taken = 0
        while taken < submissions.count, completions.room > Limits.acceptBurstMax * 2 {
            submit(submissions[taken], &completions)
            taken &+= 1
        }
        submissions.removeFirst(taken)
        guard submissions.isEmpty else { return }
        exchangesSinceWait &+= 1
        if readyHead == Self.noSocket {
            wait(completions.isEmpty && !transfers.hasReady ? waitNanoseconds : 0, &completions)
        } else if exchangesSinceWait > Limits.epollEventsMax / readyBatch {
            wait(0, &completions)
        }
        workOffReady(&completions)
        workOffTransfers(&completions)
    }

    private func wait(_ nanoseconds: UInt64, _ completions: inout CompletionQueue) {
        exchangesSinceWait = 0
        // Milliseconds, rounded up: a timer must not find itself a little early again and again.
        let timeout: Int32 = nanoseconds == .max ? -1 : Int32(clamping: (nanoseconds &+ 999_999) / 1_000_000)
        sockets.systemCalls &+= 1
        let count = unsafe epoll_wait(epoll.rawValue, events, Int32(Limits.epollEventsMax), timeout)
        precondition(count >= 0 || errno == EINTR, "epoll_wait: errno \(errno)")
        guard count > 0 else { return }
        for position in 0..<Int(count) {
            let event = unsafe events[position]
            let index = UInt32(truncatingIfNeeded: unsafe event.data.u64)
            guard index != Self.noSocket else {
                wakeUp.clear()
                sockets.systemCalls &+= 1
                completions.append(Completion(token: .wakeUp, result: 0))
                continue
            }
            // The upper half carries the generation: an event of a descriptor closed since is dropped.
            guard states[Int(index)].generation == UInt32(truncatingIfNeeded: unsafe event.data.u64 >> 32) else { continue }
            // Urgent data counts as an end, too: a read stops short at its mark, with bytes left that no edge will tell of.
            let ended = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue | EPOLLPRI.rawValue
            if unsafe event.events & (EPOLLIN.rawValue | ended) != 0 { states[Int(index)].isReadable = true }
            if unsafe event.events & ended != 0 { states[Int(index)].isEnding = true }
            let writable = EPOLLOUT.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
            if unsafe event.events & writable != 0 { states[Int(index)].isWritable = true }
            appendReady(index)
        }
    }

    /// Works off sockets from the head of the list. One that still has something to do goes to the tail.
    private func workOffReady(_ completions: inout CompletionQueue) {
        var worked = 0
        while worked < readyBatch, readyHead != Self.noSocket {
            // An accept burst and a send may both complete for one socket.
            guard completions.room > Limits.acceptBurstMax + 1 else { return }
            let index = readyHead
            readyHead = states[Int(index)].nextReady
            if readyHead == Self.noSocket { readyTail = Self.noSocket }
            states[Int(index)].isInReadyList = false
            worked &+= workOff(index, &completions)
        }
    }

    /// Gives transfers that are ready their turns, as many as fit into an exchange.
    private func workOffTransfers(_ completions: inout CompletionQueue) {
        let begin = transfers.bytesMoved
        while completions.room > 1, transfers.bytesMoved &- begin < Limits.transferExchangeBytesMax, let source = transfers.takeReady() {
            let destination = Int(transfers.destination(of: source))
            switch transfers.turn(source, isHinted: states[Int(source)].isEnding, &completions) {
            case .over: break
            case .awaitsSource: states[Int(source)].isReadable = false
            case .awaitsDestination: states[destination].isWritable = false
            }
        }
    }

    /// Makes the calls that one socket is ready for. Answers 1 when that cost anything.
    private func workOff(_ index: UInt32, _ completions: inout CompletionQueue) -> Int {
        let state = states[Int(index)]
        let socket = SocketID(index: index, generation: state.generation)
        guard let descriptor = sockets.descriptor(of: socket) else { return 0 }
        var worked = 0
        if state.connecting, state.isWritable {
            finishConnect(descriptor, index, &completions)
            worked = 1
        }
        if state.sending, state.isWritable {
            let pending = Submission.send(socket, buffer: state.sendBuffer, count: state.sendBufferCount, state.sendToken)
            if let completion = trySend(descriptor, pending) {
                states[Int(index)].sending = false
                completions.append(completion)
            }
            worked = 1
        }
        if state.watchArmed, state.isReadable {
            states[Int(index)].isReadable = false
            completions.append(Completion(token: state.receiveToken, result: 1, more: true))
        }
        if state.acceptArmed, state.isReadable {
            acceptBurst(socket, &completions)
            worked = 1
        }
        if state.receiveArmed, state.isReadable {
            receiveOnce(descriptor, index, &completions)
            worked = 1
        }
        if state.isReadable, transfers.state(of: index) == .awaitsSource { transfers.makeReady(index) }
        if state.isWritable, let source = transfers.feeder(of: index), transfers.state(of: source) == .awaitsDestination {
            transfers.makeReady(source)
        }
        return worked
    }

    private func appendReady(_ index: UInt32) {
        guard !states[Int(index)].isInReadyList else { return }
        states[Int(index)].isInReadyList = true
        states[Int(index)].nextReady = Self.noSocket
        if readyTail == Self.noSocket {
            readyHead = index
        } else {
            states[Int(readyTail)].nextReady = index
        }
        readyTail = index
    }

    // MARK: - Submissions

    private func submit(_ submission: Submission, _ completions: inout CompletionQueue) {
        guard let descriptor = sockets.descriptor(of: submission.socket) else {
            preconditionFailure("\(submission.operation) on a socket that is not open")
        }
        let index = Int(submission.socket.index)
        switch submission.operation {
        case .accept, .acceptOne:
            precondition(!states[index].acceptArmed, "two accepts on one socket")
            guard register(descriptor, submission.socket, for: submission.token, &completions) else { return }
            states[index].acceptArmed = true
            states[index].acceptsMany = submission.operation == .accept
            states[index].receiveToken = submission.token
            if states[index].isReadable { appendReady(submission.socket.index) }
        case .connect:
            precondition(!states[index].connecting, "two connects on one socket")
            connect(submission, descriptor, &completions)
        case .receive:
            precondition(!states[index].receiveArmed, "two receives on one socket")
            guard register(descriptor, submission.socket, for: submission.token, &completions) else { return }
            states[index].receiveArmed = true
            states[index].receiveToken = submission.token
            if states[index].isReadable { appendReady(submission.socket.index) }
        case .watch:
            precondition(!states[index].watchArmed, "two watches on one socket")
            // Not for room: each datagram that has left would be an event.
            let interest = EPOLLIN.rawValue | EPOLLET.rawValue
            guard register(descriptor, submission.socket, for: submission.token, &completions, interest: interest) else { return }
            states[index].watchArmed = true
            states[index].receiveToken = submission.token
            if states[index].isReadable { appendReady(submission.socket.index) }
        case .send:
            precondition(!states[index].sending, "two sends on one socket")
            if let completion = trySend(descriptor, submission) {
                completions.append(completion)
            } else {
                guard register(descriptor, submission.socket, for: submission.token, &completions) else { return }
                states[index].sending = true
                states[index].sendBuffer = submission.buffer
                states[index].sendBufferCount = submission.bufferCount
                states[index].sendToken = submission.token
            }
        case .transfer:
            begin(submission, descriptor, &completions)
        case .cancel:
            if transfers.cancel(submission.socket.index, submission.token) {
                transfers.makeReady(submission.socket.index)
            } else {
                cancel(submission.token, index, &completions)
            }
        case .shutdownWrite:
            sockets.shutdownWrite(submission.socket)
        case .close, .closeWithReset:
            let state = states[index]
            precondition(
                !state.receiveArmed && !state.watchArmed && !state.acceptArmed && !state.connecting && !state.sending
                    && transfers.isIdle(descriptor),
                "close with an operation pending")
            if submission.operation == .closeWithReset { sockets.setLingerZero(descriptor) }
            _ = sockets.release(submission.socket)
            // Closing takes the descriptor out of the epoll set; its place in the ready list is skipped by generation.
            states[index].generation &+= 1
            sockets.systemCalls &+= 1
            closeDescriptor(descriptor)
        }
    }

    /// Puts a socket into the epoll set, once. False when the host has no room for it (ENOSPC by fs.epoll.max_user_watches, or
    /// ENOMEM): then the operation has completed with ENOMEM, as for any other want of memory.
    private func register(
        _ descriptor: Int32, _ socket: SocketID, for token: OperationToken, _ completions: inout CompletionQueue,
        interest: UInt32 = streamInterest
    ) -> Bool {
        guard !states[Int(socket.index)].isRegistered else { return true }
        sockets.systemCalls &+= 1
        var event = unsafe epoll_event(events: interest, data: epoll_data_t(u64: UInt64(socket.generation) << 32 | UInt64(socket.index)))
        let result = unsafe epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, descriptor, &event)
        guard result == 0 else {
            precondition(errno == ENOMEM || errno == ENOSPC, "epoll_ctl: errno \(errno)")
            completions.append(Completion(token: token, result: -ENOMEM))
            return false
        }
        states[Int(socket.index)].isRegistered = true
        return true
    }

    private static let streamInterest =
        EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLPRI.rawValue | EPOLLET.rawValue

    private func begin(_ submission: Submission, _ descriptor: Int32, _ completions: inout CompletionQueue) {
        guard let destination = sockets.descriptor(of: submission.destination) else {
            preconditionFailure("transfer to a socket that is not open")
        }
        let index = Int(submission.socket.index)
        precondition(!states[index].receiveArmed && !states[Int(destination)].sending, "a transfer beside a receive or a send")
        guard register(descriptor, submission.socket, for: submission.token, &completions),
            register(destination, submission.destination, for: submission.token, &completions)
        else { return }
        transfers.begin(
            submission.socket.index, to: submission.destination.index, submission.token, isReady: states[index].isReadable)
    }

    private func connect(_ submission: Submission, _ descriptor: Int32, _ completions: inout CompletionQueue) {
        let index = Int(submission.socket.index)
        sockets.systemCalls &+= 1
        let result = unsafe withKernelAddress(of: submission.address!) { unsafe Glibc.connect(descriptor, $0, $1) }
        if result == 0 || errno != EINPROGRESS {
            completions.append(Completion(token: submission.token, result: result == 0 ? 0 : -errno))
            return
        }
        // On loopback the handshake is over by now, and registering reports the socket writable at once.
        states[index].isWritable = false
        guard register(descriptor, submission.socket, for: submission.token, &completions) else { return }
        states[index].connecting = true
        states[index].sendToken = submission.token
    }

    private func finishConnect(_ descriptor: Int32, _ index: UInt32, _ completions: inout CompletionQueue) {
        let failure = sockets.pendingError(descriptor)
        states[Int(index)].connecting = false
        completions.append(Completion(token: states[Int(index)].sendToken, result: -failure))
    }

    private func cancel(_ token: OperationToken, _ index: Int, _ completions: inout CompletionQueue) {
        let state = states[index]
        if state.receiveArmed || state.watchArmed || state.acceptArmed, state.receiveToken == token {
            states[index].receiveArmed = false
            states[index].watchArmed = false
            states[index].acceptArmed = false
        } else if state.sending || state.connecting, state.sendToken == token {
            states[index].sending = false
            states[index].connecting = false
        } else {
            return  // it was faster: its completion is on the way or was handled
        }
        completions.append(Completion(token: token, result: -ECANCELED))
    }

    // MARK: - Calls

    /// A send's outcome, or nil when the socket is full: then an EPOLLOUT edge will come.
    private func trySend(_ descriptor: Int32, _ submission: Submission) -> Completion? {
        sockets.systemCalls &+= 1
        let result = sendNow(descriptor, submission, from: buffers)
        if result >= 0 { return Completion(token: submission.token, result: Int32(truncatingIfNeeded: result)) }
        if errno == EAGAIN || errno == EINTR {
            states[Int(submission.socket.index)].isWritable = false
            return nil
        }
        return Completion(token: submission.token, result: -errno)
    }

    private func receiveOnce(_ descriptor: Int32, _ index: UInt32, _ completions: inout CompletionQueue) {
        let token = states[Int(index)].receiveToken
        guard let buffer = buffers.take() else {
            states[Int(index)].receiveArmed = false
            completions.append(Completion(token: token, result: -ENOBUFS))
            return
        }
        sockets.systemCalls &+= 1
        let count = unsafe recv(descriptor, buffers.address(of: buffer), buffers.bufferSize, 0)
        if count > 0 {
            // A short read has emptied the socket, and what comes later is a new edge; unless the end is known to follow.
            if count < buffers.bufferSize, !states[Int(index)].isEnding {
                states[Int(index)].isReadable = false
            } else {
                appendReady(index)
            }
            completions.append(Completion(token: token, result: Int32(truncatingIfNeeded: count), buffer: buffer, more: true))
            return
        }
        let failure = count < 0 ? errno : 0
        buffers.release(buffer)
        if failure == EAGAIN {
            states[Int(index)].isReadable = false
        } else if failure == EINTR {
            appendReady(index)
        } else {
            states[Int(index)].receiveArmed = false
            completions.append(Completion(token: token, result: -failure))
        }
    }

    private func acceptBurst(_ listener: SocketID, _ completions: inout CompletionQueue) {
        let index = Int(listener.index)
        let token = states[index].receiveToken
        for _ in 0..<Limits.acceptBurstMax {
            let opened = began(sockets.acceptQueued(listener))
            if opened.error == EAGAIN {
                states[index].isReadable = false
                return
            }
            let goesOn = opened.error == 0 && states[index].acceptsMany
            if !goesOn { states[index].acceptArmed = false }
            completions.append(Completion(token: token, result: -opened.error, more: goesOn, socket: opened.socket))
            if !goesOn { return }
        }
        appendReady(listener.index)
    }
}
