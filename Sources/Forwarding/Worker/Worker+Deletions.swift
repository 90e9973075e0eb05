import Engine

/// Connections of a Service that is no more, which are to be reset.
struct Deletion: BitwiseCopyable {
    let serviceRow: UInt32
    let at: UInt64
    /// The next slot to look at.
    var cursor: UInt32 = 0

    init(serviceRow: UInt32, at time: UInt64) {
        self.serviceRow = serviceRow
        at = time
    }
}

// Deleted Services: their connections are reset a few at a time, so that those of others wait for nobody.
extension Worker {
    /// What a tick seldom has to do: called when `nextChoreAt` has come.
    @inline(never)
    mutating func doChores() {
        forgetGuests()
        resetDeleted()
        lookAfterNames()
        nextChoreAt = min(listeners.nextDeparture ?? .max, deletions.lazy.map(\.at).min() ?? .max, names.lookAt)
    }

    /// Goes on with the first deletion that is due.
    private mutating func resetDeleted() {
        guard let index = deletions.firstIndex(where: { now >= $0.at }) else { return }
        let end = min(deletions[index].cursor &+ Limits.deletionSweepPerTick, flows.touchedSlots)
        var slot = deletions[index].cursor
        while slot < end, submissions.room > Limits.sweepRoom {
            if flows[slot].serviceRow == deletions[index].serviceRow, flows[slot].phase != .free, flows[slot].phase != .closing {
                flows[slot].beginClose(reset: true, reason: .drain)
                settle(slot)
            }
            slot &+= 1
        }
        deletions[index].cursor = slot
        if slot >= flows.touchedSlots { deletions.remove(at: index) }
    }
}
