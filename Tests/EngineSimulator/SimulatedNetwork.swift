package import Addressing
import Engine
import Glibc

/// The simulated kernel's network: listeners with accept queues, TCP connections as two pipes of bounded size, and a clock that
/// moves only when the driver waits. Everything random is drawn from one seed, so a run can be repeated.
///
/// A connection is a pair of *ends*, 2n for the side that connected and 2n+1 for the side that was accepted; an end's other is
/// `end ^ 1`. Each end has an owner that is told when something changed: a driver's socket, a scripted peer, or a test by hand.
/// ```
///  free ──► connecting ──► open (accepted: queued, then open) ──► closed ──► free, once both ends are closed
///                  └─────► failed (errno)
/// ```
/// Errors come as Linux gives them: what arrived before a reset can still be read; the error is handed out once, to the
/// receive or the send that asks first; after a FIN a receive answers 0 for ever, and a reset then is EPIPE to a send.
package final class SimulatedNetwork {
    package struct Settings: Sendable {
        package var connectionsMax = 1024
        /// Bytes a pipe holds: what the sender's and the receiver's buffers hold together.
        package var pipeBytes = 8192
        /// Bytes of each pipe are drawn from 1/16 of `pipeBytes` up; otherwise all are alike.
        package var variesPipes = false
        package var peersMax = 2048
        package var socketsMax = 2048
        /// Datagrams on their way or in a queue; and those in one queue.
        package var datagramsMax = 4096
        package var datagramQueueMax = 512
        /// Ports of which UDP sockets that connect get one, each the next from one drawn by lot on: one that was closed is not used again
        /// soon, since late replies would be its next owner's, which nobody could prevent.
        package var datagramPorts = 32_768...60_999
        /// Time from an event to the notice of a peer, drawn from 0 to this.
        package var latencyNanosecondsMax: UInt64 = 0

        package init() {}
    }

    struct End: BitwiseCopyable {
        enum Phase: UInt8, BitwiseCopyable { case free, connecting, failed, queued, open, closed }
        enum Owner: UInt8, BitwiseCopyable { case none, socket, peer, hand }

        var phase: Phase
        var owner: Owner
        var ownerIndex: UInt32
        /// Bytes that arrived here and wait to be read: a ring in `arena`.
        var head: UInt32
        var count: UInt32
        var capacity: UInt32
        /// The other side will send no more.
        var finArrived: Bool
        var finSent: Bool
        var isReset: Bool
        /// The network broke the connection, perhaps before somebody took it from its queue.
        var isDisturbed: Bool
        /// `ownerIndex` names a scripted peer, also after it has closed.
        var isPeer: Bool
        /// An errno that the next receive or send is to answer with; of a failed connect, why.
        var error: Int32
        var local: SocketAddress
        var remote: SocketAddress
        var nextQueued: UInt32
        /// SYNs that went unanswered.
        var attempts: UInt8
    }

    struct Listener {
        enum Owner { case socket(UInt32), script(PeerScript), hand }

        var address: SocketAddress
        var owner: Owner
        var isOpen = true
        var arrivalsStopped = false
        /// Whose connections it takes; nil: everybody's.
        var arrivals: ArrivalFilter?
        var backlog: Int
        var head = noEnd
        var tail = noEnd
        var count = 0
        var isStepping = false
    }

    static let noEnd = UInt32.max

    package let settings: Settings
    package var faults: Faults
    package var random: SimulatedRandom
    /// How often each fault has happened.
    private var happened = [Int](repeating: 0, count: Fault.allCases.count)
    /// Virtual nanoseconds.
    package internal(set) var now: UInt64 = 1_000_000_000
    /// Addresses whose SYNs, and datagrams to them, vanish.
    package var blackHoles: Set<SocketAddress> = []
    /// Addresses whose connections come to a listener at another one, as a program of the kernel leads them.
    package var steered: [SocketAddress: SocketAddress] = [:]
    /// Addresses without a route: connects, and datagrams by ICMP, are answered with EHOSTUNREACH.
    package var unreachable: Set<SocketAddress> = []
    /// Connections that can be made from one address to one address and port; nil for any number.
    package var portsPerSource: Int?
    /// Addresses that no socket can be bound to, for the host has not got them.
    package var foreignAddresses: Set<IPAddress> = []
    /// Addresses that can't be listened on, each with the errno.
    package var bindErrors: [SocketAddress: Int32] = [:]
    /// The same for UDP.
    package var datagramBindErrors: [SocketAddress: Int32] = [:]

    var ends: FixedTable<End>
    private var stamps: FixedTable<UInt32>
    private var freePairs: FixedTable<UInt32>
    private var freePairCount = 0
    private var pairsTouched = 0
    var arena: [UInt8]
    var listeners: [Listener] = []
    var events: EventQueue
    var peers: FixedTable<SimulatedPeer>
    package internal(set) var peerCount = 0
    /// Clients that are not over.
    package internal(set) var clientsOpen = 0

    /// Headers that servers have heard, `headerMax` places a peer; and those that clients say, by peer.
    var heardHeaders: [UInt8] = []
    var saidHeaders: [Int: [UInt8]] = [:]
    static let headerMax = 128

    var datagrams: SimulatedDatagrams
    var datagramPeers: [SimulatedDatagramPeer] = []
    /// Told of each datagram that a peer has heard: the peer, the client that it says it is of, and its number.
    package var onDatagramHeard: ((Int, UInt32, UInt32) -> Void)?

    private var readyRing: FixedTable<UInt32>
    private var readyMarks: FixedTable<Bool>
    private var readyHead = 0
    private(set) var readyCount = 0

    package init(seed: UInt64, settings: Settings = Settings(), faults: Faults = Faults()) {
        self.settings = settings
        self.faults = faults
        random = SimulatedRandom(seed: seed)
        ends = FixedTable(zeroedCapacity: settings.connectionsMax * 2)
        stamps = FixedTable(zeroedCapacity: settings.connectionsMax)
        freePairs = FixedTable(zeroedCapacity: settings.connectionsMax)
        arena = [UInt8](repeating: 0, count: settings.connectionsMax * 2 * settings.pipeBytes)
        events = EventQueue(reserving: settings.connectionsMax * 4 + 1024)
        peers = FixedTable(zeroedCapacity: settings.peersMax)
        datagrams = SimulatedDatagrams(capacity: settings.datagramsMax)
        readyRing = FixedTable(zeroedCapacity: settings.socketsMax)
        readyMarks = FixedTable(zeroedCapacity: settings.socketsMax)
    }

    /// Connections of which at least one side is not closed.
    package var connectionsOpen: Int { pairsTouched - freePairCount }

    // MARK: - Faults

    /// Whether a fault happens now; then it is counted.
    func happens(_ fault: Fault) -> Bool {
        guard random.chance(faults[fault]) else { return false }
        note(fault)
        return true
    }

    /// Counts a fault that was not drawn.
    func note(_ fault: Fault) { happened[fault.rawValue] += 1 }

    package func count(_ fault: Fault) -> Int { happened[fault.rawValue] }

    // MARK: - Time

    var nextEventTime: UInt64? { events.nextTime }

    /// Lets everything happen whose time has come.
    func runDueEvents() {
        while let event = events.takeDue(now) {
            switch event.kind {
            case .connectArrived:
                if stamps[Int(event.index / 2)] == event.stamp { connectArrived(event.index) }
            case .peerStepped: stepPeer(event.index)
            case .serverAccepted: serverAccepts(Int(event.index))
            case .datagramArrived: datagramArrived(event.index)
            case .datagramPeerStepped: stepDatagramPeer(Int(event.index))
            }
        }
    }

    func latency() -> UInt64 { UInt64(random.below(Int(settings.latencyNanosecondsMax))) }

    // MARK: - Notices

    /// Tells the end's owner that something changed.
    func notify(_ end: UInt32) {
        switch ends[Int(end)].owner {
        case .socket: markReady(ends[Int(end)].ownerIndex)
        case .peer: schedulePeer(ends[Int(end)].ownerIndex, after: latency())
        case .none, .hand: break
        }
    }

    /// Puts a driver's socket on the list of those to be looked at, once.
    func markReady(_ socket: UInt32) {
        guard !readyMarks[Int(socket)] else { return }
        readyMarks[Int(socket)] = true
        readyRing[(readyHead + readyCount) % readyRing.capacity] = socket
        readyCount += 1
    }

    func takeReady() -> UInt32? {
        guard readyCount > 0 else { return nil }
        let socket = readyRing[readyHead]
        readyHead = (readyHead + 1) % readyRing.capacity
        readyCount -= 1
        readyMarks[Int(socket)] = false
        return socket
    }

    // MARK: - Listening

    /// Opens a listener and answers its number.
    func listen(_ address: SocketAddress, backlog: Int, owner: Listener.Owner) -> Int {
        let listener = Listener(address: address, owner: owner, backlog: max(1, backlog))
        if let index = listeners.firstIndex(where: { !$0.isOpen }) {
            listeners[index] = listener
            return index
        }
        listeners.append(listener)
        return listeners.count - 1
    }

    func stopArrivals(_ index: Int) { listeners[index].arrivalsStopped = true }

    func setArrivals(_ arrivals: ArrivalFilter?, of index: Int) { listeners[index].arrivals = arrivals }

    /// Closes a listener. What is queued is reset, as Linux does.
    func closeListener(_ index: Int) {
        listeners[index].isOpen = false
        while let end = dequeue(index) {
            ends[Int(end)].phase = .open
            close(end, withReset: true)
        }
    }

    func isQueueEmpty(_ index: Int) -> Bool { listeners[index].count == 0 }

    /// Takes the first connection of a listener's queue.
    func accept(_ index: Int, owner: End.Owner, ownerIndex: UInt32) -> UInt32? {
        guard let end = dequeue(index) else { return nil }
        ends[Int(end)].phase = .open
        ends[Int(end)].owner = owner
        ends[Int(end)].ownerIndex = ownerIndex
        ends[Int(end)].isPeer = owner == .peer
        return end
    }

    private func enqueue(_ end: UInt32, at index: Int) {
        ends[Int(end)].nextQueued = Self.noEnd
        if listeners[index].count == 0 {
            listeners[index].head = end
        } else {
            ends[Int(listeners[index].tail)].nextQueued = end
        }
        listeners[index].tail = end
        listeners[index].count += 1
        switch listeners[index].owner {
        case .socket(let socket): markReady(socket)
        case .script: scheduleServer(index)
        case .hand: break
        }
    }

    private func dequeue(_ index: Int) -> UInt32? {
        guard listeners[index].count > 0 else { return nil }
        let end = listeners[index].head
        listeners[index].head = ends[Int(end)].nextQueued
        listeners[index].count -= 1
        return end
    }

    /// An open listener for an address. Of several (SO_REUSEPORT) one is drawn.
    private func listener(for address: SocketAddress) -> Int? {
        var found: Int?
        var matches = 0
        for index in listeners.indices where listeners[index].isOpen && listeners[index].address.port == address.port {
            let bound = listeners[index].address.address
            guard bound == address.address || bound.isUnspecified && bound.family == address.address.family else { continue }
            matches += 1
            if random.below(matches) == 0 { found = index }
        }
        return found
    }

    // MARK: - Connecting

    /// Whether a port is left for one more connection.
    func hasPort(from source: IPAddress, to remote: SocketAddress) -> Bool {
        portsPerSource.map { connections(from: source, to: remote) < $0 } ?? true
    }

    /// Connections made from an address, to one address and port or to all, that are not closed on that side.
    package func connections(from source: IPAddress, to remote: SocketAddress? = nil) -> Int {
        (0..<pairsTouched).count { pair in
            let end = ends[pair * 2]
            let isOpen = end.phase == .connecting || end.phase == .open
            return isOpen && end.local.address == source && (remote == nil || end.remote == remote)
        }
    }

    enum ConnectState { case pending, done, failed(Int32) }

    /// Sends a SYN. nil when the simulation has no room for another connection.
    func connect(
        _ owner: End.Owner, _ ownerIndex: UInt32, from local: SocketAddress, to remote: SocketAddress, at time: UInt64 = 0
    ) -> UInt32? {
        let pair: Int
        if freePairCount > 0 {
            freePairCount -= 1
            pair = Int(freePairs[freePairCount])
        } else {
            guard pairsTouched < settings.connectionsMax else { return nil }
            pair = pairsTouched
            pairsTouched += 1
        }
        let end = UInt32(pair * 2)
        ends[Int(end)] = makeEnd(.connecting, owner, ownerIndex, local: local, remote: remote)
        ends[Int(end ^ 1)] = makeEnd(.free, .none, 0, local: remote, remote: local)
        var delay = latency()
        if owner == .socket, happens(.slowConnect) { delay += UInt64(random.below(Int(faults.slowConnectNanosecondsMax))) }
        events.insert(.connectArrived, end, at: max(now, time) &+ delay, stamp: stamps[pair])
        return end
    }

    func connectState(_ end: UInt32) -> ConnectState {
        switch ends[Int(end)].phase {
        case .connecting: .pending
        case .failed: .failed(ends[Int(end)].error)
        case .open: .done
        case .free, .queued, .closed: preconditionFailure("an end that does not connect")
        }
    }

    private func makeEnd(
        _ phase: End.Phase, _ owner: End.Owner, _ ownerIndex: UInt32, local: SocketAddress, remote: SocketAddress
    ) -> End {
        let capacity = settings.variesPipes ? random.within(max(1, settings.pipeBytes / 16)...settings.pipeBytes) : settings.pipeBytes
        return End(
            phase: phase, owner: owner, ownerIndex: ownerIndex, head: 0, count: 0, capacity: UInt32(capacity), finArrived: false,
            finSent: false, isReset: false, isDisturbed: false, isPeer: owner == .peer, error: 0, local: local, remote: remote,
            nextQueued: Self.noEnd, attempts: 0)
    }

    private func connectArrived(_ end: UInt32) {
        let remote = ends[Int(end)].remote
        if !blackHoles.isEmpty, blackHoles.contains(remote) { return }
        if !unreachable.isEmpty, unreachable.contains(remote) { return connectFailed(end, EHOSTUNREACH) }
        guard let index = listener(for: steered[remote] ?? remote) else { return connectFailed(end, ECONNREFUSED) }
        let isAdmitted = !listeners[index].arrivalsStopped && listeners[index].arrivals?.admits(ends[Int(end)].local.address) != false
        if !isAdmitted || listeners[index].count >= listeners[index].backlog {
            // The SYN is dropped, and sent again after 1, 2, 4 ... seconds.
            note(.synDropped)
            let attempts = ends[Int(end)].attempts
            guard attempts < 6 else { return connectFailed(end, ETIMEDOUT) }
            ends[Int(end)].attempts = attempts + 1
            events.insert(.connectArrived, end, at: now &+ 1_000_000_000 << UInt64(attempts), stamp: stamps[Int(end / 2)])
            return
        }
        if ends[Int(end)].owner == .socket, happens(.connectRefused) { return connectFailed(end, ECONNREFUSED) }
        ends[Int(end)].phase = .open
        ends[Int(end ^ 1)].phase = .queued
        enqueue(end ^ 1, at: index)
        notify(end)
    }

    private func connectFailed(_ end: UInt32, _ errno: Int32) {
        ends[Int(end)].phase = .failed
        ends[Int(end)].error = errno
        notify(end)
    }

    /// Frees a pair both ends of which are over.
    func freePair(of end: UInt32) {
        let pair = end / 2
        stamps[Int(pair)] &+= 1
        ends[Int(pair * 2)].phase = .free
        ends[Int(pair * 2 + 1)].phase = .free
        freePairs[freePairCount] = pair
        freePairCount += 1
    }

    /// Tells one use of an end from the next.
    func stamp(of end: UInt32) -> UInt32 { stamps[Int(end / 2)] }
}
