package import Addressing
package import Engine
package import Routing

/// Which connections are logged when they are closed.
package enum ConnectionLogging: String, Sendable, CaseIterable {
    case off
    /// Those that did not end with a FIN of both sides.
    case errors
    case all
}

/// What a worker notes for the log about a flow that lives, beside what the flow and its row of addresses hold: a line of the cache.
/// Zero bytes are a value.
struct ConnectionNotes: BitwiseCopyable {
    /// What the client asked for, as the listener has it.
    var frontend: SocketAddress
    /// Connects that were begun, and the row of the last one's endpoint.
    var attempts: UInt8 = 0
    var endpointRow: UInt32 = 0
    var acceptedAt: UInt64
    var bytesFromClient: UInt64 = 0
    var bytesToClient: UInt64 = 0
    /// Microseconds from the accept to the first attempt, and to the answer of an endpoint; 0 for none. After 71 minutes they stand.
    var connectingAfter: UInt32 = 0
    var connectedAfter: UInt32 = 0

    init(frontend: SocketAddress, acceptedAt: UInt64) {
        self.frontend = frontend
        self.acceptedAt = acceptedAt
    }

    func microseconds(at now: UInt64) -> UInt32 { UInt32(clamping: (now &- acceptedAt) / 1000) }
}

/// What a worker notes for the log about a UDP session, beside what the session holds. Zero bytes are a value.
struct SessionNotes: BitwiseCopyable {
    /// What the client asked for, with the address behind a wildcard.
    var frontend: SocketAddress
    var openedAt: UInt64
    /// Datagrams, those that were dropped on the way not among them.
    var datagramsFromClient: UInt32 = 0
    var datagramsToClient: UInt32 = 0
    /// Endpoints it was bound to, one after the other, and the row of the last one.
    var attempts: UInt8 = 0
    var endpointRow: UInt32 = 0
    /// Microseconds from the first datagram to the first reply; 0 for none.
    var answeredAfter: UInt32 = 0

    init(frontend: SocketAddress, openedAt: UInt64) {
        self.frontend = frontend
        self.openedAt = openedAt
    }
}

/// What is said of a closed connection, or of a UDP session that has ended, as plain bytes. Zero bytes are a value.
package struct ConnectionRecord: BitwiseCopyable, Sendable {
    /// The client as limits and endpoints know it: as its PROXY header told it, else its socket's. Port 0: it was gone before it could
    /// be asked.
    package var client = IPAddress.anyIPv4
    package var clientPort: UInt16 = 0
    package var reason: CloseReason
    package var attempts: UInt8 = 0
    package var isSession = false
    package var frontend: SocketAddress
    /// Names of Service port and endpoint, as the counters have them; no endpoint without an attempt.
    package var serviceRow: UInt32
    var endpointRow: UInt32 = 0
    package var bytesFromClient: UInt64 = 0
    package var bytesToClient: UInt64 = 0
    package var datagramsFromClient: UInt32 = 0
    package var datagramsToClient: UInt32 = 0
    package var durationNanoseconds: UInt64 = 0
    /// From the first attempt, or the first datagram, until an endpoint answered.
    package var connectMicroseconds: UInt32 = 0
    package var isConnected = false
    /// When it was closed, on CLOCK_MONOTONIC.
    package var closedAt: UInt64

    package init(_ reason: CloseReason, frontend: SocketAddress, serviceRow: Int, closedAt: UInt64) {
        self.reason = reason
        self.frontend = frontend
        self.serviceRow = UInt32(serviceRow)
        self.closedAt = closedAt
    }
}

/// What a worker hands its records over with, to the one who formats them.
package typealias ConnectionRing = SharedRing<ConnectionRecord>

/// A closed connection, ready to be written down.
package struct ClosedConnection: Sendable {
    /// nil where Services, or endpoints, share a row of counters, for want of rows.
    package let service: ServicePortName?
    package let endpoint: SocketAddress?
    package let record: ConnectionRecord
    /// How long ago it was closed.
    package let nanosecondsAgo: UInt64
    /// Whose ring it came from.
    let worker: Int

    package init(
        service: ServicePortName?, endpoint: SocketAddress?, record: ConnectionRecord, nanosecondsAgo: UInt64, worker: Int = 0
    ) {
        self.service = service
        self.endpoint = endpoint
        self.record = record
        self.nanosecondsAgo = nanosecondsAgo
        self.worker = worker
    }
}
