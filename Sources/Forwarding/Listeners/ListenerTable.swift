import Addressing
import Engine
import Routing

/// A listening socket of one worker.
///
/// ```
///  open ──► listening ◄──► paused          (no room: accepts are not armed, clients wait in the kernel's queue)
///               │
///               ▼  arrivals stopped, accept cancelled
///            draining ──► queue empty: socket closed ──► no flow connecting: slot free, generation + 1
/// ```
struct Listener: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable { case free, open, draining }

    var generation: UInt32
    var phase = Phase.free
    /// A UDP socket: it has sessions, and its one operation is a watch.
    var isDatagrams = false
    /// It stands in the worker's queue of listeners with more to read.
    var isUnread = false
    /// Changes of its group so far, for sessions to find out whether they have seen the last.
    var epoch: UInt32 = 0
    /// Whether an accept, or the watch, is in the kernel.
    var isAccepting = false
    var acceptCancelled = false
    /// `.none` once it is closed.
    var socket = SocketID.none
    /// Flows that still choose among the group's endpoints.
    var connecting: UInt32 = 0
    var turn = Turn()
    /// What its connections are given.
    var timeouts = FlowTimeouts()
    var connectNanoseconds: UInt64 = 0
    var connectAttemptNanoseconds: UInt64 = 0

    init(generation: UInt32) { self.generation = generation }

    var isAcceptor: Bool { phase == .open && !isDatagrams }
}

/// The listeners of one worker. Slots are few and reused; the frontend of each stands beside the plain row.
struct ListenerTable: ~Copyable {
    private var rows: FixedTable<Listener>
    /// By slot. A class reference: touched once per connection, not per byte.
    private var frontends: [ServedFrontend?] = []
    private var slots: [FrontendKey: UInt32] = [:]
    private var freeSlots: [UInt32] = []
    /// Listeners being closed, whose queues are emptied tick by tick.
    private(set) var draining: [UInt32] = []

    init() { rows = FixedTable(zeroedCapacity: Limits.listenersMax) }

    /// Slots ever used.
    var touched: Int { frontends.count }
    var openCount: Int { slots.count }

    subscript(slot: UInt32) -> Listener {
        _read { yield rows[Int(slot)] }
        _modify { yield &rows[Int(slot)] }
    }

    func slot(of key: FrontendKey) -> UInt32? { slots[key] }

    /// Whether a token names a listener that lives.
    func isCurrent(_ token: OperationToken) -> Bool {
        token.slot < UInt32(frontends.count) && rows[Int(token.slot)].phase != .free && rows[Int(token.slot)].generation == token.generation
    }

    /// The frontend of a listener that is open, or whose row is kept for flows that still choose.
    func frontend(of slot: UInt32) -> ServedFrontend {
        guard let served = frontends[Int(slot)] else { preconditionFailure("a listener without a frontend") }
        return served
    }

    /// nil when the table is full.
    mutating func insert(_ served: ServedFrontend, socket: SocketID, turn: Turn) -> UInt32? {
        let slot: UInt32
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            guard frontends.count < Limits.listenersMax else { return nil }
            slot = UInt32(frontends.count)
            frontends.append(nil)
        }
        rows[Int(slot)] = Listener(generation: rows[Int(slot)].generation)
        rows[Int(slot)].phase = .open
        rows[Int(slot)].socket = socket
        rows[Int(slot)].turn = turn
        rows[Int(slot)].isDatagrams = served.frontend.key.transport == .udp
        frontends[Int(slot)] = served
        slots[served.frontend.key] = slot
        return slot
    }

    /// Puts another group behind an open listener; answers what was there.
    mutating func replace(_ slot: UInt32, with served: ServedFrontend) -> ServedFrontend? {
        let old = frontends[Int(slot)]
        frontends[Int(slot)] = served
        rows[Int(slot)].epoch &+= 1
        return old
    }

    mutating func beginDrain(_ slot: UInt32) {
        rows[Int(slot)].phase = .draining
        if let key = frontends[Int(slot)]?.frontend.key { slots[key] = nil }
        draining.append(slot)
    }

    /// Whether a listener that is being closed still has a queue to empty.
    var hasOpenDraining: Bool { draining.contains { rows[Int($0)].socket != .none } }

    /// The listener at `position` of `draining` is closed; answers its frontend.
    mutating func finishDrain(at position: Int) -> ServedFrontend? {
        let slot = draining.remove(at: position)
        let generation = rows[Int(slot)].generation &+ 1
        rows[Int(slot)] = Listener(generation: generation & OperationToken.generationMask)
        let old = frontends[Int(slot)]
        frontends[Int(slot)] = nil
        freeSlots.append(slot)
        return old
    }
}
