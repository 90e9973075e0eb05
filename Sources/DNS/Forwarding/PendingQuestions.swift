/// A question that an upstream has been asked.
struct PendingQuestion: BitwiseCopyable {
    var isActive = false
    /// Drawn anew for each attempt.
    var id: UInt16 = 0
    var question = Question.none
    var group: UInt16 = 0
    /// Who is asked now, and who was before: one bit for each server of the group.
    var server: UInt16 = 0
    var tried: UInt16 = 0
    var attempts: UInt8 = 0
    var transport = QueryTransport.udp
    /// Without OPT, as an upstream did not understand it.
    var isPlain = false
    /// Nobody waits for it: it is to find out whether a server is up again.
    var isProbe = false
    /// What upstreams have refused it with; nil where none has replied.
    var refusal: UInt16?
    /// When the attempt under way was made.
    var askedAt: UInt64 = 0
    /// When its clients are to be told that there is no answer.
    var deadline: UInt64 = 0
    /// Plus 1; 0 for none.
    var firstWaiter: UInt32 = 0
    var lastWaiter: UInt32 = 0
    var nextInBucket: UInt32 = 0
}

/// A client that waits for the answer.
struct Waiter: BitwiseCopyable {
    var asker: Asker
    var form: ReplyForm
    var question = Question.none
    /// Of an alias to which the answer is appended: where its reply is kept, plus 1, how long that is, and where the target stands in it.
    var alias: UInt32 = 0
    var aliasLength: UInt32 = 0
    var target: UInt32 = 0
    /// Plus 1.
    var next: UInt32 = 0
}

/// Questions under way and who waits for them, in fixed numbers; found by the question, so that one that is asked already is joined.
struct PendingQuestions: ~Copyable {
    /// Replies with an alias that wait for what comes behind it, and bytes of each.
    static let aliasesMax = 64
    static let aliasBytesMax = 1232
    private static let nameBytes = DomainName.lengthMax + 1

    let capacity: Int
    private var rows: [PendingQuestion] = []
    private(set) var names: [UInt8] = []
    private var freeRows: [UInt32] = []
    private var waiters: [Waiter] = []
    private var freeWaiters: [UInt32] = []
    private var buckets: [UInt32]
    private let bucketMask: Int
    private var aliases: [UInt8]
    private var freeAliases: UInt64 = .max
    /// Rows in use, and clients that wait.
    private(set) var active = 0
    private(set) var waiting = 0

    /// - Parameter capacity: of questions, and of clients that wait for one.
    init(capacity: Int) {
        self.capacity = capacity
        var count = 1
        while count < capacity { count *= 2 }
        bucketMask = count - 1
        buckets = [UInt32](repeating: 0, count: count)
        aliases = []
        // What is reserved here is taken into use as far as it is needed, and never grows.
        rows.reserveCapacity(capacity)
        names.reserveCapacity(capacity * Self.nameBytes)
        freeRows.reserveCapacity(capacity)
        waiters.reserveCapacity(capacity)
        freeWaiters.reserveCapacity(capacity)
        aliases.reserveCapacity(Self.aliasesMax * Self.aliasBytesMax)
    }

    subscript(row: UInt32) -> PendingQuestion {
        get { rows[Int(row)] }
        set { rows[Int(row)] = newValue }
    }

    subscript(waiter waiter: UInt32) -> Waiter { waiters[Int(waiter)] }

    /// Whether that row is a question under way.
    func isActive(_ row: UInt32) -> Bool { Int(row) < rows.count && rows[Int(row)].isActive }

    var hasRoom: Bool { active < capacity && waiting < capacity }

    func find(_ question: Question, name: Span<UInt8>) -> UInt32? {
        var link = buckets[bucket(question)]
        while link != 0 {
            let row = link - 1
            if rows[Int(row)].question == question, has(name, row) { return row }
            link = rows[Int(row)].nextInBucket
        }
        return nil
    }

    /// Takes in a question; nil where there is no room. A probe is not found by others.
    ///
    /// - Parameter name: in lower case.
    mutating func insert(_ pending: PendingQuestion, name: Span<UInt8>) -> UInt32? {
        guard active < capacity else { return nil }
        var row = UInt32(rows.count)
        if let free = freeRows.popLast() {
            row = free
        } else {
            rows.append(PendingQuestion())
            names.append(contentsOf: repeatElement(0, count: Self.nameBytes))
        }
        let start = Int(row) * Self.nameBytes
        for index in 0..<name.count { names[start + index] = name[index] }
        rows[Int(row)] = pending
        rows[Int(row)].isActive = true
        if !pending.isProbe {
            let bucket = bucket(pending.question)
            rows[Int(row)].nextInBucket = buckets[bucket]
            buckets[bucket] = row + 1
        }
        active += 1
        return row
    }

