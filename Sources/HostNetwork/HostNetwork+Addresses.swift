package import Addressing

extension HostNetwork {
    /// RTM_NEWADDR and RTM_GETADDR, and of struct ifaddrmsg the length and the attributes for the interface's address and the link's
    /// other end (rtnetlink(7)).
    private enum AddressMessage {
        static let new: UInt16 = 20
        static let get: UInt16 = 22
        static let fixedBytes = 8
        static let address: UInt16 = 1
        static let local: UInt16 = 2
    }

    /// The addresses that the host's interfaces have at this moment, loopback included. Virtual addresses, which no interface has, are
    /// not among them.
    package static func addresses() throws(HostNetworkFailure) -> Set<IPAddress> {
        var socket = try NetlinkSocket()
        let messages = try socket.dump(AddressMessage.get, fixedBytes: AddressMessage.fixedBytes)
        return Set(
            messages.filter { $0.kind == AddressMessage.new }.compactMap { message in
                let attributes = message.attributes(after: AddressMessage.fixedBytes)
                // Of a point-to-point link the first is the other end's.
                return (attributes[AddressMessage.local] ?? attributes[AddressMessage.address]).flatMap(IPAddress.init(bytes:))
            })
    }
}
