import CLinux
import Glibc

/// An eventfd that ends a worker's wait from another thread.
// Safety: the descriptor is a constant and write(2) on an eventfd is atomic.
package final class WakeUp: @unchecked Sendable {
    private let owned: OwnedDescriptor

    package init() {
        guard let owned = OwnedDescriptor(eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))) else {
            fatalError("eventfd: errno \(errno)")
        }
        self.owned = owned
    }

    var descriptor: Int32 { owned.rawValue }

    /// Wakes the worker. Any thread; signals that come before the worker looks are one.
    package func signal() {
        var one: UInt64 = 1
        _ = unsafe Glibc.write(owned.rawValue, &one, 8)
    }

    /// Takes the signals seen so far. The worker's thread only.
    func clear() {
        var count: UInt64 = 0
        _ = unsafe Glibc.read(owned.rawValue, &count, 8)
    }

    /// Takes the signals seen so far, or waits up to `milliseconds` for one; false when there was none. For drivers that have
    /// no kernel to wait in. The worker's thread only.
    package func wait(milliseconds: Int32) -> Bool {
        var count: UInt64 = 0
        if unsafe Glibc.read(owned.rawValue, &count, 8) == 8 { return true }
        guard milliseconds > 0 else { return false }
        var interest = pollfd(fd: owned.rawValue, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&interest, 1, milliseconds) == 1 else { return false }
        return unsafe Glibc.read(owned.rawValue, &count, 8) == 8
    }
}
