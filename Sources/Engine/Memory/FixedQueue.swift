/// An array of fixed capacity that is filled, read and emptied; its memory is allocated once and never moves.
///
/// One of the few generic types that cross a module border on the hot path, hence public and inlinable: a `package` generic
/// stays unspecialised across modules.
@safe
public struct FixedQueue<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline let base: UnsafeMutablePointer<Element>
    public let capacity: Int
    @usableFromInline var used = 0

    public init(capacity: Int) {
        unsafe base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit { unsafe base.deallocate() }

    @inlinable public var count: Int { used }
    @inlinable public var isEmpty: Bool { used == 0 }
    @inlinable public var room: Int { capacity &- used }

    /// Traps when full: callers keep to the bounds of `Limits`, and a breach is our bug.
    @inlinable public mutating func append(_ element: Element) {
        precondition(used < capacity, "queue is full")
        unsafe (base + used).initialize(to: element)
        used &+= 1
    }

    @inlinable public subscript(index: Int) -> Element {
        precondition(index >= 0 && index < used, "index is out of range")
        return unsafe base[index]
    }

    @inlinable public mutating func removeAll() { used = 0 }

    /// Removes the first `count` elements; the rest keeps its order.
    @inlinable public mutating func removeFirst(_ count: Int) {
        precondition(count >= 0 && count <= used, "more elements than there are")
        used &-= count
        if used > 0 { unsafe base.update(from: base + count, count: used) }
    }
}
