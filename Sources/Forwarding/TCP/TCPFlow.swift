package import Engine
package import Routing

/// One of the two sockets of a flow.
package enum Leg: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case client, server

    package var other: Leg { self == .client ? .server : .client }
}

/// What the worker is to do after an event, done in the order of the members.
package struct FlowActions: OptionSet, BitwiseCopyable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let sendToClient = FlowActions(rawValue: 1 << 0)
    package static let sendToServer = FlowActions(rawValue: 1 << 1)
    package static let shutdownClient = FlowActions(rawValue: 1 << 2)
    package static let shutdownServer = FlowActions(rawValue: 1 << 3)
    package static let receiveFromClient = FlowActions(rawValue: 1 << 4)
    package static let receiveFromServer = FlowActions(rawValue: 1 << 5)
    package static let cancelReceiveFromClient = FlowActions(rawValue: 1 << 6)
    package static let cancelReceiveFromServer = FlowActions(rawValue: 1 << 7)
    package static let cancelSendToClient = FlowActions(rawValue: 1 << 8)
    package static let cancelSendToServer = FlowActions(rawValue: 1 << 9)
    package static let cancelConnect = FlowActions(rawValue: 1 << 10)
    /// A reset waits for bytes that are on their way to the other side: bound the wait.
    package static let boundFlush = FlowActions(rawValue: 1 << 11)
    /// Nothing is in the kernel any more: close both sockets and free the slot.
    package static let finish = FlowActions(rawValue: 1 << 12)
    package static let transferFromClient = FlowActions(rawValue: 1 << 13)
    package static let transferFromServer = FlowActions(rawValue: 1 << 14)
    package static let cancelTransferFromClient = FlowActions(rawValue: 1 << 15)
    package static let cancelTransferFromServer = FlowActions(rawValue: 1 << 16)
    /// Nothing of the server's socket is in the kernel any more: close it and try another endpoint.
    package static let retry = FlowActions(rawValue: 1 << 17)
}

