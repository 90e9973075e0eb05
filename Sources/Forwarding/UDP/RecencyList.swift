import Engine

/// Slots in the order in which something last happened to them: the one that nothing has happened to for longest is first. Every step
/// costs the same however many there are.
struct RecencyList: ~Copyable {
    // Not private: see `TimerWheel.Link`. Neighbours by slot plus 1; zero bytes stand in no list.
    struct Link: BitwiseCopyable {
        var older: UInt32
        var newer: UInt32
        var isListed: Bool
    }

    private var links: FixedTable<Link>
    private var oldest: UInt32 = 0
    private var newest: UInt32 = 0

    init(capacity: Int) { links = FixedTable(zeroedCapacity: capacity) }

    /// nil when the list is empty.
    var first: UInt32? { oldest == 0 ? nil : oldest &- 1 }

    /// Puts a slot at the end, wherever it was.
    mutating func touch(_ slot: UInt32) {
        guard newest != slot &+ 1 else { return }
        remove(slot)
        links[Int(slot)] = Link(older: newest, newer: 0, isListed: true)
        if newest == 0 { oldest = slot &+ 1 } else { links[Int(newest &- 1)].newer = slot &+ 1 }
        newest = slot &+ 1
    }

    /// Nothing where it is not listed.
    mutating func remove(_ slot: UInt32) {
        let link = links[Int(slot)]
        guard link.isListed else { return }
        if link.older == 0 { oldest = link.newer } else { links[Int(link.older &- 1)].newer = link.newer }
        if link.newer == 0 { newest = link.older } else { links[Int(link.newer &- 1)].older = link.older }
        links[Int(slot)] = Link(older: 0, newer: 0, isListed: false)
    }
}
