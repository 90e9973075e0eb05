internal import Addressing
internal import NIOCore
internal import NIOPosix
internal import Routing

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// One probe under way: it connects, says what there is to say, and hears no more than the first bytes of the answer.
///
/// Belongs to its event loop. It ends with the answer, or with the time that the probe has.
final class Question: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// `HTTP/1.1 200` and what follows: more is not read, however much there is.
    private static let statusLength = 13

    private let probe: Probe
    private var completed: ((String?) -> Void)?
    private var channel: (any Channel)?
    private var end: Scheduled<Void>?
    private var answer: [UInt8] = []

    /// - Parameter completed: told once, on the event loop: nil where all is well, else what is wrong.
    init(_ probe: Probe, completed: @escaping (String?) -> Void) {
        self.probe = probe
        self.completed = completed
    }

    func begin(on loop: any EventLoop) {
        let loop = loop.assumeIsolated()
        end = loop.scheduleTask(in: TimeAmount(probe.timeout)) { self.complete(self.channel == nil ? "connect-timeout" : "no answer") }
        let address: NIOCore.SocketAddress
        do {
            address = try NIOCore.SocketAddress(
                ipAddress: probe.destination.address.description, port: Int(probe.destination.port.rawValue))
        } catch {
            return complete("\(error)")
        }
        let bound = NIOLoopBound(self, eventLoop: loop.nonisolated())
        ClientBootstrap(group: loop.nonisolated())
            .connectTimeout(TimeAmount(probe.timeout))
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 1024))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value) }
            }
            .connect(to: address)
            .assumeIsolated()
            .whenFailure { self.complete(Self.words($0)) }
    }

    private func complete(_ failure: String?) {
        guard let completed else { return }
        self.completed = nil
        end?.cancel()
        end = nil
        channel?.close(promise: nil)
        channel = nil
        completed(failure)
    }

    private static func words(_ error: any Error) -> String {
        if case ChannelError.connectTimeout = error { return "connect-timeout" }
        let errno = (error as? IOError)?.errnoCode
        switch errno {
        case ECONNREFUSED: return "connect-refused"
        case EHOSTUNREACH, ENETUNREACH: return "connect-unreachable"
        case ETIMEDOUT: return "connect-timeout"
        case EMFILE, ENFILE: return "no descriptor for the probe"
        default: return errno.map { "errno \($0)" } ?? "\(error)"
        }
    }

    // MARK: The channel

    func channelActive(context: ChannelHandlerContext) {
        guard completed != nil else { return context.close(promise: nil) }
        channel = context.channel
        var bytes = context.channel.allocator.buffer(capacity: 256)
        switch probe.proxyProtocol {
        // A header that tells no address, for there is no client: LOCAL, and what version 1 has for it.
        case .v1: bytes.writeString("PROXY UNKNOWN\r\n")
        case .v2:
            bytes.writeBytes([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x20, 0x00, 0x00, 0x00])
        case nil: break
        }
        if case .http(let request) = probe.action { bytes.writeString(request) }
        if bytes.readableBytes > 0 { context.writeAndFlush(NIOAny(bytes), promise: nil) }
        if case .tcp = probe.action { complete(nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        answer += unwrapInboundIn(data).readableBytesView.prefix(Self.statusLength - answer.count)
        guard answer.count == Self.statusLength else { return }
        let text = String(decoding: answer, as: UTF8.self)
        let status = text.dropFirst(9).prefix(3)
        guard text.hasPrefix("HTTP/1."), text.dropFirst(8).first == " ", status.allSatisfy(\.isNumber), let number = Int(status) else {
            return complete("no HTTP answer")
        }
        complete((200..<400).contains(number) ? nil : "status \(number)")
    }

    func channelInactive(context: ChannelHandlerContext) { complete("closed without an answer") }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { complete(Self.words(error)) }
}
