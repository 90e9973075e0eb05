import Glibc

/// A buffer of the pool by number.
package struct BufferID: BitwiseCopyable, Hashable, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    /// No buffer.
    package static let none = BufferID(rawValue: .max)
}

/// Buffers of one size, of one worker. Memory is mapped once, touched as use rises, and reused last in, first out, so that
/// the buffers in use are the ones in the cache.
///
/// Thread: the worker's. Full: `take()` answers nil, and receives end with ENOBUFS until something is released.
@safe
package final class BufferPool {
    /// Bytes in a buffer; at most 65,535.
    package let bufferSize: Int
    /// Buffers in all; at most 65,535.
    package let capacity: Int
    private let bytes: UnsafeMutableRawPointer
    private let records: UnsafeMutablePointer<Record>
    private let free: UnsafeMutablePointer<UInt16>
    private var freeStacked = 0
    private var touched = 0

    /// Which bytes of a buffer are still to be sent, and the next buffer of the queue it stands in.
    struct Record {
        var next: BufferID
        var offset: UInt16
        var length: UInt16
    }

    package init(bufferSize: Int, capacity: Int) {
        precondition((1...65_535).contains(bufferSize) && (1...65_535).contains(capacity), "a buffer is named by 16 bits")
        self.bufferSize = bufferSize
        self.capacity = capacity
        unsafe bytes = mapZeroed(bufferSize * capacity)
        unsafe records = mapZeroed(capacity * MemoryLayout<Record>.stride).bindMemory(to: Record.self, capacity: capacity)
        unsafe free = mapZeroed(capacity * MemoryLayout<UInt16>.stride).bindMemory(to: UInt16.self, capacity: capacity)
    }

    deinit {
        unsafe munmap(bytes, bufferSize * capacity)
        unsafe munmap(records, capacity * MemoryLayout<Record>.stride)
        unsafe munmap(free, capacity * MemoryLayout<UInt16>.stride)
    }

    /// Buffers that `take()` can still give.
    package var freeCount: Int { freeStacked &+ (capacity &- touched) }

    /// A free buffer, the one released last first; nil when there is none.
    package func take() -> BufferID? {
        if freeStacked > 0 {
            freeStacked &-= 1
            return BufferID(rawValue: unsafe free[freeStacked])
        }
        guard touched < capacity else { return nil }
        touched &+= 1
        return BufferID(rawValue: UInt16(truncatingIfNeeded: touched &- 1))
    }

    /// Gives a buffer back. It must have been taken and be in no queue.
    package func release(_ buffer: BufferID) {
        precondition(Int(buffer.rawValue) < touched && freeStacked < touched, "a buffer is released that was not taken")
        unsafe free[freeStacked] = buffer.rawValue
        freeStacked &+= 1
    }

    /// Calls `body` with every buffer that was taken once and given back since; for the audit of simulated drivers.
    package func forEachReleased(_ body: (BufferID) -> Void) {
        for position in 0..<freeStacked { body(BufferID(rawValue: unsafe free[position])) }
    }

    /// The bytes of a buffer, for a driver to fill or read. Valid for as long as the pool lives.
    func address(of buffer: BufferID) -> UnsafeMutableRawPointer {
        unsafe bytes + Int(buffer.rawValue) &* bufferSize
    }

    /// Copies the unsent bytes of a buffer out; for tests and for simulated peers, not for the hot path.
    package func copyBytes(of buffer: BufferID) -> [UInt8] {
        let record = self[buffer]
        let start = unsafe address(of: buffer) + Int(record.offset)
        return unsafe Array(UnsafeRawBufferPointer(start: start, count: Int(record.length)))
    }

    /// Fills a buffer that was taken with `data`, at most `bufferSize` bytes; for tests and simulated drivers.
    package func fill(_ buffer: BufferID, with data: some Collection<UInt8>) {
        precondition(data.count <= bufferSize, "more bytes than a buffer holds")
        let target = unsafe UnsafeMutableRawBufferPointer(start: address(of: buffer), count: bufferSize)
        unsafe target.copyBytes(from: data)
    }

    /// The buffer that follows in the same queue.
    package func next(after buffer: BufferID) -> BufferID { self[buffer].next }

    subscript(buffer: BufferID) -> Record {
        get {
            precondition(Int(buffer.rawValue) < capacity, "no such buffer")
            return unsafe records[Int(buffer.rawValue)]
        }
        set {
            precondition(Int(buffer.rawValue) < capacity, "no such buffer")
            unsafe records[Int(buffer.rawValue)] = newValue
        }
    }
}
