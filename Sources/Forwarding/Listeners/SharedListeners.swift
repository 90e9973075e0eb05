import Addressing
import Engine
import Routing
import Synchronization

/// Which frontends share a listener, and the kernel's part in it.
///
/// A listener costs each worker a descriptor, 3.6 KB and an accept under way, so there is one for each frontend only up to a number. Of
/// what comes beyond it, TCP ports of cluster IPs share one of each family: these addresses are Services' alone, so nobody else can have a
/// listener there that would be passed over.
final class SharedListeners: Sendable {
    private enum Steering {
        case untried
        case ready(AddressSteering)
        case unavailable(AddressSteering.Unavailable)
    }

    private let ownMax: Int
    private let state = Mutex(Steering.untried)

    init(ownMax: Int) { self.ownMax = ownMax }

    /// Why there is no sharing though it was tried.
    var problem: String? {
        state.withLock { if case .unavailable(let error) = $0 { error.description } else { nil } }
    }

    /// Where a frontend that is to be opened shares a listener; nil for one of its own.
    func home(of frontend: Frontend, ownListeners: Int) -> SocketAddress? {
        guard ownListeners >= ownMax, frontend.origin == .clusterIP, frontend.key.transport == .tcp, !frontend.tellsClientsApart
        else { return nil }
        return state.withLock { state in
            if case .untried = state {
                do throws(AddressSteering.Unavailable) {
                    state = .ready(try AddressSteering(addressesMax: Limits.listenersMax))
                } catch {
                    state = .unavailable(error)
                }
            }
            return if case .ready(let steering) = state { steering.home(frontend.key.address.address.family) } else { nil }
        }
    }

    private var steering: AddressSteering? { state.withLock { if case .ready(let steering) = $0 { steering } else { nil } } }

    /// The workers have opened listeners: one of those at an address stands for all.
    ///
    /// - Returns: the errnos of those that the kernel doesn't take, by their address.
    func lead(to listeners: [(home: SocketAddress, descriptor: Int32)]) -> [SocketAddress: Int32] {
        var failures: [SocketAddress: Int32] = [:]
        for (home, descriptor) in listeners {
            let errno = steering?.lead(home.address.family, to: descriptor) ?? 0
            if errno != 0 { failures[home] = errno }
        }
        return failures
    }

    /// Leads connections for a frontend to the shared listener.
    ///
    /// - Returns: nil, or the errno.
    func start(_ key: FrontendKey) -> Int32? {
        let errno = steering?.add(key.address) ?? 0
        return errno == 0 ? nil : errno
    }

    /// The frontends are about to be closed: nothing new is led to them.
    func stop(_ keys: [FrontendKey]) {
        guard let steering else { return }
        for key in keys { steering.remove(key.address) }
    }
}
