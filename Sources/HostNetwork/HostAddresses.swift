package import Addressing

/// An address of one of the host's interfaces.
package struct HostAddress: Hashable, Sendable {
    /// rtnetlink(7), `ifa_flags`.
    struct Flags: OptionSet, Hashable {
        let rawValue: UInt32
        static let secondary = Flags(rawValue: 0x01)
        static let optimistic = Flags(rawValue: 0x04)
        static let duplicate = Flags(rawValue: 0x08)
        static let deprecated = Flags(rawValue: 0x20)
        static let tentative = Flags(rawValue: 0x40)
    }

    let address: IPAddress
    /// The interface's number.
    let interface: UInt32
    var flags: Flags = []

    /// Whether it can be listened on: an IPv6 address that is new to its link waits for objections first, and one of a link says nothing
    /// without the link.
    var isUsable: Bool {
        if flags.contains(.duplicate) || flags.contains(.tentative) && !flags.contains(.optimistic) { return false }
        return !address.isLinkLocalIPv6
    }

    /// Whether a host would call itself by it: neither of the loopback interface, nor made for a while, nor going out of use.
    var isOfTheHost: Bool { isUsable && !address.isLoopback && flags.isDisjoint(with: [.secondary, .deprecated]) }
}

/// A default route, as far as it says from which address packets leave.
struct DefaultRoute: Hashable {
    let family: IPAddress.Family
    let interface: UInt32
    /// The least is used.
    var metric: UInt32 = 0
    var source: IPAddress?
}

/// The addresses that the host's interfaces have at one moment.
package struct HostAddresses: Equatable, Sendable {
    private let all: [HostAddress]
    private let routes: [DefaultRoute]

    init(_ all: [HostAddress], routes: [DefaultRoute] = []) {
        self.all = all.filter(\.isUsable)
        self.routes = routes
    }

    /// Asks the kernel; for its default routes, too, where they matter: a router may have a million others, and gives all of them.
    package static func now(routes: Bool) throws(HostNetworkFailure) -> HostAddresses {
        var socket = try NetlinkSocket()
        let addresses = try socket.dump(NetlinkMessage.Kind.getAddress, fixedBytes: HostAddress.fixedBytes)
        let routes = routes ? try socket.dump(NetlinkMessage.Kind.getRoute, fixedBytes: HostRoute.fixedBytes) : []
        return HostAddresses(addresses.compactMap(HostAddress.init), routes: routes.compactMap(DefaultRoute.init))
    }

    /// All that can be listened on, in order.
    package var addresses: [IPAddress] { Set(all.map(\.address)).sorted() }

    /// The one of a family that packets to the world leave from; where no route leads there, the first of the first interface.
    package func primary(_ family: IPAddress.Family) -> IPAddress? {
        let own = all.filter { $0.address.family == family && $0.isOfTheHost }
        let route = routes.filter { $0.family == family }.min { $0.metric < $1.metric }
        if let source = route?.source, all.contains(where: { $0.address == source }) { return source }
        return (own.first { $0.interface == route?.interface } ?? own.min { $0.interface < $1.interface })?.address
    }
}

// MARK: - rtnetlink

extension HostAddress {
    static let fixedBytes = 8
    private enum Attribute {
        static let address: UInt16 = 1
        static let local: UInt16 = 2
        static let flags: UInt16 = 8
    }

    /// The address that a message tells of; nil for other families.
    init?(_ message: NetlinkMessage) {
        let body = message.body
        guard message.kind == NetlinkMessage.Kind.newAddress, body.count >= Self.fixedBytes, IPAddress.Family(kernel: body[0]) != nil,
            let interface = body.native(UInt32.self, at: 4)
        else { return nil }
        let attributes = message.attributes(after: Self.fixedBytes)
        // Of a point-to-point link the first is the other end's.
        guard let address = (attributes[Attribute.local] ?? attributes[Attribute.address]).flatMap(IPAddress.init(bytes:)) else {
            return nil
        }
        self.init(
            address: address, interface: interface,
            flags: Flags(rawValue: attributes[Attribute.flags]?.native(UInt32.self, at: 0) ?? UInt32(body[2])))
    }
}

extension DefaultRoute {
    private enum Attribute {
        static let interface: UInt16 = 4
        static let metric: UInt16 = 6
        static let source: UInt16 = 7
        static let table: UInt16 = 15
    }

    private static let mainTable: UInt32 = 254
    private static let unicast: UInt8 = 1

    /// nil for a message of any other route.
    init?(_ message: NetlinkMessage) {
        let body = message.body
        guard message.kind == NetlinkMessage.Kind.newRoute, body.count >= HostRoute.fixedBytes, body[1] == 0, body[7] == Self.unicast,
            let family = IPAddress.Family(kernel: body[0])
        else { return nil }
        let attributes = message.attributes(after: HostRoute.fixedBytes)
        guard let interface = attributes[Attribute.interface]?.native(UInt32.self, at: 0),
            attributes[Attribute.table]?.native(UInt32.self, at: 0) ?? UInt32(body[4]) == Self.mainTable
        else { return nil }
        self.init(
            family: family, interface: interface, metric: attributes[Attribute.metric]?.native(UInt32.self, at: 0) ?? 0,
            source: attributes[Attribute.source].flatMap(IPAddress.init(bytes:)))
    }
}

extension IPAddress {
    /// fe80::/10.
    fileprivate var isLinkLocalIPv6: Bool { family == .ipv6 && high >> 54 == 0xfe80 >> 6 }
}
