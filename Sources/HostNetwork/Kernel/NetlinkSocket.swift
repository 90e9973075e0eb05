import CLinux
import Glibc

/// NETLINK_ROUTE, which Swift's importer does not see.
let netlinkRoute: Int32 = 0

/// Questions to the kernel's routing, each answered before the next is asked.
struct NetlinkSocket: ~Copyable {
    private let descriptor: Int32
    private var sequence: UInt32 = 0

    /// - Throws: `HostNetworkFailure.kernel` where the host gives no such socket.
    init() throws(HostNetworkFailure) {
        descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), netlinkRoute)
        guard descriptor >= 0 else { throw .kernel("open a netlink socket", errno) }
        // The kernel answers at once; a wait without end would be a stopped program.
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Everything of one kind that the kernel knows, of all families. Asked again where it changed meanwhile.
    mutating func dump(_ kind: UInt16, fixedBytes: Int) throws(HostNetworkFailure) -> [NetlinkMessage] {
        let body = [UInt8](repeating: 0, count: fixedBytes)
        return try ask(NetlinkMessage(kind: kind, flags: [.request, .dump], body: body), doing: "read the host's network")
    }

    /// - Throws: `HostNetworkFailure.kernel` with the errno of the kernel's answer, `what` was to be done.
    @discardableResult
    mutating func ask(_ question: NetlinkMessage, doing what: String) throws(HostNetworkFailure) -> [NetlinkMessage] {
        sequence += 1
        var question = question
        question.sequence = sequence
        let bytes = question.bytes
        guard unsafe send(descriptor, bytes, bytes.count, 0) == bytes.count else { throw .kernel(what, errno) }
        var answers: [NetlinkMessage] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else {
                if count < 0, errno == EINTR { continue }
                throw .kernel(what, count < 0 ? errno : EIO)
            }
            for answer in NetlinkMessage.all(in: Array(buffer[..<count])) where answer.sequence == sequence {
                if answer.kind == NetlinkMessage.Kind.done { return answers }
                if let error = answer.errorNumber {
                    guard error == 0 else { throw .kernel(what, error) }
                    return answers
                }
                answers.append(answer)
            }
        }
    }
}
