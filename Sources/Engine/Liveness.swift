/// How the kernel finds out that a peer is gone without a word: socket options, inherited from a listener by what it accepts.
package struct Liveness: BitwiseCopyable, Hashable, Sendable {
    /// Probes of a silent peer that go unanswered before the connection fails (TCP_KEEPCNT).
    package static let probes: Int32 = 4
    /// The greatest keep-alive and user timeouts; tcp(7) takes no longer ones.
    package static let keepaliveSecondsMax = 32_767
    package static let userTimeoutMillisecondsMax = Int(Int32.max)

    /// Seconds of silence before the first probe (TCP_KEEPIDLE); 0 for no keep-alive.
    package var keepaliveSeconds: UInt16
    /// Milliseconds that bytes, or a keep-alive's probes, may go unanswered (TCP_USER_TIMEOUT); 0 for as long as the kernel has it.
    package var userTimeoutMilliseconds: UInt32

    package init(keepaliveSeconds: UInt16 = 0, userTimeoutMilliseconds: UInt32 = 0) {
        self.keepaliveSeconds = keepaliveSeconds
        self.userTimeoutMilliseconds = userTimeoutMilliseconds
    }

    /// A socket's own, before anything is set.
    package static let none = Liveness()

    /// Seconds between two probes (TCP_KEEPINTVL): an eighth of the silence before, so that a peer is gone after one and a half.
    package var intervalSeconds: UInt16 { max(1, keepaliveSeconds / 8) }
}
