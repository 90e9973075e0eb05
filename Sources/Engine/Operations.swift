package import Addressing

/// A socket as the layers above the engine know it: an index into the driver's table and the generation it was opened in.
/// A descriptor number is used again by the kernel at once; the generation tells the old use from the new one.
package struct SocketID: BitwiseCopyable, Hashable, Sendable {
    package let index: UInt32
    package let generation: UInt32

    package init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// No socket.
    package static let none = SocketID(index: .max, generation: 0)
}

/// What the kernel hands back with a completion: operation 8 bits, generation 24 bits, slot 32 bits.
package struct OperationToken: BitwiseCopyable, Hashable, Sendable {
    package let rawValue: UInt64

    /// Generations are compared in this many bits.
    package static let generationMask: UInt32 = 0xff_ffff

    /// - Parameters:
    ///   - kind: the caller's word for the operation, below `reservedKinds`.
    ///   - generation: of the slot; only its low 24 bits are kept.
    ///   - slot: where the caller keeps the operation's owner.
    package init(kind: UInt8, generation: UInt32, slot: UInt32) {
        rawValue = UInt64(kind) << 56 | UInt64(generation & Self.generationMask) << 32 | UInt64(slot)
    }

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package var kind: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 56) }
    package var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) & Self.generationMask }
    package var slot: UInt32 { UInt32(truncatingIfNeeded: rawValue) }

    /// Kinds from here on belong to the engine.
    package static let reservedKinds: UInt8 = 0x40
    /// Somebody called `WakeUp.signal()`.
    package static let wakeUp = OperationToken(kind: 0xfe, generation: 0, slot: 0)
    /// Operations whose outcome nobody waits for. Never delivered.
    static let discarded = OperationToken(kind: 0xff, generation: 0, slot: 0)
}

