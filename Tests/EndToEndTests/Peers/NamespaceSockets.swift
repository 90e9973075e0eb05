import CLinux
import Foundation
import Glibc

/// UDP sockets of a namespace for the test, which stays outside of it: a process in there opens them and hands them over.
final class NamespaceSockets: Sendable {
    private static let giver = """
        import socket, sys
        test = socket.socket(socket.AF_UNIX)
        test.connect(sys.argv[1])
        while family := test.recv(1):
            with socket.socket(family[0], socket.SOCK_DGRAM) as given:
                socket.send_fds(test, [b"."], [given.fileno()])
        """

    private let process: ChildProcess
    private let connection: Int32

    init(enter: [String], in directory: TemporaryDirectory) throws {
        let path = directory.path("sockets-\(directory.nextNumber())")
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let isBound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe Glibc.bind(listener, $0, length) == 0 }
        }
        guard isBound, listen(listener, 1) == 0 else { throw TestSocket.Failure(operation: "listen on \(path)", errno: errno) }
        let process = try ChildProcess(enter + ["python3", "-c", Self.giver, path], in: directory)
        var poller = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&poller, 1, 20_000) > 0 else {
            throw ChildProcess.Failure(description: "nobody opens sockets in the namespace: \(process.error)")
        }
        connection = ChildProcess.betweenStarts {
            let connection = accept(listener, nil, nil)
            _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
            return connection
        }
        self.process = process
    }

    deinit {
        close(connection)
        process.end()
    }

    /// A UDP socket, neither bound nor connected.
    func open(_ family: Int32) throws -> Int32 {
        var (request, answer) = (UInt8(family), UInt8(0))
        // cmsg(3): a header of 16 bytes, and the descriptor.
        var control = [UInt64](repeating: 0, count: 3)
        let received = unsafe control.withUnsafeMutableBytes { control in
            unsafe withUnsafeMutablePointer(to: &answer) { answer in
                var vector = unsafe iovec(iov_base: answer, iov_len: 1)
                return unsafe withUnsafeMutablePointer(to: &vector) { vector in
                    var header = unsafe msghdr()
                    unsafe header.msg_iov = vector
                    unsafe header.msg_iovlen = 1
                    unsafe header.msg_control = control.baseAddress
                    unsafe header.msg_controllen = control.count
                    guard unsafe send(connection, &request, 1, Int32(MSG_NOSIGNAL)) == 1 else { return -1 }
                    return unsafe recvmsg(connection, &header, Int32(MSG_CMSG_CLOEXEC))
                }
            }
        }
        guard received == 1, control[0] > 0 else {
            throw ChildProcess.Failure(description: "no socket from the namespace: errno \(errno): \(process.error)")
        }
        return Int32(truncatingIfNeeded: control[2])
    }
}
