// What Swift can't import from the system's headers: function-like macros, and atomic access to memory that the kernel
// shares. No logic; a line here needs a reason why Swift can't say it.
#pragma once
#include <linux/bpf.h>
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

// Ring heads and tails are shared with the kernel: io_uring(7) asks for acquire loads and release stores.
static inline uint32_t ringway_load_acquire(const uint32_t *_Nonnull address) { return __atomic_load_n(address, __ATOMIC_ACQUIRE); }
static inline void ringway_store_release(uint32_t *_Nonnull address, uint32_t value) {
    __atomic_store_n(address, value, __ATOMIC_RELEASE);
}

// Counters have one writer and any number of readers (DESIGN, rule 12).
static inline uint64_t ringway_load_relaxed(const uint64_t *_Nonnull address) { return __atomic_load_n(address, __ATOMIC_RELAXED); }
static inline void ringway_store_relaxed(uint64_t *_Nonnull address, uint64_t value) {
    __atomic_store_n(address, value, __ATOMIC_RELAXED);
}

// Cells that several threads write: those of one table, each by itself, so nothing else needs to be ordered with them.
static inline _Bool ringway_compare_exchange(uint64_t *_Nonnull address, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(address, &expected, desired, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
static inline uint64_t ringway_fetch_add(uint64_t *_Nonnull address, uint64_t amount) {
    return __atomic_fetch_add(address, amount, __ATOMIC_RELAXED);
}

// Swift has no word for "I will read this soon".
static inline void ringway_prefetch(const void *_Nonnull address) { __builtin_prefetch(address); }

// cpu_set_t exists only under _GNU_SOURCE, which Swift's importer does not define. A mask is an array of 64-bit words; the
// calling thread is meant. Both return 0, or -1 with errno.
int ringway_set_affinity(const uint64_t *_Nonnull mask, size_t bytes);
int ringway_get_affinity(uint64_t *_Nonnull mask, size_t bytes);

// Declared only under _GNU_SOURCE, too.
int accept4(int descriptor, struct sockaddr *_Nullable address, socklen_t *_Nullable length, int flags);
int pipe2(int *_Nonnull ends, int flags);
long splice(int source, long *_Nullable sourceOffset, int destination, long *_Nullable destinationOffset, size_t most, unsigned flags);
enum { RINGWAY_SPLICE_F_MOVE = 1, RINGWAY_SPLICE_F_NONBLOCK = 2, RINGWAY_F_SETPIPE_SZ = 1031 };
#include <pthread.h>
int pthread_setname_np(pthread_t thread, const char *_Nonnull name);

// recvmmsg(2) and sendmmsg(2), whose struct mmsghdr exists only under _GNU_SOURCE as well: this is the same. Both return the number of
// messages, or -1 with errno.
struct ringway_message {
    struct msghdr header;
    unsigned length;
};
int ringway_receive_messages(int descriptor, struct ringway_message *_Nonnull messages, unsigned count, int flags);
int ringway_send_messages(int descriptor, struct ringway_message *_Nonnull messages, unsigned count, int flags);
enum { RINGWAY_UDP_SEGMENT = 103, RINGWAY_UDP_GRO = 104 };

// bpf(2), for which the C library has no function. Returns a descriptor or 0, or -1 with errno.
long syscall(long number, ...);
static inline long ringway_bpf(uint32_t command, void *_Nonnull attributes, unsigned bytes) {
    return syscall(SYS_bpf, command, attributes, bytes);
}
