import Engine

/// Which slots of a table are in use: numbers from 0, reused last in, first out, so that those in use stay few and in the cache.
struct SlotList: ~Copyable {
    private var free: FixedTable<UInt32>
    private var freeCount = 0
    let capacity: Int
    /// Slots ever used: those that a sweep has to look at.
    private(set) var touched: UInt32 = 0
    private(set) var active = 0

    init(capacity: Int) {
        free = FixedTable(zeroedCapacity: capacity)
        self.capacity = capacity
    }

    /// A free slot; nil when all are taken.
    @inline(__always) mutating func take() -> UInt32? {
        let slot: UInt32
        if freeCount > 0 {
            freeCount &-= 1
            slot = free[freeCount]
        } else {
            guard touched < UInt32(capacity) else { return nil }
            slot = touched
            touched &+= 1
        }
        active &+= 1
        return slot
    }

    /// Gives a slot back that was taken.
    @inline(__always) mutating func release(_ slot: UInt32) {
        free[freeCount] = slot
        freeCount &+= 1
        active &-= 1
    }
}
