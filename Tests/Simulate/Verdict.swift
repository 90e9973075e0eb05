import EngineSimulator
import Forwarding

/// What a finished run shows, from what the clients and the servers saw.
struct Verdict {
    private(set) var findings: [String] = []
    private let scenario: Scenario
    /// Servers by the client whose bytes they got.
    private var servers: [UInt32: SimulatedPeer] = [:]
    /// Clients that did their part and were turned away or reset all the same.
    private var unserved: [Int] = []

    init(scenario: Scenario) {
        self.scenario = scenario
        let network = scenario.network
        for index in 0..<network.peerCount {
            let peer = network.peer(index)
            guard peer.isServer, peer.received >= 4, !isBrokenOff(peer) else { continue }
            if let header = scenario.headers[Int(peer.number)] {
                check(network.header(heardBy: index) == header, "server \(index) heard another header than that of client \(peer.number)")
            }
            let isBad = scenario.clientsWithBadHeader.union(scenario.clientsWithUnexpectedHeader).contains(Int(peer.number))
            check(!isBad, "client \(peer.number) reached a server with a bad header")
            check(peer.matchesEcho, "server \(index) got bytes that client \(peer.number) did not send there")
            if servers.updateValue(peer, forKey: peer.number) != nil {
                findings.append("two servers got the bytes of client \(peer.number)")
            }
        }
        for index in scenario.clients { judge(index, network.peer(index)) }
        let unserved = unserved
        let limited = scenario.worker.closed(.limitProcess)
        check(unserved.count <= limited, "\(unserved) were not served, and \(limited) turned away or reset for want of room")
        if scenario.isCalm { judgeCounts() }
    }

    /// Whether a server has heard the beginning of a header from a client that ended before it was one: that is believed to be bytes.
    private func isBrokenOff(_ server: SimulatedPeer) -> Bool {
        guard !scenario.clientsWithUnexpectedHeader.isEmpty else { return false }
        // The first four bytes of either version, read as a client's number, and the length from which it is a header.
        let lengths: [UInt32: Int] = [0x0a0d_0a0d: ProxyHeader.beginningMax, 0x584f_5250: 6]
        return lengths[server.number].map { server.received < $0 } ?? false
    }

    /// Where everything goes well, what is counted is what the sides have.
    private mutating func judgeCounts() {
        let network = scenario.network
        var toClients = 0
        var toServers = 0
        for index in 0..<network.peerCount {
            let peer = network.peer(index)
            if peer.isServer { toServers += peer.received + peer.headerHeard } else { toClients += peer.received }
        }
        let counted = (scenario.worker.bytesToClients, scenario.worker.bytesFromClients)
        check(counted == (toClients, toServers), "\(counted) bytes are counted, of \((toClients, toServers))")
    }

    private mutating func check(_ holds: Bool, _ finding: @autoclosure () -> String) {
        if !holds { findings.append(finding()) }
    }

    private mutating func judge(_ index: Int, _ client: SimulatedPeer) {
        guard client.connectErrno == 0 else {
            return check(scenario.closesFrontends, "client \(index) was refused with errno \(client.connectErrno)")
        }
        check(client.matchesEcho || client.matchesAnswer, "client \(index) got bytes that nobody sent there")
        guard let server = servers[UInt32(index)] else {
            if scenario.clientsWithBadHeader.contains(index) { return check(!client.sawFin, "client \(index) saw FIN after a bad header") }
            // Where each of several listeners has an accept armed for the last place, all but one find it taken.
            if scenario.isCalm { unserved.append(index) }
            return
        }
        let kind = Scenario.ServerKind(rawValue: server.servedPort)!
        check(kind == .echo ? client.matchesEcho : client.matchesAnswer, "client \(index) got wrong bytes from \(kind)")
        check(client.received <= server.sent, "client \(index) got \(client.received) bytes of \(server.sent)")
        check(server.received <= client.sent, "the server of client \(index) got \(server.received) bytes of \(client.sent)")
        // A clean end means that nothing is missing, whatever else has happened.
        if client.sawFin {
            check(server.sentFin, "client \(index) saw a FIN that its server (\(kind)) never sent")
            check(client.received == server.sent, "client \(index) saw FIN after \(client.received) bytes of \(server.sent)")
        }
        if server.sawFin {
            check(client.sentFin, "the server of client \(index) saw a FIN that was never sent")
            check(server.received == client.sent, "the server of client \(index) saw FIN after \(server.received) of \(client.sent) bytes")
        }
        judgeEnd(index, client, server, kind)
    }

    /// What must have gone well, and what must have gone on to the other side.
    private mutating func judgeEnd(_ index: Int, _ client: SimulatedPeer, _ server: SimulatedPeer, _ kind: Scenario.ServerKind) {
        let wasLeftAlone = !client.wasDisturbed && !server.wasDisturbed && !client.didReset && !server.didReset
        let isClean = client.script.ending == .finWhenSent && client.script.reads && kind.isClean
        if wasLeftAlone, isClean {
            let expected = kind == .echo ? client.sent : server.script.bytes
            let isServed = client.sawFin && !client.sawReset && client.sent == client.script.bytes && client.received == expected
            if scenario.isShortOfBuffers, !isServed || !server.sawFin {
                unserved.append(index)
            } else {
                check(
                    isServed,
                    "client \(index) and its server (\(kind)) did their part, but it sent \(client.sent) of "
                        + "\(client.script.bytes) and got \(client.received) of \(expected) bytes, FIN \(client.sawFin)")
                check(server.sawFin, "the server (\(kind)) of client \(index) saw no FIN")
            }
        }
        let isQuick = client.script.pauseNanosecondsMax <= 1_000_000 && client.script.reads
        if server.didReset, !client.wasDisturbed, client.didReset, isQuick, client.script.ending == .finWhenSent {
            check(
                client.endedAt < server.endedAt + 5_000_000_000, "client \(index) waited in vain after its server (\(kind)) had reset")
        }
        // After its FIN a client can vanish unseen: a receive says no more than that it has ended.
        if client.didReset || client.wasDisturbed, !client.sentFin, server.state == .open {
            let now = scenario.network.now
            // It may have been over before there was room for it.
            check(
                now < max(client.endedAt, server.beganAt) + 5_000_000_000 || !server.script.reads,
                "the server (\(kind)) of client \(index) was not told of its end")
        }
    }
}
