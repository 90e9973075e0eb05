import Addressing
import Engine
import Glibc
import Testing

struct HostLimitsTests {
    /// A socket bound to a free port of an address of its own, which it would share.
    private static func holder(_ type: __socket_type) throws -> (descriptor: Int32, address: SocketAddress) {
        let descriptor = socket(AF_INET, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try #require(descriptor >= 0)
        var one: Int32 = 1
        for option in [SO_REUSEPORT, SO_REUSEADDR] {
            try #require(unsafe setsockopt(descriptor, SOL_SOCKET, option, &one, socklen_t(MemoryLayout<Int32>.size)) == 0)
        }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        let address = FreshAddress.next(.ipv4).address
        name.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.low).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = unsafe withUnsafeMutablePointer(to: &name) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(bound)
        if type == SOCK_STREAM { try #require(listen(descriptor, 1) == 0) }
        return (descriptor, SocketAddress(address, try #require(PortNumber(UInt16(bigEndian: name.sin_port)))))
    }

    @Test(arguments: [TransportProtocol.tcp, .udp])
    func anAddressThatAnotherSocketHasIsFoundInUseThoughItWouldBeShared(_ transport: TransportProtocol) throws {
        let (descriptor, address) = try Self.holder(transport == .udp ? SOCK_DGRAM : SOCK_STREAM)
        #expect(HostLimits.probeBind(address, transport) == EADDRINUSE)
        close(descriptor)
        #expect(HostLimits.probeBind(address, transport) == 0)
    }

    @Test func thePortOfOneProtocolIsFreeForTheOther() throws {
        let (descriptor, address) = try Self.holder(SOCK_DGRAM)
        defer { close(descriptor) }
        #expect(HostLimits.probeBind(address, .tcp) == 0)
    }
}
