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
        /// Buffers that hold bytes on their way.
        package var buffersActive: UInt64 = 0
        /// Receives that found the buffer pool empty.
        package var buffersExhausted: UInt64 = 0
        package var staleCompletions: UInt64 = 0
        /// Connections that a limit per client did not count, for want of a place in its table.
        package var sourcesUncounted: UInt64 = 0
        /// Clients whose endpoint was forgotten before its time, for want of a place in the table of session affinity.
        package var affinitiesEvicted: UInt64 = 0
        /// Attempts to connect that found no port free on their source address.
        package var portsExhausted: UInt64 = 0
        /// Times that a direction went over to transfers within the engine.
        package var bulkDirections: UInt64 = 0
        /// Transfers that the engine could not make (urgent data, as a rule); their directions went on with buffers.
        package var transfersRefused: UInt64 = 0
        /// Pipes open now, for transfers or kept for the next ones.
        package var pipesOpen: UInt64 = 0
        /// UDP sessions open now, and those that were pushed out by others for want of room.
        package var sessionsActive: UInt64 = 0
        package var sessionsEvicted: UInt64 = 0
        /// Their sockets, those without an owner included.
        package var socketsActive: UInt64 = 0
        /// Datagrams of endpoints that no session waited for.
        package var repliesLate: UInt64 = 0
        /// Closed connections that the log of connections was to have and has not: it was not read fast enough.
        package var connectionsNotLogged: UInt64 = 0

        package init() {}
    }

    package struct Endpoint: Sendable, Codable {
        package var address = ""
        /// `active` (in the group), `ejected` (it failed too often in a row), `probing` (a connection is trying it), `down` (an active
        /// probe failed) or `removed` (only old connections are left).
        package var state = "active"
        /// How long an ejected one is passed over from now on; nil otherwise.
        package var ejectedForSeconds: Double?
        /// Why one is not well: its last failure, a word of the close reasons, or what its probe found.
        package var because: String?
        /// Its share of new connections against the others; 0 gets none.
        package var weight: UInt64 = 1
        package var connectionsActive: UInt64 = 0
        package var connections: UInt64 = 0
        package var connectFailures: UInt64 = 0
        package var ejections: UInt64 = 0

        package init() {}
    }

    package struct Service: Sendable, Codable {
        package var namespace = ""
        package var name = ""
        package var port = ""
        package var transport = ""
        /// How endpoints are chosen: `random`, `round-robin`, `least-connections` or `consistent-hash`.
        package var algorithm = ""
        /// Limits of connections open at once, altogether and for one client; nil where there is none.
        package var connectionsMax: UInt64?
        package var connectionsPerSourceMax: UInt64?
        package var connections: UInt64 = 0
        package var connectionsActive: UInt64 = 0
        package var bytesFromClients: UInt64 = 0
        package var bytesToClients: UInt64 = 0
        /// Connect attempts made after the first one of a connection had failed.
        package var retries: UInt64 = 0
        /// Of UDP: what was taken from clients, what was sent to them, and sessions that went on with another endpoint.
        package var datagramsFromClients: UInt64 = 0
        package var datagramsToClients: UInt64 = 0
        package var rebinds: UInt64 = 0
        /// Datagrams that were not passed on, by `DatagramDrop.name`; reasons that never happened are left out.
        package var dropped: [String: UInt64] = [:]
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

    /// What was asked of the cluster's DNS, at all addresses.
    package struct Names: Sendable, Codable {
        package var addresses: [String] = []
        package var domain = ""
        /// By type, by code, by reason (`QueryDrop.name`), each without those that never happened.
        package var requests: [String: UInt64] = [:]
        package var responses: [String: UInt64] = [:]
        package var dropped: [String: UInt64] = [:]
        /// Of TCP; closed ones by reason.
        package var connections: UInt64 = 0
        package var connectionsActive: UInt64 = 0
        package var closed: [String: UInt64] = [:]
        /// Names that others were asked for, by `ForwardingCount`; empty where nobody is asked.
        package var questions: [String: UInt64] = [:]

        package init() {}
    }

    package var engine = ""
    package var engineReason = ""
    /// Generation of the last snapshot that every worker acknowledged.
    package var generation: UInt64 = 0
    /// What the limit of open files or the user allows, whichever is less.
    package var connectionsMax: UInt64 = 0
    package var workers: [Worker] = []
    package var listeners: [Listener] = []
    package var services: [Service] = []
    /// nil where nobody answers queries.
    package var names: Names?

    package init() {}
}
