/// Answers that may be told again, within a bound of bytes. One worker's.
///
/// ```
///  buckets ──► entry ──► entry (same bucket)        an entry is known by its first block; blocks behind it are a chain
///               │ 512 B of the answer │──►│ the next 512 │
///  oldest ◄──────── by last use ───────► newest     the oldest give way where blocks are short
/// ```
/// Answers stand as upstreams gave them, without OPT and their question in lower case, which is also the key. An entry whose time is
/// over stays for as long as it may be told stale.
struct Cache: ~Copyable {
    /// What an entry tells.
    enum Kind: UInt8, BitwiseCopyable { case success, denial, failure }

    struct Entry: BitwiseCopyable {
        var question: Question
        var kind = Kind.success
        /// Seconds of the worker's clock.
        var storedAt: UInt32 = 0
        var expiresAt: UInt32 = 0
        /// Of the answer, bytes.
        var length: UInt32 = 0
        /// First blocks, plus 1; 0 for none.
        var nextInBucket: UInt32 = 0
        var older: UInt32 = 0
        var newer: UInt32 = 0
    }

    static let blockBytes = 512

    private let blocksMax: Int
    private let bucketMask: Int
    private var buckets: [UInt32]
    private var bytes: [UInt8] = []
    /// By block: the next one of the same answer, or the next free one, plus 1.
    private var next: [UInt32] = []
    /// By first block.
    private var entries: [Entry] = []
    private var free: UInt32 = 0
    private var freeCount = 0
    private var oldest: UInt32 = 0
    private var newest: UInt32 = 0
    private(set) var successes = 0
    private(set) var denials = 0
    private(set) var evictions: UInt64 = 0

    /// - Parameter bytesMax: of answers; below that of one block there is no cache. Touched only as far as it is used.
    init(bytesMax: Int) {
        blocksMax = max(0, bytesMax / Self.blockBytes)
        var count = 1
        while count < blocksMax { count *= 2 }
        bucketMask = count - 1
        buckets = [UInt32](repeating: 0, count: count)
        bytes.reserveCapacity(blocksMax * Self.blockBytes)
        next.reserveCapacity(blocksMax)
        entries.reserveCapacity(blocksMax)
    }

    var count: Int { successes + denials }

    /// The entry of a question, whatever its age.
    ///
    /// - Parameter name: in any case.
    func find(_ question: Question, name: Span<UInt8>) -> UInt32? {
        var link = buckets[bucket(question)]
        while link != 0 {
            let place = Int(link - 1)
            if entries[place].question == question, has(name, at: place) { return link - 1 }
            link = entries[place].nextInBucket
        }
        return nil
    }

    subscript(entry: UInt32) -> Entry { entries[Int(entry)] }

    /// It has been told again.
    mutating func touch(_ entry: UInt32) {
        guard newest != entry + 1 else { return }
        unlink(entry)
        link(entry)
    }

    /// Copies an entry's answer, or its beginning.
    ///
    /// - Parameter most: bytes; the span has room for them.
    /// - Returns: bytes that were copied.
    func copy(_ entry: UInt32, to reply: inout MutableSpan<UInt8>, most: Int = 65_535) -> Int {
        let length = min(most, Int(entries[Int(entry)].length))
        var block = Int(entry)
        var position = 0
        while position < length {
            let part = min(Self.blockBytes, length - position)
            let source = bytes.span.extracting(block * Self.blockBytes..<block * Self.blockBytes + part)
            reply.copy(source, at: position)
            position += part
            block = Int(next[block]) - 1
        }
        return length
    }

    /// Copies an entry's answer into an array of at least its length.
    func copy(_ entry: UInt32, to answer: inout [UInt8]) -> Int {
        var span = answer.mutableSpan
        return copy(entry, to: &span)
    }

    /// Keeps an answer in place of what was known; an answer larger than an eighth of all is not kept.
    ///
    /// - Parameter answer: well-formed, without OPT, its question in lower case.
    mutating func store(_ question: Question, _ kind: Kind, answer: Span<UInt8>, lifetime: UInt32, now: UInt32) {
        let blocks = (answer.count + Self.blockBytes - 1) / Self.blockBytes
        let name = answer.extracting(Query.nameOffset..<Query.nameOffset + question.nameLength)
        if let entry = find(question, name: name) { remove(entry) }
        guard blocks <= blocksMax / 8 else { return }
        while blocksMax - next.count + freeCount < blocks, oldest != 0 {
            remove(oldest - 1)
            evictions += 1
        }
        var first = 0
        var last = 0
        for index in 0..<blocks {
            let block = takeBlock()
            if index == 0 { first = block } else { next[last] = UInt32(block + 1) }
            last = block
            let part = min(Self.blockBytes, answer.count - index * Self.blockBytes)
            for offset in 0..<part { bytes[block * Self.blockBytes + offset] = answer[index * Self.blockBytes + offset] }
        }
        next[last] = 0
        let bucket = bucket(question)
        entries[first] = Entry(
            question: question, kind: kind, storedAt: now, expiresAt: now &+ lifetime, length: UInt32(answer.count),
            nextInBucket: buckets[bucket])
        buckets[bucket] = UInt32(first + 1)
        link(UInt32(first))
        count(kind, 1)
    }

    mutating func remove(_ entry: UInt32) {
        let place = Int(entry)
        unlink(entry)
        count(entries[place].kind, -1)
        let bucket = bucket(entries[place].question)
        if buckets[bucket] == entry + 1 {
            buckets[bucket] = entries[place].nextInBucket
        } else {
            var link = buckets[bucket]
            while entries[Int(link - 1)].nextInBucket != entry + 1 { link = entries[Int(link - 1)].nextInBucket }
            entries[Int(link - 1)].nextInBucket = entries[place].nextInBucket
        }
        var block = entry + 1
        while block != 0 {
            let following = next[Int(block - 1)]
            next[Int(block - 1)] = free
            free = block
            freeCount += 1
            block = following
        }
    }

    private func bucket(_ question: Question) -> Int { Int(truncatingIfNeeded: question.hash) & bucketMask }

    private mutating func count(_ kind: Kind, _ change: Int) {
        if kind == .success { successes += change } else { denials += change }
    }

    private func has(_ name: Span<UInt8>, at place: Int) -> Bool {
        let start = place * Self.blockBytes + Query.nameOffset
        for index in 0..<name.count where bytes[start + index] != name[index].lowercased { return false }
        return true
    }

    private mutating func takeBlock() -> Int {
        guard free == 0 else {
            let block = Int(free - 1)
            free = next[block]
            freeCount -= 1
            return block
        }
        // Within what was reserved: nothing is allocated.
        let block = next.count
        next.append(0)
        entries.append(Entry(question: .none))
        bytes.append(contentsOf: repeatElement(0, count: Self.blockBytes))
        return block
    }

    private mutating func link(_ entry: UInt32) {
        entries[Int(entry)].older = newest
        entries[Int(entry)].newer = 0
        if newest == 0 { oldest = entry + 1 } else { entries[Int(newest - 1)].newer = entry + 1 }
        newest = entry + 1
    }

    private mutating func unlink(_ entry: UInt32) {
        let (older, newer) = (entries[Int(entry)].older, entries[Int(entry)].newer)
        if older == 0 { oldest = newer } else { entries[Int(older - 1)].newer = newer }
        if newer == 0 { newest = older } else { entries[Int(newer - 1)].older = older }
    }
}