/// One thing asked of a driver. Plain values; the driver takes all of a tick's submissions at once.
///
/// Rules, the same for every driver:
/// - `accept`, `connect`, `receive` and `send` are pending from submission until a completion with their token and without
///   `more`. At most one of each is pending per socket. `receive` is multishot: it completes again and again until it ends
///   (`count <= 0`), is cancelled, or the kernel stops it, each told by a completion without `more`.
/// - `cancel` makes the pending operation with that token on that socket complete soon, with `ECANCELED` unless it was faster.
/// - `transfer` reads from one socket and writes to another. It takes the place of a receive on the first and of a send on the
///   second: neither may be pending beside it, nor another transfer that reads from the one or writes to the other. It completes
///   with the bytes that the destination has taken, 1 or more, after a bounded turn, and **then nothing is under way between the
///   two sockets**; the caller submits it again, or receives. While the destination is full it stays pending, and tells what was
///   taken so far with `more`. It ends with 0 when the source has met FIN, and with an errno otherwise; `isDestination` says
///   whose. EAGAIN: nothing was moved, and the bytes have to be received (they can't be spliced).
///   A transfer that fails at its destination or is cancelled loses what it had read and not delivered.
/// - `watch` is for sockets of datagrams, and takes nothing: it completes with a positive result and `more` each time datagrams, or an
///   error, may have come since the last time. So the caller receives until there are fewer than it asked for, or comes back by
///   itself. It is the one operation of such a socket; without `more` it is over, and has to be submitted again. `isSingle` asks for the
///   latter, and need not be heeded.
/// - `shutdownWrite` and the two closes have no completion. **A socket may be closed only when nothing is pending on it.**
/// - Buffers named by a `send` belong to the driver until it completes; a received buffer belongs to the caller.
package struct Submission: BitwiseCopyable, Sendable {
    package enum Operation: UInt8, BitwiseCopyable, Sendable {
        case accept, acceptOne, connect, receive, send, transfer, watch, cancel, shutdownWrite, close, closeWithReset
    }

    package let operation: Operation
    package let token: OperationToken
    package let socket: SocketID
    /// Where a transfer writes to.
    package let destination: SocketID
    package let address: SocketAddress?
    /// First buffer of a chain in the pool's records, and how many of the chain to send.
    package let buffer: BufferID
    package let bufferCount: UInt16
    /// Of a receive: see `Submission.receive`.
    package let isResting: Bool
    /// Of a watch: see `Submission.watch`.
    package let isSingle: Bool

    private init(
        _ operation: Operation, _ token: OperationToken, _ socket: SocketID, address: SocketAddress? = nil, buffer: BufferID = .none,
        bufferCount: UInt16 = 0, destination: SocketID = .none, isResting: Bool = false, isSingle: Bool = false
    ) {
        self.operation = operation
        self.token = token
        self.socket = socket
        self.destination = destination
        self.address = address
        self.buffer = buffer
        self.bufferCount = bufferCount
        self.isResting = isResting
        self.isSingle = isSingle
    }

    /// Accepts connections until cancelled. The driver may take a whole backlog before the caller sees the first.
    package static func accept(_ listener: SocketID, _ token: OperationToken) -> Submission { .init(.accept, token, listener) }
    /// Accepts one connection: for a caller that is short of room.
    package static func acceptOne(_ listener: SocketID, _ token: OperationToken) -> Submission { .init(.acceptOne, token, listener) }
    package static func connect(_ socket: SocketID, to address: SocketAddress, _ token: OperationToken) -> Submission {
        .init(.connect, token, socket, address: address)
    }
    /// - Parameter isResting: nothing is expected for a while, so that the driver may hold less for it and be slower to find out.
    package static func receive(_ socket: SocketID, _ token: OperationToken, isResting: Bool = false) -> Submission {
        .init(.receive, token, socket, isResting: isResting)
    }
    /// Sends the first bytes of `queue`, at most `ByteQueue.gatherMax` buffers; completes with the number of bytes taken (1 or more).
    package static func send(_ socket: SocketID, _ queue: ByteQueue, _ token: OperationToken) -> Submission {
        .init(.send, token, socket, buffer: queue.head, bufferCount: min(queue.count, ByteQueue.gatherMax))
    }
    /// The same for a driver that keeps a send for later.
    static func send(_ socket: SocketID, buffer: BufferID, count: UInt16, _ token: OperationToken) -> Submission {
        .init(.send, token, socket, buffer: buffer, bufferCount: count)
    }
    /// Moves bytes from `socket` to `destination` without their passing through the caller. Cancelled on `socket`.
    package static func transfer(from socket: SocketID, to destination: SocketID, _ token: OperationToken) -> Submission {
        .init(.transfer, token, socket, destination: destination)
    }
    /// Hears of datagrams, for `Driver.receiveDatagrams`.
    ///
    /// - Parameter isSingle: it should end with its first completion: for a socket from which much is sent before the next one is waited
    ///   for. The kernel calls whoever watches a socket for each packet that has left it, too (3 % of a send, Linux 6.18).
    package static func watch(_ socket: SocketID, _ token: OperationToken, isSingle: Bool = false) -> Submission {
        .init(.watch, token, socket, isSingle: isSingle)
    }
    package static func cancel(_ token: OperationToken, on socket: SocketID) -> Submission { .init(.cancel, token, socket) }
    /// Sends FIN after what was sent before.
    package static func shutdownWrite(_ socket: SocketID) -> Submission { .init(.shutdownWrite, .discarded, socket) }
    package static func close(_ socket: SocketID) -> Submission { .init(.close, .discarded, socket) }
    /// Closes with RST, whatever is queued (SO_LINGER with zero time).
    package static func closeWithReset(_ socket: SocketID) -> Submission { .init(.closeWithReset, .discarded, socket) }
}

/// One outcome.
package struct Completion: BitwiseCopyable, Sendable {
    package let token: OperationToken
    /// Bytes received, sent or transferred; 0 for a connect that succeeded, or a receive or transfer that met FIN; a negative errno
    /// otherwise. For an accept, 0 with `socket` set; positive for a watch.
    package let result: Int32
    /// The buffer with received bytes, when `result > 0` for a receive.
    package let buffer: BufferID
    /// Whether the operation is still pending.
    package let more: Bool
    /// Whether the errno of a transfer is its destination's.
    package let isDestination: Bool
    /// The accepted socket.
    package let socket: SocketID

    package init(
        token: OperationToken, result: Int32, buffer: BufferID = .none, more: Bool = false, isDestination: Bool = false,
        socket: SocketID = .none
    ) {
        self.token = token
        self.result = result
        self.buffer = buffer
        self.more = more
        self.isDestination = isDestination
        self.socket = socket
    }
}

package typealias SubmissionQueue = FixedQueue<Submission>
package typealias CompletionQueue = FixedQueue<Completion>
