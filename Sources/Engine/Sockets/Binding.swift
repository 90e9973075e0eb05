import Addressing
import CLinux
import CLiburing
import Glibc

/// NETLINK_ROUTE and its messages, which Swift's importer does not see.
private let netlinkRoute: Int32 = 0
private let getRoute: UInt16 = 26
private let typeLocal: UInt8 = 2

/// bind(2) to an address and port of this host: 0, or -1 with errno.
///
/// Of an IPv6 address the kernel asks for an interface that has it. One that is this host's by a route alone (AnyIP) takes
/// IPV6_FREEBIND, which would bind what is nobody's, too; so the kernel is asked for the route first.
func bindHere(_ descriptor: Int32, _ address: SocketAddress) -> Int32 {
    let result = unsafe withKernelAddress(of: address) { unsafe bind(descriptor, $0, $1) }
    guard result != 0, errno == EADDRNOTAVAIL, address.address.family == .ipv6 else { return result }
    guard isLocalByRoute(address.address) else {
        errno = EADDRNOTAVAIL
        return -1
    }
    var one: Int32 = 1
    _ = unsafe setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_FREEBIND, &one, socklen_t(MemoryLayout<Int32>.size))
    return unsafe withKernelAddress(of: address) { unsafe bind(descriptor, $0, $1) }
}

/// Whether what is sent to an IPv6 address arrives here, as the kernel's routes have it.
private func isLocalByRoute(_ address: IPAddress) -> Bool {
    guard let socket = OwnedDescriptor(socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), netlinkRoute)) else {
        return false
    }
    // nlmsghdr: length, type, flags (request), sequence, port. rtmsg: family, bits of the destination. Then one attribute of 16 bytes
    // and its own header: the destination.
    let bytes = 48
    return unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { message in
        unsafe message.initializeMemory(as: UInt8.self, repeating: 0)
        unsafe message.storeBytes(of: UInt32(bytes), as: UInt32.self)
        unsafe message.storeBytes(of: getRoute, toByteOffset: 4, as: UInt16.self)
        unsafe message.storeBytes(of: 1, toByteOffset: 6, as: UInt16.self)
        unsafe message.storeBytes(of: UInt8(AF_INET6), toByteOffset: 16, as: UInt8.self)
        unsafe message.storeBytes(of: 128, toByteOffset: 17, as: UInt8.self)
        unsafe message.storeBytes(of: 20, toByteOffset: 28, as: UInt16.self)
        unsafe message.storeBytes(of: 1, toByteOffset: 30, as: UInt16.self)
        unsafe message.storeBytes(of: address.high.bigEndian, toByteOffset: 32, as: UInt64.self)
        unsafe message.storeBytes(of: address.low.bigEndian, toByteOffset: 40, as: UInt64.self)
        guard unsafe send(socket.rawValue, message.baseAddress, bytes, 0) == bytes else { return false }
        // The kernel has answered by the time send(2) returns: a route, whose kind stands in its eighth byte, or an error.
        let count = unsafe recv(socket.rawValue, message.baseAddress, message.count, Int32(MSG_DONTWAIT))
        return unsafe count >= 28 && message.loadUnaligned(fromByteOffset: 4, as: UInt16.self) == getRoute - 2
            && message.loadUnaligned(fromByteOffset: 23, as: UInt8.self) == typeLocal
    }
}
