import CLiburing
import CLinux
import Glibc

/// The pending transfers of a kernel driver, by the descriptor of their source. Does what is the same for both drivers; how
/// readiness is heard of is the driver's own.
///
/// ```
///               begin                    turn: nothing to read
///  (none) ─────────────► ready ◄───────────────────────────────► awaitsSource ──┐ driver hears of readiness,
///     ▲                   │  ▲ ◄───────────────────────────────► awaitsDestination │ or a cancel: back to ready
///     │                   │  └──────────────────────────────────────────────────┘
///     └── completion without `more`
/// ```
/// - **A pipe belongs to one transfer from its first byte to its last**: taken when there is something to read, kept only while
///   it holds bytes (`awaitsDestination`), given back when it is empty, and closed with what is in it when the transfer fails
///   or is cancelled.
/// - **Without a pipe bytes are copied and nothing is held**: a look (MSG_PEEK) leaves them in the source until the destination has
///   taken them, and only as many are dropped there (MSG_TRUNC).
/// - **A transfer that ends with bytes moved, or with EAGAIN, leaves nothing behind**: its pipe is empty by then. So the next
///   receive or transfer of the source goes on at the right byte.
@safe
struct Transfers: ~Copyable {
    enum State: UInt8, BitwiseCopyable { case none, ready, awaitsSource, awaitsDestination }

    struct Row: BitwiseCopyable {
        var token: OperationToken
        var destination: UInt32
        var nextReady: UInt32
        /// Meaningful while `holdsPipe`.
        var pipe: PipePool.ID
        var holdsPipe: Bool
        var isCancelled: Bool
        /// Waits for its destination otherwise than usual; the driver's to say.
        var isParked: Bool
        var state: State
        /// Of a destination: the source that a transfer comes from, plus 1.
        var feeder: UInt32
    }

    /// What a turn came to.
    enum Outcome {
        case over
        /// The source had nothing; the driver waits for it.
        case awaitsSource
        /// The destination is full; the driver waits for it.
        case awaitsDestination
    }

    var pipes: PipePool
    /// Where bytes pass through that have no pipe; made at the first of them.
    private var copyBuffer: UnsafeMutableRawPointer?
    private var rows = FixedTable<Row>(zeroedCapacity: Limits.descriptorsMax)
    private var readyHead = UInt32.max
    private var readyTail = UInt32.max
    private(set) var parkedCount = 0
    /// Bytes delivered so far.
    private(set) var bytesMoved = 0
    private let turnBytesMax: Int
    /// Whether a turn reads on until EAGAIN: an edge-triggered driver has to meet it before it may wait.
    private let readsToEnd: Bool

    init(pipesMax: Int, pipeBytes: Int, turnBytesMax: Int, readsToEnd: Bool) {
        pipes = PipePool(capacity: pipesMax, pipeBytes: pipeBytes)
        self.turnBytesMax = turnBytesMax
        self.readsToEnd = readsToEnd
    }

    deinit { if let copyBuffer = unsafe copyBuffer { unsafe munmap(copyBuffer, Limits.copyBytes) } }

    var hasReady: Bool { readyHead != .max }

    /// Whether no transfer reads from this descriptor or writes to it.
    func isIdle(_ descriptor: Int32) -> Bool {
        let row = rows[Int(descriptor)]
        return row.state == .none && row.feeder == 0
    }

    func state(of source: UInt32) -> State { rows[Int(source)].state }
    func isCancelled(_ source: UInt32) -> Bool { rows[Int(source)].isCancelled }
    func isParked(_ source: UInt32) -> Bool { rows[Int(source)].isParked }

    mutating func setParked(_ source: UInt32) {
        rows[Int(source)].isParked = true
        parkedCount &+= 1
    }

    func destination(of source: UInt32) -> UInt32 { rows[Int(source)].destination }
    /// The source of the transfer that ends at a descriptor.
    func feeder(of destination: UInt32) -> UInt32? {
        let feeder = rows[Int(destination)].feeder
        return feeder == 0 ? nil : feeder &- 1
    }

