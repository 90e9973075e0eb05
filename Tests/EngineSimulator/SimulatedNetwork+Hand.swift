package import Addressing
import Engine
import Glibc

/// A connection's far end that a test plays by hand, call by call, as it would play a non-blocking socket.
package struct HandPeer {
    fileprivate let end: UInt32
    fileprivate let stamp: UInt32
}

/// A listener that a test plays by hand.
package struct HandListener {
    fileprivate let index: Int
    package let address: SocketAddress
}

extension SimulatedNetwork {
    package func listenByHand(_ address: SocketAddress, backlog: Int = 128) -> HandListener {
        HandListener(index: listen(address, backlog: backlog, owner: .hand), address: address)
    }

    /// nil when nobody waits.
    package func accept(_ listener: HandListener) -> HandPeer? {
        accept(listener.index, owner: .hand, ownerIndex: 0).map { HandPeer(end: $0, stamp: stamp(of: $0)) }
    }

    package func close(_ listener: HandListener) { closeListener(listener.index) }

    package func connectByHand(from local: SocketAddress, to remote: SocketAddress) -> HandPeer {
        guard let end = connect(.hand, 0, from: local, to: remote) else { preconditionFailure("no room for another connection") }
        return HandPeer(end: end, stamp: stamp(of: end))
    }

    /// nil while the connect is under way; then 0 or the errno.
    package func connectResult(_ peer: HandPeer) -> Int32? {
        switch connectState(current(peer)) {
        case .pending: nil
        case .done: 0
        case .failed(let errno): errno
        }
    }

    /// The number of bytes taken, or a negative errno; EAGAIN when the pipe is full.
    package func send(_ peer: HandPeer, _ bytes: ArraySlice<UInt8>) -> Int {
        let end = current(peer)
        switch writable(end) {
        case .full: return -Int(EAGAIN)
        case .failed(let errno): return -Int(errno)
        case .room(let room):
            let count = min(room, bytes.count)
            write(end, count: count) { position, offset, length in
                for index in 0..<length { arena[position + index] = bytes[bytes.startIndex + offset + index] }
            }
            return count
        }
    }

    /// What has arrived, at most `most` bytes; an empty array is the end; nil with an errno is a failure, EAGAIN for nothing yet.
    package func receive(_ peer: HandPeer, most: Int) -> (bytes: [UInt8]?, errno: Int32) {
        let end = current(peer)
        switch readable(end) {
        case .nothing: return (nil, EAGAIN)
        case .failed(let errno): return (nil, errno)
        case .ended: return ([], 0)
        case .bytes(let available):
            var bytes: [UInt8] = []
            read(end, count: min(most, available)) { position, _, length in bytes += arena[position..<position + length] }
            return (bytes, 0)
        }
    }

    package func shutdownWrite(_ peer: HandPeer) { shutdownWrite(current(peer)) }
    package func close(_ peer: HandPeer) { close(current(peer), withReset: false) }
    package func reset(_ peer: HandPeer) { close(current(peer), withReset: true) }
    package func localAddress(of peer: HandPeer) -> SocketAddress { ends[Int(current(peer))].local }

    private func current(_ peer: HandPeer) -> UInt32 {
        precondition(stamp(of: peer.end) == peer.stamp, "a peer is used after it was closed")
        return peer.end
    }
}
