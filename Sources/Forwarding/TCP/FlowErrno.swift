import Glibc

/// What an errno of a receive or a send means for a flow. Every class is named: an errno we can't explain is a lost peer.
package enum FlowErrno: Sendable {
    /// Not an error: FIN.
    case end
    /// We asked for it.
    case cancelled
    /// The machine is short of buffers or memory; later it may work.
    case starved
    /// The peer reset the connection.
    case reset
    /// The network gave up on the peer.
    case lost

    init(_ result: Int32) {
        switch -result {
        case 0: self = .end
        case ECANCELED, EINTR: self = .cancelled
        case ENOBUFS, ENOMEM, EAGAIN: self = .starved
        case ECONNRESET, EPIPE, ECONNABORTED, ENOTCONN: self = .reset
        case ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENETDOWN, EHOSTDOWN, ENETRESET: self = .lost
        case EBADF, EFAULT, EINVAL, ENOTSOCK: preconditionFailure("a flow's operation failed with errno \(-result): our own bug")
        default: self = .lost
        }
    }
}

extension CloseReason {
    /// What the errno of a failed connect is called.
    init(connectErrno errno: Int32) {
        switch errno {
        case ECONNREFUSED, ECONNRESET: self = .connectRefused
        case ETIMEDOUT, ECANCELED: self = .connectTimeout
        case EADDRNOTAVAIL, EADDRINUSE: self = .noSourcePort
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: self = .limitProcess
        default: self = .connectUnreachable
        }
    }
}
