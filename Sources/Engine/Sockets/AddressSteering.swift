package import Addressing
import CLiburing
import CLinux
import Glibc

/// Leads TCP connections for any number of addresses of this host to one listener of each family: a BPF program that the kernel asks before
/// it looks for a listener of the address itself (BPF_PROG_TYPE_SK_LOOKUP, Linux 5.9; CAP_BPF and CAP_NET_ADMIN).
///
/// It knows TCP only: a UDP socket answers from its own port. What it doesn't know goes the usual way. It ends with this object, or with
/// the process.
package final class AddressSteering: Sendable {
    /// Why there is none.
    package struct Unavailable: Error, Sendable, CustomStringConvertible {
        package let errno: Int32

        package var description: String {
            switch errno {
            case EPERM, EACCES: "one listener for many addresses needs CAP_BPF and CAP_NET_ADMIN"
            case EINVAL, ENOSYS: "one listener for many addresses needs Linux 5.9 or later with BPF"
            case EMFILE, ENFILE: "no more open files are allowed (ulimit -n)"
            default: "one listener for many addresses can't be had: errno \(errno)"
            }
        }
    }

    private let addresses: OwnedDescriptor
    private let listeners: OwnedDescriptor
    private let link: OwnedDescriptor
    /// Sockets that hold the ports of the listeners, so that those of all workers can bind to one that nobody else has.
    private let holders: [IPAddress.Family: PortHolder]

    /// - Parameter addressesMax: how many addresses it can hold; the kernel takes memory as they come.
    package init(addressesMax: Int) throws(Unavailable) {
        do throws(BPF.Errno) {
            addresses = try BPF.makeMap(
                BPF_MAP_TYPE_HASH, keyBytes: MemoryLayout<Key>.size, valueBytes: 1, entries: addressesMax, isAllocatedAsNeeded: true)
            listeners = try BPF.makeMap(BPF_MAP_TYPE_SOCKMAP, keyBytes: 4, valueBytes: 8, entries: 2)
            let program = try BPF.load(
                Self.program(addresses.rawValue, listeners.rawValue), type: BPF_PROG_TYPE_SK_LOOKUP, attachType: BPF_SK_LOOKUP)
            guard let network = OwnedDescriptor(unsafe open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) else {
                throw BPF.Errno(rawValue: errno)
            }
            link = try BPF.attach(program.rawValue, to: network.rawValue, BPF_SK_LOOKUP)
        } catch {
            throw Unavailable(errno: error.rawValue)
        }
        var holders: [IPAddress.Family: PortHolder] = [:]
        for family in [IPAddress.Family.ipv4, .ipv6] { holders[family] = PortHolder(family) }
        self.holders = holders
    }

    /// An address and port as the program looks it up: words as they stand in the packet, three of IPv4 being 0, and the port as a number.
    private struct Key: BitwiseCopyable {
        var words: (UInt32, UInt32, UInt32, UInt32)
        var port: UInt32
        var family: UInt32

        init(_ address: SocketAddress) {
            port = UInt32(address.port.rawValue)
            let (high, low) = (address.address.high, address.address.low)
            switch address.address.family {
            case .ipv4:
                family = UInt32(AF_INET)
                words = (UInt32(truncatingIfNeeded: low).bigEndian, 0, 0, 0)
            case .ipv6:
                family = UInt32(AF_INET6)
                words = (
                    UInt32(truncatingIfNeeded: high >> 32).bigEndian, UInt32(truncatingIfNeeded: high).bigEndian,
                    UInt32(truncatingIfNeeded: low >> 32).bigEndian, UInt32(truncatingIfNeeded: low).bigEndian
                )
            }
        }
    }

    /// Looks the address of a TCP connection up, and gives it to the listener of its family; whatever is not found goes on as if the
    /// program were not there. On the stack: the key at -24, the listener's place at -28.
    private static func program(_ addresses: Int32, _ listeners: Int32) -> BPF.Program {
        // struct bpf_sk_lookup, which is a part of the kernel's interface; Swift's importer takes it for unsafe to name.
        let (family, transport, asked4, asked6, port) = (8, 12, 40, 44, 60)
        var program = BPF.Program()
        program.move(6, from: 1)
        program.load(2, from: 6, at: transport)
        program.exit(if: 2, isNot: Int32(IPPROTO_TCP))
        program.load(2, from: 6, at: port)
        program.store(2, at: -8)
        program.load(2, from: 6, at: family)
        program.store(2, at: -4)
        program.either(if: 2, is: AF_INET6) { program in
            for word in 0..<4 {
                program.load(3, from: 6, at: asked6 + 4 * word)
                program.store(3, at: -24 + 4 * word)
            }
            program.store(number: 1, at: -28)
        } otherwise: { program in
            program.load(3, from: 6, at: asked4)
            program.store(3, at: -24)
            for word in 1..<4 { program.store(number: 0, at: -24 + 4 * word) }
            program.store(number: 0, at: -28)
        }
        program.loadMap(1, addresses)
        program.move(2, from: 10, plus: -24)
        program.call(Int32(BPF_FUNC_map_lookup_elem.rawValue))
        program.exit(if: 0, is: 0)
        program.loadMap(1, listeners)
        program.move(2, from: 10, plus: -28)
        program.call(Int32(BPF_FUNC_map_lookup_elem.rawValue))
        program.exit(if: 0, is: 0)
        program.move(7, from: 0)
        program.move(1, from: 6)
        program.move(2, from: 7)
        program.set(3, to: 0)
        program.call(Int32(BPF_FUNC_sk_assign.rawValue))
        program.move(1, from: 7)
        program.call(Int32(BPF_FUNC_sk_release.rawValue))
        program.end(1)
        return program
    }

    /// Where the listener of a family has to be opened; nil where this host has no such family. A loopback address, for a socket on a
    /// wildcard address would be the host's, and asked for by others.
    package func home(_ family: IPAddress.Family) -> SocketAddress? { holders[family]?.address }

    /// Names the listener of a family: one of those at `home`, for all of them. It leaves by being closed.
    ///
    /// - Returns: 0, or the errno.
    package func lead(_ family: IPAddress.Family, to descriptor: Int32) -> Int32 {
        BPF.update(listeners.rawValue, UInt32(family == .ipv4 ? 0 : 1), UInt64(descriptor))
    }

    /// Leads what comes for an address to the listener of its family; the same twice is the same.
    ///
    /// - Returns: 0, or the errno: E2BIG where it is full.
    package func add(_ address: SocketAddress) -> Int32 {
        BPF.update(addresses.rawValue, Key(address), UInt8(1))
    }

    /// What comes for an address goes the usual way again.
    package func remove(_ address: SocketAddress) { BPF.remove(addresses.rawValue, Key(address)) }
}

