/// What is known of an endpoint from its connections and from probes: a word of 64 bits that all workers of the process share.
///
/// ```
///             failures in a row                       time over: one connection
///   active ────────────────────► ejected ───────────────────────────────────────► probing
///     ▲                           ▲  ▲ it failed: longer   it ended, untold: at once │ │ connected, which is not enough where
///     │                           │  └───────────────────────────────────────────────┘ │ connections were closed at once
///     │                           └─────────────────────────── it failed: longer ── proving
///     └──────────────────────── connected; a byte came; or it has lasted ────────────────┘
/// ```
///
/// Failures are of two kinds. *Refusals*: a connect came to nothing; a connect that succeeds ends the row. *Early closes*: the
/// server ended the connection soon, without a byte, and the client had not ended; a connect says nothing about these, so only a
/// byte, or a connection that has lasted, ends the row.
///
/// Pure: the time is given, in ticks of 16.8 ms since the machine started, which mean the same to all workers.
package struct EndpointHealth: BitwiseCopyable, Hashable, Sendable {
    package enum State: UInt8, BitwiseCopyable, Sendable {
        case active
        /// It gets no new connections while others are left.
        case ejected
        /// The time is over, and one connection is trying the endpoint.
        case probing
        /// That one is connected, and may be closed at once as those before it.
        case proving
    }

    package private(set) var state = State.active
    /// An active probe has found it down.
    package var isDown = false
    /// Failures in a row, of either kind.
    private(set) var refusals: UInt8 = 0
    private(set) var earlyCloses: UInt8 = 0
    /// How often the time was doubled, and once more; 0 where it was not ejected lately.
    private(set) var step: UInt8 = 0
    /// The failure that it was last ejected for.
    package private(set) var reason: CloseReason?
    /// When the state has lasted as long as it may. Of an active endpoint: when its last ejection is forgotten.
    package private(set) var time: UInt64 = 0

    package init() {}

    package static let failuresMax = 100
    private static let stepMax: UInt8 = 7
    private static let hold = ticks(Limits.probeHoldNanoseconds)
    private static let proof = ticks(Limits.earlyCloseNanoseconds)

    /// A time as the table keeps it.
    package static func ticks(_ nanoseconds: UInt64) -> UInt64 { nanoseconds >> TimerWheel.bucketShift }

    /// Whether new connections should go there: `asFirst` is for a connection's first attempt, which may be the one that tries an
    /// ejected endpoint whose time is over.
    package func isUsable(_ now: UInt64, asFirst: Bool, ejects: Bool) -> Bool {
        !isDown && (state == .active || !ejects || asFirst && now >= time)
    }

    /// Whether a choice has to look at it.
    var isSuspect: Bool { isDown || state != .active }

    // MARK: Events

    /// A connection to it failed; `limit` failures in a row eject it.
    package mutating func failed(_ reason: CloseReason, limit: UInt8, isProbe: Bool, _ now: UInt64) {
        switch state {
        case .active:
            if reason.isEarlyClose { earlyCloses += 1 } else { refusals += 1 }
            if refusals + earlyCloses >= limit { eject(reason, now) }
        case .probing, .proving:
            if isProbe { eject(reason, now) }
        case .ejected: break  // one that was begun before, or that had no other endpoint
        }
    }

    /// A connect succeeded.
    package mutating func connected(isProbe: Bool, _ now: UInt64) {
        switch state {
        case .active: refusals = 0
        case .ejected, .probing, .proving:
            guard reason?.isEarlyClose == true else { return bringBack(now) }
            if isProbe, state == .probing {
                state = .proving
                time = now + Self.proof
            }
        }
    }

    /// A connection was answered, or has lasted: it is not one that is closed at once.
    package mutating func proved(_ now: UInt64) {
        if state == .active { earlyCloses = 0 } else { bringBack(now) }
    }

    /// The connection that tries it has ended and told nothing: another may try.
    package mutating func abandoned(_ now: UInt64) {
        guard state == .probing || state == .proving else { return }
        state = .ejected
        time = now
    }

    /// A connection is about to go there as its first attempt.
    ///
    /// - Returns: whether it is now the one that tries the endpoint.
    package mutating func began(_ now: UInt64) -> Bool {
        guard state != .active, now >= time else { return false }
        // Had the one before been closed at once, it would have told.
        guard state != .proving else {
            bringBack(now)
            return false
        }
        state = .probing
        time = now + Self.hold
        return true
    }

    /// Forgets what connections told, and not what probes did.
    package mutating func forgive() {
        let wasDown = isDown
        self = EndpointHealth()
        isDown = wasDown
    }

    private mutating func eject(_ reason: CloseReason, _ now: UInt64) {
        step = state == .active && now >= time ? 1 : min(step + 1, Self.stepMax)
        state = .ejected
        self.reason = reason
        refusals = 0
        earlyCloses = 0
        time = now + ejectionTicks
    }

    private mutating func bringBack(_ now: UInt64) {
        state = .active
        time = now + ejectionTicks
    }

    /// How long the last ejection lasted: the time it must be well to have it forgotten.
    private var ejectionTicks: UInt64 {
        Self.ticks(min(Limits.ejectionNanoseconds << UInt64(max(step, 1) - 1), Limits.ejectionMaxNanoseconds))
    }
}

// MARK: - The word

extension EndpointHealth {
    // From the lowest bit: state 2, down 1, refusals 7, early closes 7, step 3, reason 6 (0 for none); the other 38 are the time: a
    // century.
    package init(word: UInt64) {
        state = State(rawValue: UInt8(word & 3)) ?? .active
        isDown = word >> 2 & 1 != 0
        refusals = UInt8(word >> 3 & 0x7f)
        earlyCloses = UInt8(word >> 10 & 0x7f)
        step = UInt8(word >> 17 & 7)
        reason = word >> 20 & 0x3f == 0 ? nil : CloseReason(rawValue: UInt8(word >> 20 & 0x3f) - 1)
        time = word >> 26
    }

    package var word: UInt64 {
        let counts = UInt64(refusals) << 3 | UInt64(earlyCloses) << 10 | UInt64(step) << 17
        let reason = reason.map { UInt64($0.rawValue) + 1 } ?? 0
        return UInt64(state.rawValue) | (isDown ? 4 : 0) | counts | reason << 20 | time << 26
    }

    /// Bits that a connection which succeeds may have to change: the state and both counts.
    static let unwell: UInt64 = 3 | 0x3fff << 3
}

extension CloseReason {
    /// Whether it was the server that ended the connection.
    var isEarlyClose: Bool { self == .serverFin || self == .serverReset || self == .serverLost }
}
