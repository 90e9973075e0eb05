import Addressing
import CLinux
import Glibc

/// Hears from the kernel when addresses of the host come or go, or its default routes change.
package final class HostChanges: Sendable {
    /// rtnetlink(7): RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR; RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE.
    private static let addressGroups: UInt32 = 0x10 | 0x100
    private static let routeGroups: UInt32 = 0x40 | 0x400

    /// Can be read while something waits to be taken.
    package let descriptor: Int32

    /// Everything from here on is heard. nil where the host gives no such socket.
    ///
    /// - Parameter routes: also those of default routes: of a router's other ones there may be thousands.
    package init?(routes: Bool) {
        descriptor = socket(
            AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), netlinkRoute)
        guard descriptor >= 0 else { return nil }
        // struct sockaddr_nl: family, padding, port (the kernel chooses), groups.
        var name: (UInt16, UInt16, UInt32, UInt32) = (UInt16(AF_NETLINK), 0, 0, Self.addressGroups | (routes ? Self.routeGroups : 0))
        let isBound = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, 12) == 0 }
        }
        guard isBound else {
            close(descriptor)
            return nil
        }
    }

    deinit { close(descriptor) }

    /// Takes all that waits: whether any of it matters. What was lost for want of room (ENOBUFS) may have.
    package func take() -> Bool {
        var matters = false
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            if count > 0 {
                matters = matters || NetlinkMessage.all(in: Array(buffer[..<count])).contains(where: \.tellsOfTheHostsAddresses)
            } else if count < 0, errno == ENOBUFS {
                matters = true
            } else if count == 0 || errno != EINTR {
                return matters
            }
        }
    }
}

extension NetlinkMessage {
    /// Whether an address has come, gone or changed, or a route without a destination.
    var tellsOfTheHostsAddresses: Bool {
        switch kind {
        case Kind.newAddress, Kind.deleteAddress: true
        case Kind.newRoute, Kind.deleteRoute: body.count > 1 && body[1] == 0
        default: false
        }
    }
}
