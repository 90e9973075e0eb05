/// The worker's time: CLOCK_MONOTONIC without the stretches in which the worker was not running.
///
/// A tick takes as long as it asked the engine to wait, and the little that its work takes. Where the clock has gone on by more,
/// the process was stopped (SIGSTOP, a paused virtual machine, a debugger), and what happened meanwhile on its sockets is still
/// to be read, a few hundred completions at a time. Were that time counted, every connection would be found idle before its bytes
/// are. A suspended machine needs no such care: CLOCK_MONOTONIC stands still while it sleeps.
struct TickClock {
    /// Nanoseconds; what deadlines are made from.
    private(set) var now: UInt64
    /// Nanoseconds of the kernel's clock that were not the worker's.
    private var leftOut: UInt64 = 0

    init(reading: UInt64) { now = reading }

    /// The kernel's clock itself, which is the same for all workers.
    var reading: UInt64 { now &+ leftOut }

    /// Goes on to a reading of the kernel's clock, taken after a wait of at most `waited` nanoseconds.
    mutating func advance(to reading: UInt64, waited: UInt64) {
        let time = reading &- leftOut
        // CLOCK_MONOTONIC doesn't go back; if one did, time would stand until it has caught up.
        guard reading >= leftOut, time > now else { return }
        let (expected, isUnbounded) = now.addingReportingOverflow(waited)
        let latest = isUnbounded ? UInt64.max : expected
        if time > latest, time &- latest > Limits.stallNanoseconds {
            leftOut &+= time &- latest
            now = latest
        } else {
            now = time
        }
    }
}