/// One TCP connection from a client through the balancer to an endpoint.
///
/// ```
///             accept                connect done                 both FINs passed on, or a reset passed on
///  (free) ───────────► connecting ───────────────► established ─────────────────────────────────────┐
///    │                  │ ▲ ▲ │                         │ failure, drain's end                      ▼
///    │ accept, a header │ │ │ │ next endpoint      │    └───────────────────────────────────────► closing
///    ▼ is due           │ │ └─┘◄─ retrying ◄───────┘ the server resets before a byte was sent        │ nothing pending
///  awaitingHeader ──────│─┘             no endpoint left, or client reset ──────────────────────────► │
///    │  no descriptor   ▼ │retry                                                                     │
///    │  or no buffer   waiting ────────────────────────────────────────────────────────────────────► │
///    └ bad or late ────────────────────────────────────────────────────────────────────────────────►▼
///                                                                                     finish: close, free, generation + 1
/// ```
///
/// Each direction moves its bytes in one of two ways. *Small*: received into buffers, linked into the other leg's outbox, sent.
/// *Bulk*: transfers within the engine, without buffers. It goes from one to the other only between two bytes: into bulk when no
/// receive is pending and the outbox is empty and sent, back when a transfer has completed, which leaves nothing under way.
///
/// Events change what is known; `settle` then says what should be in flight, as a pure function of that. Closing has three
/// steps: `beginClose` (cancel what is pending), join (completions come in; **buffers of a pending send stay untouched**),
/// finish (only when `pendingOperations == 0`). No other path frees a slot.
package struct TCPFlow: BitwiseCopyable, Sendable {
    package enum Phase: UInt8, BitwiseCopyable, Sendable {
        case free
        /// The client's PROXY header is not whole yet.
        case awaitingHeader
        case connecting
        /// There was no descriptor or no buffer for an attempt.
        case waiting
        case established
        /// The server's socket has failed before it mattered, and another attempt is made once nothing of it is pending.
        case retrying
        case closing
    }

    /// The multishot receive of a leg.
    package enum Receive: UInt8, BitwiseCopyable, Sendable {
        case idle, armed, cancelling
        /// It ended for want of buffers; the worker resumes it when there are some.
        case starved
    }

    /// How far a leg's peer has spoken.
    package enum Input: UInt8, BitwiseCopyable, Sendable {
        case open, fin, reset
    }

    package struct LegState: BitwiseCopyable, Sendable {
        package var socket = SocketID.none
        /// Bytes read from the other leg, to be sent on this one.
        package var outbox = ByteQueue()
        package var receive = Receive.idle
        package var input = Input.open
        package var sending = false
        package var sendCancelled = false
        /// What is read here moves to the other leg by transfers, and not by receives and sends.
        package var isBulk = false
        /// A transfer from this leg is pending. Then no receive of this leg and no send to the other one is.
        package var transferring = false
        package var transferCancelled = false
        /// In small mode, how much of late came in full buffers; in bulk, minus the number of small transfers in a row.
        package var fullness: Int16 = 0
        package var finSent = false
        /// A send failed: the peer is gone, and the receive will say how.
        package var isBroken = false

        package init() {}

        var pendingOperations: Int {
            (receive == .armed || receive == .cancelling ? 1 : 0) + (sending ? 1 : 0) + (transferring ? 1 : 0)
        }
    }

    package var generation: UInt32
    package var phase = Phase.free
    package var connectPending = false
    package var connectCancelled = false
    package var closesWithReset = false
    package var flushBounded = false
    /// Whether a timer is set that looks after legs that can't be heard.
    package var isWatched = false
    /// Whether the server's socket has its keep-alive and user timeout; the client's has them from its listener.
    package var isGuarded = false
    /// Nothing has moved for a while, and receives that are armed anew rest.
    package var isResting = false
    // Small fields stand together, or gaps between them would cost each connection a few bytes.
    /// Whether the server has neither been sent a byte nor ended or said one: should it reset now, another one can take its place
    /// and the client need not know. Meaningful while established.
    package var isUntouched = false
    /// Whether the server's socket holds ACKs back: the handshake's last for the first bytes we send, that of its first bytes for a
    /// FIN. Meaningful while established.
    package var withholdsACK = false
    /// Whether a received byte is one like any other: the connection is not new, and does not rest.
    package var isSettled = false
    /// Whether the worker has noted who connected to what, for the PROXY protocol.
    package var hasAddresses = false
    /// The PROXY header that the bytes for the server begin with, and its length.
    package var header: ProxyProtocolVersion?
    package var headerLength: UInt8 = 0
    /// The attempt's source address, by its place among those of the endpoint's family; how many more there are for the endpoint; and
    /// whether the next attempt goes to the same endpoint from one of them.
    package var source: UInt8 = 0
    package var sourcesLeft: UInt8 = 0
    package var keepsEndpoint = false
    /// Whether the listener's row is kept for this flow, because another attempt may need its group.
    package var holdsListener = false
    /// Whether the worker looks at what the client says before it goes anywhere: a header is due, or one that isn't is watched for.
    package var isInspected = false
    /// Whether the client is near by, and led elsewhere than others.
    package var isShortCircuit = false
    /// Bytes of the client that may yet become a header that isn't due; they stand in a buffer of their own, `held`.
    package var heldBytes: UInt8 = 0
    /// Who sent the last bytes that came: a flow that stands still waits for the other one.
    package var spokeLast = Leg.server
    package var closeReason = CloseReason.internal
    package var client = LegState()
    package var server = LegState()
    /// The buffer with the bytes that are held, where there are any.
    package var held = BufferID.none
    /// The listener's slot, for the group that another attempt is chosen from; of no meaning without `holdsListener`.
    package var listener: UInt32 = 0
    /// Rows of the worker's counters.
    package var serviceRow: UInt32 = 0
    package var endpointRow: UInt32 = 0
    /// When bytes last moved, in either direction and on either leg, as `FlowTime`. Stored, and nothing else, for each move; the
    /// flow's timer fires, looks, and is set again for what is left.
    package var movedAt: UInt32 = 0
    package var timeouts = FlowTimeouts()
    /// Where the connection is counted for its client; 0 where it is not.
    package var sourceCell: UInt32 = 0
    /// Since when bytes are held, as `FlowTime`.
    package var heldSince: UInt32 = 0
    package var endpointIdentity: UInt64 = 0
    package var tried = Tried()
    package var health = FlowHealth()
    /// When all attempts to connect must be over.
    package var connectDeadline: UInt64 = 0

    package init(generation: UInt32) { self.generation = generation }

    // Inlined by order: the accessors' coroutines were 3 % of a worker's time.
    @inline(__always) package subscript(leg: Leg) -> LegState {
        get { leg == .client ? client : server }
        _modify { if leg == .client { yield &client } else { yield &server } }
    }

    /// Operations the kernel has of this flow. Its memory and descriptors must stay while there is one.
    package var pendingOperations: Int {
        (connectPending ? 1 : 0) + client.pendingOperations + server.pendingOperations
    }
}

