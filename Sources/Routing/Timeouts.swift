/// How long a connection waits for an endpoint, when one that does nothing ends, and how its two peers are asked whether they are
/// still there. nil: as the process has it; zero: never.
package struct Timeouts: Hashable, Sendable {
    /// No byte in either direction for so long.
    package var idle: Duration?
    /// One direction has ended, and nothing has come from the other for so long.
    package var halfClose: Duration?
    /// A peer that was silent for so long is asked by TCP keep-alive.
    package var keepalive: Duration?
    /// Bytes may go unacknowledged for so long (TCP_USER_TIMEOUT).
    package var userTimeout: Duration?
    /// One endpoint may take so long to accept a connection, and all that are tried for it together; never zero.
    package var connectAttempt: Duration?
    package var connect: Duration?

    package init(idle: Duration? = nil, halfClose: Duration? = nil, keepalive: Duration? = nil, userTimeout: Duration? = nil) {
        self.idle = idle
        self.halfClose = halfClose
        self.keepalive = keepalive
        self.userTimeout = userTimeout
    }

    /// What holds where nobody asks for anything else.
    ///
    /// - An idle connection lives for an hour, as with Envoy's TCP proxy (`idle_timeout`: 1 h); kube-proxy's conntrack keeps it
    ///   for a day, HAProxy's customary minute (`timeout client`) is for HTTP.
    /// - A half-closed one that is silent ends after two minutes; kube-proxy gives it an hour (`tcpCloseWaitTimeout`), the kernel's
    ///   own orphans a minute (net.ipv4.tcp_fin_timeout).
    /// - A silent peer is asked after two minutes, four times in one more (the kernel: after two hours): it is found gone after
    ///   three. That keeps a connection in the tables of firewalls that forget after five minutes.
    /// - Bytes unacknowledged for as long end it as well; the kernel alone would take 15 minutes (net.ipv4.tcp_retries2). Less
    ///   than the three minutes would cut the keep-alive's probes short, since TCP_USER_TIMEOUT overrides their count.
    package static let standard = Timeouts(
        idle: .seconds(3600), halfClose: .seconds(120), keepalive: .seconds(120), userTimeout: .seconds(180))

    /// These, and `others` where there are none.
    package func filled(with others: Timeouts) -> Timeouts {
        Timeouts(
            idle: idle ?? others.idle, halfClose: halfClose ?? others.halfClose, keepalive: keepalive ?? others.keepalive,
            userTimeout: userTimeout ?? others.userTimeout)
    }
}
