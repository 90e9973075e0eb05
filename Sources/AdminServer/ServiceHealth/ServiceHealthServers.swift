package import Addressing
package import ControlPlane
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// Tells whoever balances between nodes whether this one has endpoints of a Service: HTTP on the Service's `healthCheckNodePort`, at the
/// addresses that it is given, as the Kubernetes proxy answers there.
///
/// On the admin servers' thread. A port that is taken is reported, and harms no other.
package final class ServiceHealthServers: Sendable {
    private let isHealthy: @Sendable () -> Bool
    private let servers = Mutex<[PortNumber: Server]>([:])

    /// - Parameter isHealthy: whether this process serves at all; asked for each answer.
    package init(isHealthy: @escaping @Sendable () -> Bool) { self.isHealthy = isHealthy }

    /// Listens on these ports and no others, and answers what they say from now on. Calls must not overlap.
    ///
    /// - Parameter addresses: of this node; the two wildcards are all that it has of a family.
    /// - Returns: the ports that can't be listened on, each with the reason; they are tried again by the next call.
    package func serve(
        _ ports: [HealthCheckPort], at addresses: [IPAddress] = [.anyIPv4, .anyIPv6]
    ) async -> [(port: HealthCheckPort, reason: String)] {
        var left = servers.withLock { $0 }
        var next: [PortNumber: Server] = [:]
        var failures: [(port: HealthCheckPort, reason: String)] = []
        for port in ports {
            if let other = next[port.port] {
                failures.append((port, "it is that of Service \(other.service.service)"))
                continue
            }
            let server = left.removeValue(forKey: port.port) ?? Server(port, isHealthy)
            server.service = port
            next[port.port] = server
            do {
                try await server.listen(at: addresses)
            } catch {
                failures.append((port, Self.words(for: error)))
            }
        }
        servers.withLock { $0 = next }
        for server in left.values { await server.close() }
        return failures
    }

    package func stop() async { _ = await serve([]) }

    private static func words(for error: any Error) -> String {
        let code = (error as? IOError)?.errnoCode
        return code == EADDRINUSE ? "another process has the port (`ss -ltnp` names it)" : code.map { "errno \($0)" } ?? "\(error)"
    }
}

/// One Service's port.
private final class Server: Sendable {
    /// Beyond so many a connection is closed at once: the port is open to whoever reaches the node.
    private static let connectionsMax = 256
    /// A connection is closed after so long, whatever it does.
    private static let lifetime = TimeAmount.seconds(60)

    private let state: Mutex<HealthCheckPort>
    private let isClosed = Atomic<Bool>(false)
    private let connections = Atomic<Int>(0)
    private let channels = Mutex<[IPAddress: any Channel]>([:])
    private let isHealthy: @Sendable () -> Bool

    var service: HealthCheckPort {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }

    init(_ port: HealthCheckPort, _ isHealthy: @escaping @Sendable () -> Bool) {
        state = Mutex(port)
        self.isHealthy = isHealthy
    }

    /// nil once the Service has the port no more: connections that are left say nothing of it.
    private var answer: ServiceHealth? {
        isClosed.load(ordering: .relaxed) ? nil : ServiceHealth(service, isHealthy: isHealthy())
    }

    /// Listens at these addresses and no others; what is open there stays. A host without IPv6 has no wildcard of it.
    func listen(at addresses: [IPAddress]) async throws {
        for address in Set(channels.withLock { $0.keys }).subtracting(addresses) { await close(at: address) }
        for address in addresses where channels.withLock({ $0[address] == nil }) {
            do {
                try await open(address)
            } catch let error as IOError
                where address == .anyIPv6 && (error.errnoCode == EAFNOSUPPORT || error.errnoCode == EADDRNOTAVAIL)
            {}
        }
    }

    private func close(at address: IPAddress) async {
        let channel = channels.withLock { $0.removeValue(forKey: address) }
        try? await channel?.close()
    }

    private func open(_ address: IPAddress) async throws {
        var bootstrap = ServerBootstrap(group: AdminClient.eventLoops)
            .serverChannelOption(ChannelOptions.backlog, value: 64)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [self] channel in
                guard connections.add(1, ordering: .relaxed).newValue <= Self.connectionsMax else {
                    connections.subtract(1, ordering: .relaxed)
                    return channel.close()
                }
                let end = channel.eventLoop.scheduleTask(in: Self.lifetime) { channel.close(promise: nil) }
                channel.closeFuture.whenComplete { [self] _ in
                    end.cancel()
                    connections.subtract(1, ordering: .relaxed)
                }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(Handler { [self] in answer })
                }
            }
        if address.family == .ipv6 {
            bootstrap = bootstrap.serverChannelOption(ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only), value: 1)
        }
        let channel = try await bootstrap.bind(host: address.description, port: Int(service.port.rawValue)).get()
        channels.withLock { $0[address] = channel }
    }

    func close() async {
        isClosed.store(true, ordering: .relaxed)
        for address in channels.withLock({ Array($0.keys) }) { await close(at: address) }
    }
}

/// Any path and any method is the same question.
private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let answer: () -> ServiceHealth?
    private var keepsAlive = false
    private var isHead = false

    init(_ answer: @escaping () -> ServiceHealth?) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            keepsAlive = head.isKeepAlive
            isHead = head.method == .HEAD
        case .body: break
        case .end: respond(context)
        }
    }

    private func respond(_ context: ChannelHandlerContext) {
        guard let answer = answer() else { return context.close(promise: nil) }
        var headers = HTTPHeaders(answer.headers)
        if !keepsAlive { headers.add(name: "Connection", value: "close") }
        let head = HTTPResponseHead(version: .http1_1, status: answer.passed ? .ok : .serviceUnavailable, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !isHead { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: answer.body)))), promise: nil) }
        let sent = context.writeAndFlush(wrapOutboundOut(.end(nil)))
        if !keepsAlive {
            let channel = context.channel
            sent.whenComplete { _ in channel.close(promise: nil) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