/// A TCP socket that is bound to a loopback address and a port of the kernel's choice, and does not listen.
private final class PortHolder: Sendable {
    let address: SocketAddress
    private let descriptor: OwnedDescriptor

    init?(_ family: IPAddress.Family) {
        let domain = family == .ipv4 ? AF_INET : AF_INET6
        guard let descriptor = OwnedDescriptor(socket(domain, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)) else { return nil }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        _ = unsafe setsockopt(descriptor.rawValue, SOL_SOCKET, SO_REUSEPORT, &one, size)
        _ = unsafe setsockopt(descriptor.rawValue, SOL_SOCKET, SO_REUSEADDR, &one, size)
        let loopback = family == .ipv4 ? IPAddress.loopbackIPv4 : .loopbackIPv6
        guard unsafe withKernelAddress(of: loopback, { unsafe bind(descriptor.rawValue, $0, $1) }) == 0 else { return nil }
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let bound = unsafe withUnsafeMutableBytes(of: &storage) { bytes -> SocketAddress? in
            let base = unsafe bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard unsafe getsockname(descriptor.rawValue, base, &length) == 0 else { return nil }
            return unsafe SocketAddress(kernelAddress: UnsafeRawBufferPointer(bytes))
        }
        guard let bound else { return nil }
        address = bound
        self.descriptor = descriptor
    }
}
