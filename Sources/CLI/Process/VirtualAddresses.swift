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

/// Makes ranges of virtual addresses this host's own, once a Service has an address in one of them, and undoes that at the end.
struct VirtualAddresses {
    let choice: HostNetworkChoice
    let ranges: [IPRange]
    private let network = HostNetwork()
    /// What was said already: said again only where it has changed.
    private var said: [String] = []

    init(choice: HostNetworkChoice, ranges: [IPRange]) {
        self.choice = choice
        self.ranges = ranges
    }

    /// To be called before the snapshot's addresses are bound. Asks the kernel only while something is missing.
    mutating func prepare(for snapshot: RoutingSnapshot) -> [Journal.Entry] {
        guard choice != .off else { return [] }
        let missing = ranges.filter { range in
            !network.ranges.contains(range)
                && snapshot.frontends.values.contains { $0.origin != .nodePort && range.contains($0.key.address.address) }
        }
        guard !missing.isEmpty else { return [] }
        let failures = network.claim(missing).map { "\($0)" }
        defer { said = failures }
        let made = network.ranges.filter(missing.contains).map { range in
            Journal.Entry(level: .info, message: "virtual addresses are this host's own", fields: ["range": "\(range)"])
        }
        return made
            + failures.filter { !said.contains($0) }.map {
                Journal.Entry(level: .warning, message: "virtual addresses are not as they should be", fields: ["reason": $0])
            }
    }

    func end() -> [Journal.Entry] {
        guard choice == .auto, !network.ranges.isEmpty else { return [] }
        return network.release().map {
            Journal.Entry(level: .warning, message: "the host's network is not as it was before", fields: ["reason": "\($0)"])
        }
    }
}
