/// Every bound of the workers, in one place, each with what happens when it is met.
package enum Limits {
    /// Flows of one worker; beyond it accepting pauses. Only used rows take memory.
    package static let flowsMax = 1 << 18
    /// Frontends one worker can listen on; beyond it a frontend is reported as failed.
    package static let listenersMax = 1 << 17
    /// Sockets that each worker has for frontends of their own, where the limit of open files leaves room for as many (an eighth of them
    /// for all workers together); cluster IPs beyond that share one, if the kernel permits that.
    package static let ownListenersMax = 1024
    /// How long a frontend that shared its socket is known after it was closed: longer than anything waits to be accepted.
    package static let guestLeaveNanoseconds: UInt64 = 1_000_000_000
    /// Guests that are forgotten in one tick.
    static let departuresPerTickMax = 64
    /// Rows of counters: one for each Service port and one for each of its endpoints; beyond it they share one row.
    package static let counterRowsMax = 1 << 18
    /// Descriptors kept free for the admin socket, logs and files.
    package static let descriptorsReserved = 64
    /// Descriptors of a worker beside those of connections, pipes and listeners: its engine's and its mailbox's.
    package static let descriptorsOfWorker = 8

    /// Sessions of one worker, and rows for their sockets; a power of two. Beyond it, or beyond the share of the open files that UDP has,
    /// the one that has been idle for longest is pushed out.
    package static let sessionsMax = 1 << 16
    /// Batches that are taken from a listener in one turn, and replies from a socket in one call, and calls in one turn.
    static let datagramBatchesPerTurn = 4
    static let repliesPerCall = 16
    static let replyCallsPerTurn = 4
    /// Datagrams and bytes that are sent as one message: UDP_MAX_SEGMENTS, and less than an IP packet's length less its headers.
    static let datagramsJoinedMax = 64
    static let joinedBytesMax = 65_000
    /// How long a socket that has lost its owner is left alone before another session may have it: a late reply would be that one's.
    static let quarantineNanoseconds: UInt64 = 30_000_000_000
    /// The same where every request was answered: a duplicate may come, or one reply more than was asked for.
    static let settledQuarantineNanoseconds: UInt64 = 1_000_000_000
    /// How long one without an owner is kept open.
    static let upstreamUnusedNanoseconds: UInt64 = 60_000_000_000
    /// Sessions looked at in one tick of a sweep.
    static let sessionsSweptPerTick: UInt32 = 1024

    /// Addresses at which names may be asked for.
    package static let nameAddressesMax = 32
    /// Open TCP connections for queries, of one worker, where the limit of open files leaves room for as many; beyond it the one that has
    /// been idle for longest is closed.
    package static let nameConnectionsMax = 256
    /// A query over TCP that is longer ends its connection. With every option that clients send it is a quarter of that.
    package static let queryBytesMax = 2048
    /// How long a connection may stand without a query that has come whole, or an answer's byte that was taken.
    package static let nameIdleNanoseconds: UInt64 = 10_000_000_000
    /// How often connections are looked after, and how soon one is that found no buffer.
    static let nameLookNanoseconds: UInt64 = 1_000_000_000
    static let nameRetryNanoseconds: UInt64 = 50_000_000
    /// Answers that a worker keeps by their queries: a power of two, and 256 bytes each, touched as they are used.
    static let namePackets = 8192
    /// listen(2)'s backlog for them.
    static let nameBacklog: Int32 = 256
    /// Questions for others under way, of one worker, where the limit of open files leaves room for as many, and clients that wait for
    /// them; beyond it they are refused.
    package static let questionsMax = 1000
    /// Bytes of answers of others that one worker keeps; beyond it those unused for longest give way.
    package static let cacheBytesMax = 4 << 20
    /// Datagrams of strangers on a question's socket, in a turn, after which another socket is taken.
    static let strangersMax = 64
    /// What a network of clients may be ahead of its rate of answers.
    static let nameBurstNanoseconds: UInt64 = 500_000_000

    /// Closed connections that a worker may hand over for the log before they are taken, ten times a second; what comes when it is
    /// full is counted and not logged. A power of two.
    package static let connectionRecordsMax = 8192
    /// Closed connections that wait to be formatted, of all workers; the same beyond it.
    static let closedConnectionsMax = 65_536

    /// listen(2)'s backlog; the kernel clamps it to net.core.somaxconn.
    package static let backlog: Int32 = 4096
    /// Bytes an outbox may hold before its source is no longer read, given free buffers.
    package static let outboxBytesMax = 65_536
    /// Buffers an outbox may hold while the server is not connected yet.
    package static let outboxConnectingMax: UInt16 = 4
    /// A direction goes into bulk after this many pages in full buffers, less `bulkShortCost` for each buffer that was not full.
    package static let bulkEnterUnits: Int16 = 64
    package static let bulkShortCost: Int16 = 4
    /// It goes back after `bulkLeaveCount` transfers in a row of fewer bytes.
    package static let bulkLeaveBytes = 16_384
    package static let bulkLeaveCount: Int16 = 4
    /// Pages that must come before a direction that the engine could not transfer asks again.
    package static let bulkRefusedUnits: Int16 = 4096
    /// An outbox may take this fraction of the free buffers: the fewer are left, the less one slow reader may hold.
    package static let outboxShare = 256
    /// Starved receives that are resumed in one tick.
    package static let resumedPerTickMax = 64
    /// Timers fired in one tick; the rest fire in the next.
    package static let timersPerTickMax = 128
    /// Timers brought from the far end of the wheel to the near one in one tick; the rest follow in the next.
    package static let timersMovedPerTickMax = 1024
    /// Submissions that must still fit before a sweep over all flows goes on in this tick.
    package static let sweepRoom = 16_384
    /// Connections of deleted Services that are looked at in one tick: each costs a reset or two.
    package static let deletionSweepPerTick: UInt32 = 512
    /// Connections taken from a closing listener's queue in one tick.
    package static let drainedPerTickMax = 64

    /// How long accepting pauses when the kernel has no descriptor to give (EMFILE).
    package static let acceptPauseNanoseconds: UInt64 = 100_000_000
    /// How long a flow waits before it asks for a descriptor, or a buffer for its header, again.
    package static let descriptorRetryNanoseconds: UInt64 = 50_000_000
    /// How long the ACK of a handshake may wait for bytes of the client, and that of a server's first bytes for its FIN (twice that at
    /// most).
    package static let handshakeACKNanoseconds: UInt64 = 100_000
    package static let answerACKNanoseconds: UInt64 = 500_000
    /// ACKs of either kind that are held back at once; further ones are sent as they are due.
    static let withheldACKsMax = 4096
    /// How long nothing has moved on a flow before its receives rest.
    package static let restNanoseconds: UInt64 = 10_000_000_000
    /// Pairs of a source address and an endpoint that are known to have no port left, and how often one of them is tried again.
    package static let portShortagesMax = 1024
    package static let portLookNanoseconds: UInt64 = 20_000_000
    /// How often a peer is looked at that no receive would hear of.
    package static let watchNanoseconds: UInt64 = 1_000_000_000
    /// A worker that ran on for so long after its wait was over has not been running, and the time is not counted.
    package static let stallNanoseconds: UInt64 = 1_000_000_000
    /// How long bytes that came before a reset may take to reach the other side.
    package static let resetFlushNanoseconds: UInt64 = 2_000_000_000
    /// Fewer buffers than this left for receives, for `shedAfterNanoseconds`, is a worker that slow readers have brought to a stop.
    package static let shedBuffers = 64
    /// How long a worker may be short of buffers before it resets flows that hold them and don't move.
    package static let shedAfterNanoseconds: UInt64 = 1_000_000_000
    /// Flows looked at in one tick for that, and flows reset.
    package static let shedLooksPerTickMax: UInt32 = 256
    package static let shedPerTickMax = 8
    /// An endpoint that failed often enough in a row is passed over for this long; each time it fails again, twice as long, up to a most.
    package static let ejectionNanoseconds: UInt64 = 5_000_000_000
    package static let ejectionMaxNanoseconds: UInt64 = 300_000_000_000
    /// A connection that its server ends within this time, without a byte, before its client has ended, has failed.
    package static let earlyCloseNanoseconds: UInt64 = 500_000_000
    /// How long one connection may be the only one that tries an ejected endpoint.
    package static let probeHoldNanoseconds: UInt64 = 10_000_000_000
    /// How long a worker that is told to stop goes on closing flows.
    package static let stopNanoseconds: UInt64 = 1_000_000_000
    /// How often the limit of open files is read again: prlimit(1) can change it at any time.
    package static let limitRefreshNanoseconds: UInt64 = 1_000_000_000
}
