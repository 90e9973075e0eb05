import CLiburing
import CLinux
import Glibc

/// Points `vectors` at the unsent bytes of the submission's buffers; there is room for `ByteQueue.gatherMax`.
func fillVectors(_ vectors: UnsafeMutablePointer<iovec>, _ submission: Submission, from pool: BufferPool) {
    var buffer = submission.buffer
    for index in 0..<Int(submission.bufferCount) {
        let record = pool[buffer]
        unsafe vectors[index] = iovec(iov_base: pool.address(of: buffer) + Int(record.offset), iov_len: Int(record.length))
        buffer = record.next
    }
}

/// send(2) or sendmsg(2) of a submission's buffers, without blocking and without SIGPIPE; -1 with errno.
func sendNow(_ descriptor: Int32, _ submission: Submission, from pool: BufferPool) -> Int {
    let flags = Int32(MSG_NOSIGNAL | MSG_DONTWAIT)
    if submission.bufferCount == 1 {
        let record = pool[submission.buffer]
        return unsafe send(descriptor, pool.address(of: submission.buffer) + Int(record.offset), Int(record.length), flags)
    }
    return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: Int(ByteQueue.gatherMax)) { vectors in
        unsafe fillVectors(vectors.baseAddress!, submission, from: pool)
        var message = unsafe msghdr()
        unsafe message.msg_iov = vectors.baseAddress
        unsafe message.msg_iovlen = Int(submission.bufferCount)
        return unsafe sendmsg(descriptor, &message, flags)
    }
}

/// CLOCK_MONOTONIC in nanoseconds (a vDSO call, no system call).
func monotonicClock() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}
