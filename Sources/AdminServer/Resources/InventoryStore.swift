package import ControlPlane
internal import Synchronization

/// The inventory of now, and whoever waits for the next one. The control loop writes, for the price of a lock; all reading is done by those
/// who ask.
package final class InventoryStore: Sendable {
    private struct State {
        var inventory = Inventory()
        var watchers: [UInt64: AsyncStream<Void>.Continuation] = [:]
        var next: UInt64 = 0
    }

    /// Each has a connection and a copy of what it has been told.
    static let watchersMax = 64

    private let state = Mutex(State())

    package init() {}

    package var inventory: Inventory { state.withLock { $0.inventory } }

    package func update(_ change: (inout Inventory) -> Void) {
        state.withLock { state in
            change(&state.inventory)
            for watcher in state.watchers.values { watcher.yield() }
        }
    }

    /// Signals at once, and with each change; signals that nobody has taken are one. Nil where too many watch.
    func watch() -> (signals: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)? {
        let (signals, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state -> UInt64? in
            guard state.watchers.count < Self.watchersMax else { return nil }
            state.next += 1
            state.watchers[state.next] = continuation
            return state.next
        }
        guard let number else { return nil }
        // Not under the lock: it is called by whoever ends the stream, and takes the lock.
        continuation.onTermination = { [self] _ in state.withLock { _ = $0.watchers.removeValue(forKey: number) } }
        continuation.yield()
        return (signals, continuation)
    }

    /// Nobody is told anything more.
    func endWatches() {
        for watcher in state.withLock({ Array($0.watchers.values) }) { watcher.finish() }
    }
}
