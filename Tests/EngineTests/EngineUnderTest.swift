import Addressing
import Engine
import EngineSimulator
import Glibc
import Testing

/// The engines that every test of this target runs on.
enum EngineKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case ioUring = "io_uring"
    case epoll
    case simulated

    var testDescription: String { rawValue }

    /// Why the engine can't run here; asked for once, for it costs a ring.
    static let uringUnavailable = EngineProbe.probeUring()

    /// Cancels the running test case where the kernel denies io_uring; `ExchangeTests` then says so with a test that is skipped.
    static func requireUring() throws {
        if let uringUnavailable { try Test.cancel("\(uringUnavailable)") }
    }
}

/// A driver with the two queues around it and somebody to talk to. Every wait is bounded by the driver's own clock.
///
/// The body of a test must not suspend: a ring belongs to the thread that made it.
final class EngineUnderTest {
    let kind: EngineKind
    let driver: any Driver
    let network: SimulatedNetwork?
    private var submissions = SubmissionQueue(capacity: Limits.submissionsMax)
    private var completions: CompletionQueue
    /// Completions that nobody has asked for yet.
    private(set) var unclaimed: [Completion] = []
    private var slots: UInt32 = 0
    private var fillers: [any FarPeer] = []

    static let patienceNanoseconds: UInt64 = 10_000_000_000

    /// - Parameters:
    ///   - buffers: of the pool. A ring holds some of them back, so "exhausted" means a little less there.
    ///   - completionsMax: completions an exchange can hand over.
    ///   - faults: of the simulated engine.
    ///   - pipesMax: pipes that transfers may have at once.
    init(
        _ kind: EngineKind, bufferSize: Int = 256, buffers: Int = 1024, completionsMax: Int = Limits.completionsMax,
        faults: Faults = Faults(), pipesMax: Int = 16
    ) throws {
        self.kind = kind
        completions = CompletionQueue(capacity: completionsMax)
        switch kind {
        case .ioUring:
            try EngineKind.requireUring()
            var settings = UringDriver.Settings()
            settings.bufferSize = bufferSize
            settings.buffers = buffers
            settings.bufferRingEntries = min(256, 1 << (Int.bitWidth - (buffers / 2).leadingZeroBitCount - 1))
            settings.pipesMax = pipesMax
            driver = try UringDriver(settings)
            network = nil
        case .epoll:
            var settings = EpollDriver.Settings()
            settings.bufferSize = bufferSize
            settings.buffers = buffers
            settings.pipesMax = pipesMax
            driver = EpollDriver(settings)
            network = nil
        case .simulated:
            let network = SimulatedNetwork(seed: 1, faults: faults)
            var settings = SimulatedDriver.Settings()
            settings.bufferSize = bufferSize
            settings.buffers = buffers
            settings.pipes = pipesMax
            settings.wakeUpGraceMilliseconds = 5000
            driver = SimulatedDriver(network: network, settings)
            self.network = network
        }
    }

    var pool: BufferPool { driver.buffers }

    /// The simulated driver knows when its contract was broken; the others trap or can't tell.
    func expectNoBreach(_ location: SourceLocation = #_sourceLocation) {
        guard let simulated = driver as? SimulatedDriver else { return }
        #expect(simulated.breaches == [], sourceLocation: location)
    }

    // MARK: - Operations

    /// A token no operation has had before.
    func token() -> OperationToken {
        slots += 1
        return OperationToken(kind: 1, generation: 7, slot: slots)
    }

    func submit(_ submission: Submission) { submissions.append(submission) }

    /// One exchange. Answers what completed.
    @discardableResult
    func exchange(waitNanoseconds: UInt64) -> [Completion] {
        completions.removeAll()
        driver.exchange(&submissions, &completions, waitNanoseconds: waitNanoseconds)
        let taken = (0..<completions.count).map { completions[$0] }
        unclaimed += taken
        return taken
    }

