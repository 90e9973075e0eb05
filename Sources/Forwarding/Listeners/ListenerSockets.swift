import Addressing
import Routing

/// The sockets that each worker listens on.
struct ListenerSockets {
    /// Frontends with a socket of their own.
    private(set) var ownCount = 0
    /// By the addresses of shared ones: how many guests each has.
    private var homes: [SocketAddress: Int] = [:]
    private var datagrams = 0
    private var addresses = OwnAddresses()
    /// Closed by the last snapshot: their listeners may still be emptying their queues.
    private var closing: [FrontendKey] = []

    var count: Int { ownCount + homes.count }
    var hasDatagrams: Bool { datagrams > 0 }

    mutating func add(_ frontends: [ServedFrontend]) {
        for frontend in frontends {
            count(frontend, 1)
            if frontend.sharedAt == nil { addresses.insert(frontend.frontend.key) }
        }
    }

    mutating func remove(_ frontends: [ServedFrontend]) {
        for frontend in frontends {
            count(frontend, -1)
            if frontend.sharedAt == nil { addresses.remove(frontend.frontend.key) }
        }
    }

    /// A shared socket stays when its last guest goes.
    private mutating func count(_ served: ServedFrontend, _ amount: Int) {
        guard let home = served.sharedAt else {
            ownCount += amount
            if served.frontend.key.transport == .udp { datagrams += amount }
            return
        }
        homes[home, default: 0] += amount
    }

    /// Addresses that are listened on, or were until now.
    mutating func beginRound(closing keys: [FrontendKey]) -> OwnAddresses {
        var all = addresses
        for key in closing { all.insert(key) }
        closing = keys
        return all
    }
}
