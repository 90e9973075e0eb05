package import Addressing
import Engine
import Routing

/// A client's exchange of datagrams with an endpoint: who it is, by which address it asks, and which socket leads to its endpoint.
///
/// ```
///  a datagram, no session ──► unbound ──► bound ◄──────────── rebound with the next datagram
///                                │          │ endpoint removed, or it refused (ICMP): socket given up ──► unbound
///                                └──────────┴─► idle for too long, pushed out, listener closed ──► gone
/// ```
package struct UDPSession: BitwiseCopyable {
    package struct Key: BitwiseCopyable, Equatable {
        package var client: SocketAddress
        /// The address that was asked; the unspecified one behind a listener on one address.
        package var local: IPAddress
        package var listener: UInt32

        package init(client: SocketAddress, local: IPAddress, listener: UInt32) {
            self.client = client
            self.local = local
            self.listener = listener
        }
    }

    package static let noUpstream = UInt32.max

    package var key: Key
    package var isOpen = true
    /// The endpoint has answered: a client that is there, and not an address that somebody made up.
    package var isAnswered = false
    /// It is the one that tries an endpoint which had been ejected.
    package var isProbe = false
    /// The listener's when it was opened: another one may have its slot by now.
    package var listenerGeneration: UInt32
    /// Changes of the listener's group that the session has seen.
    package var epoch: UInt32
    /// Its socket and that one's generation: a shared socket may be closed, and its slot be another's.
    package var upstream = noUpstream
    package var upstreamGeneration: UInt32 = 0
    /// The endpoint it is bound to, by `Endpoint.identity`.
    package var endpointIdentity: UInt64 = 0
    package var serviceRow: UInt32
    /// 0 while it is unbound.
    package var endpointRow: UInt32 = 0
    /// The endpoint that refused its last datagram, by `Endpoint.identity`: the next one goes elsewhere; 0 for none.
    package var refusedBy: UInt64 = 0
    /// In ticks of `FlowTime`.
    package var movedAt: UInt32
    /// Requests less replies.
    package var awaited: Int32 = 0
    /// Where it is counted for its client; 0 where it is not.
    package var sourceCell: UInt32 = 0
    package var requestBytes: UInt64 = 0
    package var replyBytes: UInt64 = 0
    /// The next session of the same bucket, plus 1.
    var next: UInt32 = 0

    init(_ key: Key, listenerGeneration: UInt32, epoch: UInt32, serviceRow: UInt32, movedAt: UInt32) {
        self.key = key
        self.listenerGeneration = listenerGeneration
        self.epoch = epoch
        self.serviceRow = serviceRow
        self.movedAt = movedAt
    }

    var isBound: Bool { upstream != Self.noUpstream }

    /// Nanoseconds when it ends unless something moves; not after `now` if that is so already.
    func expiry(_ settings: DatagramSettings, _ now: UInt64) -> UInt64 {
        // A tick more, for `movedAt` is rounded down.
        let limit = UInt64(FlowTime.ticks(isAnswered ? settings.answeredTimeout : settings.unansweredTimeout)) &+ 1
        let age = UInt64(FlowTime.ticks(at: now) &- movedAt)
        return (now >> TimerWheel.bucketShift &+ limit &- min(age, limit)) << TimerWheel.bucketShift
    }
}

/// The sessions of one worker, found by key in constant time; full, the caller pushes out the one that has been idle for longest.
package struct SessionTable: ~Copyable {
    private var sessions: FixedTable<UDPSession>
    /// By hash: the first session, plus 1.
    private var buckets: FixedTable<UInt32>
    private let bucketMask: UInt64
    private var slots: SlotList
    private var recency: RecencyList
    /// Unknown to clients, who could otherwise choose ports that all meet in one bucket.
    private let secret: UInt64

    /// - Parameter capacity: a power of two.
    package init(capacity: Int, secret: UInt64) {
        precondition(capacity.nonzeroBitCount == 1, "the capacity is a power of two")
        self.secret = secret
        sessions = FixedTable(zeroedCapacity: capacity)
        buckets = FixedTable(zeroedCapacity: capacity)
        bucketMask = UInt64(capacity - 1)
        slots = SlotList(capacity: capacity)
        recency = RecencyList(capacity: capacity)
    }

    package var capacity: Int { slots.capacity }
    package var active: Int { slots.active }
    /// Slots ever used.
    package var touched: UInt32 { slots.touched }

    package subscript(slot: UInt32) -> UDPSession {
        _read { yield sessions[Int(slot)] }
        _modify { yield &sessions[Int(slot)] }
    }

    package var oldest: UInt32? { recency.first }

    package func find(_ key: UDPSession.Key) -> UInt32? {
        var link = buckets[bucket(key)]
        while link != 0 {
            if sessions[Int(link &- 1)].key == key { return link &- 1 }
            link = sessions[Int(link &- 1)].next
        }
        return nil
    }

    /// nil when the table is full. There must be none with that key.
    package mutating func insert(_ session: UDPSession) -> UInt32? {
        guard let slot = slots.take() else { return nil }
        let bucket = bucket(session.key)
        sessions[Int(slot)] = session
        sessions[Int(slot)].next = buckets[bucket]
        buckets[bucket] = slot &+ 1
        recency.touch(slot)
        return slot
    }

    /// Something has moved on it.
    mutating func touch(_ slot: UInt32, _ ticks: UInt32) {
        sessions[Int(slot)].movedAt = ticks
        recency.touch(slot)
    }

    package mutating func remove(_ slot: UInt32) {
        precondition(sessions[Int(slot)].isOpen, "a session ends twice")
        let bucket = bucket(sessions[Int(slot)].key)
        let next = sessions[Int(slot)].next
        if buckets[bucket] == slot &+ 1 {
            buckets[bucket] = next
        } else {
            var previous = buckets[bucket] &- 1
            while sessions[Int(previous)].next != slot &+ 1 { previous = sessions[Int(previous)].next &- 1 }
            sessions[Int(previous)].next = next
        }
        sessions[Int(slot)].isOpen = false
        sessions[Int(slot)].next = 0
        recency.remove(slot)
        slots.release(slot)
    }

    private func bucket(_ key: UDPSession.Key) -> Int {
        let client = key.client.address.low ^ key.client.address.high &* 0x9e37_79b9_7f4a_7c15
        let local = key.local.low ^ key.local.high &* 0xc2b2_ae3d_27d4_eb4f
        let rest = UInt64(key.client.port.rawValue) << 32 | UInt64(key.listener)
        return Int(Mixer.mix(Mixer.mix(client ^ secret) ^ Mixer.mix(local ^ rest)) & bucketMask)
    }
}
