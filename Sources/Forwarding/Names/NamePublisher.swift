import Addressing
import DNS
import Engine
import Routing
import Synchronization

/// Makes the zone of each snapshot and hands it to the workers: the control side of the cluster's DNS.
final class NamePublisher: Sendable {
    let settings: NameSettings
    private let state = Mutex(State())

    private struct State {
        var maker = ZoneMaker()
        var names = NameTable.empty
        var isOpen = false
    }

    init(_ settings: NameSettings) { self.settings = settings }

    /// What is asked and answered now.
    var asking: NameAsking {
        state.withLock { NameAsking(names: $0.names, zone: $0.maker.zone, responder: Responder(settings.responder)) }
    }

    /// Whether a frontend would listen where queries come: then it can't be opened.
    func holds(_ key: FrontendKey) -> Bool {
        settings.addresses.contains { address in
            address.port == key.address.port && address.address.family == key.address.address.family
                && (address.address == key.address.address || address.address.isUnspecified || key.address.address.isUnspecified)
        }
    }

    /// Makes the workers answer from a snapshot's names; returns when all of them do. For the first time they begin to listen: an
    /// address that is another process's is found out before that, for workers would share it in silence.
    func publish(_ snapshot: RoutingSnapshot, to workers: [WorkerHandle]) async -> [NameFailure] {
        let (zone, isOpen) = state.withLock { state in
            state.names = snapshot.names
            return (state.maker.update(to: snapshot, serial: UInt32(truncatingIfNeeded: HostLimits.secondsSince1970())), state.isOpen)
        }
        if !isOpen {
            let failures = settings.addresses.flatMap { address in
                [TransportProtocol.udp, .tcp].compactMap { transport in
                    NameFailure(address, transport, errno: HostLimits.probeBind(address, transport))
                }
            }
            guard failures.isEmpty else { return failures }
            state.withLock { $0.isOpen = true }
        }
        let failures = await withTaskGroup(of: [(socket: Int, errno: Int32)].self) { group in
            for worker in workers {
                group.addTask {
                    let handover = ZoneHandover(zone)
                    defer { handover.release() }
                    return await worker.serveNames(handover)
                }
            }
            return await group.reduce(into: [Int: Int32]()) { all, some in
                all.merge(some.map { ($0.socket, $0.errno) }) { first, _ in first }
            }
        }
        return failures.sorted { $0.key < $1.key }.compactMap { socket, errno in
            NameFailure(settings.addresses[socket / 2], socket % 2 == 0 ? .udp : .tcp, errno: errno)
        }
    }
}

extension NameFailure {
    /// nil where nothing has failed.
    fileprivate init?(_ address: SocketAddress, _ transport: TransportProtocol, errno: Int32) {
        guard errno != 0 else { return nil }
        self.address = address
        self.transport = transport
        reason = BindFailure.text(errno: errno, names: FrontendKey(address, transport))
    }
}
