import Addressing
import Engine
import EngineSimulator
import Glibc
import Testing

/// A UDP socket on the far side, played call by call; a real one or a simulated one. Nothing waits.
protocol FarDatagramPeer: AnyObject {
    var address: SocketAddress { get }
    /// False when there was no room for it now.
    func send(_ bytes: [UInt8], to: SocketAddress) -> Bool
    /// The next datagram and its sender; nil where there is none.
    func receive() -> (bytes: [UInt8], from: SocketAddress)?
    func close()
}

final class SimulatedFarDatagramPeer: FarDatagramPeer {
    private let network: SimulatedNetwork
    private let peer: HandDatagramPeer

    init(_ network: SimulatedNetwork, at address: SocketAddress) {
        self.network = network
        peer = network.openDatagramsByHand(at: address)
    }

    var address: SocketAddress { peer.local }

    func send(_ bytes: [UInt8], to: SocketAddress) -> Bool {
        network.send(peer, bytes[...], to: to)
        return true
    }

    func receive() -> (bytes: [UInt8], from: SocketAddress)? { network.receive(peer).map { ($0.bytes, $0.from) } }
    func close() { network.close(peer) }
}

final class PosixDatagramPeer: FarDatagramPeer {
    let address: SocketAddress
    private var descriptor: Int32

    init(at address: SocketAddress) throws(PosixError) {
        self.address = address
        descriptor = try openSocket(address.address.family, SOCK_DGRAM)
        setOption(descriptor, SOL_SOCKET, SO_RCVBUF, 4_194_304)
        guard unsafe withSocketAddress(address, { unsafe bind(descriptor, $0, $1) }) == 0 else {
            throw PosixError(call: "bind", errno: errno)
        }
    }

    deinit { close() }

    /// From now on the kernel cuts what is sent at once into datagrams of so many bytes (UDP_SEGMENT).
    func setSegment(_ bytes: Int) { setOption(descriptor, Int32(IPPROTO_UDP), 103, Int32(bytes)) }

    func send(_ bytes: [UInt8], to: SocketAddress) -> Bool {
        unsafe withSocketAddress(to) { name, length in
            unsafe bytes.withUnsafeBytes { unsafe Int32(sendto(descriptor, $0.baseAddress, $0.count, 0, name, length)) }
        } == Int32(bytes.count)
    }

    func receive() -> (bytes: [UInt8], from: SocketAddress)? {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var name = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let count = unsafe withUnsafeMutableBytes(of: &name) { storage in
            unsafe recvfrom(
                descriptor, &bytes, bytes.count, 0, storage.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        guard count >= 0, let sender = unsafe withUnsafeBytes(of: &name, { unsafe Self.address($0) }) else { return nil }
        return (Array(bytes.prefix(count)), sender)
    }

    private static func address(_ bytes: UnsafeRawBufferPointer) -> SocketAddress? {
        guard let port = PortNumber(unsafe UInt16(bytes[2]) << 8 | UInt16(bytes[3])) else { return nil }
        func number(_ offset: Int, _ count: Int) -> UInt64 {
            (offset..<offset + count).reduce(0) { unsafe $0 << 8 | UInt64(bytes[$1]) }
        }
        let isIPv4 = unsafe Int32(bytes[0]) == AF_INET
        return SocketAddress(isIPv4 ? IPAddress(ipv4: UInt32(number(4, 4))) : IPAddress(ipv6High: number(8, 8), low: number(16, 8)), port)
    }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }
}

extension EngineUnderTest {
    func openDatagramsFar(_ family: IPAddress.Family = .ipv4) throws -> any FarDatagramPeer {
        try openDatagramsFar(at: FreshAddress.next(family))
    }

    func openDatagramsFar(at address: SocketAddress) throws -> any FarDatagramPeer {
        guard let network else { return try PosixDatagramPeer(at: address) }
        return SimulatedFarDatagramPeer(network, at: address)
    }

