import Addressing
import Engine
import Routing

/// A listening socket of one worker, or a guest: a frontend that listens on a socket with others.
///
/// ```
///  open ──► listening ◄──► paused          (no room: accepts are not armed, clients wait in the kernel's queue)
///               │
///               ▼  arrivals stopped, accept cancelled
///            draining ──► queue empty: socket closed ──► no flow connecting: slot free, generation + 1
/// ```
///
/// A guest has no socket and so no queue that could be emptied: it is known for a while after it was closed, until whatever had come for
/// it by then is accepted.
struct Listener: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable { case free, open, draining }

    var generation: UInt32
    var phase = Phase.free
    /// A UDP socket: it has sessions, and its one operation is a watch.
    var isDatagrams = false
    /// Its socket is a shared one.
    var isGuest = false
    /// When a guest that was closed is forgotten.
    var leavesAt: UInt64 = 0
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

    var isAcceptor: Bool { phase == .open && !isDatagrams && !isGuest }
}

/// The listeners of one worker. Slots are few and reused; the frontend of each stands beside the plain row.
struct ListenerTable: ~Copyable {
    private var rows: FixedTable<Listener>
    /// By slot. A class reference: touched once per connection, not per byte.
    private var frontends: [ServedFrontend?] = []
    private var slots: [FrontendKey: UInt32] = [:]
    private var freeSlots: [UInt32] = []
    /// Sockets that guests listen on, by their address.
    private var shared: [SocketAddress: UInt32] = [:]
    /// Guests that were closed a short while ago, the first of them first.
    private var leaving: [FrontendKey: UInt32] = [:]
    private var departures = RingQueue<UInt32>(capacity: Limits.listenersMax)
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

    /// Whether an open listener is one frontend's own; a socket that guests share is nobody's.
    func hasFrontend(_ slot: UInt32) -> Bool { frontends[Int(slot)] != nil }

    /// nil when the table is full.
    mutating func insert(_ served: ServedFrontend, socket: SocketID, turn: Turn) -> UInt32? {
        guard let slot = take() else { return nil }
        rows[Int(slot)].socket = socket
        rows[Int(slot)].turn = turn
        rows[Int(slot)].isDatagrams = served.frontend.key.transport == .udp
        frontends[Int(slot)] = served
        slots[served.frontend.key] = slot
        return slot
    }

    /// An open row that is nobody's yet.
    private mutating func take() -> UInt32? {
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
        return slot
    }

    // MARK: Guests

    /// The socket at an address that guests share: whose a connection is, the address says that its client asked for.
    func shared(at home: SocketAddress) -> UInt32? { shared[home] }

    mutating func insertShared(at home: SocketAddress, socket: SocketID) -> UInt32? {
        guard let slot = take() else { return nil }
        rows[Int(slot)].socket = socket
        shared[home] = slot
        return slot
    }

    mutating func insertGuest(_ served: ServedFrontend, turn: Turn) -> UInt32? {
        guard let slot = insert(served, socket: .none, turn: turn) else { return nil }
        rows[Int(slot)].isGuest = true
        return slot
    }

    /// Whose a connection is that a shared socket has accepted: nil where nobody serves that address any more, or ever did.
    func guest(at key: FrontendKey) -> UInt32? {
        if let slot = slots[key], rows[Int(slot)].isGuest { return slot }
        return leaving[key]
    }

    /// A guest is closed: nothing new is led to it, and what is on its way is served until `time`.
    mutating func beginLeaving(_ slot: UInt32, until time: UInt64) {
        rows[Int(slot)].phase = .draining
        rows[Int(slot)].leavesAt = time
        if let key = frontends[Int(slot)]?.frontend.key {
            slots[key] = nil
            leaving[key] = slot
        }
        departures.append(slot)
    }

    /// When the next guest is to be forgotten.
    var nextDeparture: UInt64? { departures.first.map { rows[Int($0)].leavesAt } }

    /// Forgets the guest that has waited for longest; its row goes the way of others from here.
    mutating func depart() {
        guard let slot = departures.take() else { return }
        if let key = frontends[Int(slot)]?.frontend.key, leaving[key] == slot { leaving[key] = nil }
        draining.append(slot)
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
        if let key = frontends[Int(slot)]?.frontend.key { slots[key] = nil } else { shared = shared.filter { $0.value != slot } }
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
