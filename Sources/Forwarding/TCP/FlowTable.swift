package import Engine

/// The flows of one worker: slots of fixed number, reused last in, first out. Full: the caller turns the connection away.
package struct FlowTable: ~Copyable {
    private var flows: FixedTable<TCPFlow>
    private var slots: SlotList

    package init(capacity: Int) {
        flows = FixedTable(zeroedCapacity: capacity)
        slots = SlotList(capacity: capacity)
    }

    package var active: Int { slots.active }
    package var capacity: Int { slots.capacity }

    /// A fresh flow in a free slot; nil when all are taken.
    package mutating func allocate() -> UInt32? {
        guard let slot = slots.take() else { return nil }
        flows[Int(slot)] = TCPFlow(generation: flows[Int(slot)].generation)
        return slot
    }

    /// Frees a slot: the third step of a close, with nothing pending. The new generation makes old tokens stale.
    package mutating func free(_ slot: UInt32) {
        precondition(flows[Int(slot)].pendingOperations == 0, "a flow is freed while the kernel has an operation of it")
        let generation = flows[Int(slot)].generation &+ 1
        flows[Int(slot)] = TCPFlow(generation: generation & OperationToken.generationMask)
        slots.release(slot)
    }

    /// Whether a token's slot and generation name a flow that lives.
    // Inlined by order: as a function of its own it copied the flow, twice, for each completion.
    @inline(__always) package func isCurrent(_ token: OperationToken) -> Bool {
        token.slot < slots.touched && flows[Int(token.slot)].generation == token.generation && flows[Int(token.slot)].phase != .free
    }

    /// Slots ever used: those that a sweep has to look at.
    package var touchedSlots: UInt32 { slots.touched }

    package subscript(slot: UInt32) -> TCPFlow {
        _read { yield flows[Int(slot)] }
        _modify { yield &flows[Int(slot)] }
    }
}
