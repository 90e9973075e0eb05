import Engine

/// Deadlines of a worker's slots, at most one each, in a wheel of buckets: setting and clearing one costs the same however
/// many there are. Deadlines beyond a turn of the wheel wait in their bucket for their turn.
struct TimerWheel: ~Copyable {
    /// Nanoseconds a bucket covers: 16.8 ms, a shift away from a time.
    static let bucketShift: UInt64 = 24
    private static let buckets = 512
    private static let none = UInt32.max

    // Not private: Swift 6.3 can't emit a private type stored in a noncopyable struct that other files destroy.
    struct Link: BitwiseCopyable {
        var deadline: UInt64
        var next: UInt32
        var previous: UInt32
        var bucket: UInt16
        var isSet: Bool
    }

    private var heads: FixedTable<UInt32>
    private var links: FixedTable<Link>
    /// Slots with a deadline.
    private(set) var count = 0
    /// The bucket number (not wrapped) up to which everything due has been taken.
    private var position: UInt64

    init(capacity: Int, now: UInt64) {
        heads = FixedTable(zeroedCapacity: Self.buckets)
        for index in 0..<Self.buckets { heads[index] = Self.none }
        links = FixedTable(zeroedCapacity: capacity)
        position = now >> Self.bucketShift
    }

    /// Sets the slot's deadline, in place of one it has.
    mutating func set(_ slot: UInt32, deadline: UInt64) {
        clear(slot)
        // A deadline in the past is due with the bucket that is looked at next.
        let bucket = Int(max(deadline >> Self.bucketShift, position) % UInt64(Self.buckets))
        let head = heads[bucket]
        links[Int(slot)] = Link(deadline: deadline, next: head, previous: Self.none, bucket: UInt16(bucket), isSet: true)
        if head != Self.none { links[Int(head)].previous = slot }
        heads[bucket] = slot
        count &+= 1
    }

    /// Clears the slot's deadline; nothing where it has none.
    mutating func clear(_ slot: UInt32) {
        let link = links[Int(slot)]
        guard link.isSet else { return }
        links[Int(slot)].isSet = false
        if link.next != Self.none { links[Int(link.next)].previous = link.previous }
        if link.previous != Self.none {
            links[Int(link.previous)].next = link.next
        } else {
            heads[Int(link.bucket)] = link.next
        }
        count &-= 1
    }

    /// Takes one slot whose deadline is over; nil when there is none.
    mutating func takeDue(_ now: UInt64) -> UInt32? {
        let target = now >> Self.bucketShift
        guard count > 0 else {
            position = target
            return nil
        }
        // After a long sleep one turn of the wheel sees every bucket.
        if target &- position > UInt64(Self.buckets) { position = target &- UInt64(Self.buckets) }
        while true {
            var slot = heads[Int(position % UInt64(Self.buckets))]
            while slot != Self.none {
                let link = links[Int(slot)]
                if link.deadline <= now {
                    clear(slot)
                    return slot
                }
                slot = link.next
            }
            guard position < target else { return nil }
            position &+= 1
        }
    }

    /// Nanoseconds until something may be due; `.max` with no deadline set. Never later than the first deadline's bucket.
    func waitNanoseconds(_ now: UInt64) -> UInt64 {
        guard count > 0 else { return .max }
        for distance in 0..<UInt64(Self.buckets) {
            var slot = heads[Int((position &+ distance) % UInt64(Self.buckets))]
            var first = UInt64.max
            while slot != Self.none {
                first = min(first, links[Int(slot)].deadline)
                slot = links[Int(slot)].next
            }
            guard first != .max else { continue }
            let bucketEnd = (position &+ distance &+ 1) << Self.bucketShift
            let wakeAt = min(first, bucketEnd)
            return wakeAt > now ? wakeAt - now : 0
        }
        return .max
    }
}
