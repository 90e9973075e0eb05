package import Addressing
import Routing

/// Names that are asked for elsewhere than all others: a domain, and whom to ask for it and everything below it.
package struct StubDomain: Hashable, Sendable {
    package let domain: DomainName
    /// At least one, at most `Upstreams.serversMax`.
    package let servers: [SocketAddress]

    package init(domain: DomainName, servers: [SocketAddress]) {
        self.domain = domain
        self.servers = servers
    }
}

/// Whom to ask for names that are not ours, and who of these has answered of late. One worker's.
///
/// ```
///               failure                      failure
///  up ───────────────────► up, 1 failure ───────────────► down ──┐ asked on the side, by a question for the root's name servers, once
///   ▲ any reply                  │                          │    │ somebody would have it asked and its pause is over: 0.5 s, and
///   └────────────────────────────┴──────────────────────────┘ ◄──┘ twice that after each failure, up to 8 s
/// ```
/// With nobody of a group up, whoever is drawn is asked all the same: it may be our own road that was down.
package struct Upstreams: Sendable {
    /// Of one list, as CoreDNS has it.
    package static let serversMax = 15
    package static let stubDomainsMax = 64
    package static let port: UInt16 = 53
    /// Failures in a row that make a server down.
    static let failuresMax = 2
    static let pauseNanosecondsMin: UInt64 = 500_000_000
    static let pauseNanosecondsMax: UInt64 = 8_000_000_000

    struct Server: Sendable {
        let address: SocketAddress
        var failures = 0
        var pause = Upstreams.pauseNanosecondsMin
        var probeAt: UInt64 = 0

        var isDown: Bool { failures >= Upstreams.failuresMax }
    }

    /// Servers that are asked for the same names.
    struct Group: Sendable {
        /// Lower case, with the root's octet; the root's own for everything.
        let suffix: [UInt8]
        let servers: Range<Int>
    }

    /// As they were given: who is asked for everything that is in no stub domain.
    package let defaults: [SocketAddress]
    package let stubDomains: [StubDomain]
    private(set) var servers: [Server] = []
    /// Of all servers, by their number: those of the defaults and of each stub domain, which may be the same.
    package var addresses: [SocketAddress] { servers.map(\.address) }
    /// The longest suffix first.
    private(set) var groups: [Group] = []
    private var downCount = 0

    /// - Parameters:
    ///   - servers: whom to ask for everything; none: names outside of stub domains are refused.
    ///   - stubDomains: of which the one with the most octets decides.
    package init(servers: [SocketAddress], stubDomains: [StubDomain] = []) {
        defaults = servers
        self.stubDomains = stubDomains
        for stub in stubDomains.sorted(by: { $0.domain.wire.count > $1.domain.wire.count }).prefix(Self.stubDomainsMax) {
            append(stub.servers, for: stub.domain.wire)
        }
        append(servers, for: [0])
    }

    private mutating func append(_ addresses: [SocketAddress], for suffix: [UInt8]) {
        let first = servers.count
        servers += addresses.prefix(Self.serversMax).map { Server(address: $0) }
        groups.append(Group(suffix: suffix, servers: first..<servers.count))
    }

    /// Whether anybody is ever asked.
    package var isEmpty: Bool { servers.isEmpty }

    /// Whether any is down.
    var hasDown: Bool { downCount > 0 }

    /// Who is asked for a name, in wire form and any case; nil where nobody is.
    func group(for name: Span<UInt8>) -> Int? {
        for index in groups.indices where Self.name(name, endsWith: groups[index].suffix) {
            return groups[index].servers.isEmpty ? nil : index
        }
        return nil
    }

    private static func name(_ name: Span<UInt8>, endsWith suffix: [UInt8]) -> Bool {
        let start = name.count - suffix.count
        guard start >= 0 else { return false }
        var position = 0
        while position < start { position += 1 + Int(name[position]) }
        guard position == start else { return false }
        for index in 0..<suffix.count where name[start + index].lowercased != suffix[index] { return false }
        return true
    }

    func isDown(group: Int) -> Bool {
        for index in groups[group].servers where !servers[index].isDown { return false }
        return true
    }

    /// One of a group: any of those that are up and not tried; then of those not tried; then of all.
    ///
    /// - Parameter tried: one bit for each server of the group.
    func choose(group: Int, tried: UInt16, random: inout RandomSource) -> Int {
        let range = groups[group].servers
        var up = 0
        var left = 0
        for (place, server) in range.enumerated() where tried & 1 << UInt16(place) == 0 {
            left += 1
            if !servers[server].isDown { up += 1 }
        }
        guard left > 0 else { return range.lowerBound + random.below(range.count) }
        var turn = random.below(up > 0 ? up : left)
        for (place, server) in range.enumerated() where tried & 1 << UInt16(place) == 0 && (up == 0 || !servers[server].isDown) {
            if turn == 0 { return server }
            turn -= 1
        }
        preconditionFailure("fewer servers than were counted")
    }

    func bit(of server: Int, group: Int) -> UInt16 { 1 << UInt16(server - groups[group].servers.lowerBound) }

    /// It has replied, whatever that was.
    mutating func answered(_ server: Int) {
        if servers[server].isDown { downCount -= 1 }
        servers[server].failures = 0
        servers[server].pause = Self.pauseNanosecondsMin
    }

    /// It has not replied in time, or the network has said that it can't be reached.
    mutating func failed(_ server: Int, now: UInt64) {
        let wasDown = servers[server].isDown
        servers[server].failures = min(servers[server].failures + 1, Self.failuresMax)
        guard servers[server].isDown, !wasDown else { return }
        downCount += 1
        servers[server].probeAt = now &+ servers[server].pause
    }

    /// A server of a group that is down, and for which it is time to be asked on the side. It is not given out again before that is over.
    mutating func takeProbe(group: Int, now: UInt64) -> Int? {
        for index in groups[group].servers where servers[index].isDown && servers[index].probeAt <= now {
            servers[index].pause = min(2 * servers[index].pause, Self.pauseNanosecondsMax)
            servers[index].probeAt = now &+ servers[index].pause
            return index
        }
        return nil
    }
}
