import Glibc
public import Synchronization

/// A ring between two threads: one appends, the other takes, and neither waits. Its memory is mapped once, and touched as it is used.
///
/// On the short list of generic types that are public and inlinable, see `FixedQueue`.
// Safety: a cell is written before the tail that hands it over is stored (release), and read after that tail was loaded (acquire);
// the head does the same for the way back. So no cell is in both hands at once.
@safe
public final class SharedRing<Element: BitwiseCopyable>: @unchecked Sendable {
    @usableFromInline let base: UnsafeMutablePointer<Element>
    public let capacity: Int
    /// Elements ever taken, and ever appended.
    @usableFromInline let head = Atomic<Int>(0)
    @usableFromInline let tail = Atomic<Int>(0)

    /// - Parameter capacity: a power of two.
    public init(capacity: Int) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0, "the capacity is a power of two")
        self.capacity = capacity
        unsafe base = mapZeroed(capacity * MemoryLayout<Element>.stride).bindMemory(to: Element.self, capacity: capacity)
    }

    deinit { unsafe munmap(base, capacity * MemoryLayout<Element>.stride) }

    /// False, and nothing is done, when the ring is full. The appending thread only.
    @inlinable public func append(_ element: Element) -> Bool {
        let tail = tail.load(ordering: .relaxed)
        guard tail &- head.load(ordering: .acquiring) < capacity else { return false }
        unsafe (base + (tail & (capacity &- 1))).initialize(to: element)
        self.tail.store(tail &+ 1, ordering: .releasing)
        return true
    }

    /// The oldest element; nil when there is none. One thread at a time.
    @inlinable public func take() -> Element? {
        let head = head.load(ordering: .relaxed)
        guard head != tail.load(ordering: .acquiring) else { return nil }
        let element = unsafe base[head & (capacity &- 1)]
        self.head.store(head &+ 1, ordering: .releasing)
        return element
    }
}
