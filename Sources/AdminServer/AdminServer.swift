// FoundationEssentials for file types and modes: without it, chmod(2) and lstat(2) would need unsafe code here.
package import Addressing
internal import FoundationEssentials
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// HTTP for `ringway stats`, health probes, Prometheus and whoever wants to see inside: on a Unix socket, where it answers everything, and
/// on an address, where it answers what any user of the host may know. `AdminRoutes` has the list.
///
/// Nothing that is asked changes anything. One thread for all; the workers never wait for it. It holds nothing that keeps the process
/// alive, so `exit` needs no `stop`, but only `stop` removes the socket file.
package final class AdminServer: Sendable {
    package enum Place: Sendable, CustomStringConvertible {
        case socket(String)
        /// Port 0 leaves the choice to the kernel.
        case address(IPAddress, port: Int)

        package var description: String {
            switch self {
            case .socket(let path): path
            case .address(let address, let port): address.family == .ipv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
            }
        }
    }

    /// Where it listens: the port is the one that the kernel chose, where it was asked to.
    package let place: Place
    private let running: Task<Void, Never>
    private let inventory: InventoryStore

    /// Listens. A socket gets mode 0660; its file is replaced where nobody answers on it.
    ///
    /// - Parameter pageLimit: how long a page of metrics may be read; then its reader is cut off.
    /// - Throws: `.inUse` where somebody else is there, `.unusable` where the place can't be bound for another reason.
    package init(on place: Place, subject: AdminSubject, pageLimit: Duration = .seconds(60)) async throws(AdminServerError) {
        if case .socket(let path) = place {
            try Self.checkSocketPath(path)
            if try await AdminClient(path: path).isAnswered() {
                throw AdminServerError(
                    .inUse, "another ringway answers on the admin socket \(path): stop it, or give --admin-socket another path (or none)")
            }
        }
        let (started, startedContinuation) = AsyncStream<Result<Place, AdminServerError>>.makeStream()
        let application = Application(
            router: AdminRoutes(subject: subject, place: place, pageLimit: pageLimit).router,
            server: .http1(configuration: .init(idleTimeout: .seconds(60))),
            configuration: ApplicationConfiguration(
                address: place.bindAddress, serverName: "ringway", backlog: 64,
                availableConnectionsDelegate: MaximumAvailableConnections(AdminRoutes.connectionsMax)),
            onServerRunning: { startedContinuation.yield(Self.opened(place, on: $0)) },
            eventLoopGroupProvider: .shared(AdminClient.eventLoops),
            logger: Logger(label: "admin") { _ in SwiftLogNoOpLogHandler() })
        let running = Task {
            do {
                try await application.run()
            } catch {
                startedContinuation.yield(.failure(AdminServerError(binding: place, error)))
            }
            startedContinuation.finish()
        }
        self.running = running
        inventory = subject.inventory
        var outcome = Result<Place, AdminServerError>.failure(AdminServerError(.unusable, "the admin server on \(place) ended at once"))
        for await result in started {
            outcome = result
            break
        }
        switch outcome {
        case .success(let place): self.place = place
        case .failure(let failure):
            running.cancel()
            throw failure
        }
    }

    /// Stops listening and removes the socket file. Waits at most `limit` for requests in flight.
    package func stop(within limit: Duration = .seconds(1)) async {
        // In this order: a successor may bind the path as soon as nobody answers, and its file must stay.
        removeSocketFile()
        inventory.endWatches()
        running.cancel()
        // Whichever ends first; the other is abandoned, so that a stuck request can't hold the process.
        let (ended, continuation) = AsyncStream<Void>.makeStream()
        let running = running
        Task {
            await running.value
            continuation.finish()
        }
        let timer = Task {
            try? await Task.sleep(for: limit)
            continuation.finish()
        }
        for await _ in ended {}
        timer.cancel()
    }

    /// Only removes the file, where there is one: for an exit that can't wait.
    package func removeSocketFile() {
        if case .socket(let path) = place { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Refuses what bind(2) would refuse less clearly, and a file that is no socket, which must not be deleted.
    private static func checkSocketPath(_ path: String) throws(AdminServerError) {
        guard path.utf8.count <= AdminClient.pathBytesMax else {
            throw AdminServerError(
                .unusable,
                "the admin socket path \(path) is too long (\(path.utf8.count) bytes, at most \(AdminClient.pathBytesMax)): "
                    + "give --admin-socket a shorter one")
        }
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return }
        guard attributes[.type] as? FileAttributeType == .typeSocket else {
            throw AdminServerError(.unusable, "\(path) exists and is no socket: give --admin-socket another path")
        }
    }

    private static func opened(_ place: Place, on channel: any Channel) -> Result<Place, AdminServerError> {
        switch place {
        case .socket(let path):
            // Between bind and here the mode is the umask's, which lets nobody but the owner write, that is connect.
            do {
                try FileManager.default.setAttributes([.posixPermissions: 0o660], ofItemAtPath: path)
            } catch {
                return .failure(AdminServerError(.unusable, "can't set the mode of \(path): \(error)"))
            }
            return .success(place)
        case .address(let address, let port):
            return .success(.address(address, port: channel.localAddress?.port ?? port))
        }
    }
}

extension AdminServer.Place {
    fileprivate var bindAddress: BindAddress {
        switch self {
        case .socket(let path): .unixDomainSocket(path: path)
        case .address(let address, let port): .hostname(address.description, port: port)
        }
    }
}

extension AdminServerError {
    fileprivate init(binding place: AdminServer.Place, _ error: any Error) {
        let failure = error as? IOError
        let reason = failure.flatMap { AdminClient.words(for: $0.errnoCode) } ?? "\(error)"
        switch place {
        case .socket(let path):
            self.init(.unusable, "can't listen on the admin socket \(path): \(reason): give --admin-socket another path (or none)")
        case .address:
            let isTaken = failure?.errnoCode == EADDRINUSE
            let words = isTaken ? "another process has the port (`ss -ltnp` names it)" : reason
            self.init(
                isTaken ? .inUse : .unusable,
                "can't answer /metrics and /readyz on \(place): \(words): give --admin-listen another ADDR:PORT (or none)")
        }
    }
}
