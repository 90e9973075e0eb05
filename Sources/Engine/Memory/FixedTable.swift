import Glibc

/// A table of fixed capacity whose memory is mapped once and never moves. Pages are touched only when a row is used, so a
/// large capacity costs nothing but addresses.
///
/// All rows begin as zero bytes: `Element` must be a type for which these are a value. On the short list of generic types
/// that are public and inlinable, see `FixedQueue`.
@safe
public struct FixedTable<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline let base: UnsafeMutablePointer<Element>
    public let capacity: Int

    public init(zeroedCapacity capacity: Int) {
        let bytes = max(1, capacity) * MemoryLayout<Element>.stride
        unsafe base = mapZeroed(bytes).bindMemory(to: Element.self, capacity: capacity)
        self.capacity = capacity
    }

    deinit { unsafe munmap(base, max(1, capacity) * MemoryLayout<Element>.stride) }

    @inlinable public subscript(index: Int) -> Element {
        _read {
            precondition(index >= 0 && index < capacity, "index is out of range")
            yield unsafe base[index]
        }
        _modify {
            precondition(index >= 0 && index < capacity, "index is out of range")
            yield unsafe &base[index]
        }
    }
}

extension FixedTable where Element == UInt8 {
    /// Calls `body` with some of the bytes.
    package func withBytes(_ range: Range<Int>, _ body: (Span<UInt8>) -> Void) {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "bytes outside the table")
        unsafe body(UnsafeBufferPointer(start: base + range.lowerBound, count: range.count).span)
    }

    /// Calls `body` with some of the bytes, to change them.
    package mutating func withMutableBytes(_ range: Range<Int>, _ body: (inout MutableSpan<UInt8>) -> Void) {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "bytes outside the table")
        let bytes = unsafe UnsafeMutableBufferPointer(start: base + range.lowerBound, count: range.count)
        var span = unsafe bytes.mutableSpan
        body(&span)
    }

    /// Moves bytes to the beginning of a range, from further on in the table.
    package mutating func moveBytes(_ range: Range<Int>, to position: Int) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= capacity && position >= 0 && position <= range.lowerBound, "no such bytes")
        unsafe UnsafeMutableRawPointer(base + position).copyMemory(from: base + range.lowerBound, byteCount: range.count)
    }
}

/// Private zeroed memory from mmap(2), not reserved in advance. Traps when the address space is full.
func mapZeroed(_ bytes: Int) -> UnsafeMutableRawPointer {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let address = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else { fatalError("no memory for a table of \(bytes) bytes") }
    return unsafe address
}
