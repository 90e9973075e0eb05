import Engine

/// Deadlines of a worker's slots, at most one each: setting and clearing one costs the same however many there are.
///
/// ```
///  near: 512 buckets of 16.8 ms                    far: 512 buckets of 8.6 s
///  ├─ position, looked through for what is due     ├─ the bucket that position enters is spread over the near ones,
///  └─ … 8.6 s ahead                                │  some entries at a time
///                                                  └─ … 73 min ahead; what is later waits in the last one and comes round again
/// ```
///
/// So a deadline in an hour costs nothing until it is near, and a worker with nothing but such ones sleeps for seconds.
struct TimerWheel: ~Copyable {
    /// Nanoseconds a near bucket covers: 16.8 ms, a shift away from a time.
    static let bucketShift: UInt64 = 24
    /// Near buckets, and far ones; a far bucket covers all of the near ones.
    private static let bucketsShift: UInt64 = 9
    private static let buckets: UInt64 = 1 << bucketsShift
    private static let none = UInt32.max

    // Not private: Swift 6.3 can't emit a private type stored in a noncopyable struct that other files destroy.
    struct Link: BitwiseCopyable {
        var deadline: UInt64
        var next: UInt32
        var previous: UInt32
        var bucket: UInt16
        var isSet: Bool
    }

    /// The near buckets, then the far ones.
    private var heads: FixedTable<UInt32>
    /// One bit for each bucket that holds something.
    private var occupied: FixedTable<UInt64>
    private var links: FixedTable<Link>
    /// Slots with a deadline.
    private(set) var count = 0
    /// The near bucket (its number not wrapped) up to which everything due has been taken.
    private var position: UInt64

    init(capacity: Int, now: UInt64) {
        let all = Int(2 * Self.buckets)
        heads = FixedTable(zeroedCapacity: all)
        for index in 0..<all { heads[index] = Self.none }
        occupied = FixedTable(zeroedCapacity: all / 64)
        links = FixedTable(zeroedCapacity: capacity)
        position = now >> Self.bucketShift
    }

    /// Sets the slot's deadline, in place of one it has.
    mutating func set(_ slot: UInt32, deadline: UInt64) {
        clear(slot)
        let bucket = bucket(of: deadline)
        let head = heads[bucket]
        links[Int(slot)] = Link(deadline: deadline, next: head, previous: Self.none, bucket: UInt16(bucket), isSet: true)
        if head != Self.none { links[Int(head)].previous = slot } else { occupied[bucket / 64] |= 1 << UInt64(bucket % 64) }
        heads[bucket] = slot
        count &+= 1
    }

    private func bucket(of deadline: UInt64) -> Int {
        // A deadline in the past is due with the bucket that is looked at next.
        let near = max(deadline >> Self.bucketShift, position)
        if near &- position < Self.buckets { return Int(near % Self.buckets) }
        // Never the bucket that is being spread: that one begins where near ends.
        let far = min(near >> Self.bucketsShift, position >> Self.bucketsShift &+ Self.buckets &- 1)
        return Int(Self.buckets &+ far % Self.buckets)
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
            if link.next == Self.none { occupied[Int(link.bucket) / 64] &= ~(1 << UInt64(link.bucket % 64)) }
        }
        count &-= 1
    }

    /// Takes one slot whose deadline is over; nil when there is none, or when entries are still to be brought nearer: then
    /// `waitNanoseconds` is 0.
    mutating func takeDue(_ now: UInt64) -> UInt32? {
        let target = now >> Self.bucketShift
        guard count > 0 else {
            position = max(position, target)
            return nil
        }
        while true {
            guard bringNear() else { return nil }
            var slot = heads[Int(position % Self.buckets)]
            while slot != Self.none {
                let link = links[Int(slot)]
                if link.deadline <= now {
                    clear(slot)
                    return slot
                }
                slot = link.next
            }
            guard position < target else { return nil }
            // The next near bucket that holds something, or the end of the far bucket that position is in.
            let index = position % Self.buckets
            let next = firstOccupied(from: index + 1, to: Self.buckets) ?? Self.buckets
            position = min(target, position &+ (next &- index))
        }
    }

    /// Spreads the far bucket that `position` is in over the near ones; false when that is too much for one tick.
    private mutating func bringNear() -> Bool {
        let bucket = Int(Self.buckets &+ (position >> Self.bucketsShift) % Self.buckets)
        for _ in 0..<Limits.timersMovedPerTickMax {
            let slot = heads[bucket]
            guard slot != Self.none else { return true }
            set(slot, deadline: links[Int(slot)].deadline)
        }
        return heads[bucket] == Self.none
    }

    /// The first of these buckets that holds something.
    private func firstOccupied(from start: UInt64, to end: UInt64) -> UInt64? {
        var index = start
        while index < end {
            let word = occupied[Int(index / 64)] >> (index % 64)
            if word != 0 {
                let found = index &+ UInt64(word.trailingZeroBitCount)
                return found < end ? found : nil
            }
            index = (index / 64 &+ 1) &* 64
        }
        return nil
    }

    /// Nanoseconds until something may be due; `.max` with no deadline set. Never later than the first deadline.
    func waitNanoseconds(_ now: UInt64) -> UInt64 {
        guard count > 0 else { return .max }
        let first = Self.buckets
        let current = position % first
        var wakeAt = UInt64.max
        if let bucket = firstOccupied(from: current, to: first) ?? firstOccupied(from: 0, to: current) {
            var slot = heads[Int(bucket)]
            while slot != Self.none {
                wakeAt = min(wakeAt, links[Int(slot)].deadline)
                slot = links[Int(slot)].next
            }
        }
        let turn = position >> Self.bucketsShift
        let place = first &+ turn % first
        if let bucket = firstOccupied(from: place, to: 2 * first) ?? firstOccupied(from: first, to: place) {
            // When that bucket begins; at once if it has begun.
            let distance = bucket >= place ? bucket &- place : bucket &+ first &- place
            wakeAt = min(wakeAt, (turn &+ distance) << (Self.bucketShift &+ Self.bucketsShift))
        }
        return wakeAt > now ? wakeAt &- now : 0
    }
}
