import DNS
import Engine

/// A socket to an upstream name server, for one attempt to have one question answered.
///
/// ```
///  UDP: opened, watched, sent ─► open ───────────────► closing ─► nothing of it in the kernel: closed, slot free, generation + 1
///  TCP: opened ─► connecting ─► sending, receiving ──►
/// ```
/// Each attempt has a socket, and so a port, of its own, which the kernel draws, and is connected: nobody else is heard, and ICMP is. So a
/// stranger has to guess the id, the port and the server, all at once and within the time of one reply (RFC 5452).
struct QuestionSocket: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable { case free, open, closing }

    var generation: UInt32
    var phase = Phase.free
    var transport = QueryTransport.udp
    /// What is in the kernel.
    var isWatching = false
    var isConnecting = false
    var isSending = false
    var isReceiving = false
    var socket = SocketID.none
    /// The row of the question.
    var question: UInt32 = 0
    /// Of TCP: what is to be sent, what has come.
    var outbox = ByteQueue()
    var inbox = ByteQueue()
    /// Octets of the reply, as far as the two that say so have come.
    private(set) var expected: UInt32 = 0
    private var lengthOctets: UInt8 = 0

    init(generation: UInt32) { self.generation = generation }

    var isPending: Bool { isWatching || isConnecting || isSending || isReceiving }

    /// Takes the length that stands before a reply, as soon as it is there (RFC 1035, 4.2.2).
    ///
    /// - Returns: whether the reply behind it has come whole.
    mutating func takeLength(in pool: BufferPool, through bytes: inout FixedTable<UInt8>) -> Bool {
        while lengthOctets < 2, !inbox.isEmpty {
            pool.copyUnsent(of: inbox.head, count: 1, to: &bytes, at: 0)
            inbox.consume(1, in: pool)
            expected = expected << 8 | UInt32(bytes[0])
            lengthOctets += 1
        }
        return lengthOctets == 2 && inbox.bytes >= expected
    }
}

/// The sockets of one worker; more rows than questions, for those that are being closed.
struct QuestionSocketTable: ~Copyable {
    private var rows: FixedTable<QuestionSocket>
    private var slots: SlotList
    /// By question: the socket of its attempt, plus 1.
    private var ofQuestions: FixedTable<UInt32>

    init(questionsMax: Int) {
        rows = FixedTable(zeroedCapacity: 2 * questionsMax)
        slots = SlotList(capacity: 2 * questionsMax)
        ofQuestions = FixedTable(zeroedCapacity: questionsMax)
    }

    var capacity: Int { rows.capacity }
    var active: Int { slots.active }
    var touched: UInt32 { slots.touched }

    subscript(slot: UInt32) -> QuestionSocket {
        _read { yield rows[Int(slot)] }
        _modify { yield &rows[Int(slot)] }
    }

    func isCurrent(_ token: OperationToken) -> Bool {
        token.slot < touched && rows[Int(token.slot)].phase != .free && rows[Int(token.slot)].generation == token.generation
    }

    /// Takes over an open socket for a question; nil when the table is full.
    mutating func insert(_ socket: SocketID, _ attempt: Attempt) -> UInt32? {
        guard let slot = slots.take() else { return nil }
        rows[Int(slot)] = QuestionSocket(generation: rows[Int(slot)].generation)
        rows[Int(slot)].phase = .open
        rows[Int(slot)].socket = socket
        rows[Int(slot)].question = attempt.question
        rows[Int(slot)].transport = attempt.transport
        ofQuestions[Int(attempt.question)] = slot &+ 1
        return slot
    }

    /// The socket of a question's attempt.
    func slot(of question: UInt32) -> UInt32? {
        let link = ofQuestions[Int(question)]
        return link == 0 ? nil : link &- 1
    }

    /// It is to be closed: its question may have another one.
    mutating func beginClose(_ slot: UInt32) {
        rows[Int(slot)].phase = .closing
        ofQuestions[Int(rows[Int(slot)].question)] = 0
    }

    /// Its socket is closed.
    mutating func free(_ slot: UInt32) {
        precondition(rows[Int(slot)].phase == .closing && !rows[Int(slot)].isPending, "a socket is freed that something is pending on")
        rows[Int(slot)].generation = (rows[Int(slot)].generation &+ 1) & OperationToken.generationMask
        rows[Int(slot)].phase = .free
        slots.release(slot)
    }
}
