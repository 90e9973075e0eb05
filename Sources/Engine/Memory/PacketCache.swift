import CLinux
import Glibc

/// Replies that were given to messages, to be given again: one comparison and one copy in place of finding out. For one thread, of fixed
/// size, and nothing in it is older than the last `forget`.
///
/// Messages begin with an id of two bytes, which their reply repeats; everything behind it has to be the same. What doesn't fit is not
/// kept. Rows stand in sets of four, of which a message has its first choice and takes another where that is taken.
///
///     row: version (4) · hash (4) · note (4) · bytes of the message, of the reply (2 each) · message · reply, both without their ids
@safe
package struct PacketCache: ~Copyable {
    /// Bytes of a row; a message and its reply may have 240 together, their ids aside.
    package static let rowBytes = 256
    private static let headerBytes = 16
    private static let setRows = 4
    private static let idBytes = 2

    @unsafe private struct Row {
        var version: UInt32
        var hash: UInt32
        var note: UInt32
        var messageBytes: UInt16
        var replyBytes: UInt16
    }

    private let rows: Int
    private let base: UnsafeMutableRawPointer
    /// Rows of other versions are empty; zeroed memory is of version 0.
    private var version: UInt32 = 1

    /// - Parameter rows: a power of two, or 0 where nothing is ever kept. Memory is touched only as far as rows are used.
    package init(rows: Int) {
        precondition(rows == 0 || rows >= Self.setRows && rows & (rows - 1) == 0, "rows must be a power of two")
        self.rows = rows
        unsafe base = mapZeroed(max(1, rows) * Self.rowBytes)
    }

    deinit { unsafe munmap(base, max(1, rows) * Self.rowBytes) }

    /// Empties it.
    package mutating func forget() {
        version &+= 1
        guard version == 0 else { return }
        // After four thousand million of them versions begin anew: no row may be left of the one that had the number first.
        unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: rows * Self.rowBytes)
        version = 1
    }

    /// Begins to fetch what `find` will look at first, without waiting for it.
    package func prefetch(_ hash: UInt64) {
        guard rows > 0 else { return }
        let row = unsafe row(hash, 0)
        unsafe ringway_prefetch(row)
        unsafe ringway_prefetch(row + 64)
        unsafe ringway_prefetch(row + 128)
    }

    /// Writes the reply to a message, if it is there.
    ///
    /// - Parameters:
    ///   - hash: the message's.
    ///   - reply: room for `rowBytes`.
    /// - Returns: its length, and the note that was kept with it.
    package func find(_ message: Span<UInt8>, _ hash: UInt64, into reply: inout MutableSpan<UInt8>) -> (length: Int, note: UInt32)? {
        guard rows > 0, message.count > Self.idBytes else { return nil }
        precondition(reply.count >= Self.rowBytes, "no room for a reply")
        for choice in 0..<Self.setRows {
            let place = unsafe row(hash, choice)
            let row = unsafe place.load(as: Row.self)
            guard unsafe row.version == version, unsafe row.hash == UInt32(truncatingIfNeeded: hash),
                unsafe Int(row.messageBytes) == message.count &- Self.idBytes
            else { continue }
            let isSame = unsafe message.withUnsafeBytes {
                unsafe memcmp($0.baseAddress! + Self.idBytes, place + Self.headerBytes, Int(row.messageBytes)) == 0
            }
            guard isSame else { continue }
            let length = unsafe Int(row.replyBytes)
            unsafe reply.withUnsafeMutableBytes {
                unsafe ($0.baseAddress! + Self.idBytes).copyMemory(
                    from: place + Self.headerBytes + Int(row.messageBytes), byteCount: length)
            }
            reply[0] = message[0]
            reply[1] = message[1]
            return unsafe (length &+ Self.idBytes, row.note)
        }
        return nil
    }

    /// Keeps a reply, in place of another where there is no empty row for it.
    ///
    /// - Parameter hash: the message's.
    package mutating func keep(_ reply: Span<UInt8>, to message: Span<UInt8>, _ hash: UInt64, note: UInt32) {
        guard rows > 0, message.count > Self.idBytes, reply.count > Self.idBytes else { return }
        let (messageBytes, replyBytes) = (message.count &- Self.idBytes, reply.count &- Self.idBytes)
        guard messageBytes &+ replyBytes <= Self.rowBytes &- Self.headerBytes else { return }
        var choice = 0
        while choice < Self.setRows, unsafe row(hash, choice).load(as: Row.self).version == version { choice &+= 1 }
        // In a full set the first choice goes.
        let place = unsafe row(hash, choice < Self.setRows ? choice : 0)
        unsafe place.storeBytes(
            of: Row(
                version: version, hash: UInt32(truncatingIfNeeded: hash), note: note, messageBytes: UInt16(messageBytes),
                replyBytes: UInt16(replyBytes)), as: Row.self)
        unsafe message.withUnsafeBytes {
            unsafe (place + Self.headerBytes).copyMemory(from: $0.baseAddress! + Self.idBytes, byteCount: messageBytes)
        }
        unsafe reply.withUnsafeBytes {
            unsafe (place + Self.headerBytes + messageBytes).copyMemory(from: $0.baseAddress! + Self.idBytes, byteCount: replyBytes)
        }
    }

    /// Where a message of that hash may be; choices are 0 to 3.
    private func row(_ hash: UInt64, _ choice: Int) -> UnsafeMutableRawPointer {
        let first = Int(truncatingIfNeeded: hash >> 32) & (rows &- 1)
        let number = first & ~(Self.setRows &- 1) | (first &+ choice) & (Self.setRows &- 1)
        return unsafe base + number &* Self.rowBytes
    }

    /// Of all but the id. Whoever chooses messages may choose which of them share a set; they displace one another then, and that is all.
    package static func hash(_ message: Span<UInt8>) -> UInt64 {
        unsafe message.withUnsafeBytes { bytes in
            var state: UInt64 = 0x2545_f491_4f6c_dd1d &+ UInt64(bytes.count)
            var offset = idBytes
            while offset &+ 8 <= bytes.count {
                state = unsafe mix(state, bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                offset &+= 8
            }
            if offset < bytes.count, offset >= 8 {
                // The last eight bytes, some of them for the second time.
                state = unsafe mix(state, bytes.loadUnaligned(fromByteOffset: bytes.count &- 8, as: UInt64.self))
            } else {
                for index in offset..<max(offset, bytes.count) { state = unsafe mix(state, UInt64(bytes[index])) }
            }
            return mix(state, 0x8ebc_6af0_9c88_c6e3)
        }
    }

    private static func mix(_ state: UInt64, _ word: UInt64) -> UInt64 {
        let product = (state ^ word).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        return product.high ^ product.low
    }
}
