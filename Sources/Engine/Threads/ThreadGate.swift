import CLiburing
import CLinux
import Glibc

/// A gate that opens once; one thread waits, another opens.
// Safety: sem_t is made for that; its address never changes.
@safe
package final class ThreadGate: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    package init() { unsafe sem_init(semaphore, 0, 0) }

    deinit {
        unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    package func open() { unsafe sem_post(semaphore) }

    package func waitUntilOpen() {
        while unsafe sem_wait(semaphore) != 0 {}  // EINTR only
    }
}
