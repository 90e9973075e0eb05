package import Addressing
import CLiburing
import CLinux
import Glibc

/// What the host grants this process, asked of the kernel.
package enum HostLimits {
    /// The soft limit of open files (RLIMIT_NOFILE); prlimit(1) may change it while we run.
    package static func openFiles() -> Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }

    /// CLOCK_MONOTONIC, which the workers' times are made from.
    package static func monotonicNanoseconds() -> UInt64 { monotonicClock() }

    /// CLOCK_REALTIME: whole seconds since 1970.
    package static func secondsSince1970() -> UInt64 {
        var time = timespec()
        guard unsafe clock_gettime(CLOCK_REALTIME, &time) == 0 else { return 0 }
        return UInt64(clamping: time.tv_sec)
    }

    /// Whether an address of TCP or UDP could be bound by somebody who does not share it: 0, or the errno of bind(2).
    ///
    /// The workers' listeners share their address (SO_REUSEPORT), and would share it just as silently with another process of
    /// the same user.
    package static func probeBind(_ address: SocketAddress, _ transport: TransportProtocol) -> Int32 {
        let domain = address.address.family == .ipv4 ? AF_INET : AF_INET6
        let type = transport == .udp ? SOCK_DGRAM : SOCK_STREAM
        guard let descriptor = OwnedDescriptor(socket(domain, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)) else { return errno }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        // Connections in TIME_WAIT don't matter; a socket that listens does. Sockets of UDP would share the port by it.
        if transport == .tcp { _ = unsafe setsockopt(descriptor.rawValue, SOL_SOCKET, SO_REUSEADDR, &one, size) }
        if address.address.family == .ipv6 { _ = unsafe setsockopt(descriptor.rawValue, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, size) }
        return bindHere(descriptor.rawValue, address) == 0 ? 0 : errno
    }

    /// Whether connections can be made from an address: 0, or the errno.
    package static func probeSource(_ address: IPAddress) -> Int32 {
        let domain = address.family == .ipv4 ? AF_INET : AF_INET6
        guard let descriptor = OwnedDescriptor(socket(domain, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)) else { return errno }
        return unsafe withKernelAddress(of: address) { unsafe bind(descriptor.rawValue, $0, $1) } == 0 ? 0 : errno
    }
}