    /// A port that no other test listens on.
    static func freshPort() -> PortNumber { FreshAddress.next(.ipv6).port }

    func listenForDatagrams(at address: SocketAddress = FreshAddress.next(.ipv4)) throws -> SocketID {
        let opened = driver.openDatagramListener(address)
        try #require(opened.error == 0, "errno \(opened.error)")
        return opened.socket
    }

    func connectDatagrams(to peer: SocketAddress, from source: IPAddress? = nil) throws -> (socket: SocketID, local: SocketAddress) {
        let opened = driver.openDatagramSocket(to: peer, from: source)
        try #require(opened.error == 0, "errno \(opened.error)")
        return (opened.socket, try #require(driver.localAddress(of: opened.socket)))
    }

    /// Receives until `count` datagrams are there, joined ones taken apart.
    func receiveDatagrams(
        _ socket: SocketID, _ count: Int, takesNames: Bool = true, _ location: SourceLocation = #_sourceLocation
    ) throws -> [ReceivedDatagram] {
        let batch = DatagramBatch(takesNames: takesNames)
        var received: [ReceivedDatagram] = []
        let areThere = wait {
            while received.count < count {
                batch.removeAll()
                let result = driver.receiveDatagrams(socket, into: batch, most: DatagramBatch.capacity)
                if result < 0 { return false }
                for index in 0..<batch.count { received += batch.apart(index) }
            }
            return true
        }
        try #require(areThere, "\(received.count) of \(count) datagrams came", sourceLocation: location)
        return received
    }

    /// What a call that finds something answers: a number of places, or a negative errno other than EAGAIN.
    func receiveOnce(
        _ socket: SocketID, into batch: DatagramBatch, most: Int = DatagramBatch.capacity
    ) throws -> Int {
        var result = -Int(EAGAIN)
        let isThere = wait {
            result = driver.receiveDatagrams(socket, into: batch, most: most)
            return result != -Int(EAGAIN)
        }
        try #require(isThere, "nothing came")
        return result
    }

    /// Whether nothing comes within a moment.
    func staysSilent(_ socket: SocketID) -> Bool {
        _ = completesSoon(.wakeUp)
        return driver.receiveDatagrams(socket, into: DatagramBatch(takesNames: true), most: 1) == -Int(EAGAIN)
    }

    func hear(_ peer: any FarDatagramPeer, _ location: SourceLocation = #_sourceLocation) throws -> (bytes: [UInt8], from: SocketAddress) {
        var heard: (bytes: [UInt8], from: SocketAddress)?
        try #require(
            wait {
                heard = peer.receive()
                return heard != nil
            }, "the far side heard nothing", sourceLocation: location)
        return heard!
    }

    func sendDatagram(
        _ bytes: [UInt8], on socket: SocketID, to: SocketAddress? = nil, source: IPAddress? = nil
    ) -> Int32 {
        let batch = DatagramBatch(takesNames: false)
        batch.append(bytes)
        batch.enqueue(first: 0, count: 1, segment: 0, to: to, source: source)
        return driver.sendDatagrams(socket, from: batch)
    }

    func closeDatagrams(_ sockets: SocketID...) {
        for socket in sockets { submit(.close(socket)) }
        exchange(waitNanoseconds: 0)
        expectNoBreach()
    }
}

struct ReceivedDatagram: Equatable {
    var bytes: [UInt8]
    var from: SocketAddress?
    var to: IPAddress?
}

extension DatagramBatch {
    /// The datagrams of a place.
    func apart(_ index: Int) -> [ReceivedDatagram] {
        let bytes = copyBytes(of: index)
        let step = self[index].segment == 0 ? max(1, bytes.count) : self[index].segment
        let starts = bytes.isEmpty ? [0] : Array(stride(from: 0, to: bytes.count, by: step))
        return starts.map {
            ReceivedDatagram(bytes: Array(bytes[$0..<min($0 + step, bytes.count)]), from: self[index].from, to: self[index].to)
        }
    }
}
