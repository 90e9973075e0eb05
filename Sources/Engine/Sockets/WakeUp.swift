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
}
