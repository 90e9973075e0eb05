import CEpoll
import Glibc

/// An epoll set whose waits end to the nanosecond.
@safe
final class Poller {
    private let descriptor: Int32
    private let events: UnsafeMutableBufferPointer<epoll_event>

    static let eventsMax = 256

    init() {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        precondition(descriptor >= 0, "epoll_create1: errno \(errno)")
        unsafe events = .allocate(capacity: Self.eventsMax)
        // The kernel may end a wait 50 us late to join it with others, unless told otherwise.
        _ = ringway_load_set_timer_slack(1)
    }

    deinit {
        close(descriptor)
        unsafe events.deallocate()
    }

    /// False with errno: EPERM for a regular file, which is always ready.
    func add(_ descriptor: Int32, interest: UInt32, token: UInt64) -> Bool {
        var event = unsafe epoll_event(events: interest, data: epoll_data_t(u64: token))
        return unsafe epoll_ctl(self.descriptor, EPOLL_CTL_ADD, descriptor, &event) == 0
    }

    /// Waits until something is ready or the time has come (nil: without end), and answers how many there are.
    func wait(untilNanoseconds deadline: UInt64?) -> Int {
        var count: Int32
        if let deadline {
            let now = Clock.nanoseconds()
            let left = deadline > now ? deadline - now : 0
            var time = timespec(tv_sec: Int(left / 1_000_000_000), tv_nsec: Int(left % 1_000_000_000))
            count = unsafe epoll_pwait2(descriptor, events.baseAddress, Int32(Self.eventsMax), &time, nil)
        } else {
            count = unsafe epoll_wait(descriptor, events.baseAddress, Int32(Self.eventsMax), -1)
        }
        precondition(count >= 0 || errno == EINTR, "epoll_pwait2: errno \(errno)")
        return max(0, Int(count))
    }

    /// The readiness and the token of one that is ready.
    subscript(index: Int) -> (flags: UInt32, token: UInt64) {
        let event = unsafe events[index]
        return unsafe (event.events, event.data.u64)
    }
}
