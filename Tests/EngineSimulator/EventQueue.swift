/// Something that happens at a time to come.
struct Event: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        /// A SYN reaches its destination; `index` is the connecting end.
        case connectArrived
        /// A simulated peer looks at its connection; `index` is the peer.
        case peerStepped
        /// A simulated server takes what is queued at its listener; `index` is the listener.
        case serverAccepted
        /// A datagram, or the ICMP error that answers it, reaches its destination; `index` is the datagram.
        case datagramArrived
        /// A client of datagrams may send its next one; `index` is the peer.
        case datagramPeerStepped
    }

    var time: UInt64
    /// Events of one time happen in the order they were made in.
    var order: UInt64
    var kind: Kind
    var index: UInt32
    /// Tells an event of an end that is gone from one of its successor.
    var stamp: UInt32

    static func < (left: Event, right: Event) -> Bool { (left.time, left.order) < (right.time, right.order) }
}

/// Events by time: a binary heap in one array, which stops growing once the simulation is warm.
struct EventQueue {
    private var heap: [Event] = []
    private var ordered: UInt64 = 0

    init(reserving capacity: Int) { heap.reserveCapacity(capacity) }

    var nextTime: UInt64? { heap.first?.time }

    mutating func insert(_ kind: Event.Kind, _ index: UInt32, at time: UInt64, stamp: UInt32 = 0) {
        ordered &+= 1
        heap.append(Event(time: time, order: ordered, kind: kind, index: index, stamp: stamp))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child] < heap[parent] else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// The first event if its time has come.
    mutating func takeDue(_ now: UInt64) -> Event? {
        guard let first = heap.first, first.time <= now else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        return first
    }

    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in (2 * parent + 1)...(2 * parent + 2) where child < heap.count && heap[child] < heap[least] { least = child }
            if least == parent { return }
            heap.swapAt(least, parent)
            parent = least
        }
    }
}
