import CLiburing
import CLinux
import Glibc

/// An open descriptor that closes itself, from birth to its one owner.
struct OwnedDescriptor: ~Copyable {
    let rawValue: Int32

    /// Takes over a descriptor that a system call has just returned; nil when the call failed, and errno says why.
    init?(_ rawValue: Int32) {
        guard rawValue >= 0 else { return nil }
        self.rawValue = rawValue
    }

    deinit { closeDescriptor(rawValue) }
}

/// close(2). EBADF is our own bug; other errors leave the descriptor closed on Linux.
func closeDescriptor(_ descriptor: Int32) {
    if Glibc.close(descriptor) != 0 { precondition(errno != EBADF, "close of a descriptor that is not open") }
}
