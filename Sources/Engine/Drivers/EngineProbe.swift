import CLiburing
import CLinux
import Glibc

/// The probe ladder: which engine this process may use, found out by using it.
package enum EngineProbe {
    /// Tries io_uring on the calling thread: set-up with the flags the driver needs, feature bits, the buffer ring, opcodes,
    /// and a self-test that moves bytes. nil when all is well.
    package static func probeUring() -> UringUnavailable? {
        var settings = UringDriver.Settings()
        settings.buffers = 16
        settings.bufferRingEntries = 8
        do throws(UringUnavailable) {
            let driver = try UringDriver(settings)
            if let missing = driver.missingOperation() { return .operation(missing) }
            if let finding = selfTest(driver) { return .selfTest(finding) }
            return nil
        } catch {
            return error
        }
    }

    /// The kernel's release from uname(2), as `6.18`.
    package static func kernelRelease() -> String {
        let release = readSmallFile("/proc/sys/kernel/osrelease")
        return release.split(separator: ".").prefix(2).joined(separator: ".")
    }

    /// Sends more than one buffer's worth through a socket pair to a multishot receive, then ends it: the bytes must come in
    /// order, then the end. Kernels have had ordering bugs here.
    private static func selfTest(_ driver: UringDriver) -> String? {
        var pair: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        guard unsafe socketpair(AF_UNIX, kind, 0, &pair) == 0 else { return "no socket pair (errno \(errno))" }
        let opened = driver.adopt(descriptor: pair[0])
        guard let writer = OwnedDescriptor(pair[1]), opened.error == 0 else { return "no descriptors" }
        let message = (0..<driver.buffers.bufferSize * 2 + 100).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        guard unsafe write(writer.rawValue, message, message.count) == message.count else { return "a short write" }
        shutdown(writer.rawValue, Int32(SHUT_WR))

        var submissions = SubmissionQueue(capacity: 8)
        var completions = CompletionQueue(capacity: Limits.completionsMax)
        let token = OperationToken(kind: 1, generation: 0, slot: 0)
        submissions.append(.receive(opened.socket, token))
        var received: [UInt8] = []
        for _ in 0..<16 {
            completions.removeAll()
            driver.exchange(&submissions, &completions, waitNanoseconds: 200_000_000)
            for index in 0..<completions.count where completions[index].token == token {
                let completion = completions[index]
                if completion.result > 0 {
                    var queue = ByteQueue()
                    queue.append(completion.buffer, length: Int(completion.result), in: driver.buffers)
                    received += driver.buffers.copyBytes(of: completion.buffer)
                    queue.removeAll(in: driver.buffers)
                    if !completion.more { submissions.append(.receive(opened.socket, token)) }
                    continue
                }
                submissions.append(.close(opened.socket))
                completions.removeAll()
                driver.exchange(&submissions, &completions, waitNanoseconds: 0)
                guard completion.result == 0 else { return "receive ended with errno \(-completion.result)" }
                return received == message ? nil : "bytes came back out of order"
            }
        }
        return "no completion of a multishot receive"
    }
}

extension UringDriver {
    /// The name of an opcode the driver uses and the kernel lacks; nil when all are there.
    func missingOperation() -> String? {
        guard let probe = unsafe probeOperations() else { return "IORING_REGISTER_PROBE" }
        defer { unsafe io_uring_free_probe(probe) }
        let needed: [(io_uring_op, String)] = [
            (IORING_OP_ACCEPT, "IORING_OP_ACCEPT"), (IORING_OP_CONNECT, "IORING_OP_CONNECT"), (IORING_OP_RECV, "IORING_OP_RECV"),
            (IORING_OP_SEND, "IORING_OP_SEND"), (IORING_OP_SENDMSG, "IORING_OP_SENDMSG"), (IORING_OP_CLOSE, "IORING_OP_CLOSE"),
            (IORING_OP_ASYNC_CANCEL, "IORING_OP_ASYNC_CANCEL"), (IORING_OP_POLL_ADD, "IORING_OP_POLL_ADD"),
        ]
        return needed.first { unsafe io_uring_opcode_supported(probe, Int32($0.0.rawValue)) == 0 }?.1
    }
}
