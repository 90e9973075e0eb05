package import Addressing
package import Engine
package import Routing
import Synchronization

/// What the control side tells a worker.
package enum WorkerCommand: Sendable {
    /// Serve these frontends in addition, put these groups in place of older ones, close these.
    case apply(
        open: [ServedFrontend], replace: [ServedFrontend], close: [FrontendKey], acknowledge: @Sendable (WorkerReply) -> Void)
    /// Answer queries by this zone; the first one opens the sockets for them. The answer: those that could not be opened.
    case serveNames(ZoneHandover, acknowledge: @Sendable ([(socket: Int, errno: Int32)]) -> Void)
    /// Reset the connections that are counted in these rows, once so many nanoseconds have passed: their Services are no more.
    case resetDeleted([(serviceRow: Int, after: UInt64)])
    /// Leave the connections of these rows alone: they have Services again.
    case spare([Int])
    /// Close every listener; go on with the connections.
    case stopAccepting
    /// Reset every connection.
    case resetAll
    /// End the loop.
    case stop
}

/// A worker's answer to `WorkerCommand.apply`.
package struct WorkerReply: Sendable {
    /// Frontends that could not be opened, each with the errno.
    package var failures: [(key: FrontendKey, errno: Int32)] = []
    /// Sockets that were opened for frontends to share, by their address: their numbers, for the kernel to lead connections there.
    package var shared: [(home: SocketAddress, descriptor: Int32)] = []
    /// Frontends that are no longer in use; carried here so that they are released off the worker's thread.
    package var retired: [ServedFrontend] = []

    package init() {}
}

/// The one way into a worker: commands under a mutex in a ring of fixed size, and the engine's wake-up.
package final class Mailbox: Sendable {
    private static let capacity = 64

    private struct Ring {
        var commands: [WorkerCommand?]
        var head = 0
        var count = 0
    }

    private let ring = Mutex(Ring(commands: Array(repeating: nil, count: Mailbox.capacity)))
    private let wakeUp: WakeUp

    package init(wakeUp: WakeUp) { self.wakeUp = wakeUp }

    /// Leaves a command and wakes the worker. False when the ring is full: the sender waits for acknowledgements first.
    package func post(_ command: WorkerCommand) -> Bool {
        let isPosted = ring.withLock { ring in
            guard ring.count < Self.capacity else { return false }
            ring.commands[(ring.head + ring.count) % Self.capacity] = command
            ring.count += 1
            return true
        }
        if isPosted { wakeUp.signal() }
        return isPosted
    }

    /// Takes the oldest command. The worker's thread.
    func take() -> WorkerCommand? {
        ring.withLock { ring in
            guard ring.count > 0 else { return nil }
            let command = ring.commands[ring.head]
            ring.commands[ring.head] = nil
            ring.head = (ring.head + 1) % Self.capacity
            ring.count -= 1
            return command
        }
    }
}
