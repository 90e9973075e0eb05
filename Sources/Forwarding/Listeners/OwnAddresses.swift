import Addressing
import Routing

/// Addresses that are listened on here, or were until now: a bind of one that does not share them would meet our own listeners.
struct OwnAddresses {
    /// The same number on TCP and UDP is two ports, and so it is for IPv4 and IPv6.
    private struct Port: Hashable {
        let number: PortNumber
        let transport: TransportProtocol
        let family: IPAddress.Family

        init(_ key: FrontendKey) {
            number = key.address.port
            transport = key.transport
            family = key.address.address.family
        }
    }

    private var byPort: [Port: [IPAddress: Int]] = [:]

    mutating func insert(_ key: FrontendKey) { byPort[Port(key), default: [:]][key.address.address, default: 0] += 1 }

    /// Takes back one `insert` of the same.
    mutating func remove(_ key: FrontendKey) {
        guard let count = byPort[Port(key)]?[key.address.address] else { return }
        byPort[Port(key)]?[key.address.address] = count == 1 ? nil : count - 1
        if byPort[Port(key)]?.isEmpty == true { byPort[Port(key)] = nil }
    }

    func meet(_ key: FrontendKey) -> Bool {
        guard let own = byPort[Port(key)] else { return false }
        let any = key.address.address.family == .ipv4 ? IPAddress.anyIPv4 : .anyIPv6
        return key.address.address.isUnspecified || own[key.address.address] != nil || own[any] != nil
    }
}
