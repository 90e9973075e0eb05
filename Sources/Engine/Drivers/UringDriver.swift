package import Addressing
import CLinux
import CLiburing
import Glibc

/// The io_uring driver: SINGLE_ISSUER and DEFER_TASKRUN, multishot accept, multishot receive over a ring of provided
/// buffers, one `io_uring_enter` per exchange.
///
/// Memory the kernel can see: the rings, the buffer ring, the pool, and one `Scratch` per submission entry. All are mapped at
/// init and unmapped after the ring is closed. A pointer in an entry points only into these.
@safe
package final class UringDriver: Driver {
    package let buffers: BufferPool
    package let wakeUp = WakeUp()
    private var sockets = KernelSockets()

    private let ring: UnsafeMutablePointer<io_uring>
    private let bufferRing: UnsafeMutablePointer<io_uring_buf_ring>
    private let bufferRingBytes: Int
    private let bufferRingEntries: Int
    private let scratch: UnsafeMutablePointer<Scratch>
    private let directSendsMax: Int
    /// Whether the kernel knows a minimum wait (Linux 6.12).
    private let waitsMinimum: Bool
    private var transfers: Transfers
    /// Receives that rest, by descriptor: the ring only polls for them, which takes the kernel 256 bytes in place of 864 (6.18).
    private var resting = FixedTable<Resting>(zeroedCapacity: Limits.descriptorsMax)
    /// Where transfers wait whose destination has sent FIN; see `park`.
    private let parking: OwnedDescriptor
    private var parkingIsPolled = false

    // The rings' addresses and masks, constant after set-up.
    private let submissionEntries: UnsafeMutablePointer<io_uring_sqe>
    private let submissionHead: UnsafeMutablePointer<UInt32>
    private let submissionTail: UnsafeMutablePointer<UInt32>
    private let submissionMask: UInt32
    private let completionEntries: UnsafeMutablePointer<io_uring_cqe>
    private let completionHead: UnsafeMutablePointer<UInt32>
    private let completionTail: UnsafeMutablePointer<UInt32>
    private let completionMask: UInt32

    /// Entries written, published to the kernel at the next enter.
    private var nextEntry: UInt32
    /// Buffers that stand in the buffer ring, the kernel's for now.
    private var buffersLent = 0

    /// Arguments that an entry points to. They must live until the entry is submitted (the kernel copies addresses, message
    /// headers and vectors at submission), which is before its place in the ring is used again.
    @unsafe private struct Scratch {
        var address: sockaddr_storage
        var message: msghdr
        var vectors: InlineArray<16, iovec>
    }

    /// The shape of a driver's memory.
    package struct Settings: Sendable {
        /// Bytes of a buffer.
        package var bufferSize = 4096
        /// Buffers of the pool; what is not in the ring serves queues.
        package var buffers = 32_768
        /// Buffers the kernel may fill at a time; a power of two. Small enough to stay in the second-level cache.
        package var bufferRingEntries = 256
        /// Up to this many sends of one exchange are made by send(2) at once: a ring of few entries costs more than it saves.
        package var directSendsMax = 2
        /// Pipes that may be open at once.
        package var pipesMax = Limits.pipesMax
        package var pipeBytes = Limits.pipeBytes
        package var transferTurnBytesMax = Limits.transferTurnBytesMax

        package init() {}
    }

    /// Sets a ring up on the calling thread, which must be the one that calls `exchange`.
    package init(_ settings: Settings = Settings()) throws(UringUnavailable) {
        precondition(settings.buffers > settings.bufferRingEntries, "the pool must hold more than the ring")
        var parameters = io_uring_params()
        // SUBMIT_ALL: one bad entry must not keep back those behind it.
        parameters.flags =
            UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN) | UInt32(IORING_SETUP_SUBMIT_ALL)
            | UInt32(IORING_SETUP_CQSIZE) | UInt32(IORING_SETUP_CLAMP)
        parameters.cq_entries = Limits.completionRingEntries
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        unsafe ring.initialize(to: io_uring())
        let result = unsafe io_uring_queue_init_params(Limits.submissionRingEntries, ring, &parameters)
        guard result == 0 else {
            unsafe ring.deallocate()
            throw UringUnavailable.setup(errno: -result)
        }
        let needed = UInt32(IORING_FEAT_NODROP) | UInt32(IORING_FEAT_EXT_ARG) | UInt32(IORING_FEAT_CQE_SKIP)
        guard parameters.features & needed == needed else {
            unsafe io_uring_queue_exit(ring)
            unsafe ring.deallocate()
            throw .features
        }
        // Saves the look-up of the ring's descriptor on every enter; without it the plain descriptor serves.
        _ = unsafe io_uring_register_ring_fd(ring)

        bufferRingEntries = settings.bufferRingEntries
        bufferRingBytes = settings.bufferRingEntries * MemoryLayout<io_uring_buf>.stride
        unsafe bufferRing = mapZeroed(bufferRingBytes).bindMemory(to: io_uring_buf_ring.self, capacity: 1)
        var registration = io_uring_buf_reg()
        registration.ring_addr = UInt64(UInt(bitPattern: unsafe bufferRing))
        registration.ring_entries = UInt32(settings.bufferRingEntries)
        let registered = unsafe io_uring_register_buf_ring(ring, &registration, 0)
        guard registered == 0 else {
            unsafe munmap(bufferRing, bufferRingBytes)
            unsafe io_uring_queue_exit(ring)
            unsafe ring.deallocate()
            throw .bufferRing(errno: -registered)
        }
        unsafe self.ring = ring
        unsafe submissionEntries = ring.pointee.sq.sqes
        unsafe submissionHead = ring.pointee.sq.khead
        unsafe submissionTail = ring.pointee.sq.ktail
        unsafe submissionMask = ring.pointee.sq.ring_mask
        unsafe completionEntries = ring.pointee.cq.cqes
        unsafe completionHead = ring.pointee.cq.khead
        unsafe completionTail = ring.pointee.cq.ktail
        unsafe completionMask = ring.pointee.cq.ring_mask
        unsafe nextEntry = ringway_load_acquire(ring.pointee.sq.ktail)
        let entries = Int(unsafe ring.pointee.sq.ring_entries)
        unsafe scratch = mapZeroed(entries * MemoryLayout<Scratch>.stride).bindMemory(to: Scratch.self, capacity: entries)
        guard let parking = OwnedDescriptor(epoll_create1(Int32(EPOLL_CLOEXEC))) else { fatalError("epoll_create1: errno \(errno)") }
        self.parking = parking
        directSendsMax = settings.directSendsMax
        waitsMinimum = parameters.features & Self.featureMinimumWait != 0
        transfers = Transfers(
            pipesMax: settings.pipesMax, pipeBytes: settings.pipeBytes, turnBytesMax: settings.transferTurnBytesMax, readsToEnd: false)
        buffers = BufferPool(bufferSize: settings.bufferSize, capacity: settings.buffers)
        lendBuffers()
        armWakeUp()
    }

    deinit {
        // The ring goes first: after it nothing in the kernel points into our memory.
        let entries = Int(unsafe ring.pointee.sq.ring_entries)
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
        unsafe munmap(bufferRing, bufferRingBytes)
        unsafe munmap(scratch, entries * MemoryLayout<Scratch>.stride)
    }

    package var receiveBuffers: Int { buffers.freeCount &+ buffersLent }
    package var systemCalls: UInt64 { sockets.systemCalls &+ transfers.pipes.systemCalls }
    package var pipesOpen: Int { transfers.pipes.openCount }
    package var restsReceives: Bool { true }

    package func monotonicNanoseconds() -> UInt64 { monotonicClock() }

    package func openListener(_ address: SocketAddress, backlog: Int32, _ arrivals: ArrivalFilter) -> Opened {
        sockets.openListener(address, backlog: backlog, arrivals)
    }
    package func openStream(_ family: IPAddress.Family, from source: IPAddress?) -> Opened { sockets.openStream(family, from: source) }
    package func stopWithholdingACK(_ socket: SocketID) { sockets.stopWithholdingACK(socket) }
    package func setLiveness(_ liveness: Liveness, of socket: SocketID, inPlaceOf old: Liveness) {
        sockets.setLiveness(liveness, of: socket, inPlaceOf: old)
    }
    package func peerAddress(of socket: SocketID) -> SocketAddress? { sockets.peerAddress(of: socket) }
    package func localAddress(of socket: SocketID) -> SocketAddress? { sockets.localAddress(of: socket) }
    package func descriptor(of socket: SocketID) -> Int32? { sockets.descriptor(of: socket) }
    /// io_uring's connect completes with 0 when an ICMP error ends the attempt while it waits (seen on Linux 6.18 with host
    /// unreachable, test `anUnreachableEndpointIsPassedOverAtOnce`), so the socket is asked whether it has a peer.
    package func connectError(_ socket: SocketID) -> Int32 { sockets.connectError(socket) }
    package func hasFailed(_ socket: SocketID) -> Bool { sockets.hasFailed(socket) }
    package func setArrivals(_ arrivals: ArrivalFilter, of listener: SocketID) -> Bool { sockets.setArrivals(arrivals, of: listener) }
    package func stopArrivals(_ listener: SocketID) -> Bool { sockets.stopArrivals(listener) }
    package func acceptQueued(_ listener: SocketID) -> Opened { sockets.acceptQueued(listener) }
    package func openDatagramListener(_ address: SocketAddress, fragments: Bool) -> Opened {
        sockets.openDatagramListener(address, fragments: fragments)
    }
    package func openDatagramSocket(to peer: SocketAddress, from source: IPAddress?) -> Opened {
        sockets.openDatagramSocket(to: peer, from: source)
    }
    package func receiveDatagrams(_ socket: SocketID, into batch: DatagramBatch, most: Int) -> Int {
        sockets.receiveDatagrams(socket, into: batch, most: most)
    }
    package func sendDatagrams(_ socket: SocketID, from batch: DatagramBatch) -> Int32 { sockets.sendDatagrams(socket, from: batch) }

    /// Takes over a connected descriptor that somebody else opened; for tests and the self-test.
    package func adopt(descriptor: Int32) -> Opened { sockets.adopt(descriptor) }

    /// The kernel's list of opcodes, to be freed by the caller; nil when it has none to give.
    func probeOperations() -> UnsafeMutablePointer<io_uring_probe>? { unsafe io_uring_get_probe_ring(ring) }

    // MARK: - Exchange

    package func exchange(_ submissions: inout SubmissionQueue, _ completions: inout CompletionQueue, waitNanoseconds: UInt64) {
        precondition(completions.isEmpty, "completions of the last exchange were not handled")
        var sends = 0
        for index in 0..<submissions.count where submissions[index].operation == .send { sends &+= 1 }
        let sendsDirectly = sends <= directSendsMax
        for index in 0..<submissions.count {
            submit(submissions[index], sendsDirectly: sendsDirectly, &completions)
        }
        submissions.removeAll()
        lendBuffers()

        let ready = unsafe ringway_load_acquire(completionTail) != completionHead.pointee
        let pending = unsafe nextEntry &- ringway_load_acquire(submissionHead)
        // With transfers left over from the last exchange the kernel is asked all the same: they must not keep others out.
        let isBusy = transfers.hasReady
        if pending > 0 || isBusy || completions.isEmpty && !ready {
            let waits = completions.isEmpty && !ready && !isBusy && waitNanoseconds > 0
            // Nearly every send completes as it is submitted. To be woken by that alone would take another enter to hear of
            // anything else, so what is waited for comes on top of the sends, for as long as the kernel's minimum wait lasts.
            let expected = waitsMinimum && !sendsDirectly ? UInt32(truncatingIfNeeded: sends) : 0
            enter(pending, minimum: waits ? expected &+ 1 : 0, waitNanoseconds: waitNanoseconds)
        }
        takeCompletions(&completions)
        workOffTransfers(&completions)
    }

    /// Gives transfers that are ready their turns, as many as fit into an exchange.
    private func workOffTransfers(_ completions: inout CompletionQueue) {
        let begin = transfers.bytesMoved
        while completions.room > 1, transfers.bytesMoved &- begin < Limits.transferExchangeBytesMax, let source = transfers.takeReady() {
            switch transfers.turn(source, isHinted: true, &completions) {
            case .over: break
            case .awaitsSource: armPoll(source, on: source, POLLIN)
            case .awaitsDestination: armPoll(source, on: transfers.destination(of: source), POLLOUT)
            }
        }
    }

    /// Asks the ring once for the readiness that a transfer waits for. There is at most one poll of a transfer at a time, and the
    /// transfer does not end before it has come back.
    private func armPoll(_ source: UInt32, on descriptor: UInt32, _ events: Int32) {
        let (entry, _) = unsafe nextSubmission()
        unsafe io_uring_prep_poll_add(entry, Int32(bitPattern: descriptor), UInt32(bitPattern: events))
        unsafe entry.pointee.user_data = Self.pollToken(source).rawValue
    }

    private func begin(_ submission: Submission) {
        guard sockets.descriptor(of: submission.socket) != nil, sockets.descriptor(of: submission.destination) != nil else {
            preconditionFailure("transfer on a socket that is not open")
        }
        transfers.begin(submission.socket.index, to: submission.destination.index, submission.token, isReady: false)
        armPoll(submission.socket.index, on: submission.socket.index, POLLIN)
    }

    /// A cancelled transfer that is ready ends with its turn; one that waits, when its poll comes back.
    private func cancelPoll(_ source: UInt32) {
        guard transfers.state(of: source) != .ready else { return }
        if transfers.isParked(source) {
            sockets.systemCalls &+= 1
            _ = epoll_ctl(parking.rawValue, EPOLL_CTL_DEL, Int32(bitPattern: transfers.destination(of: source)), nil)
            return transfers.makeReady(source)
        }
        let (entry, _) = unsafe nextSubmission()
        unsafe prepareCancel(entry, of: Self.pollToken(source))
    }

    /// A ring's poll always ends for POLLRDHUP, too (IO_POLL_UNMASK), so it can't wait for room in a socket whose peer has sent
    /// FIN. An epoll set can, and the ring polls the set.
    private func park(_ source: UInt32) {
        let destination = Int32(bitPattern: transfers.destination(of: source))
        var event = unsafe epoll_event(
            events: EPOLLOUT.rawValue | EPOLLONESHOT.rawValue, data: epoll_data_t(u64: UInt64(source)))
        sockets.systemCalls &+= 1
        if unsafe epoll_ctl(parking.rawValue, EPOLL_CTL_MOD, destination, &event) != 0 {
            sockets.systemCalls &+= 1
            // No room in any epoll set of this user: it tries again, at the price of some processor time.
            guard unsafe epoll_ctl(parking.rawValue, EPOLL_CTL_ADD, destination, &event) == 0 else { return transfers.makeReady(source) }
        }
        transfers.setParked(source)
        pollParking()
    }

    private func pollParking() {
        guard !parkingIsPolled, transfers.parkedCount > 0 else { return }
        parkingIsPolled = true
        let (entry, _) = unsafe nextSubmission()
        unsafe io_uring_prep_poll_add(entry, parking.rawValue, UInt32(POLLIN))
        unsafe entry.pointee.user_data = OperationToken(kind: Self.parkingKind, generation: 0, slot: 0).rawValue
    }

    private func wakeParked() {
        parkingIsPolled = false
        let most = 64
        unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: most) { events in
            sockets.systemCalls &+= 1
            let count = unsafe epoll_wait(parking.rawValue, events.baseAddress!, Int32(most), 0)
            for position in 0..<max(0, Int(count)) {
                let source = UInt32(truncatingIfNeeded: unsafe events[position].data.u64)
                if transfers.isParked(source) { transfers.makeReady(source) }
            }
        }
        pollParking()
    }

    /// IORING_FEAT_MIN_TIMEOUT, which liburing 2.3 does not name.
    private static let featureMinimumWait: UInt32 = 1 << 15

    private static let parkingKind: UInt8 = 0xfc

    private static func pollToken(_ source: UInt32) -> OperationToken { OperationToken(kind: pollKind, generation: 0, slot: source) }
    private static let pollKind: UInt8 = 0xfd

    private func takeCompletions(_ completions: inout CompletionQueue) {
        var head = unsafe completionHead.pointee
        let tail = unsafe ringway_load_acquire(completionTail)
        while head != tail, completions.room > 0 {
            deliver(unsafe completionEntries[Int(head & completionMask)], &completions)
            head &+= 1
        }
        unsafe ringway_store_release(completionHead, head)
    }

    /// io_uring_enter(2): publishes what was written, waits for `minimum` completions. Where that is more than one, one is enough
    /// after `Limits.minimumWaitMicroseconds`.
    private func enter(_ pending: UInt32, minimum: UInt32, waitNanoseconds: UInt64) {
        unsafe ringway_store_release(submissionTail, nextEntry)
        var flags = UInt32(IORING_ENTER_GETEVENTS)
        let descriptor = UInt32(bitPattern: unsafe ring.pointee.enter_ring_fd)
        // liburing 2.3 says in `int_flags` whether enter_ring_fd is an index of registered rings.
        if unsafe ring.pointee.int_flags & 1 != 0 { flags |= UInt32(IORING_ENTER_REGISTERED_RING) }
        sockets.systemCalls &+= 1
        let result: Int32
        if minimum > 1 || minimum > 0 && waitNanoseconds != .max {
            var time = __kernel_timespec(
                tv_sec: Int64(waitNanoseconds / 1_000_000_000), tv_nsec: Int64(waitNanoseconds % 1_000_000_000))
            result = unsafe withUnsafePointer(to: &time) { time in
                var argument = io_uring_getevents_arg()
                if waitNanoseconds != .max { argument.ts = UInt64(UInt(bitPattern: time)) }
                // liburing 2.3 has no name for it: `min_wait_usec` since Linux 6.12.
                if minimum > 1 { argument.pad = Limits.minimumWaitMicroseconds }
                return unsafe withUnsafeMutableBytes(of: &argument) { bytes in
                    unsafe io_uring_enter2(
                        descriptor, pending, minimum, flags | UInt32(IORING_ENTER_EXT_ARG),
                        bytes.baseAddress!.assumingMemoryBound(to: sigset_t.self), bytes.count)
                }
            }
        } else {
            result = io_uring_enter2(descriptor, pending, minimum, flags, nil, 0)
        }
        switch -result {
        case _ where result >= 0: break
        case EINTR, ETIME: break
        // The completion ring is full or the kernel short of memory: what is there is taken, the rest is tried next tick.
        case EBUSY, EAGAIN, ENOMEM: break
        default: fatalError("io_uring_enter: errno \(-result)")
        }
    }

    // MARK: - Submissions

    private func submit(_ submission: Submission, sendsDirectly: Bool, _ completions: inout CompletionQueue) {
        switch submission.operation {
        case .shutdownWrite:
            // Not through the ring: IORING_OP_SHUTDOWN is always handed to a kernel worker thread.
            sockets.shutdownWrite(submission.socket)
            return
        case .close, .closeWithReset:
            close(submission)
            return
        case .transfer:
            begin(submission)
            return
        case .cancel where transfers.cancel(submission.socket.index, submission.token):
            cancelPoll(submission.socket.index)
            return
        case .receive where submission.isResting:
            rest(submission)
            return
        case .cancel where cancelResting(submission):
            return
        case .send where sendsDirectly:
            if sendDirectly(submission, &completions) { return }
        default: break
        }
        guard let descriptor = sockets.descriptor(of: submission.socket) else {
            preconditionFailure("\(submission.operation) on a socket that is not open")
        }
        let (entry, scratch) = unsafe nextSubmission()
        switch submission.operation {
        case .accept:
            unsafe io_uring_prep_multishot_accept(entry, descriptor, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
        case .acceptOne:
            unsafe io_uring_prep_accept(entry, descriptor, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
        case .connect:
            unsafe withUnsafeMutableBytes(of: &scratch.pointee.address) { target in
                let length = unsafe submission.address!.encode(into: target.baseAddress!)
                unsafe io_uring_prep_connect(
                    entry, descriptor, UnsafePointer(target.baseAddress!.assumingMemoryBound(to: sockaddr.self)), length)
            }
        case .receive:
            unsafe prepareReceive(entry, descriptor)
        case .watch where submission.isSingle:
            unsafe io_uring_prep_poll_add(entry, descriptor, UInt32(POLLIN))
        case .watch:
            unsafe io_uring_prep_poll_multishot(entry, descriptor, UInt32(POLLIN))
        case .send:
            if submission.bufferCount == 1 {
                let record = buffers[submission.buffer]
                unsafe io_uring_prep_send(
                    entry, descriptor, buffers.address(of: submission.buffer) + Int(record.offset), Int(record.length),
                    Int32(MSG_NOSIGNAL))
            } else {
                unsafe gather(submission, into: scratch)
                unsafe io_uring_prep_sendmsg(entry, descriptor, &scratch.pointee.message, UInt32(MSG_NOSIGNAL))
            }
        case .cancel:
            unsafe prepareCancel(entry, of: mark(submission.token, on: submission.socket))
            return
        case .transfer, .shutdownWrite, .close, .closeWithReset: preconditionFailure("handled above")
        }
        unsafe entry.pointee.user_data = mark(submission.token, on: submission.socket).rawValue
    }

    /// What it cancels tells of itself.
    private func prepareCancel(_ entry: UnsafeMutablePointer<io_uring_sqe>, of token: OperationToken) {
        unsafe io_uring_prep_cancel64(entry, token.rawValue, 0)
        unsafe entry.pointee.flags |= UInt8(RINGWAY_SQE_CQE_SKIP_SUCCESS)
        unsafe entry.pointee.user_data = OperationToken.discarded.rawValue
    }

    private func prepareReceive(_ entry: UnsafeMutablePointer<io_uring_sqe>, _ descriptor: Int32) {
        unsafe io_uring_prep_recv_multishot(entry, descriptor, nil, 0, 0)
        unsafe entry.pointee.flags |= UInt8(RINGWAY_SQE_BUFFER_SELECT)
        unsafe entry.pointee.buf_group = 0
    }

    // MARK: - Receives that rest

    private func rest(_ submission: Submission) {
        guard let descriptor = sockets.descriptor(of: submission.socket) else {
            preconditionFailure("receive on a socket that is not open")
        }
        resting[Int(descriptor)] = Resting(submission.token)
        let (entry, _) = unsafe nextSubmission()
        unsafe io_uring_prep_poll_add(entry, descriptor, UInt32(POLLIN))
        unsafe entry.pointee.user_data = Self.restToken(descriptor).rawValue
    }

    /// Whether it was a resting receive that is to end. It ends when its poll has come back, be it cancelled or faster.
    private func cancelResting(_ submission: Submission) -> Bool {
        let index = Int(submission.socket.index)
        guard resting[index].isPending, resting[index].token == submission.token else { return false }
        resting[index].cancel()
        let (entry, _) = unsafe nextSubmission()
        unsafe prepareCancel(entry, of: Self.restToken(Int32(bitPattern: submission.socket.index)))
        return true
    }

    /// Something came, or the poll was cancelled: the receive begins in earnest, or ends.
    private func endRest(_ descriptor: UInt32, _ completions: inout CompletionQueue) {
        let row = resting[Int(descriptor)]
        precondition(row.isPending, "a poll of a receive that does not rest")
        resting[Int(descriptor)] = .none
        guard !row.isCancelled else { return completions.append(Completion(token: row.token, result: -ECANCELED)) }
        let (entry, _) = unsafe nextSubmission()
        unsafe prepareReceive(entry, Int32(bitPattern: descriptor))
        unsafe entry.pointee.user_data = row.token.rawValue
    }

    private static let restKind: UInt8 = 0xfb

    private static func restToken(_ descriptor: Int32) -> OperationToken {
        OperationToken(kind: restKind, generation: 0, slot: UInt32(bitPattern: descriptor))
    }

    /// Tries send(2) at once; false when the socket is full, and then the ring waits for it.
    private func sendDirectly(_ submission: Submission, _ completions: inout CompletionQueue) -> Bool {
        guard let descriptor = sockets.descriptor(of: submission.socket) else {
            preconditionFailure("send on a socket that is not open")
        }
        sockets.systemCalls &+= 1
        let result = sendNow(descriptor, submission, from: buffers)
        if result < 0, errno == EAGAIN || errno == EINTR { return false }
        completions.append(Completion(token: submission.token, result: result < 0 ? -errno : Int32(truncatingIfNeeded: result)))
        return true
    }

    private func close(_ submission: Submission) {
        guard let descriptor = sockets.release(submission.socket) else {
            preconditionFailure("close of a socket that is not open")
        }
        precondition(transfers.isIdle(descriptor) && !resting[Int(descriptor)].isPending, "close with an operation pending")
        if submission.operation == .closeWithReset { sockets.setLingerZero(descriptor) }
        let (entry, _) = unsafe nextSubmission()
        unsafe io_uring_prep_close(entry, descriptor)
        unsafe entry.pointee.flags |= UInt8(RINGWAY_SQE_CQE_SKIP_SUCCESS)
        unsafe entry.pointee.user_data = OperationToken.discarded.rawValue
    }

    /// The next free entry and the memory for its arguments. A full ring is submitted first, without waiting.
    private func nextSubmission() -> (UnsafeMutablePointer<io_uring_sqe>, UnsafeMutablePointer<Scratch>) {
        var attempts = 0
        while unsafe nextEntry &- ringway_load_acquire(submissionHead) > submissionMask {
            precondition(attempts < 1000, "io_uring takes no submissions")
            attempts += 1
            enter(nextEntry &- (unsafe ringway_load_acquire(submissionHead)), minimum: 0, waitNanoseconds: 0)
        }
        let index = Int(nextEntry & submissionMask)
        nextEntry &+= 1
        return unsafe (submissionEntries + index, scratch + index)
    }

    private func gather(_ submission: Submission, into scratch: UnsafeMutablePointer<Scratch>) {
        let vectors = unsafe UnsafeMutableRawPointer(scratch).advanced(by: MemoryLayout<Scratch>.offset(of: \.vectors)!)
            .assumingMemoryBound(to: iovec.self)
        unsafe fillVectors(vectors, submission, from: buffers)
        unsafe scratch.pointee.message = msghdr()
        unsafe scratch.pointee.message.msg_iov = vectors
        unsafe scratch.pointee.message.msg_iovlen = Int(submission.bufferCount)
    }

    /// Completions of an accept carry a descriptor, which only the driver may see, so its tokens are marked in the kind.
    private func mark(_ token: OperationToken, on socket: SocketID) -> OperationToken {
        sockets.isListener(socket) ? OperationToken(rawValue: token.rawValue | Self.acceptMark) : token
    }

    private static let acceptMark = UInt64(OperationToken.reservedKinds) << 56

    /// Fills the buffer ring up from the pool. The tail is stored once: the kernel sees all or none.
    private func lendBuffers() {
        guard buffersLent < bufferRingEntries else { return }
        let mask = io_uring_buf_ring_mask(UInt32(bufferRingEntries))
        var added: Int32 = 0
        while buffersLent < bufferRingEntries, let buffer = buffers.take() {
            unsafe io_uring_buf_ring_add(
                bufferRing, buffers.address(of: buffer), UInt32(buffers.bufferSize), buffer.rawValue, mask, added)
            added &+= 1
            buffersLent &+= 1
        }
        unsafe io_uring_buf_ring_advance(bufferRing, added)
    }

    private func armWakeUp() {
        let (entry, _) = unsafe nextSubmission()
        unsafe io_uring_prep_poll_multishot(entry, wakeUp.descriptor, UInt32(POLLIN))
        unsafe entry.pointee.user_data = OperationToken.wakeUp.rawValue
    }

    // MARK: - Completions

    private func deliver(_ entry: io_uring_cqe, _ completions: inout CompletionQueue) {
        let token = OperationToken(rawValue: entry.user_data)
        let more = entry.flags & UInt32(IORING_CQE_F_MORE) != 0
        if token.rawValue == OperationToken.discarded.rawValue { return }
        if token.rawValue == OperationToken.wakeUp.rawValue {
            wakeUp.clear()
            sockets.systemCalls &+= 1
            if !more { armWakeUp() }
            completions.append(Completion(token: .wakeUp, result: 0))
            return
        }
        if token.kind == Self.pollKind {
            let isRoomless = entry.res > 0 && entry.res & (POLLOUT | POLLERR | POLLHUP) == 0
            if isRoomless, transfers.state(of: token.slot) == .awaitsDestination, !transfers.isCancelled(token.slot) {
                park(token.slot)
            } else {
                transfers.makeReady(token.slot)
            }
            return
        }
        if token.kind == Self.parkingKind { return wakeParked() }
        if token.kind == Self.restKind { return endRest(token.slot, &completions) }
        if token.kind >= OperationToken.reservedKinds {
            deliverAccept(OperationToken(rawValue: token.rawValue & ~Self.acceptMark), entry.res, more: more, &completions)
            return
        }
        guard entry.flags & UInt32(IORING_CQE_F_BUFFER) != 0 else {
            completions.append(Completion(token: token, result: entry.res, more: more))
            return
        }
        let buffer = BufferID(rawValue: UInt16(truncatingIfNeeded: entry.flags >> UInt32(IORING_CQE_BUFFER_SHIFT)))
        buffersLent &-= 1
        if entry.res > 0 {
            completions.append(Completion(token: token, result: entry.res, buffer: buffer, more: more))
        } else {
            buffers.release(buffer)
            completions.append(Completion(token: token, result: entry.res, more: more))
        }
    }

    private func deliverAccept(_ token: OperationToken, _ result: Int32, more: Bool, _ completions: inout CompletionQueue) {
        guard result >= 0 else {
            completions.append(Completion(token: token, result: result, more: more))
            return
        }
        let opened = sockets.adopt(result)
        completions.append(Completion(token: token, result: -opened.error, more: more, socket: opened.socket))
    }
}