    /// Exchanges until `condition` holds; false when it does not in time.
    func wait(until condition: () -> Bool) -> Bool {
        let deadline = driver.monotonicNanoseconds() + Self.patienceNanoseconds
        while !condition() {
            guard driver.monotonicNanoseconds() < deadline else { return false }
            exchange(waitNanoseconds: 2_000_000)
        }
        return true
    }

    /// The next completion of an operation.
    func completion(of token: OperationToken, _ location: SourceLocation = #_sourceLocation) throws -> Completion {
        let isThere = wait { unclaimed.contains { $0.token == token } }
        try #require(isThere, "no completion of the operation", sourceLocation: location)
        return unclaimed.remove(at: unclaimed.firstIndex { $0.token == token }!)
    }

    /// A completion of an operation that has come already.
    func claim(_ token: OperationToken) -> Completion? {
        unclaimed.firstIndex { $0.token == token }.map { unclaimed.remove(at: $0) }
    }

    /// Whether an operation completes within a moment; for what must not happen.
    func completesSoon(_ token: OperationToken) -> Bool {
        let deadline = driver.monotonicNanoseconds() + 30_000_000
        while driver.monotonicNanoseconds() < deadline {
            exchange(waitNanoseconds: 5_000_000)
            if unclaimed.contains(where: { $0.token == token }) { return true }
        }
        return false
    }

    // MARK: - Far sides

    /// Opens a listener of the driver at an address of its own.
    func listen(
        _ family: IPAddress.Family = .ipv4, backlog: Int32 = 512, arrivals: [[IPRange]] = []
    ) throws -> (socket: SocketID, address: SocketAddress) {
        for _ in 0..<20 {
            let address = FreshAddress.next(family)
            let opened = driver.openListener(address, backlog: backlog, ArrivalFilter(arrivals, of: family))
            if opened.error == EADDRINUSE { continue }
            try #require(opened.error == 0)
            return (opened.socket, address)
        }
        throw PosixError(call: "bind", errno: EADDRINUSE)
    }

    /// Begins to connect from the far side.
    func connectFar(to address: SocketAddress, receiveBytes: Int32? = nil) throws -> any FarPeer {
        guard let network else { return try PosixPeer(to: address, receiveBytes: receiveBytes) }
        let local = SocketAddress(address.address.family == .ipv4 ? .loopbackIPv4 : .loopbackIPv6, PortNumber(50_000)!)
        return SimulatedFarPeer(network, network.connectByHand(from: local, to: address))
    }

    func listenFar(_ family: IPAddress.Family = .ipv4, receiveBytes: Int32? = nil) throws -> any FarListener {
        let address = FreshAddress.next(family)
        guard let network else { return try PosixListener(address, backlog: 128, receiveBytes: receiveBytes) }
        return SimulatedFarListener(network, network.listenByHand(address))
    }

    /// An address whose SYNs go unanswered: on a real kernel, a listener whose queue is full.
    func blackHole() throws -> (address: SocketAddress, listener: (any FarListener)?) {
        let address = FreshAddress.next(.ipv4)
        if let network {
            network.blackHoles.insert(address)
            return (address, nil)
        }
        let listener = try PosixListener(address, backlog: 0, receiveBytes: nil)
        for _ in 0..<4 { fillers.append(try PosixPeer(to: address, receiveBytes: nil)) }
        _ = completesSoon(.wakeUp)
        return (address, listener)
    }

    /// A connection that the driver accepted, and its far end.
    func accepted(_ family: IPAddress.Family = .ipv4, receiveBytes: Int32? = nil) throws -> (socket: SocketID, peer: any FarPeer) {
        let listener = try listen(family)
        let peer = try connectFar(to: listener.address, receiveBytes: receiveBytes)
        let token = token()
        submit(.acceptOne(listener.socket, token))
        let completion = try completion(of: token)
        try #require(completion.result == 0)
        submit(.close(listener.socket))
        try #require(wait { peer.connectResult() != nil })
        return (completion.socket, peer)
    }

