package import Addressing
package import Engine

/// A connected UDP socket to an endpoint.
///
/// ```
///                        a datagram came: anew
///                               ┌──┐
///  opened ──► bound ──► quarantined ◄─┴─ pooled ──► bound again, or unused for too long:
///      │          a reply may still be on its way to the client before │
///      │                                                               ▼
///      └──► shared (one for all clients: replies are not expected) ──► closing ──► watch over: closed, slot free, generation + 1
/// ```
/// **A socket changes hands only when nothing can come on it for its last owner**: what comes meanwhile is read and dropped.
package struct Upstream: BitwiseCopyable {
    package enum Phase: UInt8, BitwiseCopyable { case free, bound, shared, quarantined, pooled, closing }

    package var generation: UInt32
    package var phase = Phase.free
    /// Whether its watch is in the kernel, and is to end.
    package var isWatched = false
    package var isCancelled = false
    /// It stands in the worker's queue of sockets with more to read.
    package var isUnread = false
    /// Of a shared one: failures in a row that eject the endpoint, as the Service has it; 0 for never.
    package var ejectAfter: UInt8 = 0
    /// Of a shared one, in ticks of `FlowTime`: when it was last used, and since when what was sent has met no error; 0 for unknown.
    package var usedAt: UInt32 = 0
    package var wellSince: UInt32 = 0
    package var socket = SocketID.none
    /// Meaningful once it is open.
    package var peer: SocketAddress
    /// The endpoint's row of counters, by which it is pooled.
    package var row: UInt32 = 0
    /// Whose it is while it is bound.
    package var session: UInt32 = 0
    /// Neighbours in the endpoint's pool, plus 1.
    var poolNext: UInt32 = 0
    var poolPrevious: UInt32 = 0

    init(generation: UInt32, peer: SocketAddress) {
        self.generation = generation
        self.peer = peer
    }
}

/// The connected UDP sockets of one worker, and the pools in which those without an owner stand, by endpoint.
package struct UpstreamTable: ~Copyable {
    private var rows: FixedTable<Upstream>
    private var slots: SlotList
    /// By row of counters: the first free socket to that endpoint, plus 1; and the one that all its clients share.
    private var pools: FixedTable<UInt32>
    private var shared: FixedTable<UInt32>
    /// Those without an owner.
    private var idle: RecencyList

    /// - Parameter capacity: more than there may be, for those that are being closed while others take their place.
    package init(capacity: Int) {
        rows = FixedTable(zeroedCapacity: capacity)
        slots = SlotList(capacity: capacity)
        pools = FixedTable(zeroedCapacity: Limits.counterRowsMax)
        shared = FixedTable(zeroedCapacity: Limits.counterRowsMax)
        idle = RecencyList(capacity: capacity)
    }

    package var active: Int { slots.active }
    package var touched: UInt32 { slots.touched }

    package subscript(slot: UInt32) -> Upstream {
        _read { yield rows[Int(slot)] }
        _modify { yield &rows[Int(slot)] }
    }

    func isCurrent(_ token: OperationToken) -> Bool {
        token.slot < touched && rows[Int(token.slot)].phase != .free && rows[Int(token.slot)].generation == token.generation
    }

    /// The one that has been without an owner for longest.
    var oldestIdle: UInt32? { idle.first }

    /// Takes over an open socket; nil when the table is full.
    mutating func insert(_ socket: SocketID, to peer: SocketAddress, row: UInt32) -> UInt32? {
        guard let slot = slots.take() else { return nil }
        rows[Int(slot)] = Upstream(generation: rows[Int(slot)].generation, peer: peer)
        rows[Int(slot)].socket = socket
        rows[Int(slot)].row = row
        rows[Int(slot)].phase = .bound
        return slot
    }

    /// A free socket of a row, taken out of its pool: the one used last. The row may have been another endpoint's when it was pooled.
    mutating func take(row: UInt32) -> UInt32? {
        let link = pools[Int(row)]
        guard link != 0 else { return nil }
        leavePool(link &- 1)
        return link &- 1
    }

    /// The socket that all clients of an endpoint share; nil where there is none.
    func sharedSocket(row: UInt32, peer: SocketAddress) -> UInt32? {
        let link = shared[Int(row)]
        guard link != 0, rows[Int(link &- 1)].peer == peer else { return nil }
        return link &- 1
    }

    mutating func share(_ slot: UInt32) {
        let before = shared[Int(rows[Int(slot)].row)]
        if before != 0 { endSharing(before &- 1, as: .quarantined) }
        rows[Int(slot)].phase = .shared
        shared[Int(rows[Int(slot)].row)] = slot &+ 1
        idle.touch(slot)
    }

    /// It is in use.
    mutating func touchShared(_ slot: UInt32, _ ticks: UInt32) {
        rows[Int(slot)].usedAt = ticks
        idle.touch(slot)
    }

    private mutating func endSharing(_ slot: UInt32, as phase: Upstream.Phase) {
        let row = Int(rows[Int(slot)].row)
        if shared[row] == slot &+ 1 { shared[row] = 0 }
        rows[Int(slot)].phase = phase
    }

    /// It has no owner any more, and its late replies are waited for.
    mutating func quarantine(_ slot: UInt32) {
        if rows[Int(slot)].phase == .pooled { leavePool(slot) }
        rows[Int(slot)].phase = .quarantined
        idle.touch(slot)
    }

    /// The next session to its endpoint may have it.
    mutating func pool(_ slot: UInt32) {
        let row = Int(rows[Int(slot)].row)
        let head = pools[row]
        rows[Int(slot)].phase = .pooled
        rows[Int(slot)].poolNext = head
        rows[Int(slot)].poolPrevious = 0
        if head != 0 { rows[Int(head &- 1)].poolPrevious = slot &+ 1 }
        pools[row] = slot &+ 1
        idle.touch(slot)
    }

    private mutating func leavePool(_ slot: UInt32) {
        let upstream = rows[Int(slot)]
        if upstream.poolNext != 0 { rows[Int(upstream.poolNext &- 1)].poolPrevious = upstream.poolPrevious }
        if upstream.poolPrevious != 0 {
            rows[Int(upstream.poolPrevious &- 1)].poolNext = upstream.poolNext
        } else {
            pools[Int(upstream.row)] = upstream.poolNext
        }
        rows[Int(slot)].poolNext = 0
        rows[Int(slot)].poolPrevious = 0
        rows[Int(slot)].phase = .bound
        idle.remove(slot)
    }

    /// It is to be closed: out of every list.
    mutating func beginClose(_ slot: UInt32) {
        switch rows[Int(slot)].phase {
        case .pooled: leavePool(slot)
        case .shared: endSharing(slot, as: .bound)
        case .free, .bound, .quarantined, .closing: break
        }
        idle.remove(slot)
        rows[Int(slot)].phase = .closing
    }

    /// Its socket is closed.
    mutating func free(_ slot: UInt32) {
        precondition(rows[Int(slot)].phase == .closing && !rows[Int(slot)].isWatched, "a socket is freed that is still watched")
        let generation = (rows[Int(slot)].generation &+ 1) & OperationToken.generationMask
        rows[Int(slot)].generation = generation
        rows[Int(slot)].phase = .free
        slots.release(slot)
    }
}
