internal import Addressing
internal import AdminServer
internal import Logging

/// Where the running process answers: on its Unix socket, and on an address.
struct AdminServers {
    static let addressByDefault = AdminListenArgument.address(IPAddress(ipv4: 0x7f00_0001), port: 9400)

    private(set) var socket: AdminServer?
    private(set) var listener: AdminServer?

    var all: [AdminServer] { [socket, listener].compactMap { $0 } }

    func stop() async {
        for server in all { await server.stop() }
    }

    /// - Parameters: what the user gave; nil where nothing was. Nobody asked for what is there by default, so a place that can't be had is
    ///   no reason not to balance, and only a warning.
    static func start(
        socket: AdminSocketArgument?, address: AdminListenArgument?, byDefault: AdminListenArgument = addressByDefault,
        subject: AdminSubject, logger: Logger
    ) async throws(AdminServerError) -> AdminServers {
        var servers = AdminServers()
        servers.socket = try await startSocket(socket, subject, logger)
        do throws(AdminServerError) {
            servers.listener = try await startListener(address, byDefault, subject, logger)
        } catch {
            await servers.stop()
            throw error
        }
        return servers
    }

    private static func startSocket(
        _ argument: AdminSocketArgument?, _ subject: AdminSubject, _ logger: Logger
    ) async throws(AdminServerError) -> AdminServer? {
        let path: String
        switch argument {
        case AdminSocketArgument.none?: return nil
        case .path(let given)?: path = given
        case nil:
            let location = AdminSocketLocation.ofThisUser
            path = location.path
            if let problem = Host.privateDirectory(location.directory) {
                logger.warning("there is no admin socket, so `ringway stats` can't ask this process", metadata: ["reason": "\(problem)"])
                return nil
            }
        }
        do {
            return try await AdminServer(on: .socket(path), subject: subject)
        } catch {
            // One that another process holds stops us even by default: two balancers would share the listeners' connections,
            // each with its own configuration.
            guard argument == nil, error.kind != .inUse else { throw error }
            logger.warning("there is no admin socket, so `ringway stats` can't ask this process", metadata: ["reason": "\(error)"])
            return nil
        }
    }

    private static func startListener(
        _ argument: AdminListenArgument?, _ byDefault: AdminListenArgument, _ subject: AdminSubject, _ logger: Logger
    ) async throws(AdminServerError) -> AdminServer? {
        guard case .address(let address, let port) = argument ?? byDefault else { return nil }
        do {
            return try await AdminServer(on: .address(address, port: port), subject: subject)
        } catch {
            guard argument == nil else { throw error }
            logger.warning("there are no metrics", metadata: ["reason": "\(error)"])
            return nil
        }
    }
}
