/// Bytes on their way to one socket: a chain of buffers, linked through the pool's records. A plain value of 12 bytes.
package struct ByteQueue: BitwiseCopyable, Sendable {
    package private(set) var head = BufferID.none
    private var tail = BufferID.none
    /// Buffers in the chain.
    package private(set) var count: UInt16 = 0
    /// Unsent bytes in the chain.
    package private(set) var bytes: UInt32 = 0

    /// A send gathers at most this many buffers.
    package static let gatherMax: UInt16 = 16

    package init() {}

    package var isEmpty: Bool { count == 0 }

    /// Unsent bytes of the first buffer; 0 where there is none.
    package func firstBytes(in pool: BufferPool) -> Int { count == 0 ? 0 : pool.unsentCount(of: head) }

    /// Takes over a buffer whose first `length` bytes, at least one, are to be sent.
    package mutating func append(_ buffer: BufferID, length: Int, in pool: BufferPool) {
        precondition(length > 0 && length <= pool.bufferSize, "a queued buffer holds at least one byte")
        pool[buffer] = BufferPool.Record(next: .none, offset: 0, length: UInt16(truncatingIfNeeded: length))
        if count == 0 {
            head = buffer
        } else {
            pool[tail].next = buffer
        }
        tail = buffer
        count &+= 1
        bytes &+= UInt32(truncatingIfNeeded: length)
    }

    /// The same at the head, before what is queued already. No send of the queue may be pending.
    package mutating func prepend(_ buffer: BufferID, length: Int, in pool: BufferPool) {
        precondition(length > 0 && length <= pool.bufferSize, "a queued buffer holds at least one byte")
        pool[buffer] = BufferPool.Record(next: head, offset: 0, length: UInt16(truncatingIfNeeded: length))
        if count == 0 { tail = buffer }
        head = buffer
        count &+= 1
        bytes &+= UInt32(truncatingIfNeeded: length)
    }

    /// Copies bytes into buffers of the pool and puts them before what is queued. False, and nothing is done, where the pool has
    /// not enough buffers. No send of the queue may be pending.
    package mutating func prepend(_ source: [UInt8], count length: Int, in pool: BufferPool) -> Bool {
        guard pool.freeCount >= (length + pool.bufferSize - 1) / pool.bufferSize else { return false }
        var end = length
        while end > 0 {
            let part = (end - 1) % pool.bufferSize + 1
            guard let buffer = pool.take() else { preconditionFailure("a free buffer is not there") }
            pool.fill(buffer, at: 0, from: source, at: end - part, count: part)
            prepend(buffer, length: part, in: pool)
            end -= part
        }
        return true
    }

    /// Copies bytes of a table into buffers of the pool, behind what is queued. False, and nothing is done, where the pool has not enough
    /// buffers.
    package mutating func append(_ source: borrowing FixedTable<UInt8>, count length: Int, in pool: BufferPool) -> Bool {
        guard pool.freeCount >= (length + pool.bufferSize - 1) / pool.bufferSize else { return false }
        var position = 0
        while position < length {
            let part = min(pool.bufferSize, length - position)
            guard let buffer = pool.take() else { preconditionFailure("a free buffer is not there") }
            pool.fill(buffer, from: source, at: position, count: part)
            append(buffer, length: part, in: pool)
            position += part
        }
        return true
    }

    /// Copies the first bytes of the queue, as many as there are and `target` has room for; answers how many.
    package func copyFirst(to target: inout [UInt8], from pool: BufferPool) -> Int {
        var copied = 0
        var buffer = head
        for _ in 0..<count {
            let part = min(pool.unsentCount(of: buffer), target.count - copied)
            if part == 0 { break }
            pool.copyUnsent(of: buffer, skipping: 0, count: part, to: &target, at: copied)
            copied += part
            buffer = pool.next(after: buffer)
        }
        return copied
    }

    /// Drops the first `length` bytes, which the kernel has taken, and releases the buffers they filled.
    package mutating func consume(_ length: Int, in pool: BufferPool) {
        precondition(length >= 0 && length <= Int(bytes), "more bytes were sent than were queued")
        bytes &-= UInt32(truncatingIfNeeded: length)
        var left = length
        while left > 0 {
            var record = pool[head]
            if left < Int(record.length) {
                record.offset &+= UInt16(truncatingIfNeeded: left)
                record.length &-= UInt16(truncatingIfNeeded: left)
                pool[head] = record
                return
            }
            left &-= Int(record.length)
            pool.release(head)
            head = record.next
            count &-= 1
        }
        if count == 0 { tail = .none }
    }

    /// Releases everything. No send of these buffers may be pending.
    package mutating func removeAll(in pool: BufferPool) {
        consume(Int(bytes), in: pool)
    }
}
