import Engine

/// A client's TCP connection for queries (RFC 7766): any number of them, answered in the order they came, but for those that others are
/// asked for.
///
/// Events change what is known, `settle` says what should be in flight. Received bytes wait in the inbox only while answers wait to be
/// sent: a client that doesn't read isn't read from.
struct NameConnection: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable { case free, open, closing }

    var generation: UInt32
    var phase = Phase.free
    /// The worker's socket that it came by, which it is counted with.
    var origin: UInt8 = 0
    /// What is in the kernel.
    var isReceiving = false
    var isSending = false
    private var isReceiveCancelled = false
    private var isSendCancelled = false
    /// The client has said all.
    var hasEnded = false
    /// A receive found no buffer, and is tried again later.
    var isStarved = false
    /// It is closed with a reset.
    private(set) var resets = false
    /// Bytes of a query that has not come whole yet, in their place beside the table.
    var partialBytes: UInt16 = 0
    var socket = SocketID.none
    var inbox = ByteQueue()
    var outbox = ByteQueue()
    /// Queries for which others are asked.
    var awaited: UInt32 = 0
    /// When a query was last answered, or bytes of an answer were taken.
    var movedAt: UInt64 = 0

    init(generation: UInt32) { self.generation = generation }

    /// Why it was closed.
    enum Ending: UInt8, BitwiseCopyable, CaseIterable {
        /// The client closed it, or reset it.
        case client
        /// Nothing was asked, or no answer taken, for too long.
        case idle
        /// A newer one needed its place.
        case evicted
        /// What came was no query, or longer than one can be.
        case malformed
        /// There was no buffer for an answer.
        case noBuffer
        /// The process stops.
        case stopped

        var name: String {
            switch self {
            case .client: "client"
            case .idle: "idle"
            case .evicted: "evicted"
            case .malformed: "malformed"
            case .noBuffer: "no-buffer"
            case .stopped: "stopped"
            }
        }
    }

    mutating func beginClose(reset: Bool) {
        phase = .closing
        if reset { resets = true }
    }

    mutating func receiveEnded() {
        isReceiving = false
        isReceiveCancelled = false
    }

    mutating func sendCompleted(_ result: Int32, in pool: BufferPool) {
        isSending = false
        isSendCancelled = false
        if result > 0 { outbox.consume(Int(result), in: pool) }
    }

    /// What is to be done now; takes it for done.
    ///
    /// - Parameter outboxMax: buffers that answers may fill before the client is no longer read from.
    mutating func settle(outboxMax: UInt16) -> Actions {
        var actions = Actions()
        if phase == .open, hasEnded, inbox.isEmpty, outbox.isEmpty, awaited == 0, !isSending { phase = .closing }
        switch phase {
        case .free: break
        case .open:
            if !isSending, !outbox.isEmpty {
                isSending = true
                actions.insert(.send)
            }
            let isFull = outbox.count >= outboxMax
            if isFull, isReceiving, !isReceiveCancelled {
                isReceiveCancelled = true
                actions.insert(.cancelReceive)
            }
            if !isFull, !isReceiving, !hasEnded, !isStarved, inbox.isEmpty {
                isReceiving = true
                actions.insert(.receive)
            }
        case .closing:
            if isReceiving, !isReceiveCancelled {
                isReceiveCancelled = true
                actions.insert(.cancelReceive)
            }
            if isSending, !isSendCancelled {
                isSendCancelled = true
                actions.insert(.cancelSend)
            }
            if !isReceiving, !isSending { actions.insert(.finish) }
        }
        return actions
    }

    struct Actions: OptionSet, BitwiseCopyable {
        let rawValue: UInt8

        static let receive = Actions(rawValue: 1)
        static let send = Actions(rawValue: 2)
        static let cancelReceive = Actions(rawValue: 4)
        static let cancelSend = Actions(rawValue: 8)
        /// Nothing is in the kernel: the socket is closed, and the row is free.
        static let finish = Actions(rawValue: 16)
    }
}

/// The connections of one worker: rows of a fixed table, more of them than may be open, for those that are being closed.
struct NameConnectionTable: ~Copyable {
    /// Open at once; for one more, the one that has been idle for longest is closed.
    let openMax: Int
    private var rows: FixedTable<NameConnection>
    private var freeSlots: RingQueue<UInt32>
    private var touched = 0
    private(set) var openCount = 0
    /// Those that are being closed among them.
    private(set) var active = 0

    init(openMax: Int) {
        self.openMax = openMax
        rows = FixedTable(zeroedCapacity: 2 * openMax)
        freeSlots = RingQueue(capacity: 2 * openMax)
    }

    subscript(slot: UInt32) -> NameConnection {
        _read { yield rows[Int(slot)] }
        _modify { yield &rows[Int(slot)] }
    }

    /// Slots ever used.
    var touchedSlots: UInt32 { UInt32(touched) }

    func isCurrent(_ token: OperationToken) -> Bool {
        token.slot < touchedSlots && rows[Int(token.slot)].phase != .free
            && rows[Int(token.slot)].generation & OperationToken.generationMask == token.generation
    }

    /// Whether a row is open still for whom it was in that generation.
    func isOpen(_ slot: UInt32, generation: UInt32) -> Bool {
        rows[Int(slot)].phase == .open && rows[Int(slot)].generation == generation
    }

    /// nil when every row is taken.
    mutating func allocate() -> UInt32? {
        let slot: UInt32
        if let free = freeSlots.take() {
            slot = free
        } else {
            guard touched < rows.capacity else { return nil }
            slot = UInt32(touched)
            touched &+= 1
        }
        rows[Int(slot)] = NameConnection(generation: rows[Int(slot)].generation)
        rows[Int(slot)].phase = .open
        active &+= 1
        openCount &+= 1
        return slot
    }

    /// An open one begins to close.
    mutating func noteClosing() { openCount &-= 1 }

    mutating func free(_ slot: UInt32) {
        rows[Int(slot)].phase = .free
        rows[Int(slot)].generation &+= 1
        active &-= 1
        freeSlots.append(slot)
    }

    /// The open one that nothing has moved on for longest.
    var oldest: UInt32? {
        var found: UInt32?
        for slot in 0..<touchedSlots where rows[Int(slot)].phase == .open {
            if let other = found, rows[Int(other)].movedAt <= rows[Int(slot)].movedAt { continue }
            found = slot
        }
        return found
    }
}
