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
    /// Whether each worker is bound to one of the allowed CPUs, in order.
    package var pinsWorkers = false
    /// How long one connect attempt may take before another endpoint is tried.
    package var connectAttemptTimeout: Duration = .seconds(1)
    /// How long all attempts of one connection may take together.
    package var connectTimeout: Duration = .seconds(3)
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

/// What became of one frontend after a snapshot was applied.
package struct ListenerReport: Sendable {
    package enum State: Sendable, Equatable {
        case listening
        /// The group is empty: there is no socket, so the kernel refuses clients.
        case noEndpoints
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
}

/// Why a connection ended: PRODUCT's closed list, as far as this version can tell them apart.
package enum CloseReason: UInt8, Sendable, CaseIterable {
    case clientFin, serverFin, clientReset, serverReset
    case connectRefused, connectTimeout, connectUnreachable, noEndpoint, noSourcePort
    case limitProcess, drain, clientLost, serverLost, `internal`

    /// The word said in logs and statistics: `client-fin`.
    package var name: String {
        switch self {
        case .clientFin: "client-fin"
        case .serverFin: "server-fin"
        case .clientReset: "client-reset"
        case .serverReset: "server-reset"
        case .connectRefused: "connect-refused"
        case .connectTimeout: "connect-timeout"
        case .connectUnreachable: "connect-unreachable"
        case .noEndpoint: "no-endpoint"
        case .noSourcePort: "no-source-port"
        case .limitProcess: "limit-process"
        case .drain: "drain"
        case .clientLost: "client-lost"
        case .serverLost: "server-lost"
        case .internal: "internal"
        }
    }
}

/// A reading of every counter. Counters only rise, gauges are named `…Active`.
package struct DataPlaneStatistics: Sendable, Codable {
    package struct Worker: Sendable, Codable {
        package var index = 0
        /// The CPU the worker is bound to, or nil.
        package var cpu: Int?
        package var ticks: UInt64 = 0
        package var systemCalls: UInt64 = 0
        /// Heap allocations by the worker's thread since it began; nil where nobody counts.
        package var allocations: UInt64?
        package var connectionsAccepted: UInt64 = 0
        package var connectionsActive: UInt64 = 0
        package var listeners: UInt64 = 0
        /// Times that accepting was paused for want of descriptors or connection slots.
        package var acceptPauses: UInt64 = 0
        /// Receives that found the buffer pool empty.
        package var buffersExhausted: UInt64 = 0
        package var staleCompletions: UInt64 = 0

        package init() {}
    }

    package struct Endpoint: Sendable, Codable {
        package var address = ""
        /// `active` (in the group) or `removed` (only old connections are left).
        package var state = "active"
        package var connectionsActive: UInt64 = 0
        package var connections: UInt64 = 0
        package var connectFailures: UInt64 = 0

        package init() {}
    }

    package struct Service: Sendable, Codable {
        package var namespace = ""
        package var name = ""
        package var port = ""
        package var transport = ""
        package var connections: UInt64 = 0
        package var connectionsActive: UInt64 = 0
        package var bytesFromClients: UInt64 = 0
        package var bytesToClients: UInt64 = 0
        /// Connect attempts made after the first one of a connection had failed.
        package var retries: UInt64 = 0
        /// By `CloseReason.name`; reasons that never happened are left out.
        package var closed: [String: UInt64] = [:]
        package var endpoints: [Endpoint] = []

        package init() {}
    }

    package struct Listener: Sendable, Codable {
        /// `tcp 127.0.0.1:9300`.
        package var frontend = ""
        package var service = ""
        /// `clusterIP`, `externalIP`, `loadBalancerIP` or `nodePort`.
        package var origin = ""
        /// `listening`, `no-endpoints` or `failed`.
        package var state = ""
        /// Why it failed; nil otherwise.
        package var message: String?

        package init() {}
    }

    package var engine = ""
    package var engineReason = ""
    /// Generation of the last snapshot that every worker acknowledged.
    package var generation: UInt64 = 0
    package var connectionsMax: UInt64 = 0
    package var workers: [Worker] = []
    package var listeners: [Listener] = []
    package var services: [Service] = []

    package init() {}
}

/// The running workers, seen from the control plane. The only door to them.
package final class DataPlane: Sendable {
    package let engine: EngineReport

    /// Starts the workers. They listen on nothing yet.
    package init(settings: DataPlaneSettings) throws(DataPlaneError) {
        throw DataPlaneError("not built yet")
    }

    /// Makes the workers serve `snapshot` and nothing else; returns when every worker has acknowledged it. Connections that
    /// exist are not touched. Calls must not overlap: one caller, in order of generation.
    ///
    /// - Returns: one report for each frontend of the snapshot, sorted by key.
    package func apply(_ snapshot: RoutingSnapshot) async -> [ListenerReport] { [] }

    /// Stops accepting (accept queues are drained first), lets connections finish within `grace`, resets the rest, ends the
    /// workers. Returns the number of connections that had to be reset.
    package func drain(grace: Duration) async -> Int { 0 }

    /// Connections open now, on all workers.
    package var connectionsActive: Int { 0 }

    /// Reads all counters; cheap, from any thread.
    package func statistics() -> DataPlaneStatistics { DataPlaneStatistics() }
}
