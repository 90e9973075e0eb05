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

    /// CLOCK_MONOTONIC, the workers' clock.
    package static func monotonicNanoseconds() -> UInt64 { monotonicClock() }

    /// Whether a TCP address could be bound by somebody who does not share it: 0, or the errno of bind(2).
    ///
    /// The workers' listeners share their address (SO_REUSEPORT), and would share it just as silently with another process of
    /// the same user.
    package static func probeBind(_ address: SocketAddress) -> Int32 {
        let domain = address.address.family == .ipv4 ? AF_INET : AF_INET6
        guard let descriptor = OwnedDescriptor(socket(domain, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)) else { return errno }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        // Connections in TIME_WAIT don't matter; a socket that listens does.
        _ = unsafe setsockopt(descriptor.rawValue, SOL_SOCKET, SO_REUSEADDR, &one, size)
        if address.address.family == .ipv6 { _ = unsafe setsockopt(descriptor.rawValue, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, size) }
        return unsafe withKernelAddress(of: address) { unsafe bind(descriptor.rawValue, $0, $1) } == 0 ? 0 : errno
    }
}
