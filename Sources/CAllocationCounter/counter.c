// Counts heap allocations per thread, so that "a warm worker allocates nothing" is a test and a figure in production.
//
// The linker resolves malloc and its kin to these definitions for the whole process, shared libraries (the Swift runtime among
// them) included, because a definition in the executable comes first in symbol lookup. Each counts and calls the glibc
// function behind it, which glibc exports for this use. Cost: one thread-local increment, no lock, no branch.
//
// free is not replaced: all memory still comes from glibc, and frees are not counted.

#define _GNU_SOURCE
#include "CAllocationCounter.h"
#include <errno.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RINGWAY_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define RINGWAY_SANITIZED 1
#endif
#endif

// initial-exec: the counter lives in the static TLS block, so touching it never allocates (a dynamic TLS access might call
// malloc, and that would recurse).
static __thread uint64_t allocations __attribute__((tls_model("initial-exec")));

uint64_t ringway_allocation_count(void) { return allocations; }

#if defined(__GLIBC__) && !defined(RINGWAY_SANITIZED)

bool ringway_allocations_are_counted(void) { return true; }

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    allocations++;
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
    allocations++;
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    allocations++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    // POSIX: a power of two and a multiple of the pointer's size, or EINVAL. errno is left alone, unlike memalign's.
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
    int saved = errno;
    allocations++;
    void *memory = __libc_memalign(alignment, size);
    errno = saved;
    if (memory == NULL) return ENOMEM;
    *result = memory;
    return 0;
}

#else

bool ringway_allocations_are_counted(void) { return false; }

#endif
