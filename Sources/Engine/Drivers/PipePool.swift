import CLiburing
import CLinux
import Glibc

/// A driver's pipes for splice(2), each with the number of bytes it holds.
///
/// Invariants, each kept by the one place that could break it:
/// - **A free pipe is empty.** `release` puts back only what holds nothing, and closes the rest: bytes left in a pooled pipe
///   would be another connection's first.
/// - **`held` is what the kernel holds.** Only `fill` adds to it and only `drain` takes from it, by what the system call answered.
/// - **A pipe is filled only when it is empty**, so EAGAIN of a fill is about the socket and never about the pipe.
struct PipePool: ~Copyable {
    /// A pipe by number.
    struct ID: BitwiseCopyable, Equatable {
        let rawValue: UInt16
        static let none = ID(rawValue: .max)
    }

    struct Pipe: BitwiseCopyable {
        var reading: Int32
        var writing: Int32
        /// Bytes that were spliced in and not yet out.
        var held: Int
        var isOpen: Bool
    }

    /// Pipes that may be open at once.
    let capacity: Int
    private var pipes: FixedTable<Pipe>
    /// Empty open pipes, the one released last on top.
    private var free: FixedTable<UInt16>
    private(set) var freeCount = 0
    /// Numbers without an open pipe.
    private var closed: FixedTable<UInt16>
    private var closedCount: Int
    private let pipeBytes: Int
    var systemCalls: UInt64 = 0

    /// - Parameter pipeBytes: asked for with F_SETPIPE_SZ; a pipe that is denied it keeps the size it has.
    init(capacity: Int, pipeBytes: Int) {
        precondition(capacity < Int(ID.none.rawValue), "a pipe is named by 16 bits")
        self.capacity = capacity
        self.pipeBytes = pipeBytes
        pipes = FixedTable(zeroedCapacity: capacity)
        free = FixedTable(zeroedCapacity: capacity)
        closed = FixedTable(zeroedCapacity: capacity)
        closedCount = capacity
        for index in 0..<capacity { closed[index] = UInt16(truncatingIfNeeded: capacity - 1 - index) }
        // splice(2) has no MSG_NOSIGNAL: writing to a socket whose peer is gone would end the process.
        signal(SIGPIPE, SIG_IGN)
    }

    deinit {
        for index in 0..<capacity where pipes[index].isOpen {
            closeDescriptor(pipes[index].reading)
            closeDescriptor(pipes[index].writing)
        }
    }

    /// Pipes open now.
    var openCount: Int { capacity &- closedCount }

    /// An empty pipe; nil when there are as many as there may be, or the host gives none.
    mutating func take() -> ID? {
        if freeCount > 0 {
            freeCount &-= 1
            return ID(rawValue: free[freeCount])
        }
        guard closedCount > 0 else { return nil }
        var ends: (Int32, Int32) = (-1, -1)
        systemCalls &+= 1
        let result = unsafe withUnsafeMutableBytes(of: &ends) { bytes in
            unsafe pipe2(bytes.baseAddress!.assumingMemoryBound(to: Int32.self), Int32(O_NONBLOCK | O_CLOEXEC))
        }
        guard result == 0 else { return nil }
        closedCount &-= 1
        let id = ID(rawValue: closed[closedCount])
        pipes[Int(id.rawValue)] = Pipe(reading: ends.0, writing: ends.1, held: 0, isOpen: true)
        systemCalls &+= 1
        // Denied (EPERM) beyond the user's share of pipe memory: a smaller pipe serves, too.
        _ = fcntl(ends.1, Int32(RINGWAY_F_SETPIPE_SZ), Int32(truncatingIfNeeded: pipeBytes))
        return id
    }

    /// Gives a pipe back. One with bytes in it is closed, and they are gone.
    mutating func release(_ id: ID) {
        let pipe = pipes[Int(id.rawValue)]
        precondition(pipe.isOpen, "a pipe is released that was not taken")
        if pipe.held == 0, freeCount < Limits.pipesKeptMax {
            free[freeCount] = id.rawValue
            freeCount &+= 1
        } else {
            close(id)
        }
    }

    private mutating func close(_ id: ID) {
        let pipe = pipes[Int(id.rawValue)]
        pipes[Int(id.rawValue)].isOpen = false
        closed[closedCount] = id.rawValue
        closedCount &+= 1
        systemCalls &+= 2
        closeDescriptor(pipe.reading)
        closeDescriptor(pipe.writing)
    }

    /// Bytes a pipe holds.
    func held(_ id: ID) -> Int { pipes[Int(id.rawValue)].held }

    /// splice(2) from a non-blocking socket into an empty pipe: the bytes moved, 0 at the socket's end, or a negative errno.
    mutating func fill(_ id: ID, from socket: Int32, most: Int) -> Int {
        let pipe = pipes[Int(id.rawValue)]
        precondition(pipe.isOpen && pipe.held == 0, "a pipe is filled that is not empty")
        let count = splice(socket, pipe.writing, most)
        if count > 0 { pipes[Int(id.rawValue)].held = count }
        return count
    }

    /// splice(2) of what a pipe holds to a non-blocking socket: the bytes moved, or a negative errno.
    mutating func drain(_ id: ID, to socket: Int32) -> Int {
        let pipe = pipes[Int(id.rawValue)]
        precondition(pipe.isOpen && pipe.held > 0, "an empty pipe is drained")
        let count = splice(pipe.reading, socket, pipe.held)
        if count > 0 { pipes[Int(id.rawValue)].held = pipe.held &- count }
        return count
    }

    private mutating func splice(_ source: Int32, _ destination: Int32, _ most: Int) -> Int {
        let flags = UInt32(RINGWAY_SPLICE_F_MOVE | RINGWAY_SPLICE_F_NONBLOCK)
        while true {
            systemCalls &+= 1
            let count = CLinux.splice(source, nil, destination, nil, most, flags)
            if count >= 0 { return count }
            if errno != EINTR { return -Int(errno) }
        }
    }
}