    /// Takes a transfer on, as ready or as waiting for its source.
    mutating func begin(_ source: UInt32, to destination: UInt32, _ token: OperationToken, isReady: Bool) {
        precondition(source != destination, "a transfer from a socket to itself")
        precondition(rows[Int(source)].state == .none, "two transfers from one socket")
        precondition(rows[Int(destination)].feeder == 0, "two transfers to one socket")
        rows[Int(source)].token = token
        rows[Int(source)].destination = destination
        rows[Int(source)].holdsPipe = false
        rows[Int(source)].isCancelled = false
        rows[Int(source)].state = .awaitsSource
        rows[Int(destination)].feeder = source &+ 1
        if isReady { makeReady(source) }
    }

    /// Puts a transfer that waits at the end of the ready ones.
    mutating func makeReady(_ source: UInt32) {
        guard rows[Int(source)].state == .awaitsSource || rows[Int(source)].state == .awaitsDestination else { return }
        rows[Int(source)].state = .ready
        if rows[Int(source)].isParked {
            rows[Int(source)].isParked = false
            parkedCount &-= 1
        }
        rows[Int(source)].nextReady = .max
        if readyTail == .max {
            readyHead = source
        } else {
            rows[Int(readyTail)].nextReady = source
        }
        readyTail = source
    }

    mutating func takeReady() -> UInt32? {
        guard readyHead != .max else { return nil }
        let source = readyHead
        readyHead = rows[Int(source)].nextReady
        if readyHead == .max { readyTail = .max }
        return source
    }

    /// Marks a transfer as cancelled; its next turn ends it. False when there is none with this token: it was faster.
    mutating func cancel(_ source: UInt32, _ token: OperationToken) -> Bool {
        guard rows[Int(source)].state != .none, rows[Int(source)].token == token else { return false }
        rows[Int(source)].isCancelled = true
        return true
    }

    /// One turn of a transfer that was taken from the ready ones: at most `turnBytesMax` bytes, each portion handed on as soon as
    /// it is read. Appends at most two completions.
    ///
    /// - Parameter isHinted: whether the kernel has said that there is something to read; then EAGAIN is looked into.
    mutating func turn(_ source: UInt32, isHinted: Bool, _ completions: inout CompletionQueue) -> Outcome {
        let row = rows[Int(source)]
        precondition(row.state == .ready, "a turn of a transfer that is not ready")
        guard !row.isCancelled else { return end(source, -ECANCELED, &completions) }
        let destination = Int32(bitPattern: row.destination)
        var moved = 0
        var isShort = false
        while true {
            if rows[Int(source)].holdsPipe {
                let result = pipes.drain(rows[Int(source)].pipe, to: destination)
                switch -result {
                case _ where result > 0:
                    moved &+= result
                    bytesMoved &+= result
                    if pipes.held(rows[Int(source)].pipe) == 0 { releasePipe(source) }
                    continue
                // Short of memory is as good as full: what is in the pipe must not be lost for it.
                case 0, Int(EAGAIN), Int(ENOBUFS), Int(ENOMEM):
                    rows[Int(source)].state = .awaitsDestination
                    if moved > 0 { completions.append(Completion(token: row.token, result: Int32(truncatingIfNeeded: moved), more: true)) }
                    return .awaitsDestination
                default:
                    tell(moved, row.token, &completions)
                    return end(source, Int32(truncatingIfNeeded: result), isDestination: true, &completions)
                }
            }
            if moved >= turnBytesMax || isShort, moved > 0 { return end(source, Int32(truncatingIfNeeded: moved), &completions) }
            let wanted = turnBytesMax &- moved
            let result: Int
            if let pipe = pipes.take() {
                result = pipes.fill(pipe, from: Int32(bitPattern: source), most: wanted)
                if result > 0 {
                    rows[Int(source)].pipe = pipe
                    rows[Int(source)].holdsPipe = true
                    isShort = !readsToEnd && result < wanted
                    continue
                }
                pipes.release(pipe)
            } else {
                let copied = copy(from: Int32(bitPattern: source), to: destination, most: min(wanted, Limits.copyBytes))
                if copied.taken > 0 {
                    moved &+= copied.taken
                    bytesMoved &+= copied.taken
                    isShort = !readsToEnd && copied.taken < min(wanted, Limits.copyBytes)
                    continue
                }
                if copied.seen > 0 {
                    // The destination's answer.
                    switch -copied.taken {
                    case 0, Int(EAGAIN), Int(ENOBUFS), Int(ENOMEM):
                        rows[Int(source)].state = .awaitsDestination
                        tell(moved, row.token, &completions)
                        return .awaitsDestination
                    default:
                        tell(moved, row.token, &completions)
                        return end(source, Int32(truncatingIfNeeded: copied.taken), isDestination: true, &completions)
                    }
                }
                result = copied.seen
            }
            switch -result {
            case Int(EAGAIN) where moved > 0:
                return end(source, Int32(truncatingIfNeeded: moved), &completions)
            case Int(EAGAIN) where !isHinted:
                rows[Int(source)].state = .awaitsSource
                return .awaitsSource
            case 0, Int(EAGAIN):
                // splice(2) stops before urgent data, and says EAGAIN or even 0 there: a look tells.
                let found = peek(Int32(bitPattern: source))
                if found == -EAGAIN, result != 0 {
                    rows[Int(source)].state = .awaitsSource
                    return .awaitsSource
                }
                tell(moved, row.token, &completions)
                return end(source, found > 0 ? -EAGAIN : found, &completions)
            // Not a socket that can be spliced, or no memory: nothing was taken, so it can be received.
            case Int(EINVAL), Int(ENOSYS), Int(ENOMEM), Int(ENOBUFS):
                return end(source, moved > 0 ? Int32(truncatingIfNeeded: moved) : -EAGAIN, &completions)
            default:
                tell(moved, row.token, &completions)
                return end(source, Int32(truncatingIfNeeded: result), &completions)
            }
        }
    }