// MARK: - Events

extension TCPFlow {
    /// A receive completed: bytes, FIN (0), or a negative errno. Answers whether the direction goes into bulk with it.
    @discardableResult
    package mutating func receiveCompleted(
        _ leg: Leg, _ completion: Completion, bulk: BulkRule = BulkRule(), in pool: BufferPool
    ) -> Bool {
        if !completion.more { self[leg].receive = .idle }
        if completion.result >= 0, leg == .server { isUntouched = false }
        if completion.result > 0 {
            spokeLast = leg
            // Bytes for a side that can't take them any more are dropped, as a kernel drops what comes for a closed socket.
            let isDropped = phase == .closing || phase == .retrying && leg == .server
            if isDropped || self[leg.other].input == .reset || self[leg.other].isBroken {
                pool.release(completion.buffer)
            } else {
                self[leg.other].outbox.append(completion.buffer, length: Int(completion.result), in: pool)
                if phase == .established { return bulk.received(Int(completion.result), of: pool.bufferSize, &self[leg]) }
            }
            return false
        }
        switch FlowErrno(completion.result) {
        case .end: self[leg].input = self[leg].isBroken ? .reset : .fin
        case .cancelled: return false
        case .starved: self[leg].receive = .starved
        case .reset, .lost: self[leg].input = .reset
        }
        note(leg, FlowErrno(completion.result))
        return false
    }

    /// The same of bytes of the client that are held back.
    package mutating func holdCompleted(_ completion: Completion, length: Int) {
        if !completion.more { client.receive = .idle }
        spokeLast = .client
        held = completion.buffer
        heldBytes = UInt8(length)
    }

    /// Nothing has moved for a while: the receives are to be armed anew, as ones that rest.
    package mutating func beginRest() -> FlowActions {
        isResting = true
        isSettled = false
        var actions: FlowActions = []
        if client.receive == .armed { actions.insert(.cancelReceiveFromClient) }
        if server.receive == .armed { actions.insert(.cancelReceiveFromServer) }
        if client.receive == .armed { client.receive = .cancelling }
        if server.receive == .armed { server.receive = .cancelling }
        return actions
    }

    /// A send completed: bytes taken by the kernel, or a negative errno.
    package mutating func sendCompleted(_ leg: Leg, _ result: Int32, in pool: BufferPool) {
        self[leg].sending = false
        self[leg].sendCancelled = false
        if result > 0 {
            self[leg].outbox.consume(Int(result), in: pool)
            if leg == .server {
                isUntouched = false
                // It was faster than what ended the socket: another server must not have the rest.
                if phase == .retrying { beginClose(reset: true, reason: .serverReset) }
            }
            return
        }
        let errno = FlowErrno(result)
        if errno == .cancelled || errno == .starved || phase == .retrying { return }
        // What nobody has been sent is for the next server.
        if leg == .client || !isUntouched { self[leg].outbox.removeAll(in: pool) }
        foundFailed(leg, errno)
    }

    /// A transfer from a leg completed: bytes delivered to the other one, FIN (0), or a negative errno of either side.
    package mutating func transferCompleted(_ leg: Leg, _ completion: Completion, bulk: BulkRule = BulkRule()) {
        if !completion.more {
            self[leg].transferring = false
            self[leg].transferCancelled = false
        }
        if completion.result > 0 {
            spokeLast = leg
            if !completion.more { bulk.transferred(Int(completion.result), &self[leg]) }
            return
        }
        let errno = FlowErrno(completion.result)
        switch errno {
        case .cancelled: return
        case .starved: bulk.refused(&self[leg])
        case .end, .reset, .lost:
            if completion.isDestination {
                // Reading goes on in small mode, which drops what can't be delivered any more.
                self[leg].isBulk = false
                return foundFailed(leg.other, errno)
            }
            self[leg].input = errno == .end && !self[leg].isBroken ? .fin : .reset
            note(leg, errno)
        }
    }

    /// A leg's peer is gone, though no receive has told so.
    package mutating func foundFailed(_ leg: Leg, _ errno: FlowErrno = .reset) {
        guard self[leg].input != .reset else { return }
        note(leg, errno == .lost ? .lost : .reset)
        if self[leg].input == .open, leg == .client || !isUntouched {
            // What the peer said before it went is still to be read; the end of the reading tells the rest.
            self[leg].isBroken = true
        } else {
            self[leg].input = .reset
        }
    }

