package import Addressing
package import Routing

/// What the data plane is told at start. All limits are per process.
package struct DataPlaneSettings: Sendable {
    /// Which engine the workers run on.
    package enum EngineChoice: String, Sendable, CaseIterable {
        /// io_uring where the kernel grants it, else epoll.
        case auto
        case ioUring = "io_uring"
        case epoll
    }

    package var engine: EngineChoice = .auto
    /// Worker threads; at least 1.
    package var workers = 1
    /// Connections open at once; one beyond it is reset. nil leaves it to the limit of open files, at which accepting pauses.
    package var connectionsMax: Int?
    /// Sockets that each worker listens on for frontends of their own; cluster IPs beyond it share one where the kernel permits it, and
    /// have their own all the same where it doesn't. nil leaves it to the limit of open files.
    package var listenersMax: Int?
    /// Whether each worker is bound to one of the allowed CPUs, in order.
    package var pinsWorkers = false
    /// How long one connect attempt may take before another endpoint is tried.
    package var connectAttemptTimeout: Duration = .seconds(1)
    /// How long all attempts of one connection may take together.
    package var connectTimeout: Duration = .seconds(3)
    /// How long a client that owes a PROXY header may take for it.
    package var proxyHeaderTimeout: Duration = .seconds(3)
    /// Addresses of this host that connections to endpoints are made from, at most `SourceAddresses.max` of each family; to endpoints of
    /// a family without any, the kernel chooses.
    package var sourceAddresses: [IPAddress] = []
    /// For Services that set none of their own.
    package var timeouts = Timeouts.standard
    package var connectionLogging = ConnectionLogging.off
    /// The cluster's DNS; nil: nobody answers queries, and nothing is spent on it.
    package var names: NameSettings?
    /// Seed of the workers' generators; worker n uses `seed &+ n`.
    package var seed: UInt64 = 0
    /// Reads the calling thread's count of heap allocations since it began; nil where nobody counts.
    package var allocationCount: (@Sendable () -> UInt64)?

    package init() {}
}

/// Why the data plane could not start.
package struct DataPlaneError: Error, CustomStringConvertible {
    /// One sentence with the remedy: `io_uring is denied by seccomp; use --engine auto or epoll`.
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Which engine runs and why, for the line said at start.
package struct EngineReport: Sendable, Equatable {
    /// `io_uring` or `epoll`.
    package let name: String
    /// `6.18; multishot accept, buffer ring` or `io_uring denied by seccomp`.
    package let reason: String

    package init(name: String, reason: String) {
        self.name = name
        self.reason = reason
    }
}

/// What became of the frontends that a snapshot touched.
package struct ListenerChanges: Sendable {
    /// Sorted by key.
    package var reports: [ListenerReport] = []
    package var gone: [FrontendKey] = []
    /// Where names can't be asked for.
    package var nameFailures: [NameFailure] = []

    package init(reports: [ListenerReport] = [], gone: [FrontendKey] = []) {
        self.reports = reports
        self.gone = gone
    }
}

/// What became of one frontend after a snapshot was applied.
package struct ListenerReport: Sendable {
    package enum State: Sendable, Equatable {
        case listening
        /// The group is empty: there is no socket, so the kernel refuses clients.
        case noEndpoints
        /// There are endpoints, but on other nodes only: whoever has no way round hears nothing.
        case noEndpointsHere
        /// The address can't be bound; the text says why and what to do.
        case failed(String)
    }

    package let key: FrontendKey
    package let service: ServicePortName
    package let state: State

    package init(key: FrontendKey, service: ServicePortName, state: State) {
        self.key = key
        self.service = service
        self.state = state
    }

    package var isFailed: Bool { if case .failed = state { true } else { false } }
}
