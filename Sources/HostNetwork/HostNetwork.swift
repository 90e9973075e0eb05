package import Addressing
import Glibc
import Synchronization

/// Why something of the host's network could not be had.
package enum HostNetworkFailure: Error, Equatable, CustomStringConvertible {
    /// What was to be done, and the kernel's errno.
    case kernel(String, Int32)
    case conflict(IPRange, RangeConflict)
    /// Neither root nor CAP_NET_ADMIN; what of 127.0.0.0/8 the host has anyway needs neither.
    case withoutCapability(IPRange)
    /// The host, or its loopback interface, has been told to do without IPv6.
    case withoutIPv6(IPRange)
    /// A program that is not there (nil), or what it said.
    case program(String, String?)

    package var description: String {
        switch self {
        case .kernel(let what, EPERM), .kernel(let what, EACCES): "can't \(what): that takes the capability CAP_NET_ADMIN"
        case .kernel(let what, let error): "can't \(what): errno \(error)"
        case .conflict(let range, let conflict):
            "\(range) overlaps \(conflict): choose another --service-cidr, or remove that"
        case .withoutCapability(let range):
            "can't make \(range) local: that takes the capability CAP_NET_ADMIN"
                + (range.address.family == .ipv4 ? "; ranges in 127.0.0.0/8 need none, such as --service-cidr 127.96.0.0/12" : "")
        case .withoutIPv6(let range): "can't make \(range) local: IPv6 is off (net.ipv6.conf.lo.disable_ipv6)"
        case .program(let name, nil): "there is no \(name): install nftables"
        case .program(let name, let message?): "\(name): \(message)"
        }
    }

    /// The same, told of the range that was to be made local.
    fileprivate func told(of range: IPRange) -> HostNetworkFailure {
        switch self {
        // What the kernel answers to a route of IPv6 where that is switched off.
        case .kernel(_, EACCES) where range.address.family == .ipv6, .kernel(_, EAFNOSUPPORT) where range.address.family == .ipv6:
            .withoutIPv6(range)
        case .kernel(_, EPERM): .withoutCapability(range)
        default: self
        }
    }
}

/// What of the host's network is Ringway's.
package struct HostNetworkState: Equatable, Sendable {
    package var ranges: [IPRange] = []
    package var hasGuard = false

    package init(ranges: [IPRange] = [], hasGuard: Bool = false) {
        self.ranges = ranges
        self.hasGuard = hasGuard
    }
}

/// Makes ranges of virtual addresses the host's own (AnyIP: a local route for each), and keeps other servers off them.
///
/// What it has made is known by its marks in the kernel alone, so that a process which was killed leaves nothing that the next one,
/// or `ringway network cleanup`, doesn't find.
package final class HostNetwork: Sendable {
    private struct State {
        var claimed: [IPRange] = []
        /// Those that were the host's anyway.
        var local: [IPRange] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// The ranges claimed by this object, without those that were the host's anyway.
    package var ranges: [IPRange] { state.withLock { $0.claimed } }

    /// The ranges whose addresses can be bound, those that were the host's anyway included.
    package var reachable: [IPRange] { state.withLock { $0.claimed + $0.local } }

    /// Claims ranges, those that a former process has left included. Each range is by itself: one that can't be had harms no other.
    ///
    /// - Returns: why some are not had, and what is amiss with the guard.
    package func claim(_ ranges: [IPRange]) -> [HostNetworkFailure] {
        state.withLock { state in
            var failures: [HostNetworkFailure] = []
            do throws(HostNetworkFailure) {
                var socket = try NetlinkSocket()
                let (routes, loopback) = try Self.routes(&socket)
                for range in ranges where !state.claimed.contains(range) {
                    switch RangeVerdict(range, routes: routes) {
                    case .local: if !state.local.contains(range) { state.local.append(range) }
                    case .ours: state.claimed.append(range)
                    case .conflict(let conflict): failures.append(.conflict(range, conflict))
                    case .free:
                        do throws(HostNetworkFailure) {
                            let change = HostRoute.change(range, isAdded: true, loopback: loopback)
                            try socket.ask(change, doing: "make \(range) local")
                            state.claimed.append(range)
                        } catch { failures.append(error.told(of: range)) }
                    }
                }
                if !state.claimed.isEmpty { try VIPGuard.put(state.claimed) }
            } catch { failures.append(error) }
            return failures
        }
    }

    /// Gives up everything that is Ringway's on this host.
    package func release() -> [HostNetworkFailure] {
        state.withLock { state in
            var failures: [HostNetworkFailure] = []
            do throws(HostNetworkFailure) {
                var socket = try NetlinkSocket()
                let (routes, loopback) = try Self.routes(&socket)
                for route in routes where route.isOurs {
                    let change = HostRoute.change(route.destination, isAdded: false, loopback: loopback)
                    do throws(HostNetworkFailure) {
                        try socket.ask(change, doing: "remove the route \(route)")
                    } catch { failures.append(error) }
                }
            } catch { failures.append(error) }
            state.claimed = []
            if VIPGuard.isThere {
                do throws(HostNetworkFailure) { try VIPGuard.remove() } catch { failures.append(error) }
            }
            return failures
        }
    }

    /// What of it there is at this moment, whoever made it.
    package static func state() throws(HostNetworkFailure) -> HostNetworkState {
        var socket = try NetlinkSocket()
        let ranges = try routes(&socket).routes.filter(\.isOurs).map(\.destination)
        return HostNetworkState(ranges: ranges.sorted { $0.address < $1.address }, hasGuard: VIPGuard.isThere)
    }

    private static func routes(_ socket: inout NetlinkSocket) throws(HostNetworkFailure) -> (routes: [HostRoute], loopback: UInt32) {
        var interfaces: [UInt32: String] = [:]
        var loopback: UInt32 = 1
        // struct ifinfomsg: family, type, index, flags; then attributes, of which 3 is the name.
        for link in try socket.dump(NetlinkMessage.Kind.getLink, fixedBytes: 16) {
            guard let index = link.body.native(UInt32.self, at: 4), let flags = link.body.native(UInt32.self, at: 8),
                let name = link.attributes(after: 16)[3]
            else { continue }
            interfaces[index] = String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
            if flags & UInt32(IFF_LOOPBACK) != 0 { loopback = index }
        }
        let routes = try socket.dump(NetlinkMessage.Kind.getRoute, fixedBytes: 12)
        return (routes.compactMap { HostRoute($0, interfaces: interfaces) }, loopback)
    }
}
