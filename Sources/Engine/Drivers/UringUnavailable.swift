import CLiburing
import CLinux
import Glibc

/// Why io_uring can't be used here: each step of the probe ladder has its own answer.
package enum UringUnavailable: Error, Equatable, CustomStringConvertible {
    /// io_uring_setup(2) failed.
    case setup(errno: Int32)
    /// The kernel lacks features of 5.19 or earlier that DEFER_TASKRUN kernels have; a very odd kernel.
    case features
    /// An operation is missing (the name of its opcode).
    case operation(String)
    case bufferRing(errno: Int32)
    /// The self-test moved bytes through a socket pair and did not get them back as they were sent.
    case selfTest(String)

    /// `io_uring denied by seccomp`, and the like: the words said at start.
    package var description: String {
        switch self {
        case .setup(ENOSYS): "io_uring is not in this kernel"
        case .setup(EPERM):
            switch readSmallFile("/proc/sys/kernel/io_uring_disabled") {
            case "2": "io_uring disabled by sysctl kernel.io_uring_disabled=2"
            case "1": "io_uring disabled for unprivileged processes by sysctl kernel.io_uring_disabled=1"
            default: "io_uring denied by seccomp"
            }
        case .setup(EINVAL): "io_uring lacks DEFER_TASKRUN (Linux 6.1 or newer is needed)"
        case .setup(ENOMEM): "io_uring got no memory (see ulimit -l)"
        case .setup(let errno): "io_uring_setup failed with errno \(errno)"
        case .features: "io_uring lacks features of Linux 6.1"
        case .operation(let name): "io_uring lacks \(name)"
        case .bufferRing(let errno): "io_uring refused a provided buffer ring with errno \(errno)"
        case .selfTest(let finding): "io_uring failed its self-test: \(finding)"
        }
    }
}

/// The first word of a file in /proc; empty when it can't be read.
func readSmallFile(_ path: String) -> String {
    let opened = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard let file = OwnedDescriptor(opened) else { return "" }
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = unsafe read(file.rawValue, &bytes, bytes.count)
    guard count > 0 else { return "" }
    let word = bytes.prefix(count).prefix { $0 > 0x20 }
    return String(decoding: word, as: UTF8.self)
}
