/// What the datagrams of one client have to do with each other. All but `perDatagram` keep a client's socket at one endpoint.
package enum UDPClass: String, CaseIterable, Sendable {
    /// Both ways, until neither side has said anything for a while.
    case session
    /// The same, but it ends after as many replies as requests. Not after the first: resolvers ask for A and AAAA from one socket.
    case oneReply = "one-reply"
    /// From the client only: nobody waits for a reply, and one that comes is dropped.
    case oneWay = "one-way"
    /// Each datagram goes to an endpoint of its own choice; replies are dropped.
    case perDatagram = "per-datagram"
}

/// How the datagrams of a UDP port are to be treated. For TCP they stay as they are here.
package struct DatagramSettings: Hashable, Sendable {
    package var udpClass = UDPClass.session
    /// A session without a reply so far ends after so long without a datagram (the kernel's nf_conntrack_udp_timeout).
    package var unansweredTimeout: Duration = .seconds(30)
    /// The same once both sides have spoken (nf_conntrack_udp_timeout_stream).
    package var answeredTimeout: Duration = .seconds(120)
    /// Bytes of replies for each byte of requests; what is beyond is dropped. nil: no limit.
    package var replyRatioMax: Int?
    /// Datagrams per second for each client's address; what is beyond is dropped. nil: no limit.
    package var datagramsPerSourceMax: Int?

    package init() {}
}
