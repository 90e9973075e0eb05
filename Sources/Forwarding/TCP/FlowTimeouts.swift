package import Engine
package import Routing

/// The timeouts of a flow, as it keeps them: those of its Service when it was accepted. A later change doesn't touch it.
package struct FlowTimeouts: BitwiseCopyable, Hashable, Sendable {
    /// In ticks of `FlowTime`; 0 for never.
    package var idle: UInt32 = 0
    package var halfClose: UInt32 = 0
    /// How the kernel watches over the two sockets.
    package var liveness = Liveness.none

    package init() {}

    package init(_ timeouts: Timeouts) {
        idle = FlowTime.ticks(timeouts.idle ?? .zero)
        halfClose = FlowTime.ticks(timeouts.halfClose ?? .zero)
        let keepalive = (timeouts.keepalive ?? .zero).clampedNanoseconds
        let userTimeout = (timeouts.userTimeout ?? .zero).clampedNanoseconds
        // Rounded up: less than a unit is not never.
        liveness = Liveness(
            keepaliveSeconds: UInt16(min(Self.units(keepalive, of: 1_000_000_000), UInt64(Liveness.keepaliveSecondsMax))),
            userTimeoutMilliseconds: UInt32(min(Self.units(userTimeout, of: 1_000_000), UInt64(Liveness.userTimeoutMillisecondsMax))))
    }

    private static func units(_ nanoseconds: UInt64, of unit: UInt64) -> UInt64 {
        nanoseconds / unit &+ (nanoseconds % unit == 0 ? 0 : 1)
    }
}

/// A time as a flow keeps it: 4 bytes, in ticks of 16.8 ms. They wrap after two years, and are compared within a half of that.
package enum FlowTime {
    package static func ticks(at nanoseconds: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: nanoseconds >> TimerWheel.bucketShift) }

    /// A length of time in ticks, rounded up; at most a year, and 0 only for no time at all.
    package static func ticks(_ duration: Duration) -> UInt32 {
        let nanoseconds = duration.clampedNanoseconds
        guard nanoseconds > 0 else { return 0 }
        return UInt32(min((nanoseconds - 1) >> TimerWheel.bucketShift &+ 1, UInt64(Int32.max - 1)))
    }
}

/// What the look at an established flow comes to.
package enum FlowExpiry: Equatable, Sendable {
    case none
    /// Nothing is due before this time, in nanoseconds.
    case later(UInt64)
    case expired(CloseReason)
}

extension TCPFlow {
    /// Nanoseconds after which the server's socket is to be given its keep-alive and user timeout; nil when it has them, or none.
    ///
    /// A quarter of the shorter of the two loses nothing: either counts from the last byte or acknowledgement, whenever it is set.
    /// And a connection that is over by then has saved five system calls.
    package var guardDelay: UInt64? {
        guard !isGuarded, timeouts.liveness != .none else { return nil }
        let keepalive = UInt64(timeouts.liveness.keepaliveSeconds) &* 1_000_000_000
        let userTimeout = UInt64(timeouts.liveness.userTimeoutMilliseconds) &* 1_000_000
        return (keepalive == 0 ? userTimeout : userTimeout == 0 ? keepalive : min(keepalive, userTimeout)) / 4
    }

    /// When bytes have been held back for `limit` nanoseconds; nil where none are.
    package func heldUntil(_ now: UInt64, limit: UInt64) -> UInt64? {
        guard heldBytes > 0 else { return nil }
        // A tick more, for `heldSince` is rounded down.
        let span = limit &+ 1 << TimerWheel.bucketShift
        return now &+ span &- min(span, UInt64(FlowTime.ticks(at: now) &- heldSince) << TimerWheel.bucketShift)
    }

    /// Whether the flow has done nothing for too long; a pure function of what it noted.
    package func expiry(_ now: UInt64) -> FlowExpiry {
        var limit = timeouts.idle
        var reason: CloseReason = spokeLast == .server ? .clientIdle : .serverIdle
        if client.finSent || server.finSent, timeouts.halfClose > 0, limit == 0 || timeouts.halfClose < limit {
            limit = timeouts.halfClose
            reason = .halfCloseTimeout
        }
        guard limit > 0 else { return .none }
        // A tick more, for `movedAt` is rounded down: late by two ticks at most, never early.
        let elapsed = FlowTime.ticks(at: now) &- movedAt
        if elapsed > limit { return .expired(reason) }
        return .later((now >> TimerWheel.bucketShift &+ UInt64(limit &- elapsed) &+ 1) << TimerWheel.bucketShift)
    }
}
