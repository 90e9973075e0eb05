import Addressing
import Engine
import Glibc

// One end's calls, as the kernel of that side would answer them.
extension SimulatedNetwork {
    enum Readable { case bytes(Int), ended, failed(Int32), nothing }
    enum Writable { case room(Int), failed(Int32), full }

    /// What a receive would meet. An error that it tells is taken.
    func readable(_ end: UInt32) -> Readable {
        let state = ends[Int(end)]
        if state.count > 0 { return .bytes(Int(state.count)) }
        if state.finArrived { return .ended }
        if state.isReset {
            guard state.error != 0 else { return .ended }
            ends[Int(end)].error = 0
            return .failed(state.error)
        }
        return .nothing
    }

    /// What a send would meet. An error that it tells is taken.
    func writable(_ end: UInt32) -> Writable {
        let state = ends[Int(end)]
        if state.isReset, state.error != 0 {
            ends[Int(end)].error = 0
            return .failed(state.error)
        }
        if state.isReset || state.finSent { return .failed(EPIPE) }
        let other = ends[Int(end ^ 1)]
        // Bytes for a closed side leave this one; the answer is a reset.
        if other.phase == .closed { return .room(Int(other.capacity)) }
        return other.count < other.capacity ? .room(Int(other.capacity - other.count)) : .full
    }

    /// Moves up to `count` bytes into the other end's pipe. `copy(position, offset, length)` is called for each stretch of the
    /// arena at `position` to be filled with the bytes from `offset` on.
    func write(_ end: UInt32, count: Int, copy: (_ position: Int, _ offset: Int, _ length: Int) -> Void) {
        let other = end ^ 1
        if ends[Int(other)].phase == .closed {
            reset(end)
            return
        }
        var offset = 0
        while offset < count {
            let state = ends[Int(other)]
            let tail = Int((state.head + state.count) % state.capacity)
            let length = min(count - offset, Int(state.capacity) - tail, Int(state.capacity - state.count))
            precondition(length > 0, "more bytes than the pipe has room for")
            copy(Int(other) * settings.pipeBytes + tail, offset, length)
            ends[Int(other)].count += UInt32(length)
            offset += length
        }
        notify(other)
    }

    /// Takes `count` bytes that have arrived; `copy` as for `write`.
    func read(_ end: UInt32, count: Int, copy: (_ position: Int, _ offset: Int, _ length: Int) -> Void) {
        var offset = 0
        while offset < count {
            let state = ends[Int(end)]
            let length = min(count - offset, Int(state.capacity - state.head), Int(state.count))
            precondition(length > 0, "more bytes than have arrived")
            copy(Int(end) * settings.pipeBytes + Int(state.head), offset, length)
            ends[Int(end)].head = (state.head + UInt32(length)) % state.capacity
            ends[Int(end)].count -= UInt32(length)
            offset += length
        }
        notify(end ^ 1)
    }

    func shutdownWrite(_ end: UInt32) {
        guard !ends[Int(end)].isReset, !ends[Int(end)].finSent else { return }
        ends[Int(end)].finSent = true
        ends[Int(end ^ 1)].finArrived = true
        notify(end ^ 1)
    }

    /// Closes an end. Unread bytes turn a plain close into a reset; so does `withReset`, while either side may still speak.
    func close(_ end: UInt32, withReset: Bool) {
        let state = ends[Int(end)]
        let other = end ^ 1
        if state.phase == .connecting || state.phase == .failed {
            freePair(of: end)
            return
        }
        precondition(state.phase == .open || state.phase == .queued, "an end is closed twice")
        let isOver = state.isReset || state.finSent && state.finArrived
        ends[Int(end)].phase = .closed
        ends[Int(end)].owner = .none
        ends[Int(end)].count = 0
        if (withReset || state.count > 0) && !isOver {
            reset(other)
        } else if !state.isReset, !state.finSent {
            ends[Int(end)].finSent = true
            ends[Int(other)].finArrived = true
        }
        if ends[Int(other)].phase == .closed {
            freePair(of: end)
        } else {
            notify(other)
        }
    }

    /// A reset reaches `end`.
    func reset(_ end: UInt32) {
        let state = ends[Int(end)]
        guard state.phase == .open || state.phase == .queued, !state.isReset else { return }
        if state.finSent, state.finArrived { return }
        ends[Int(end)].isReset = true
        ends[Int(end)].error = state.finArrived ? EPIPE : ECONNRESET
        if state.count > 0, happens(.resetLosesBytes) {
            // The lost bytes were still the sender's to send, and so was the FIN behind them.
            ends[Int(end)].count = UInt32(random.below(Int(state.count)))
            ends[Int(end)].finArrived = false
            ends[Int(end)].error = ECONNRESET
        }
        notify(end)
    }

    /// The network gives a connection up: a reset reaches both ends, with nobody's intent.
    func breakConnection(_ end: UInt32) {
        for side in [end, end ^ 1] where !ends[Int(side)].isReset {
            ends[Int(side)].isDisturbed = true
            if ends[Int(side)].isPeer { peers[Int(ends[Int(side)].ownerIndex)].wasDisturbed = true }
            reset(side)
        }
    }
}
