/// What the simulated kernel does that a real one does rarely. Each is counted when it happens.
package enum Fault: Int, CaseIterable, Sendable {
    /// A send takes fewer bytes than there is room for.
    case shortSend
    /// A receive fills less of its buffer than there are bytes.
    case shortReceive
    /// A transfer moves fewer bytes at a time, into its pipe or out of it, than it could.
    case shortSplice
    /// There is no pipe for a transfer: EAGAIN.
    case noPipe
    /// A transfer ends with EINTR between two turns.
    case transferInterrupted

    /// A completion is held back for an exchange; those of other sockets overtake it.
    case delayedCompletion
    /// A completion changes places with one of another socket. What happened on one socket keeps its order.
    case reorderedCompletion
    /// An exchange hands over a few completions and keeps the rest for later ones: a ring of completions that has run over.
    case completionsLeft
    /// An exchange takes only the first few submissions and leaves the rest for the next: a ring of submissions that is full.
    case submissionsLeft
    /// An exchange takes the submissions and comes back at once with nothing, as after a signal (EINTR).
    case emptyReturn
    /// A completion of a connection that was closed long ago comes after all: what generations are for.
    case staleCompletion
    /// An operation is done just before its cancel is looked at: success, or ECANCELED after some more bytes.
    case cancelRace

    /// A multishot receive is ended by the kernel: bytes come without `more`.
    case receiveEnded
    /// A receive ends with ENOBUFS although the pool has buffers: the ring of them is empty.
    case receiveNoBuffers
    /// A receive ends with ENOMEM, EINTR or EAGAIN.
    case receiveNoMemory, receiveInterrupted, receiveAgain
    /// A send ends with ENOMEM or ENOBUFS, with EINTR, or with EAGAIN, and has taken nothing.
    case sendNoMemory, sendInterrupted, sendAgain

    /// A multishot accept is ended by the kernel: a connection comes without `more`.
    case acceptEnded
    /// An accept ends with EMFILE or ENFILE, with ENOBUFS or ENOMEM, with ECONNABORTED or EINTR.
    case acceptNoDescriptor, acceptNoMemory, acceptAborted
    /// `openStream` answers EMFILE or ENFILE, or ENOBUFS or ENOMEM.
    case openNoDescriptor, openNoMemory
    /// A connect is refused although somebody listens.
    case connectRefused
    /// A connect ends with EADDRNOTAVAIL: no local port is left.
    case connectNoSourcePort
    /// A connect ends with ENOMEM or ENOBUFS.
    case connectNoMemory
    /// A connect takes up to `slowConnectNanosecondsMax`.
    case slowConnect

    /// The network breaks a connection: both sides get ECONNRESET.
    case connectionReset
    /// Bytes that the other side has not read yet are lost, in part, with a reset. Real kernels do either.
    case resetLosesBytes
    /// A datagram vanishes on its way, arrives twice, is overtaken by those that follow closely, or takes up to
    /// `datagramDelayNanosecondsMax`.
    case datagramLost, datagramDuplicated, datagramReordered, datagramDelayed
    /// A datagram is answered by an ICMP error although somebody listens.
    case datagramRefused
    /// A send of datagrams ends with ENOBUFS or EAGAIN at one of them.
    case datagramSendNoRoom
    /// A send of datagrams that may not be cut ends with EMSGSIZE at one of more than 512 bytes.
    case linkTooNarrow
    /// `openDatagramSocket` answers EAGAIN or EADDRNOTAVAIL: no local port is left.
    case datagramNoPort
    /// It answers ENETUNREACH or EHOSTUNREACH: there is no route.
    case datagramNoRoute
    /// A datagram is handed over joined to the one before it.
    case datagramsJoined
    /// A watch ends with ENOMEM as it begins: the host has no room for it.
    case watchNoMemory
    /// A watch is ended by the kernel: datagrams come without `more`.
    case watchEnded
    /// A watch completes, and there is nothing.
    case watchSpurious

    /// The clock is hours ahead all at once, as after SIGCONT.
    case clockJump

    // What follows is not drawn: it comes of how a run is set up.

    /// A receive finds the pool empty.
    case buffersRanOut
    /// A socket is asked for beyond `descriptorLimit`.
    case descriptorsRanOut
    /// A transfer finds every pipe taken.
    case pipesRanOut
    /// A SYN finds a backlog full, or arrivals stopped, and is sent again later.
    case synDropped
    /// A datagram finds the queue of its socket full, or the network, and is dropped.
    case datagramNoRoom
    /// A peer has said its last word without a FIN or a reset.
    case peerVanished

    /// The greatest probability in a mix; 0 for what is not drawn. What keeps whole listeners waiting stays rare, and what ends
    /// connections rarer still, so that most of them live.
    package var most: Double {
        switch self {
        case .cancelRace: 0.7
        case .shortSend, .shortReceive, .shortSplice, .delayedCompletion, .reorderedCompletion, .resetLosesBytes, .staleCompletion,
            .datagramsJoined:
            0.5
        case .receiveEnded, .acceptEnded, .submissionsLeft, .completionsLeft, .watchEnded, .watchSpurious: 0.3
        case .noPipe, .emptyReturn, .connectRefused, .datagramLost, .datagramDuplicated, .datagramReordered: 0.2
        case .receiveNoBuffers, .receiveNoMemory, .receiveInterrupted, .receiveAgain, .sendNoMemory, .sendInterrupted, .sendAgain,
            .transferInterrupted, .acceptNoDescriptor, .acceptNoMemory, .acceptAborted, .openNoDescriptor, .openNoMemory,
            .connectNoMemory, .connectNoSourcePort, .slowConnect, .datagramDelayed, .datagramSendNoRoom, .datagramNoPort,
            .datagramNoRoute, .watchNoMemory, .linkTooNarrow:
            0.1
        case .connectionReset, .datagramRefused: 0.01
        case .clockJump: 0.002
        case .buffersRanOut, .descriptorsRanOut, .pipesRanOut, .synDropped, .datagramNoRoom, .peerVanished: 0
        }
    }
}

/// How often the simulated kernel does what: one probability for each fault, 0 by default.
package struct Faults: Sendable {
    private var probabilities = [Double](repeating: 0, count: Fault.allCases.count)
    package var slowConnectNanosecondsMax: UInt64 = 5_000_000_000
    package var datagramDelayNanosecondsMax: UInt64 = 2_000_000_000

    package init() {}

    package subscript(fault: Fault) -> Double {
        get { probabilities[fault.rawValue] }
        set { probabilities[fault.rawValue] = newValue }
    }

    /// Each fault is off in half of the mixes or more, so that combinations differ (swarm testing).
    package static func mixed(_ random: inout SimulatedRandom) -> Faults {
        var faults = Faults()
        let share = random.chance(0.5) ? 0.5 : 0.15
        for fault in Fault.allCases where random.chance(share) { faults[fault] = random.fraction() * fault.most }
        return faults
    }
}

extension Faults: CustomStringConvertible {
    package var description: String {
        Fault.allCases.filter { self[$0] > 0 }.map { "\($0) \(self[$0])" }.joined(separator: ", ")
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
