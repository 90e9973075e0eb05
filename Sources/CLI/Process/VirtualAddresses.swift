internal import Addressing
internal import ArgumentParser
internal import HostNetwork
internal import Routing

/// `--host-network`: whether ranges of virtual addresses become this host's own.
enum HostNetworkChoice: String, CaseIterable, ExpressibleByArgument {
    /// While the process runs.
    case auto
    /// Also afterwards: a process that takes over finds them.
    case keep
    case off
}

/// Makes ranges of virtual addresses this host's own, once a Service has an address in one of them, keeps node ports from being given to
/// others, and undoes both at the end.
struct VirtualAddresses {
    let choice: HostNetworkChoice
    let ranges: [IPRange]
    /// Where queries are answered: some of it may be in the ranges.
    let nameAddresses: [IPAddress]
    private let network = HostNetwork()
    private let reservedPorts = ReservedPorts(read: Host.readSetting, write: Host.writeSetting)
    private var nodePorts: Set<FrontendKey> = []
    /// Whether some of the last snapshot was left out.
    private var leavesOut = false
    /// What was said already: said again only where it has changed.
    private var said: Set<String> = []

    init(choice: HostNetworkChoice, ranges: [IPRange], nameAddresses: [IPAddress] = []) {
        self.nameAddresses = nameAddresses
        self.choice = choice
        self.ranges = ranges
    }

    /// To be called before the snapshot's addresses are bound. Asks the kernel only while something is missing.
    mutating func prepare(for snapshot: RoutingSnapshot) -> [Journal.Entry] {
        guard choice != .off else { return [] }
        let missing = ranges.filter { range in
            !network.reachable.contains(range)
                && (nameAddresses.contains(where: range.contains)
                    || snapshot.frontends.values.contains { $0.origin != .nodePort && range.contains($0.key.address.address) })
        }
        var failures = missing.isEmpty ? [] : network.claim(missing)
        if let failure = holdNodePorts(of: snapshot) { failures.append(failure) }
        let made = network.ranges.filter(missing.contains).map { range in
            Journal.Entry(level: .info, message: "virtual addresses are this host's own", fields: ["range": "\(range)"])
        }
        let warnings = failures.map { "\($0)" }.filter { said.insert($0).inserted }
        return made
            + warnings.map {
                Journal.Entry(level: .warning, message: "the host's network is not as Services need it", fields: ["reason": $0])
            }
    }

    private mutating func holdNodePorts(of snapshot: RoutingSnapshot) -> HostNetworkFailure? {
        let before = nodePorts
        if snapshot.touched == nil { nodePorts = [] }
        for key in snapshot.touched ?? Set(snapshot.frontends.keys) {
            if snapshot.frontends[key]?.origin == .nodePort { nodePorts.insert(key) } else { nodePorts.remove(key) }
        }
        return nodePorts == before ? nil : reservedPorts.hold(Set(nodePorts.map { $0.address.port.rawValue }))
    }

    /// The snapshot without addresses that Services were given and that nobody could bind, for their range is not this host's. One that a
    /// Service asks for by number is tried all the same: an interface may have it.
    mutating func reachable(_ snapshot: RoutingSnapshot, given: Set<IPAddress>) -> RoutingSnapshot {
        let unreachable = unclaimed
        guard !unreachable.isEmpty, !given.isEmpty else {
            defer { leavesOut = false }
            // What was left out is there again, touched or not.
            return leavesOut
                ? RoutingSnapshot(generation: snapshot.generation, frontends: snapshot.frontends, names: snapshot.names) : snapshot
        }
        leavesOut = true
        return RoutingSnapshot(
            generation: snapshot.generation,
            frontends: snapshot.frontends.filter { key, frontend in
                frontend.origin != .clusterIP || !given.contains(key.address.address)
                    || !unreachable.contains { $0.contains(key.address.address) }
            }, names: snapshot.names)
    }

    /// The ranges that are not this host's own: they are left alone, were asked for in vain, or no Service has used them so far.
    var unclaimed: [IPRange] { ranges.filter { !network.reachable.contains($0) && !$0.address.isLoopback } }

    func end() -> [Journal.Entry] {
        guard choice == .auto else { return [] }
        let failures = (network.ranges.isEmpty ? [] : network.release()) + [reservedPorts.hold([])].compactMap { $0 }
        return failures.map {
            Journal.Entry(level: .warning, message: "the host's network is not as it was before", fields: ["reason": "\($0)"])
        }
    }
}
