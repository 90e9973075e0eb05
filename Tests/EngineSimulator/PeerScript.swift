/// What a simulated client or server does with its connection. A plain value: the same script serves any number of peers.
///
/// Everybody speaks so that the other side can check each byte: a client sends its number in 4 bytes, then bytes made from
/// that number and the position; a server sends its client's bytes back, or bytes made from the position alone.
package struct PeerScript: BitwiseCopyable, Sendable {
    package enum Speaking: UInt8, BitwiseCopyable, Sendable {
        /// Sends `bytes` bytes of its own from the start.
        case atOnce
        /// Sends them once `requestBytes` have come.
        case afterRequest
        /// Sends them once the other side has sent FIN.
        case afterFin
        /// Sends back what comes.
        case echo
    }

    package enum Ending: UInt8, BitwiseCopyable, Sendable {
        /// FIN after the last byte; then reads to the end and closes.
        case finWhenSent
        /// Waits for the other side's FIN, says what is left to say, and closes.
        case closeAfterFin
        /// Closes as soon as everything is sent, whatever is still to come.
        case closeWhenSent
        /// Closes once `endingBytes` have been received and its own are sent.
        case closeWhenReceived
        /// Resets once this many bytes were sent and received.
        case resetAfter
        /// Says and does nothing any more after this many bytes: its machine has lost power.
        case vanishAfter
    }

    package var speaking = Speaking.atOnce
    package var bytes = 0
    package var requestBytes = 4
    package var ending = Ending.finWhenSent
    package var endingBytes = 0
    /// False for a peer that never reads.
    package var reads = true
    /// Bytes sent and read at a time; drawn from 1 on if `varies`.
    package var sendMax = 4096
    package var readMax = 4096
    package var varies = false
    /// Time between two steps, drawn from 0 to this.
    package var pauseNanosecondsMax: UInt64 = 0
    /// Time between two sends at least, whatever wakes it meanwhile.
    package var sendIntervalNanoseconds: UInt64 = 0
    /// Does not send its FIN before this time is over.
    package var holdNanoseconds: UInt64 = 0
    /// A server that hears a PROXY header first and says nothing before it is whole; what it heard is kept.
    package var expectsHeader = false
    /// Resets after this time, whatever has happened; 0 for never.
    package var patienceNanoseconds: UInt64 = 0

    package init() {}

    /// A server that sends back what comes and ends when the client does.
    package static var echo: PeerScript {
        var script = PeerScript()
        script.speaking = .echo
        script.ending = .closeAfterFin
        return script
    }
}

/// A peer and all that is known of it. Zero bytes are none.
package struct SimulatedPeer: BitwiseCopyable {
    package enum State: UInt8, BitwiseCopyable { case none, connecting, open, vanished, closed }

    package internal(set) var state: State
    package internal(set) var isServer: Bool
    /// Of a client its own; of a server the one that its client told, once `received >= 4`.
    package internal(set) var number: UInt32
    package internal(set) var script: PeerScript
    package internal(set) var sent: Int
    package internal(set) var received: Int
    package internal(set) var sentFin: Bool
    package internal(set) var sawFin: Bool
    package internal(set) var sawReset: Bool
    /// It ended the connection before its time: by script, for want of patience, or by a close with bytes unread.
    package internal(set) var didReset: Bool
    /// The network broke the connection.
    package internal(set) var wasDisturbed: Bool
    package internal(set) var connectErrno: Int32
    /// Whether every byte was what the client sends at that place; of a client, what it sent itself.
    package internal(set) var matchesEcho: Bool
    /// Whether every byte was what a server that doesn't echo sends at that place.
    package internal(set) var matchesAnswer: Bool
    /// Port its server listens on; tells kinds of servers apart.
    package internal(set) var servedPort: UInt16
    /// When it began to connect, or was accepted; when it closed.
    package internal(set) var beganAt: UInt64
    package internal(set) var endedAt: UInt64

    /// Bytes of the PROXY header that a server has heard, and whether that is all of it.
    package internal(set) var headerHeard: Int
    package internal(set) var headerIsWhole: Bool
    /// Bytes of the header that a client has said, of those it is to say before its own.
    var headerSaid: Int
    var headerLength: Int

    var end: UInt32
    var isScheduled: Bool
    var wakeAt: UInt64
    /// When it last sent.
    var sentAt: UInt64

    /// Whether the peer has nothing to do any more.
    package var isOver: Bool { state == .closed || state == .vanished }
}