    /// The connect completed well.
    package mutating func connected() {
        connectPending = false
        connectCancelled = false
        phase = .established
        isUntouched = true
        withholdsACK = true
        isSettled = false
    }

    /// The attempt is over, and nothing of it is in the kernel; the server's socket is the worker's to close.
    package mutating func attemptEnded() {
        connectPending = false
        connectCancelled = false
        server = LegState(keeping: server)
        // What became of a server that is replaced is not what ends the flow.
        closeReason = client.input == .fin ? .clientFin : .internal
    }

    /// The server's socket has failed, and nobody has been told anything: another attempt is made when nothing of it is pending.
    private mutating func beginRetry() {
        phase = .retrying
        // What the client says meanwhile is for the next server.
        server.input = .open
        client.isBulk = false
        flushBounded = false
    }

    /// The endpoint is not to be tried again for this flow.
    package mutating func connectFailed() { tried.insert(endpointIdentity) }

    /// The first step of a close. What follows is only clean-up; the first reason stands.
    package mutating func beginClose(reset: Bool, reason: CloseReason? = nil) {
        guard phase != .closing else { return }
        phase = .closing
        closesWithReset = reset
        if let reason { closeReason = reason }
    }

    private mutating func note(_ leg: Leg, _ errno: FlowErrno) {
        let reason: CloseReason
        switch (leg, errno) {
        case (.client, .end): reason = .clientFin
        case (.server, .end): reason = .serverFin
        case (.client, .reset): reason = .clientReset
        case (.server, .reset): reason = .serverReset
        case (.client, .lost): reason = .clientLost
        case (.server, .lost): reason = .serverLost
        case (_, .cancelled), (_, .starved): return
        }
        // The first end names a clean close; a reset or loss after it is what ended the flow.
        if closeReason == .internal || errno != .end, !closeReason.isAbrupt || phase == .retrying { closeReason = reason }
    }
}

// MARK: - Settling

extension TCPFlow {
    /// Decides what should be in flight now.
    ///
    /// - Parameter outboxMax: buffers an outbox may hold before its source is no longer read; at least 1. Reading resumes at
    ///   half of it. What was already on its way when a receive is cancelled comes on top.
    package mutating func settle(outboxMax: UInt16, in pool: BufferPool) -> FlowActions {
        var actions: FlowActions = []
        if phase == .established, isUntouched, server.input == .reset, client.input != .reset { beginRetry() }
        if phase == .retrying, client.input != .reset { return settleRetrying() }
        if phase != .closing {
            if client.input == .reset || server.input == .reset { settleReset(&actions, pool) }
            // The reading that is to tell why a send failed may have to wait for the other side to take bytes: not for ever.
            if phase == .established, client.isBroken || server.isBroken, !flushBounded {
                flushBounded = true
                actions.insert(.boundFlush)
            }
            if client.input == .fin, server.input == .fin, client.outbox.isEmpty, server.outbox.isEmpty, phase == .established {
                beginClose(reset: false)
            }
        }
        if phase == .closing { return settleClosing() }
        Self.settleLeg(&client, server, isConnected: true, .ofClient, outboxMax, &actions)
        Self.settleLeg(&server, client, isConnected: phase == .established, .ofServer, outboxMax, &actions)
        return actions
    }

    /// A reset is passed on after the bytes that came before it are with the kernel, as TCP lets a reader have what is in its
    /// queue. What the kernel has not delivered by then is lost with the reset.
    private mutating func settleReset(_ actions: inout FlowActions, _ pool: BufferPool) {
        let leg: Leg = client.input == .reset ? .client : .server
        if !self[leg].sending { self[leg].outbox.removeAll(in: pool) }
        let other = self[leg.other]
        if phase != .established || other.input == .reset || other.isBroken || other.outbox.isEmpty {
            beginClose(reset: true)
        } else if !flushBounded {
            flushBounded = true
            actions.insert(.boundFlush)
        }
    }

    /// The actions that are about one leg.
    private struct LegActions {
        let send: FlowActions
        let shutdown: FlowActions
        let receive: FlowActions
        let cancelReceive: FlowActions
        let transfer: FlowActions