    /// A connection that the driver made, and its far end.
    func connected(_ family: IPAddress.Family = .ipv4, receiveBytes: Int32? = nil) throws -> (socket: SocketID, peer: any FarPeer) {
        let listener = try listenFar(family, receiveBytes: receiveBytes)
        let opened = driver.openStream(family)
        try #require(opened.error == 0)
        let token = token()
        submit(.connect(opened.socket, to: listener.address, token))
        let completion = try completion(of: token)
        try #require(completion.result == 0)
        var peer: (any FarPeer)?
        try #require(
            wait {
                peer = listener.accept()
                return peer != nil
            })
        listener.close()
        return (opened.socket, peer!)
    }

    // MARK: - Bytes

    /// The pattern begins again after so many bytes.
    static let patternPeriod = 65_536
    private static let period = (0..<patternPeriod).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

    /// Bytes that differ by place.
    static func pattern(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count { bytes += period[..<min(patternPeriod, count - bytes.count)] }
        return bytes
    }

    /// Puts bytes into buffers of the pool.
    func queue(_ bytes: [UInt8], pieceMax: Int = .max) throws -> ByteQueue {
        var queue = ByteQueue()
        var position = 0
        while position < bytes.count {
            let buffer = try #require(pool.take())
            let end = min(bytes.count, position + min(pieceMax, pool.bufferSize))
            pool.fill(buffer, with: bytes[position..<end])
            queue.append(buffer, length: end - position, in: pool)
            position = end
        }
        return queue
    }

    /// The bytes of a completion of a receive; its buffer goes back.
    func take(_ completion: Completion) -> [UInt8] {
        var queue = ByteQueue()
        queue.append(completion.buffer, length: Int(completion.result), in: pool)
        let bytes = pool.copyBytes(of: completion.buffer)
        queue.removeAll(in: pool)
        return bytes
    }

    /// Receives until the end or a failure, arming again whenever the engine stopped; `whileWaiting` plays the far side.
    func receiveAll(_ socket: SocketID, whileWaiting: () -> Void = {}) throws -> (bytes: [UInt8], result: Int32) {
        let token = token()
        var bytes: [UInt8] = []
        var result: Int32 = 1
        submit(.receive(socket, token))
        let isOver = wait {
            whileWaiting()
            while let index = unclaimed.firstIndex(where: { $0.token == token }) {
                let completion = unclaimed.remove(at: index)
                if completion.result > 0 { bytes += take(completion) } else { result = completion.result }
                if !completion.more, completion.result > 0 || completion.result == -ENOBUFS {
                    result = 1
                    submit(.receive(socket, token))
                }
            }
            return result <= 0
        }
        try #require(isOver, "the receive came to no end after \(bytes.count) bytes")
        return (bytes, result)
    }

    /// Sends all of a queue; `whileWaiting` plays the far side. Answers 0 or the errno, and how many sends it took.
    func sendAll(_ socket: SocketID, _ queue: inout ByteQueue, whileWaiting: () -> Void = {}) throws -> (errno: Int32, sends: Int) {
        let token = token()
        var sends = 0
        while !queue.isEmpty {
            submit(.send(socket, queue, token))
            sends += 1
            let isThere = wait {
                whileWaiting()
                return unclaimed.contains { $0.token == token }
            }
            try #require(isThere, "a send came to no end")
            let completion = try completion(of: token)
            try #require(!completion.more)
            guard completion.result > 0 else { return (-completion.result, sends) }
            queue.consume(Int(completion.result), in: pool)
        }
        return (0, sends)
    }
}

extension FarPeer {
    /// Adds to `bytes` what has arrived, at most `most`; answers 0 for the end, the errno of a failure, nil while it goes on.
    func drain(into bytes: inout [UInt8], most: Int = .max) -> Int32? {
        var left = most
        while left > 0 {
            let (received, errno) = receive(most: min(left, 65_536))
            guard let received else { return errno == EAGAIN ? nil : errno }
            if received.isEmpty { return 0 }
            bytes += received
            left -= received.count
        }
        return nil
    }
}