    /// Where a question's name stands in `names`, in lower case.
    func nameRange(_ row: UInt32) -> Range<Int> {
        let start = Int(row) * Self.nameBytes
        return start..<start + rows[Int(row)].question.nameLength
    }

    /// It is over; nobody waits any more.
    mutating func remove(_ row: UInt32) {
        let pending = rows[Int(row)]
        precondition(pending.isActive && pending.firstWaiter == 0, "a question ends that clients wait for")
        if !pending.isProbe {
            let bucket = bucket(pending.question)
            if buckets[bucket] == row + 1 {
                buckets[bucket] = pending.nextInBucket
            } else {
                var link = buckets[bucket]
                while rows[Int(link - 1)].nextInBucket != row + 1 { link = rows[Int(link - 1)].nextInBucket }
                rows[Int(link - 1)].nextInBucket = pending.nextInBucket
            }
        }
        rows[Int(row)].isActive = false
        freeRows.append(row)
        active -= 1
    }

    private func bucket(_ question: Question) -> Int { Int(truncatingIfNeeded: question.hash) & bucketMask }

    private func has(_ name: Span<UInt8>, _ row: UInt32) -> Bool {
        let start = Int(row) * Self.nameBytes
        for index in 0..<name.count where names[start + index] != name[index].lowercased { return false }
        return true
    }

    // MARK: - Who waits

    /// Puts a client behind those that wait for a question; there is room for it.
    mutating func append(_ waiter: Waiter, to row: UInt32) {
        var place = UInt32(waiters.count)
        if let free = freeWaiters.popLast() {
            place = free
            waiters[Int(place)] = waiter
        } else {
            waiters.append(waiter)
        }
        waiters[Int(place)].next = 0
        let last = rows[Int(row)].lastWaiter
        if last == 0 { rows[Int(row)].firstWaiter = place + 1 } else { waiters[Int(last - 1)].next = place + 1 }
        rows[Int(row)].lastWaiter = place + 1
        waiting += 1
    }

    /// Takes the first client that waits for a question; of those by UDP alone, if so asked.
    mutating func takeWaiter(_ row: UInt32, ofDatagramsOnly: Bool) -> Waiter? {
        var previous: UInt32 = 0
        var link = rows[Int(row)].firstWaiter
        while ofDatagramsOnly, link != 0, waiters[Int(link - 1)].asker.transport == .tcp {
            previous = link
            link = waiters[Int(link - 1)].next
        }
        guard link != 0 else { return nil }
        let waiter = waiters[Int(link - 1)]
        if previous == 0 { rows[Int(row)].firstWaiter = waiter.next } else { waiters[Int(previous - 1)].next = waiter.next }
        if rows[Int(row)].lastWaiter == link { rows[Int(row)].lastWaiter = previous }
        freeWaiters.append(link - 1)
        waiting -= 1
        return waiter
    }

    /// Whether somebody waits who has asked by TCP.
    func hasStreams(_ row: UInt32) -> Bool {
        var link = rows[Int(row)].firstWaiter
        while link != 0 {
            if waiters[Int(link - 1)].asker.transport == .tcp { return true }
            link = waiters[Int(link - 1)].next
        }
        return false
    }

    /// Keeps a reply with an alias; nil where there is no room for it.
    mutating func keepAlias(_ reply: Span<UInt8>) -> UInt32? {
        guard freeAliases != 0, reply.count <= Self.aliasBytesMax else { return nil }
        let place = freeAliases.trailingZeroBitCount
        freeAliases &= ~(1 << UInt64(place))
        let start = place * Self.aliasBytesMax
        if aliases.count < start + Self.aliasBytesMax {
            aliases.append(contentsOf: repeatElement(0, count: start + Self.aliasBytesMax - aliases.count))
        }
        for index in 0..<reply.count { aliases[start + index] = reply[index] }
        return UInt32(place + 1)
    }

    /// Copies a waiter's reply with the alias, which is not kept any longer.
    mutating func takeAlias(_ waiter: Waiter, into reply: inout MutableSpan<UInt8>) {
        let start = Int(waiter.alias - 1) * Self.aliasBytesMax
        reply.copy(aliases.span.extracting(start..<start + Int(waiter.aliasLength)), at: 0)
        freeAliases |= 1 << UInt64(waiter.alias - 1)
    }
}
