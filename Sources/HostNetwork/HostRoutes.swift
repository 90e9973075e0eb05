package import Addressing

/// A route of the host, as far as it says who gets the packets of which addresses.
package struct HostRoute: Hashable, Sendable {
    package enum Kind: UInt8, Hashable, Sendable {
        case unicast = 1
        case local, broadcast, anycast, multicast, blackhole, unreachable, prohibit, `throw`, nat
    }

    package var destination: IPRange
    package var kind: Kind
    /// 255 is the table of local addresses, which the kernel asks first.
    package var table: UInt32
    /// Who made it (rtnetlink(7), `rtm_protocol`): 2 is the kernel.
    package var maker: UInt8
    package var interface: String

    package init(_ destination: IPRange, _ kind: Kind, table: UInt32, maker: UInt8, interface: String) {
        self.destination = destination
        self.kind = kind
        self.table = table
        self.maker = maker
        self.interface = interface
    }

    package static let localTable: UInt32 = 255
    /// Ringway's own number as a maker of routes, none of those that iproute2 knows by name: by it a later process knows what an
    /// earlier one has left.
    package static let ringway: UInt8 = 0x72

    /// Whether it is one that Ringway makes: all of a range's addresses are this host's.
    package var isOurs: Bool { kind == .local && table == Self.localTable && maker == Self.ringway }
}

extension HostRoute: CustomStringConvertible {
    /// `10.0.0.0/8 dev eth0`, as `ip route` begins its lines.
    package var description: String {
        "\(kind == .unicast ? "" : "\(kind) ")\(destination)\(interface.isEmpty ? "" : " dev \(interface)")"
    }
}

/// What stands in the way of a range of virtual addresses.
package enum RangeConflict: Hashable, Sendable, CustomStringConvertible {
    case route(HostRoute)
    case address(IPAddress, interface: String)

    package var description: String {
        switch self {
        case .route(let route): "the route \(route)"
        case .address(let address, let interface): "the host's address \(address) dev \(interface)"
        }
    }
}

/// What becomes of a range that is to be this host's: a pure function of the host's routes.
package enum RangeVerdict: Hashable, Sendable {
    /// A route has to be made.
    case free
    /// A former process made it.
    case ours
    /// All its addresses are the host's already, as those of 127.0.0.0/8 are.
    case local
    case conflict(RangeConflict)

    package init(_ range: IPRange, routes: [HostRoute]) {
        if routes.contains(where: { $0.isOurs && $0.destination == range }) {
            self = .ours
        } else if routes.contains(where: { $0.kind == .local && $0.table == HostRoute.localTable && $0.destination.contains(range) }) {
            self = .local
        } else if let route = routes.first(where: { $0.stands(inTheWayOf: range) }) {
            let isAddress = route.kind == .local && route.destination.isSingle
            self = .conflict(isAddress ? .address(route.destination.address, interface: route.interface) : .route(route))
        } else {
            self = .free
        }
    }
}

extension HostRoute {
    /// A default route is everybody's, and broadcasts and multicasts come with an interface's own network, which is reported.
    fileprivate func stands(inTheWayOf range: IPRange) -> Bool {
        guard destination.prefix > 0, !isOurs, kind != .broadcast, kind != .multicast, kind != .anycast else { return false }
        return destination.contains(range) || range.contains(destination)
    }
}

extension IPRange {
    /// Whether all of the other range's addresses are in this one.
    package func contains(_ other: IPRange) -> Bool { other.prefix >= prefix && contains(other.address) }

    package var isSingle: Bool { prefix == (address.family == .ipv4 ? 32 : 128) }
}

// MARK: - rtnetlink

extension HostRoute {
    static let fixedBytes = 12
    private enum Attribute {
        static let destination: UInt16 = 1
        static let interface: UInt16 = 4
        static let table: UInt16 = 15
    }

    /// The route that a message tells of; nil for other families and types.
    init?(_ message: NetlinkMessage, interfaces: [UInt32: String]) {
        let body = message.body
        guard message.kind == NetlinkMessage.Kind.newRoute, body.count >= Self.fixedBytes, let family = IPAddress.Family(kernel: body[0]),
            let kind = Kind(rawValue: body[7])
        else { return nil }
        let attributes = message.attributes(after: Self.fixedBytes)
        let any: IPAddress = family == .ipv4 ? .anyIPv4 : .anyIPv6
        // Without a destination it is the default route.
        let address = attributes[Attribute.destination].flatMap(IPAddress.init(bytes:)) ?? any
        guard let destination = IPRange(address, prefix: body[1]) else { return nil }
        let index = attributes[Attribute.interface]?.native(UInt32.self, at: 0)
        self.init(
            destination, kind, table: attributes[Attribute.table]?.native(UInt32.self, at: 0) ?? UInt32(body[4]), maker: body[5],
            interface: index.flatMap { interfaces[$0] } ?? "")
    }

    /// Makes all addresses of a range the host's own, or ends that: `ip route add local RANGE dev lo`.
    static func change(_ range: IPRange, isAdded: Bool, loopback: UInt32) -> NetlinkMessage {
        let scopeOfHost: UInt8 = 254
        var body: [UInt8] = [
            range.address.family.kernel, range.prefix, 0, 0, UInt8(localTable), ringway, scopeOfHost, Kind.local.rawValue, 0, 0, 0, 0,
        ]
        body.append(attribute: Attribute.destination, range.address.bytes)
        var index: [UInt8] = []
        index.append(native: loopback)
        body.append(attribute: Attribute.interface, index)
        return NetlinkMessage(
            kind: isAdded ? NetlinkMessage.Kind.newRoute : NetlinkMessage.Kind.deleteRoute,
            flags: isAdded ? [.request, .acknowledge, .create, .exclusive] : [.request, .acknowledge], body: body)
    }
}

extension IPAddress.Family {
    /// AF_INET and AF_INET6.
    var kernel: UInt8 { self == .ipv4 ? 2 : 10 }

    init?(kernel: UInt8) {
        switch kernel {
        case 2: self = .ipv4
        case 10: self = .ipv6
        default: return nil
        }
    }
}
