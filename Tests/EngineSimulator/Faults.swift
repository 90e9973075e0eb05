/// How often the simulated kernel does what a real one does rarely: one probability for each fault, 0 by default.
package struct Faults: Sendable {
    /// A send takes fewer bytes than there is room for.
    package var shortSend = 0.0
    /// A receive fills less of its buffer than there are bytes.
    package var shortReceive = 0.0
    /// A transfer moves fewer bytes at a time, into its pipe or out of it, than it could.
    package var shortSplice = 0.0
    /// There is no pipe for a transfer.
    package var noPipe = 0.0
    /// A completion is held back for an exchange; those of other sockets overtake it.
    package var delayedCompletion = 0.0
    /// A completion changes places with one of another socket. What happened on one socket keeps its order.
    package var reorderedCompletions = 0.0
    /// A multishot receive is ended by the kernel: bytes come without `more`.
    package var receiveEnded = 0.0
    /// A receive ends with ENOBUFS although the pool has buffers.
    package var spuriousNoBuffers = 0.0
    /// An operation is done just before its cancel is looked at: success, or ECANCELED after some more bytes.
    package var cancelRace = 0.0
    /// An accept ends with EMFILE.
    package var acceptDescriptorsExhausted = 0.0
    /// A multishot accept is ended by the kernel: a connection comes without `more`.
    package var acceptEnded = 0.0
    /// `openStream` answers EMFILE.
    package var openDescriptorsExhausted = 0.0
    /// A connect is refused although somebody listens.
    package var connectRefused = 0.0
    /// A connect finds no source port.
    package var noSourcePort = 0.0
    /// A connect takes up to `slowConnectNanosecondsMax`.
    package var slowConnect = 0.0
    /// The network breaks a connection: both sides get ECONNRESET.
    package var connectionReset = 0.0
    /// An exchange takes the submissions and comes back at once with nothing, as after a signal.
    package var emptyReturn = 0.0
    /// An exchange takes only the first few submissions and leaves the rest for the next.
    package var submissionsLeft = 0.0
    /// Bytes that the other side has not read yet are lost, in part, with a reset. Real kernels do either.
    package var resetLosesBytes = 0.0

    package var slowConnectNanosecondsMax: UInt64 = 5_000_000_000

    package init() {}

    /// Each fault is off in about half of the mixes, so that combinations differ (swarm testing); the rare ones stay rare
    /// enough for most connections to live.
    package static func mixed(_ random: inout SimulatedRandom) -> Faults {
        var faults = Faults()
        func draw(_ most: Double) -> Double { random.chance(0.5) ? random.fraction() * most : 0 }
        faults.shortSend = draw(0.5)
        faults.shortReceive = draw(0.5)
        faults.shortSplice = draw(0.5)
        faults.noPipe = draw(0.2)
        faults.delayedCompletion = draw(0.5)
        faults.reorderedCompletions = draw(0.5)
        faults.receiveEnded = draw(0.3)
        faults.spuriousNoBuffers = draw(0.1)
        faults.cancelRace = draw(0.7)
        faults.acceptDescriptorsExhausted = draw(0.1)
        faults.acceptEnded = draw(0.3)
        faults.openDescriptorsExhausted = draw(0.1)
        faults.connectRefused = draw(0.2)
        faults.slowConnect = draw(0.1)
        faults.connectionReset = draw(0.01)
        faults.emptyReturn = draw(0.2)
        faults.submissionsLeft = draw(0.3)
        faults.resetLosesBytes = draw(0.5)
        faults.noSourcePort = draw(0.2)
        return faults
    }
}

/// The simulation's own generator (splitmix64; Steele, Lea and Flood 2014): everything random in a run comes from its seed.
package struct SimulatedRandom: RandomNumberGenerator, BitwiseCopyable, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// A number in 0..<bound; 0 for a bound below 2.
    package mutating func below(_ bound: Int) -> Int {
        bound < 2 ? 0 : Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// A number in `range`.
    package mutating func within(_ range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }

    /// A number in 0..<1.
    package mutating func fraction() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }

    /// Whether something of this probability happens. Certainties draw nothing.
    package mutating func chance(_ probability: Double) -> Bool {
        if probability <= 0 { return false }
        return probability >= 1 || fraction() < probability
    }
}
