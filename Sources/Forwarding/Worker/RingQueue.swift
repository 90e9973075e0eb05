import Engine

/// Flows that something is to be done for, in order of arrival; a ring of fixed size. What it is made for stands in it at most once at
/// a time, and stale entries are few; should it be full, the oldest entry is taken over.
struct RingQueue<Element: BitwiseCopyable>: ~Copyable {
    private var elements: FixedTable<Element>
    private var head = 0
    private(set) var count = 0

    init(capacity: Int) { elements = FixedTable(zeroedCapacity: capacity) }

    var isEmpty: Bool { count == 0 }
    var isFull: Bool { count == elements.capacity }

    /// The one that `take` would give.
    var first: Element? { count > 0 ? elements[head] : nil }

    mutating func append(_ element: Element) {
        if isFull { _ = take() }
        elements[(head + count) % elements.capacity] = element
        count += 1
    }

    mutating func take() -> Element? {
        guard count > 0 else { return nil }
        let element = elements[head]
        head = (head + 1) % elements.capacity
        count -= 1
        return element
    }
}

/// Legs whose receives are starved, in order of arrival. A leg stands in it once at most, whatever has become of its flow since: while
/// there are no buffers none is taken, and entries of flows that came and went must not push out those that wait.
struct StarvedLegs: ~Copyable {
    private var names: RingQueue<LegName>
    private var isListed: FixedTable<Bool>

    init(flowsMax: Int) {
        names = RingQueue(capacity: 2 * flowsMax)
        isListed = FixedTable(zeroedCapacity: 2 * flowsMax)
    }

    var isEmpty: Bool { names.isEmpty }

    mutating func append(_ name: LegName) {
        guard !isListed[Int(name.rawValue)] else { return }
        isListed[Int(name.rawValue)] = true
        names.append(name)
    }

    mutating func take() -> LegName? {
        guard let name = names.take() else { return nil }
        isListed[Int(name.rawValue)] = false
        return name
    }
}

/// A leg of a flow as a starved receive is remembered, in 4 bytes. It needs no generation: a slot that has another owner by then is
/// left alone unless that one's receive is starved, too.
struct LegName: BitwiseCopyable {
    fileprivate let rawValue: UInt32

    init(_ slot: UInt32, _ leg: Leg) { rawValue = slot << 1 | UInt32(leg.rawValue) }

    var slot: UInt32 { rawValue >> 1 }
    var leg: Leg { rawValue & 1 == UInt32(Leg.client.rawValue) ? .client : .server }
}
