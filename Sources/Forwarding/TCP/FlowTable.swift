package import Engine

/// The flows of one worker: slots of fixed number, reused last in, first out. Full: the caller turns the connection away.
package struct FlowTable: ~Copyable {
    private var flows: FixedTable<TCPFlow>
    private var freeSlots: FixedTable<UInt32>
    private var freeCount = 0
    private var touched: UInt32 = 0
    package private(set) var active = 0
    package let capacity: Int

    package init(capacity: Int) {
        flows = FixedTable(zeroedCapacity: capacity)
        freeSlots = FixedTable(zeroedCapacity: capacity)
        self.capacity = capacity
    }

    /// A fresh flow in a free slot; nil when all are taken.
    package mutating func allocate() -> UInt32? {
        let slot: UInt32
        if freeCount > 0 {
            freeCount &-= 1
            slot = freeSlots[freeCount]
        } else {
            guard touched < UInt32(capacity) else { return nil }
            slot = touched
            touched &+= 1
        }
        active &+= 1
        flows[Int(slot)] = TCPFlow(generation: flows[Int(slot)].generation)
        return slot
    }

    /// Frees a slot: the third step of a close, with nothing pending. The new generation makes old tokens stale.
    package mutating func free(_ slot: UInt32) {
        precondition(flows[Int(slot)].pendingOperations == 0, "a flow is freed while the kernel has an operation of it")
        let generation = flows[Int(slot)].generation &+ 1
        flows[Int(slot)] = TCPFlow(generation: generation & OperationToken.generationMask)
        freeSlots[freeCount] = slot
        freeCount &+= 1
        active &-= 1
    }

    /// Whether a token's slot and generation name a flow that lives.
    // Inlined by order: as a function of its own it copied the flow, twice, for each completion.
    @inline(__always) package func isCurrent(_ token: OperationToken) -> Bool {
        token.slot < touched && flows[Int(token.slot)].generation == token.generation && flows[Int(token.slot)].phase != .free
    }

    /// Slots ever used: those that a sweep has to look at.
    package var touchedSlots: UInt32 { touched }

    package subscript(slot: UInt32) -> TCPFlow {
        _read { yield flows[Int(slot)] }
        _modify { yield &flows[Int(slot)] }
    }
}
