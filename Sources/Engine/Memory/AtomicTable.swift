import CLinux
import Glibc

/// 64-bit cells that any thread may read and change; all of them begin as 0, and memory is touched only where they are used.
///
/// Each cell is by itself: nothing is ordered between two of them. A change locks a line of the cache, so this is for what
/// rarely changes; what each worker counts for itself belongs in a `CounterTable`.
// Safety: every access to a cell is one atomic operation.
@safe
package final class AtomicTable: @unchecked Sendable {
    package let count: Int
    private let cells: UnsafeMutablePointer<UInt64>

    package init(count: Int) {
        self.count = count
        unsafe cells = mapZeroed(count * 8).bindMemory(to: UInt64.self, capacity: count)
    }

    deinit { unsafe munmap(cells, count * 8) }

    package func load(_ index: Int) -> UInt64 { unsafe ringway_load_relaxed(cell(index)) }

    package func store(_ value: UInt64, at index: Int) { unsafe ringway_store_relaxed(cell(index), value) }

    /// Adds to a cell; what is above the greatest number begins again at 0.
    package func add(_ amount: UInt64, at index: Int) { _ = unsafe ringway_fetch_add(cell(index), amount) }

    /// Stores `desired` where `expected` is still found.
    ///
    /// - Returns: whether it was.
    package func compareExchange(_ index: Int, expected: UInt64, desired: UInt64) -> Bool {
        unsafe ringway_compare_exchange(cell(index), expected, desired)
    }

    private func cell(_ index: Int) -> UnsafeMutablePointer<UInt64> {
        precondition(index >= 0 && index < count, "no such cell")
        return unsafe cells + index
    }
}
