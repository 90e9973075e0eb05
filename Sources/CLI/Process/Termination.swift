internal import AdminServer
internal import Synchronization

/// SIGTERM and SIGINT: the first is a request to drain, the second (or one before anything is served) ends the process at once
/// with exit code 128 and the signal's number, as a shell reports it: 143 for SIGTERM, 130 for SIGINT.
///
/// Dispatch delivers on a queue of its own, so an end at once does not depend on the control loop.
final class Termination: Sendable {
    private struct State {
        var requested = false
        var admin: [AdminServer] = []
    }

    private let state = Mutex(State())

    init(status: ProcessStatus, onRequest: @escaping @Sendable (Int32) -> Void) {
        Host.onTermination { [self] number in
            let (again, admin) = state.withLock { state in
                defer { state.requested = true }
                return (state.requested, state.admin)
            }
            if again || status.phase == .starting {
                for server in admin { server.removeSocketFile() }
                Host.exitNow(128 + number)
            }
            onRequest(number)
        }
    }

    /// From now on an end at once removes their socket files.
    func adminServersStarted(_ servers: [AdminServer]) { state.withLock { $0.admin = servers } }
}
