/// Every bound of the engine, in one place.
package enum Limits {
    /// Rows of a driver's table of descriptors, touched only as far as they are used. Descriptors beyond it count as EMFILE.
    package static let descriptorsMax = 1 << 20

    /// Submissions a worker may append in one tick.
    package static let submissionsMax = 8192
    /// Completions a driver hands over in one tick.
    package static let completionsMax = 512
    /// Submissions that the handling of one completion may append; a tick stops early where fewer would fit.
    package static let submissionsPerEventMax = 12

    /// io_uring: entries of the two rings. The completion ring is large, for its overflow costs the kernel an allocation each.
    static let submissionRingEntries: UInt32 = 1024
    static let completionRingEntries: UInt32 = 8192

    /// epoll: events of one wait (more is bandwidth, fewer is latency), and connections accepted at a time.
    static let epollEventsMax = 256
    static let acceptBurstMax = 64
}
