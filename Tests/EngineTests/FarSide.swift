import Addressing
import EngineSimulator

/// The far end of a connection, played call by call; a real socket or a simulated one. Nothing waits.
protocol FarPeer: AnyObject {
    /// nil while the connect is under way, then 0 or the errno.
    func connectResult() -> Int32?
    /// Bytes taken, or a negative errno.
    func send(_ bytes: ArraySlice<UInt8>) -> Int
    /// What has arrived; an empty array is the end; nil comes with the errno.
    func receive(most: Int) -> (bytes: [UInt8]?, errno: Int32)
    func shutdownWrite()
    func close()
    /// Closes with RST.
    func reset()
}

/// A listener on the far side.
protocol FarListener: AnyObject {
    var address: SocketAddress { get }
    /// nil when nobody waits.
    func accept() -> (any FarPeer)?
    func close()
}

final class SimulatedFarPeer: FarPeer {
    private let network: SimulatedNetwork
    private var peer: HandPeer?

    init(_ network: SimulatedNetwork, _ peer: HandPeer) {
        self.network = network
        self.peer = peer
    }

    func connectResult() -> Int32? { network.connectResult(peer!) }
    func send(_ bytes: ArraySlice<UInt8>) -> Int { network.send(peer!, bytes) }
    func receive(most: Int) -> (bytes: [UInt8]?, errno: Int32) { network.receive(peer!, most: most) }
    func shutdownWrite() { network.shutdownWrite(peer!) }

    func close() {
        if let peer { network.close(peer) }
        peer = nil
    }

    func reset() {
        if let peer { network.reset(peer) }
        peer = nil
    }
}

final class SimulatedFarListener: FarListener {
    let address: SocketAddress
    private let network: SimulatedNetwork
    private let listener: HandListener

    init(_ network: SimulatedNetwork, _ listener: HandListener) {
        self.network = network
        self.listener = listener
        address = listener.address
    }

    func accept() -> (any FarPeer)? { network.accept(listener).map { SimulatedFarPeer(network, $0) } }
    func close() { network.close(listener) }
}
