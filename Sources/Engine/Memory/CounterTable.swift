import CLinux
import Glibc

/// Counters of one worker: 64-bit cells in rows of equal length, written by the worker alone, read by anybody.
///
/// A read is relaxed: each cell is whole, but two cells need not be of one moment. Rows are handed out by the control side;
/// the memory is touched only where rows are used.
// Safety: every access to a cell is an atomic load or store; the worker is the only writer.
@safe
package final class CounterTable: @unchecked Sendable {
    package let rows: Int
    package let columns: Int
    private let cells: UnsafeMutablePointer<UInt64>

    package init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        unsafe cells = mapZeroed(rows * columns * 8).bindMemory(to: UInt64.self, capacity: rows * columns)
    }

    deinit { unsafe munmap(cells, rows * columns * 8) }

    /// Adds to a cell. The owning worker's thread only.
    @inline(__always)
    package func add(_ amount: UInt64, row: Int, column: Int) {
        let cell = unsafe cells + index(row, column)
        unsafe ringway_store_relaxed(cell, ringway_load_relaxed(cell) &+ amount)
    }

    /// Counts a message of so many bytes: one in each of two columns, and the bytes in a third. The owning worker's thread only.
    package func addMessage(row: Int, column: Int, size sizeColumn: Int, bytes bytesColumn: Int, _ bytes: Int) {
        add(1, row: row, column: column)
        add(1, row: row, column: sizeColumn)
        add(UInt64(bytes), row: row, column: bytesColumn)
    }

    /// Subtracts from a gauge. The owning worker's thread only.
    package func subtract(_ amount: UInt64, row: Int, column: Int) { add(0 &- amount, row: row, column: column) }

    /// Stores a cell. The owning worker's thread only.
    package func set(_ value: UInt64, row: Int, column: Int) { unsafe ringway_store_relaxed(cells + index(row, column), value) }

    /// Reads a cell, from any thread.
    package func read(row: Int, column: Int) -> UInt64 { unsafe ringway_load_relaxed(cells + index(row, column)) }

    private func index(_ row: Int, _ column: Int) -> Int {
        precondition(row >= 0 && row < rows && column >= 0 && column < columns, "no such counter")
        return row &* columns &+ column
    }
}
