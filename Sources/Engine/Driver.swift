package import Addressing

/// One of the interchangeable engines under a worker. Belongs to one thread.
///
/// The contract is completion; `Submission` states the rules. The synchronous calls are the ones that never block and are
/// made at most a few times per connection.
package protocol Driver: AnyObject {
    /// The pool that received bytes live in. Shared by driver and caller, both on the worker's thread.
    var buffers: BufferPool { get }

    /// Buffers that a receive could still be given: the free ones of the pool and those already lent to the kernel.
    var receiveBuffers: Int { get }

    /// System calls made so far, those of the synchronous calls included.
    var systemCalls: UInt64 { get }

    /// Whether a receive that rests holds less of the kernel's memory than another, so that it is worth to cancel one for it.
    var restsReceives: Bool { get }

    /// Pipes open for transfers, those kept for the next ones included.
    var pipesOpen: Int { get }

    /// Ends a wait in `exchange` from any thread; `OperationToken.wakeUp` completes.
    var wakeUp: WakeUp { get }

    /// CLOCK_MONOTONIC in nanoseconds; the simulated driver has its own time.
    func monotonicNanoseconds() -> UInt64

    /// Opens a listening TCP socket with SO_REUSEPORT, SO_REUSEADDR and TCP_NODELAY (inherited by what it accepts).
    ///
    /// - Parameter arrivals: whose connections it takes; everybody's where the host grants no such filter (see `setArrivals`).
    func openListener(_ address: SocketAddress, backlog: Int32, _ arrivals: ArrivalFilter) -> Opened

    /// Changes at once whose connections a listener takes. What is queued stays.
    ///
    /// - Returns: false where the host grants no such filter, or it is too long (some 1000 ranges of IPv4, or 300 of IPv6). Then
    ///   everybody's are taken, so that the caller has to look.
    @discardableResult
    func setArrivals(_ arrivals: ArrivalFilter, of listener: SocketID) -> Bool

    /// Opens a TCP socket with TCP_NODELAY for a connect. With a source address of the same family it is bound to that, and the port
    /// is chosen by the connect (IP_BIND_ADDRESS_NO_PORT), so that one port serves connections to many endpoints; error
    /// EADDRNOTAVAIL where the host has no such address. A connect that finds no port free completes with the same errno.
    /// It withholds the ACK that ends the handshake, to send it with the first bytes, until `stopWithholdingACK`.
    func openStream(_ family: IPAddress.Family, from source: IPAddress?) -> Opened

    /// Ends the delay of ACKs on a connected socket; one that is held back is sent now. Without that a server that speaks first would
    /// not hear of the connection for a while, and one that sends an answer in two pieces (and lets Nagle's algorithm have its way)
    /// would wait 40 ms for the ACK of the first.
    func stopWithholdingACK(_ socket: SocketID)

    /// Sets how the kernel watches over a stream's peer, or over the peers of what a listener accepts from now on; options that
    /// are the same in `old` cost no call.
    func setLiveness(_ liveness: Liveness, of socket: SocketID, inPlaceOf old: Liveness)

    /// The address and port of the other side of a connected socket, or nil when it is gone.
    func peerAddress(of socket: SocketID) -> SocketAddress?

    /// The address and port of our side of a connected socket: what its client asked for, where a listener is on every address.
    func localAddress(of socket: SocketID) -> SocketAddress?

    /// Looks again at a connect that completed with 0, on a socket that ended or failed since, without a byte: 0, or the errno it
    /// should have completed with.
    func connectError(_ socket: SocketID) -> Int32

    /// Whether a connection has been reset or given up by the network (POLLERR): for a socket on which no receive
    /// would tell.
    func hasFailed(_ socket: SocketID) -> Bool

    /// Makes a listener drop what arrives for it from now on, so that its accept queue can be emptied before it is closed:
    /// closing resets what is queued.
    ///
    /// - Returns: false where the host grants no socket filter (EPERM to unprivileged users on some). Then arrivals are held
    ///   off only while something is queued, and one that comes between the last look and the close is reset.
    @discardableResult
    func stopArrivals(_ listener: SocketID) -> Bool

    /// Takes one connection from a listener's queue, on which no accept may be pending; error EAGAIN when it is empty.
    func acceptQueued(_ listener: SocketID) -> Opened

    /// The number of an open socket, for those who tell the kernel of it; nil when it is gone, or no socket of the kernel.
    func descriptor(of socket: SocketID) -> Int32?

    /// Opens a UDP socket that hears what comes for an address, shared between workers (SO_REUSEPORT). On a wildcard address it tells
    /// which of the host's addresses was asked.
    ///
    /// - Parameter fragments: whether what is sent from there may be cut on its way. Where it may not, what is longer than the first
    ///   link takes fails with EMSGSIZE, and routers may not cut it either.
    func openDatagramListener(_ address: SocketAddress, fragments: Bool) -> Opened

    /// Opens a UDP socket connected to an endpoint: it hears that one only, and of its ICMP errors. With a source address it is bound to
    /// that. Error EAGAIN or EADDRNOTAVAIL where no port is free.
    func openDatagramSocket(to peer: SocketAddress, from source: IPAddress?) -> Opened

    /// Takes datagrams that have come into a batch, behind what is there; doesn't wait.
    ///
    /// - Parameter most: at least 1; the batch has room for one.
    /// - Returns: places of the batch that were filled. Fewer than were asked for, and room for: there are no more. Or a negative errno:
    ///   EAGAIN, or the error that a connected socket has heard of (ECONNREFUSED and its kind), which is told once.
    func receiveDatagrams(_ socket: SocketID, into batch: DatagramBatch, most: Int) -> Int

    /// Sends what is queued in a batch, in order; doesn't wait. Joined datagrams arrive as single ones whatever the host can do.
    ///
    /// - Returns: 0 with the queue empty; or the errno of the message that is now first in the queue, and was not sent.
    func sendDatagrams(_ socket: SocketID, from batch: DatagramBatch) -> Int32

    /// Takes `submissions`, waits until something completes or the time is over, and fills `completions`.
    ///
    /// - Parameters:
    ///   - submissions: taken in order. A driver that answers some at once stops where there is no room for the answers, and
    ///     leaves the rest in the queue for the next call.
    ///   - completions: empty on entry. What does not fit stays for the next call.
    ///   - waitNanoseconds: 0 doesn't wait; `.max` waits for ever. Not waited when something is ready.
    func exchange(_ submissions: inout SubmissionQueue, _ completions: inout CompletionQueue, waitNanoseconds: UInt64)
}

extension Driver {
    /// A listener for everybody.
    package func openListener(_ address: SocketAddress, backlog: Int32) -> Opened {
        openListener(address, backlog: backlog, ArrivalFilter([], of: address.address.family))
    }

    /// A listener whose answers may be cut on their way.
    package func openDatagramListener(_ address: SocketAddress) -> Opened { openDatagramListener(address, fragments: true) }

    /// A socket that the kernel gives its address when it connects.
    package func openStream(_ family: IPAddress.Family) -> Opened { openStream(family, from: nil) }
}

/// What a call that opens a socket came to.
package struct Opened: BitwiseCopyable, Sendable {
    package let socket: SocketID
    /// 0, or the errno.
    package let error: Int32

    package init(socket: SocketID) {
        self.socket = socket
        error = 0
    }

    package init(error: Int32) {
        socket = .none
        self.error = error
    }
}