    /// Reports what was moved before an end that carries an errno.
    private func tell(_ moved: Int, _ token: OperationToken, _ completions: inout CompletionQueue) {
        if moved > 0 { completions.append(Completion(token: token, result: Int32(truncatingIfNeeded: moved), more: true)) }
    }

    private mutating func end(
        _ source: UInt32, _ result: Int32, isDestination: Bool = false, _ completions: inout CompletionQueue
    ) -> Outcome {
        if rows[Int(source)].holdsPipe { releasePipe(source) }
        rows[Int(source)].state = .none
        rows[Int(rows[Int(source)].destination)].feeder = 0
        completions.append(Completion(token: rows[Int(source)].token, result: result, isDestination: isDestination))
        return .over
    }

    private mutating func releasePipe(_ source: UInt32) {
        pipes.release(rows[Int(source)].pipe)
        rows[Int(source)].holdsPipe = false
    }

    /// Copies bytes and holds none: what the destination doesn't take stays in the source.
    ///
    /// - Returns: bytes seen in the source, 0 at its end, or a negative errno; and, where bytes were seen, those that the destination has
    ///   taken, or its negative errno.
    private mutating func copy(from source: Int32, to destination: Int32, most: Int) -> (seen: Int, taken: Int) {
        if unsafe copyBuffer == nil { unsafe copyBuffer = mapZeroed(Limits.copyBytes) }
        let buffer = unsafe copyBuffer!
        pipes.systemCalls &+= 1
        let seen = unsafe recv(source, buffer, most, Int32(MSG_PEEK | MSG_DONTWAIT))
        guard seen > 0 else { return (seen < 0 ? -Int(errno) : 0, 0) }
        pipes.systemCalls &+= 1
        let taken = unsafe send(destination, buffer, seen, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        guard taken > 0 else { return (seen, taken < 0 ? -Int(errno) : 0) }
        pipes.systemCalls &+= 1
        // tcp(7): MSG_TRUNC drops bytes in place of copying them.
        let dropped = recv(source, nil, taken, Int32(MSG_TRUNC | MSG_DONTWAIT))
        // They were there a moment ago. Should they not be, the source has failed: nothing may be read there twice.
        return dropped == taken ? (seen, taken) : (-Int(ECONNRESET), 0)
    }

    /// What a receive would meet: 1 for bytes, 0 for the end, or a negative errno.
    private mutating func peek(_ descriptor: Int32) -> Int32 {
        var byte: UInt8 = 0
        pipes.systemCalls &+= 1
        let result = unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        return result < 0 ? -errno : Int32(result)
    }
}
