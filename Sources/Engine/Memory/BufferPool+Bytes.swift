/// Moving bytes between buffers and plain arrays, with no allocation: what a driver without a kernel needs, and who adds bytes of
/// our own or reads a client's.
extension BufferPool {
    /// Unsent bytes of a buffer that stands in a queue.
    package func unsentCount(of buffer: BufferID) -> Int { Int(self[buffer].length) }

    /// Copies unsent bytes of a buffer, from the `skipped`th on, to `target` at `position`.
    package func copyUnsent(of buffer: BufferID, skipping skipped: Int, count: Int, to target: inout [UInt8], at position: Int) {
        let record = self[buffer]
        precondition(skipped >= 0 && count >= 0 && skipped + count <= Int(record.length), "more bytes than are unsent")
        precondition(position >= 0 && position + count <= target.count, "no room for the bytes")
        let source = unsafe UnsafeRawBufferPointer(start: address(of: buffer) + Int(record.offset) + skipped, count: count)
        unsafe target.withUnsafeMutableBytes { bytes in
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[position..<position + count]).copyMemory(from: source)
        }
    }

    /// Copies the first `count` bytes of a buffer that was taken to `target` at `position`.
    package func copyFirst(of buffer: BufferID, count: Int, to target: inout [UInt8], at position: Int) {
        precondition(Int(buffer.rawValue) < capacity && count >= 0 && count <= bufferSize, "outside the buffer")
        precondition(position >= 0 && position + count <= target.count, "no room for the bytes")
        let source = unsafe UnsafeRawBufferPointer(start: address(of: buffer), count: count)
        unsafe target.withUnsafeMutableBytes { bytes in
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[position..<position + count]).copyMemory(from: source)
        }
    }

    /// Copies unsent bytes of a buffer, from the first on, into a table.
    package func copyUnsent(of buffer: BufferID, count: Int, to bytes: inout FixedTable<UInt8>, at position: Int) {
        let record = self[buffer]
        precondition(count >= 0 && count <= Int(record.length), "more bytes than are unsent")
        precondition(position >= 0 && position <= bytes.capacity &- count, "no room for the bytes")
        unsafe UnsafeMutableRawPointer(bytes.base + position).copyMemory(from: address(of: buffer) + Int(record.offset), byteCount: count)
    }

    /// Copies bytes of a table into a buffer that was taken, at its beginning.
    package func fill(_ buffer: BufferID, from bytes: borrowing FixedTable<UInt8>, at position: Int, count: Int) {
        precondition(Int(buffer.rawValue) < capacity && count >= 0 && count <= bufferSize, "outside the buffer")
        precondition(position >= 0 && position <= bytes.capacity &- count, "bytes outside the table")
        unsafe address(of: buffer).copyMemory(from: bytes.base + position, byteCount: count)
    }

    /// Copies `count` bytes of `source` at `position` into a buffer that was taken, at `offset`.
    package func fill(_ buffer: BufferID, at offset: Int, from source: [UInt8], at position: Int, count: Int) {
        precondition(Int(buffer.rawValue) < capacity && offset >= 0 && count >= 0 && offset + count <= bufferSize, "outside the buffer")
        precondition(position >= 0 && position + count <= source.count, "outside the source")
        let target = unsafe UnsafeMutableRawBufferPointer(start: address(of: buffer) + offset, count: count)
        unsafe source.withUnsafeBytes { bytes in
            unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[position..<position + count]))
        }
    }

    /// A hash of a queued buffer's unsent bytes and where they stand, to find out whether somebody changed them. The link to the
    /// next buffer is not in it: a queue may grow behind what is being sent.
    package func digest(of buffer: BufferID) -> UInt64 {
        let record = self[buffer]
        var state = UInt64(record.offset) << 16 | UInt64(record.length)
        let bytes = unsafe UnsafeRawBufferPointer(start: address(of: buffer) + Int(record.offset), count: Int(record.length))
        var position = 0
        while position + 8 <= bytes.count {
            state = (state ^ (unsafe bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))) &* 0x9e37_79b9_7f4a_7c15
            state ^= state >> 29
            position += 8
        }
        while position < bytes.count {
            state = (state ^ UInt64(unsafe bytes[position])) &* 0x0000_0100_0000_01b3
            position += 1
        }
        return state
    }
}
