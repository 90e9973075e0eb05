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