        static var ofClient: LegActions {
            LegActions(
                send: .sendToClient, shutdown: .shutdownClient, receive: .receiveFromClient, cancelReceive: .cancelReceiveFromClient,
                transfer: .transferFromClient)
        }
        static var ofServer: LegActions {
            LegActions(
                send: .sendToServer, shutdown: .shutdownServer, receive: .receiveFromServer, cancelReceive: .cancelReceiveFromServer,
                transfer: .transferFromServer)
        }
    }

    // Of the two legs themselves and not of their names: to look a leg up at each use was a fifth of a worker's instructions.
    @inline(__always)
    private static func settleLeg(
        _ leg: inout LegState, _ other: LegState, isConnected: Bool, _ its: LegActions, _ outboxMax: UInt16, _ actions: inout FlowActions
    ) {
        if isConnected, !leg.sending, leg.input != .reset, !leg.isBroken {
            if !leg.outbox.isEmpty {
                leg.sending = true
                actions.insert(its.send)
            } else if other.input == .fin, !leg.finSent {
                leg.finSent = true
                actions.insert(its.shutdown)
            }
        }
        // Also where the other side is broken: what comes is dropped then, but a peer that can't speak may not listen either.
        let isWanted = isConnected && leg.input == .open && other.input != .reset
        if other.isBroken { leg.isBulk = false }
        if leg.isBulk {
            // A transfer needs no buffer.
            if leg.receive == .starved { leg.receive = .idle }
            // **The first transfer comes after the last buffered byte**: nothing is being received, nothing waits to be sent.
            if isWanted, leg.receive == .idle, !leg.transferring, other.outbox.isEmpty, !other.sending {
                leg.transferring = true
                actions.insert(its.transfer)
            }
        }
        switch leg.receive {
        case .armed where leg.isBulk:
            leg.receive = .cancelling
            actions.insert(its.cancelReceive)
        // Not beside a transfer, which has what comes first.
        case .idle where isWanted && !leg.transferring && !leg.isBulk && other.outbox.count <= outboxMax / 2:
            leg.receive = .armed
            actions.insert(its.receive)
        case .armed where !isWanted || other.outbox.count > outboxMax:
            leg.receive = .cancelling
            actions.insert(its.cancelReceive)
        default: break
        }
    }

    private mutating func settleRetrying() -> FlowActions {
        if server.pendingOperations == 0 { return .retry }
        var actions: FlowActions = []
        if server.receive == .armed { actions.insert(.cancelReceiveFromServer) }
        if server.sending, !server.sendCancelled { actions.insert(.cancelSendToServer) }
        server.cancelAll()
        return actions
    }

    private mutating func settleClosing() -> FlowActions {
        if pendingOperations == 0 { return .finish }
        var actions: FlowActions = []
        if client.receive == .armed { actions.insert(.cancelReceiveFromClient) }
        if server.receive == .armed { actions.insert(.cancelReceiveFromServer) }
        if client.transferring, !client.transferCancelled { actions.insert(.cancelTransferFromClient) }
        if server.transferring, !server.transferCancelled { actions.insert(.cancelTransferFromServer) }
        if client.sending, !client.sendCancelled { actions.insert(.cancelSendToClient) }
        if server.sending, !server.sendCancelled { actions.insert(.cancelSendToServer) }
        if connectPending, !connectCancelled { actions.insert(.cancelConnect) }
        client.cancelAll()
        server.cancelAll()
        connectCancelled = connectPending
        return actions
    }
}

extension TCPFlow.LegState {
    /// A fresh leg for another attempt: the bytes that wait for the server are kept.
    init(keeping old: TCPFlow.LegState) {
        self.init()
        outbox = old.outbox
    }

    /// Whether the leg's peer could go without our hearing of it: its reading is held up by back-pressure, or has met FIN.
    package var isUnheard: Bool {
        switch input {
        case .open: receive == .idle && !isBroken
        case .fin: !finSent
        case .reset: false
        }
    }

    /// Whether a send is held up by a full socket: it is pending, and more waits behind it.
    var isStuck: Bool { sending && outbox.count > 1 }

    fileprivate mutating func cancelAll() {
        if receive == .armed { receive = .cancelling }
        sendCancelled = sending
        transferCancelled = transferring
    }
}

extension CloseReason {
    /// Whether a connect that failed so speaks against the endpoint, and not against this host.
    var blamesEndpoint: Bool { self != .noSourcePort && self != .limitProcess }

    /// Whether the reason is more than an end of file on one side.
    var isAbrupt: Bool {
        switch self {
        case .internal, .clientFin, .serverFin: false
        default: true
        }
    }
}
