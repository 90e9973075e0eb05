package import Addressing

/// `--nodeport-addresses`: on which of the host's addresses node ports are served. Without it on any, loopback included.
package enum NodePortAddresses: Equatable, Sendable {
    /// On those inside of these; of a family that has no range here, on any.
    case ranges([IPRange])
    /// On one of each family: the one that the node is known by.
    case primary

    /// `CIDR,…` or `primary`.
    package init?(_ text: some StringProtocol) {
        guard text != "primary" else {
            self = .primary
            return
        }
        var ranges: [IPRange] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let range = IPRange(item) else { return nil }
            ranges.append(range)
        }
        self = .ranges(ranges)
    }

    /// What to listen on, wildcard addresses among it.
    ///
    /// - Parameter named: the addresses that the node's own object gives it, which are its primary ones if the host has them.
    package func listened(on host: HostAddresses, named: [IPAddress] = []) -> [IPAddress] {
        switch self {
        case .primary:
            let named = named.filter(host.addresses.contains)
            return [IPAddress.Family.ipv4, .ipv6].compactMap { family in
                named.first { $0.family == family } ?? host.primary(family)
            }
        case .ranges(let ranges):
            return [IPAddress.anyIPv4, .anyIPv6].flatMap { any -> [IPAddress] in
                let ranges = ranges.filter { $0.address.family == any.family }
                guard !ranges.isEmpty, !ranges.contains(where: { $0.prefix == 0 }) else { return [any] }
                return host.addresses.filter { address in ranges.contains { $0.contains(address) } }
            }
        }
    }

    /// Whether it depends on where the host's packets leave.
    package var goesByRoutes: Bool { self == .primary }
}

extension NodePortAddresses: CustomStringConvertible {
    package var description: String {
        switch self {
        case .ranges(let ranges): ranges.map(\.description).joined(separator: ",")
        case .primary: "primary"
        }
    }
}
