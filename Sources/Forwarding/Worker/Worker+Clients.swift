import Addressing
import Engine
import Routing

// Frontends that treat clients by their address: some are led elsewhere, and some hear nothing. Only these come here.
//
// Whom a frontend drops is known to the listener's filter, so that the SYN vanishes. A connection that should be dropped is accepted where
// the host grants no filter, and where it was queued before the rules changed: it is reset.
extension Worker {
    /// What an accepted connection goes by; nil where it may go nowhere, and is turned away.
    @inline(never)
    mutating func route(_ socket: SocketID, _ served: ServedFrontend) -> ServedFrontend? {
        guard let client = driver.peerAddress(of: socket)?.address else {
            refuse(socket, served, .clientReset)
            return nil
        }
        switch served.route(of: client) {
        case .served(let chosen): return chosen
        case .refused: refuse(socket, served, .noEndpoint)
        case .dropped: refuse(socket, served, .denied)
        }
        return nil
    }

    /// What datagrams of a client go by; nil where they are dropped.
    @inline(never)
    mutating func route(_ client: IPAddress, _ datagrams: Int, _ served: ServedFrontend) -> ServedFrontend? {
        switch served.route(of: client) {
        case .served(let chosen): return chosen
        case .refused: drop(datagrams, .noEndpoint, served.serviceRow)
        case .dropped: drop(datagrams, .denied, served.serviceRow)
        }
        return nil
    }

    /// What a flow chooses its endpoints by.
    func served(_ flow: TCPFlow) -> ServedFrontend {
        let served = listeners.frontend(of: flow.listener)
        return flow.isShortCircuit ? served.shortCircuit ?? served : served
    }

    /// What a session's datagrams go by.
    func served(_ session: UDPSession) -> ServedFrontend {
        let served = listeners.frontend(of: session.key.listener)
        guard served.shortCircuit != nil, case .served(let chosen) = served.route(of: session.key.client.address) else { return served }
        return chosen
    }
}
