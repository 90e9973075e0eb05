import Glibc

/// The clocks of this process.
enum Clock {
    /// CLOCK_MONOTONIC.
    static func nanoseconds() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// On CLOCK_MONOTONIC, what the kernel stamped with CLOCK_REALTIME; now, where that makes no sense (a clock that was set since).
    static func monotonic(fromRealtimeNanoseconds stamp: UInt64) -> UInt64 {
        let now = nanoseconds()
        let real = read(CLOCK_REALTIME)
        return stamp <= real && real - stamp < 10_000_000_000 ? now - (real - stamp) : now
    }

    /// Sleeps, whatever becomes ready meanwhile.
    static func sleep(untilNanoseconds end: UInt64) {
        var time = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        _ = unsafe clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil)
    }

    /// User and system time used so far.
    static func cpuSeconds() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

func nanoseconds(_ seconds: Double) -> UInt64 { UInt64(seconds * 1e9) }
