/// Every bound of the engine, in one place.
package enum Limits {
    /// Rows of a driver's table of descriptors, touched only as far as they are used. Descriptors beyond it count as EMFILE.
    package static let descriptorsMax = 1 << 20

    /// Completions a driver hands over in one exchange.
    package static let completionsMax = 512
    /// Submissions a worker may have open: the handling of one completion appends at most twelve, a change of all listeners
    /// one for each of them, and sweeps over flows stop at half.
    package static let submissionsMax = 32_768

    /// io_uring: entries of the two rings. The completion ring is large, for its overflow costs the kernel an allocation each.
    static let submissionRingEntries: UInt32 = 512
    static let completionRingEntries: UInt32 = 8192
    /// io_uring: how long the completions of sends may wait for another one to be taken with them. It is all that a FIN behind such
    /// a send, or the rest of a short one, can be held up by.
    static let minimumWaitMicroseconds: UInt32 = 50

    /// epoll: events of one wait (more is bandwidth, fewer is latency), and connections accepted at a time.
    static let epollEventsMax = 256
    static let acceptBurstMax = 64

    /// Bytes asked for to hold datagrams until they are read: of a listener, where all its clients' bursts meet, and of the socket of
    /// one session.
    static let datagramListenerBytes: Int32 = 4_194_304
    static let datagramSocketBytes: Int32 = 1_048_576

    /// Bytes a transfer moves in one turn, and bytes after which an exchange leaves further transfers for the next: what a small
    /// message may have to wait for.
    static let transferTurnBytesMax = 1_048_576
    static let transferExchangeBytesMax = 1_048_576
    /// Size asked for a transfer's pipe.
    static let pipeBytes = 1_048_576
    /// Pipes of one driver: transfers that wait for a full destination hold one each; beyond it their bytes are received and sent.
    package static let pipesMax = 64
    /// Bytes a transfer copies at a time where there is no pipe to be had.
    static let copyBytes = 262_144
    /// Empty pipes kept open for the next transfer; further ones are closed.
    static let pipesKeptMax = 16
}
